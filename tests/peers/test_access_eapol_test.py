"""Debian's unmodified `eapol_test` against the running server, our software USIM as its SIM."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.access.fakes import IMSI, NAS, REALM, SECRET, Bench, FakeReason, usim

from opencarrier.access.service import AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.kernel.refusals import Refusal
from opencarrier.sim.usim import ControlSim, Usim

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

    @property
    def succeeded(self) -> bool:
        return self.returncode == 0 and self.log.rstrip().endswith("SUCCESS")


async def authenticate(
    folder: Path, service: AccessService, sim: Usim, *, identity: str = "", nas: str = NAS
) -> Run:
    server = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await server.start()
    control = folder / "ctrl"
    config = folder / "eapol.conf"
    config.write_text(
        f"ctrl_interface={control}\nexternal_sim=1\n"
        'network={\n ssid="test"\n key_mgmt=WPA-EAP\n eap=AKA\'\n'
        f' identity="{identity or f"6{IMSI}@{REALM}"}"\n}}\n'
    )
    process = await asyncio.create_subprocess_exec(
        EAPOL_TEST or "",
        *("-c", str(config), "-W", "-t", "10", "-N", f"32:s:{nas}"),
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
    return Run(process.returncode or 0, output.decode(errors="replace"), card.requests)


async def test_the_card_is_let_in_with_matching_keys(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim())
    assert run.succeeded, run.log
    assert "MPPE keys OK: 1  mismatch: 0" in run.log
    assert service.metrics.accepts == 1
    assert bench.vectors.made == 1
    assert len(bench.policy.granted) == 1


async def test_a_wrong_key_is_turned_away(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(k=bytes(16)))
    assert not run.succeeded
    assert service.metrics.as_mapping()["rejects"] == {"authentication_rejected": 1}
    assert not bench.policy.granted


async def test_a_stale_sequence_number_resynchronises(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(highest_sqn=5000 << 5))
    assert run.succeeded, run.log
    assert "MPPE keys OK: 1  mismatch: 0" in run.log
    assert run.challenges == 2
    assert bench.vectors.resynchronised == 1


async def test_a_concealed_identity_is_asked_for(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    identity = f'6{IMSI}@{REALM}"\n anonymous_identity="anonymous@{REALM}'
    run = await authenticate(tmp_path, service, usim(), identity=identity)
    assert run.succeeded, run.log
    assert "MPPE keys OK: 1  mismatch: 0" in run.log
    assert service.metrics.challenges == 2


async def test_a_refusal_is_notified_and_rejected(tmp_path: Path) -> None:
    bench = Bench()
    bench.policy.refusal = Refusal(FakeReason.INSUFFICIENT_CREDIT)
    service = bench.service()
    run = await authenticate(tmp_path, service, usim())
    assert not run.succeeded
    assert service.metrics.as_mapping()["rejects"] == {"insufficient_credit": 1}
    assert "insufficient_credit" in run.log


async def test_a_node_of_another_operator_is_refused(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    run = await authenticate(tmp_path, service, usim(), nas="other-1")
    assert not run.succeeded
    assert bench.vectors.made == 0
    assert service.metrics.as_mapping()["rejects"] == {"nas_identifier_refused": 1}
