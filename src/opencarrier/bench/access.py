"""CPU per authentication, per stored accounting packet and per settled usage, in all the rooms.

The server is a process of its own, on a SQLite file with full synchronisation and an embedded
chain, reached over UDP; its CPU time alone counts. The floor is a server of the same shape that
does nothing but receive, hash, keep durably and answer, measured in the same run.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from opencarrier.access.wire.authenticators import accounting_request
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import integer, text
from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.errands import Errands, top_up
from opencarrier.app.folder import Folder
from opencarrier.app.system import SystemEntropy
from opencarrier.app.terms import Limits, Terms, draft_agreement, draft_plan
from opencarrier.bench.server import SETTINGS
from opencarrier.identity.model import PartyKind, SimKeys
from opencarrier.kernel.refusals import Refusal
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Radio, RadioSettings, Report
from opencarrier.sim.usim import Usim
from opencarrier.spine.parties import Operator

NODE, PLAN = "bench-1", "bench"
SECRET = b"a secret of the bench alone"
REALM = "wlan.mnc093.mcc208.3gppnetwork.org"
K, OPC = bytes(range(16)), bytes(range(16, 32))
PEOPLE = 64
"""How many phones act at the same time; each does its own things one after another."""

MONEY_MINOR = 10**12
PACKETS_PER_SESSION = 8
IN_FLIGHT = PEOPLE
FLOOR_OCTETS = 260
TERMS = Terms(unit="octets_total", step=1024, price_nano=1_900, minimum_minor=0, tax_ppm=200_000)
LIMITS = Limits(rate_cap_octets_per_s=250_000, session_s_max=3_600, interim_s=300)

T = TypeVar("T")


def run(sessions: int = 512) -> dict[str, Any]:
    """Attach, report and settle; figures are microseconds of CPU and ratios to the floor."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        floor_us = _floor(root, sessions * PACKETS_PER_SESSION)
        _furnish(root / "rooms")
        with _serving("rooms", root / "rooms") as server:
            spent = asyncio.run(_sessions(server, sessions))
    return {
        "cores": os.cpu_count() or 1,
        "sessions": sessions,
        "packets": sessions * PACKETS_PER_SESSION,
        "floor_us_per_datagram": floor_us,
        "authentication_us": spent.authentication_us,
        "accounting_packet_us": spent.packet_us,
        "settled_usage_us": spent.usage_us,
        "authentication_in_floors": round(spent.authentication_us / floor_us, 1),
        "accounting_packet_in_floors": round(spent.packet_us / floor_us, 1),
        "settled_usage_in_floors": round(spent.usage_us / floor_us, 1),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    authentication_us: int
    packet_us: int
    usage_us: int


class _Server:
    """The measured process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.ports: dict[str, int] = self._line()

    def cpu_us(self) -> int:
        """Return the processor time it has used."""
        return int(self.ask("mark")) // 1_000

    def ask(self, word: str) -> Any:
        """Put a line to it and return what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def _serving(what: str, folder: Path) -> Iterator[_Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", "opencarrier.bench.server", what, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield _Server(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


async def _sessions(server: _Server, sessions: int) -> _Spent:
    settings = RadioSettings(
        nas_identifier=NODE,
        secret=SECRET,
        auth=("127.0.0.1", server.ports["auth"]),
        acct=("127.0.0.1", server.ports["acct"]),
    )
    radio = await Radio.open(settings, SystemEntropy())
    try:
        marks = [server.cpu_us()]
        shares = [range(first, sessions, PEOPLE) for first in range(PEOPLE)]
        attached = await asyncio.gather(
            *(_attach(radio, number, share) for number, share in enumerate(shares))
        )
        marks.append(server.cpu_us())
        await asyncio.gather(*(_report(radio, n, got) for n, got in enumerate(attached) if got))
        marks.append(server.cpu_us())
    finally:
        radio.close()
    closed = await asyncio.to_thread(server.ask, "close")
    marks.append(server.cpu_us())
    assert closed == {"state": "final", "records": sessions}, closed
    return _Spent(
        authentication_us=(marks[1] - marks[0]) // sessions,
        packet_us=(marks[2] - marks[1]) // (sessions * PACKETS_PER_SESSION),
        usage_us=(marks[3] - marks[2]) // sessions,
    )


async def _attach(radio: Radio, person: int, share: Sequence[int]) -> list[Attached]:
    """Attach one person as often as its share says, one after another."""
    usim = Usim(imsi=_imsi(person), k=K, opc=OPC)
    done = []
    for _ in share:
        outcome = await radio.attach(AkaPrimePeer(usim, REALM))
        assert isinstance(outcome, Attached), outcome
        done.append(outcome)
    return done


async def _report(radio: Radio, person: int, sessions: Sequence[Attached]) -> None:
    for number, session in enumerate(sessions):
        for step in range(PACKETS_PER_SESSION):
            await radio.report(_packet(f"{person:x}-{number:x}", step), session)


def _packet(name: str, step: int) -> Report:
    last = step == PACKETS_PER_SESSION - 1
    status = AcctStatus.STOP if last else AcctStatus.INTERIM_UPDATE
    return Report(
        status=status if step else AcctStatus.START,
        acct_session_id=name,
        session_time_s=step * 60,
        octets_in=step * 100_000,
        octets_out=step * 1_000_000,
    )


def _floor(root: Path, packets: int) -> int:
    """Measure the floor with as many datagrams in flight."""
    with _serving("floor", root) as server, ThreadPoolExecutor(IN_FLIGHT) as clients:
        started_us = server.cpu_us()
        shares = [range(first, packets, IN_FLIGHT) for first in range(IN_FLIGHT)]
        for _ in clients.map(_ping, [server.ports["acct"]] * IN_FLIGHT, shares):
            pass
        return max(1, (server.cpu_us() - started_us) // packets)


def _ping(port: int, numbers: Sequence[int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(30)
        for number in numbers:
            sock.send(_filler(number))
            sock.recv(64)


def _filler(number: int) -> bytes:
    """An accounting packet of the size that access points send."""
    attributes = [integer(Type.ACCT_SESSION_TIME, number), text(Type.NAS_IDENTIFIER, NODE)]
    room = FLOOR_OCTETS - 20 - sum(len(value) + 2 for _, value in attributes)
    attributes.append((int(Type.CLASS), bytes(room - 2)))
    return accounting_request(number % 256, attributes, SECRET)


def _furnish(root: Path) -> None:
    """Set an installation up: one operator, one node, people with SIMs and money."""
    base = open_installation(Folder(root), SETTINGS)
    try:
        with onchain(base) as place:
            with base.store.write() as unit:
                operator = _people(place, unit)
            _taken(Errands(place).deposit(operator, MONEY_MINOR, reference="bench"))
    finally:
        base.close()


def _people(place: Onchain, unit: Connection) -> Operator:
    base, identity, asset = place.base, place.base.identity, place.manifest.asset
    at_us = base.clock.now_us()
    operator = _taken(
        identity.register.add_operator(unit, name="Bench", jurisdiction="FR", plmns=["20893"])
    )
    _taken(identity.register.add_party(unit, kind=PartyKind.TAX, name="tax FR"))
    host = _taken(identity.register.add_host(unit, name="Host"))
    home = operator.party_id
    _taken(identity.register.add_node(unit, node_id=NODE, operator=home, host=host.party_id))
    _taken(identity.clients.add(unit, prefix="127.0.0.1/32", secret=SECRET, operator=home))
    agreement = _taken(
        draft_agreement(
            base,
            unit,
            asset,
            home="Bench",
            visited="Bench",
            terms=TERMS,
            host_ppm=600_000,
            protocol_ppm=10_000,
        )
    )
    signatures = base.rating.sign_agreement(unit, agreement, identity.notary)
    _taken(base.rating.add_agreement(unit, agreement, signatures, at_us=at_us))
    plan = _taken(
        draft_plan(base, unit, asset, operator="Bench", plan_id=PLAN, terms=TERMS, limits=LIMITS)
    )
    _taken(base.rating.add_plan(unit, plan, at_us=at_us))
    for number in range(PEOPLE):
        made = _taken(identity.subscriptions.add(unit, name=f"P{number}", home=home, plan_id=PLAN))
        person = made.party_id
        keys = SimKeys(K, OPC)
        _taken(
            identity.subscriptions.add_credential(
                unit, subscriber=person, imsi=_imsi(number), keys=keys
            )
        )
        paid = top_up(
            unit,
            asset,
            subscriber=person,
            home=home,
            amount_minor=MONEY_MINOR,
            reference="bench",
            at_us=at_us,
        )
        _taken(paid)
    return operator


def _imsi(number: int) -> str:
    return f"20893{number:010d}"


def _taken(outcome: T | Refusal) -> T:
    assert not isinstance(outcome, Refusal), outcome
    return outcome
