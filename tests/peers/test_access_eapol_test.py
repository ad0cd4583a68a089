"""Debian's unmodified `eapol_test` against the running server, our software USIM as its SIM."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests.access.fakes import (
    IMSI,
    NAS,
    REALM,
    SECRET,
    Bench,
    FakeDirectory,
    FakeReason,
    FakeVectors,
    usim,
)

from opencarrier.access.model import Origin
from opencarrier.access.service import AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import parse
from opencarrier.kernel.refusals import Refusal
from opencarrier.sim.usim import ControlSim, Usim
from opencarrier.spine.access import AkaVector

EAPOL_TEST = shutil.which("eapol_test")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(EAPOL_TEST is None, reason="eapol_test is not installed"),
]


@dataclass(frozen=True)
class Run:
    returncode: int
    log: str
    challenges: int
    shown: list[str]
    """The outer identities, as the access point puts them into User-Name."""

    @property
    def succeeded(self) -> bool:
        return self.returncode == 0 and self.log.rstrip().endswith("SUCCESS")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What eapol_test is told: its methods, its identity, and how often it comes back."""

    eap: str = "AKA'"
    identity: str = ""
    anonymous: str = ""
    fast: bool = True
    again: int = 0
    nas: str = NAS

    def config(self, control: Path) -> str:
        digit = "6" if self.eap.startswith("AKA'") else "0"
        lines = [
            f"ctrl_interface={control}",
            "external_sim=1",
            f"fast_reauth={int(self.fast)}",
            "network={",
            ' ssid="test"',
            " key_mgmt=WPA-EAP",
            f" eap={self.eap}",
            f' identity="{self.identity or f"{digit}{IMSI}@{REALM}"}"',
            *([f' anonymous_identity="{self.anonymous}"'] if self.anonymous else []),
            "}",
        ]
        return "\n".join(lines) + "\n"


async def authenticate(folder: Path, service: AccessService, sim: Usim, wish: Wish) -> Run:
    server = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await server.start()
    shown = overheard(service)
    control = folder / "ctrl"
    config = folder / "eapol.conf"
    config.write_text(wish.config(control))
    process = await asyncio.create_subprocess_exec(
        EAPOL_TEST or "",
        *("-c", str(config), "-W", "-t", "20", "-N", f"32:s:{wish.nas}", "-r", str(wish.again)),
        *("-a", "127.0.0.1", "-p", str(server.auth_address[1]), "-s", SECRET.decode()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    card = ControlSim(sim, control / "test")
    try:
        await card.attach()
        output, _ = await asyncio.wait_for(process.communicate(), timeout=30)
    finally:
        card.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
        await server.stop()
    return Run(process.returncode or 0, output.decode(errors="replace"), card.requests, shown)


def overheard(service: AccessService) -> list[str]:
    """Every other User-Name than the last, from here on."""
    shown: list[str] = []
    receive = service.receive

    def listen(origin: Origin, datagram: bytes) -> None:
        name = parse(datagram).text(Type.USER_NAME)
        if name is not None and name not in shown[-1:]:
            shown.append(name)
        receive(origin, datagram)

    service.receive = listen  # type: ignore[method-assign]
    return shown


METHODS = ("AKA", "AKA'")
both = pytest.mark.parametrize("method", METHODS)


@both
async def test_the_card_is_let_in_with_matching_keys(tmp_path: Path, method: str) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(), Wish(eap=method))
    assert run.succeeded, run.log
    assert "MPPE keys OK: 1  mismatch: 0" in run.log
    assert service.metrics.accepts == 1
    assert bench.vectors.made == 1
    assert len(bench.policy.granted) == 1


@both
async def test_a_wrong_key_is_turned_away(tmp_path: Path, method: str) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(k=bytes(16)), Wish(eap=method))
    assert not run.succeeded
    assert service.metrics.as_mapping()["rejects"] == {"authentication_rejected": 1}
    assert not bench.policy.granted


@both
async def test_a_stale_sequence_number_resynchronises(tmp_path: Path, method: str) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(highest_sqn=5000 << 5), Wish(eap=method))
    assert run.succeeded, run.log
    assert "MPPE keys OK: 1  mismatch: 0" in run.log
    assert run.challenges == 2
    assert bench.vectors.resynchronised == 1


@both
async def test_a_vector_that_is_shown_again_is_not_answered(tmp_path: Path, method: str) -> None:
    """The home that keeps handing out one sequence number gets nowhere with a genuine card."""
    bench = Bench(vectors=Stuck())
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(highest_sqn=5000 << 5), Wish(eap=method))
    assert not run.succeeded
    assert service.metrics.as_mapping()["rejects"] == {"aka_resynchronised_twice": 1}


class Stuck(FakeVectors):
    """An authentication centre whose counter does not move."""

    def resynchronise(
        self, unit: Connection, imsi: str, *, rand: bytes, auts: bytes
    ) -> Refusal | None:
        return None

    def vector(
        self, unit: Connection, imsi: str, network_name: bytes | None
    ) -> AkaVector | Refusal:
        self.sqn = 0
        return super().vector(unit, imsi, network_name)


@both
async def test_an_unknown_subscriber_is_turned_away(tmp_path: Path, method: str) -> None:
    bench = Bench(directory=FakeDirectory(subscribers={}))
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(), Wish(eap=method))
    assert not run.succeeded
    assert bench.vectors.made == 0
    assert service.metrics.as_mapping()["rejects"] == {"subscriber_unknown": 1}


@both
async def test_who_comes_back_reauthenticates(tmp_path: Path, method: str) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(), Wish(eap=method, again=5))
    assert run.succeeded, run.log
    assert "MPPE keys OK: 6  mismatch: 0" in run.log
    assert len(set(run.shown)) == 6
    assert not any(IMSI in name for name in run.shown[1:])
    assert (bench.vectors.made, run.challenges) == (1, 1)
    assert len(bench.policy.granted) == 6
    assert service.metrics.challenges == 6


@both
async def test_without_fast_reauthentication_the_pseudonym_is_shown(
    tmp_path: Path, method: str
) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(), Wish(eap=method, again=3, fast=False))
    assert run.succeeded, run.log
    assert "MPPE keys OK: 4  mismatch: 0" in run.log
    assert (bench.vectors.made, run.challenges) == (4, 4)
    assert service.metrics.challenges == 4
    assert run.shown[0] == f"{method_digit(method)}{IMSI}@{REALM}"
    assert len(run.shown) == 4
    assert len(set(run.shown)) == 4
    assert not any(IMSI in name for name in run.shown[1:])


def method_digit(method: str) -> str:
    return "6" if method == "AKA'" else "0"


@both
async def test_a_concealed_identity_is_asked_for(tmp_path: Path, method: str) -> None:
    bench = Bench()
    service = bench.service()
    wish = Wish(eap=method, anonymous=f"anonymous@{REALM}", again=2)
    run = await authenticate(tmp_path, service, usim(), wish)
    assert run.succeeded, run.log
    assert "MPPE keys OK: 3  mismatch: 0" in run.log
    assert not any(IMSI in name for name in run.shown)
    assert bench.vectors.made == 1


async def test_a_peer_that_wants_the_other_method_gets_it(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    wish = Wish(eap="AKA", identity=f"6{IMSI}@{REALM}")
    run = await authenticate(tmp_path, service, usim(), wish)
    assert run.succeeded, run.log
    assert "MPPE keys OK: 1  mismatch: 0" in run.log
    assert bench.vectors.made == 2


async def test_a_peer_that_knows_both_is_not_bidden_down(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    wish = Wish(eap="AKA' AKA", identity=f"0{IMSI}@{REALM}")
    run = await authenticate(tmp_path, service, usim(), wish)
    assert not run.succeeded
    assert service.metrics.as_mapping()["rejects"] == {"authentication_rejected": 1}


async def test_a_refusal_is_notified_and_rejected(tmp_path: Path) -> None:
    bench = Bench()
    bench.policy.refusal = Refusal(FakeReason.INSUFFICIENT_CREDIT)
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(), Wish())
    assert not run.succeeded
    assert service.metrics.as_mapping()["rejects"] == {"insufficient_credit": 1}
    assert "insufficient_credit" in run.log


async def test_a_node_of_another_operator_is_refused(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(), Wish(nas="other-1"))
    assert not run.succeeded
    assert bench.vectors.made == 0
    assert service.metrics.as_mapping()["rejects"] == {"nas_identifier_refused": 1}
