"""CPU per authentication, per stored accounting packet and per settled usage, in all the rooms.

The server is a process of its own, on a SQLite file with full synchronisation and an embedded
chain, reached over UDP; its CPU time alone counts. The floor is a server of the same shape that
does nothing but receive, hash, keep durably and answer, measured in the same run. So is FreeRADIUS
where it is installed: `accounting` tells what it does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opencarrier.access.wire.authenticators import accounting_request
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import integer, text
from opencarrier.app.system import SystemEntropy
from opencarrier.bench import accounting, authentication
from opencarrier.bench.serving import NODE, OPC, REALM, SECRET, K, Server, furnish, imsi_of, serving
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Radio, RadioSettings, Report
from opencarrier.sim.usim import Usim

PEOPLE = 64
"""How many phones act at the same time; each does its own things one after another."""

PACKETS_PER_SESSION = 8
IN_FLIGHT = PEOPLE
FLOOR_OCTETS = 260


def run(sessions: int = 2_500) -> dict[str, Any]:
    """Attach, report and settle; figures are microseconds of CPU and ratios to the floor."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        floor_us = _floor(root, sessions * PACKETS_PER_SESSION)
        furnish(root / "rooms", people=PEOPLE)
        with serving("rooms", root / "rooms") as server:
            spent = asyncio.run(_sessions(server, sessions))
        stored = accounting.run(root / "accounting", sessions)
        let_in = authentication.run(root / "authentication", max(1, sessions // 10))
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
        "accounting": stored,
        "authentication": let_in,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    authentication_us: int
    packet_us: int
    usage_us: int


async def _sessions(server: Server, sessions: int) -> _Spent:
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
    usim = Usim(imsi=imsi_of(person), k=K, opc=OPC)
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
    with serving("floor", root) as server, ThreadPoolExecutor(IN_FLIGHT) as clients:
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
