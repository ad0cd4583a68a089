"""A stored accounting packet: our server on SQLite and PostgreSQL, FreeRADIUS on PostgreSQL.

The same packets go to each, as many in flight; each server's processor time is that of its own
processes and of the database's, as the kernel counts it. Afterwards every row is compared with
what was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import Attribute, integer, text
from opencarrier.app.system import SystemEntropy
from opencarrier.bench import freeradius, postgresql
from opencarrier.bench.processes import cpu_us
from opencarrier.bench.serving import NODE, OPC, REALM, SECRET, K, Server, furnish, imsi_of, serving
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import WIRELESS_802_11, Attached, Link, Radio, RadioSettings, Report
from opencarrier.sim.usim import Usim

PACKETS_PER_SESSION = 8
IN_FLIGHT = 128
BEGIN_S = 1_700_000_000
STEP_S = 60
PEOPLE = 32
ATTACHES = 512
"""Devices let in before: sessions share them in turn."""

Echo = list[Attribute]
Echoes = Sequence[Echo]

WARM = "w"
"""What the sessions that warm a server up are called."""


def run(root: Path, sessions: int) -> dict[str, Any]:
    """Return microseconds of CPU per packet, by server and store."""
    root.mkdir()
    figures: dict[str, Any] = {"packets": sessions * PACKETS_PER_SESSION}
    figures["sqlite_us"], _ = _ours(root / "sqlite", sessions, None)
    if postgresql.program("postgres") is None:
        return figures | {"postgresql": "not installed"}
    with postgresql.server(durable=True) as database:
        figures["postgresql_us"], echoes = _ours(root / "postgresql", sessions, database)
        absent = freeradius.missing()
        if absent is not None:
            return figures | {"freeradius": f"{absent} is not installed"}
        figures["freeradius_postgresql_us"] = _theirs(
            root / "freeradius", sessions, database, echoes
        )
    return figures | {
        "postgresql_in_freeradius": round(
            figures["postgresql_us"] / figures["freeradius_postgresql_us"], 3
        )
    }


def _ours(folder: Path, sessions: int, database: postgresql.Server | None) -> tuple[int, Echoes]:
    url = "" if database is None else database.database()
    furnish(folder, url, people=PEOPLE)
    with serving("rooms", folder, url) as server:
        roots = [server.pid] + ([database.pid] if database else [])
        echoes = asyncio.run(attached(server, min(sessions, ATTACHES)))
        spent_us = _spent(roots, server.ports["acct"], sessions, echoes)
        kept = server.ask("observations")
    kept = [tuple(row) for row in kept if not row[0].startswith(WARM)]
    assert sorted(kept) == sorted(sent(sessions)), "the rows are not what was sent"
    return spent_us, echoes


def _theirs(folder: Path, sessions: int, database: postgresql.Server, echoes: Echoes) -> int:
    import psycopg

    url = database.database()
    freeradius.make_tables(url)
    store = freeradius.Store(database.port, url.rpartition("/")[2])
    with freeradius.running(folder, store, secret=SECRET.decode()) as server:
        spent_us = _spent([server.pid, database.pid], server.port, sessions, echoes)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT acctsessionid, acctsessiontime, acctinputoctets, acctoutputoctets,"
            " acctstoptime IS NOT NULL FROM radacct"
        ).fetchall()
    ended = [row for row in rows if not row[0].startswith(WARM)]
    whole = [(*row[:1], *row[2:], True) for row in sent(sessions) if row[1] == AcctStatus.STOP]
    assert sorted(ended) == sorted(whole), "the rows are not what was sent"
    return spent_us


async def attached(server: Server, attaches: int) -> Echoes:
    """Let devices in; return what access points echo of each: its Class and its pseudonym."""
    radio = await Radio.open(_settings(server.ports["acct"], server.ports["auth"]), SystemEntropy())
    shares = [range(first, attaches, PEOPLE) for first in range(PEOPLE)]
    try:
        found = await asyncio.gather(
            *(_attached(radio, person, len(share)) for person, share in enumerate(shares))
        )
    finally:
        radio.close()
    return [echo for of_one in found for echo in of_one]


async def _attached(radio: Radio, person: int, times: int) -> list[Echo]:
    usim, found = Usim(imsi=imsi_of(person), k=K, opc=OPC), []
    for _ in range(times):
        outcome = await radio.attach(AkaPrimePeer(usim, REALM))
        assert isinstance(outcome, Attached), outcome
        assert outcome.cui is not None
        classes = [(int(Type.CLASS), value) for value in outcome.classes]
        found.append([*classes, (int(Type.CHARGEABLE_USER_IDENTITY), outcome.cui)])
    return found


def _settings(acct: int, auth: int = 0) -> RadioSettings:
    return RadioSettings(
        nas_identifier=NODE, secret=SECRET, auth=("127.0.0.1", auth), acct=("127.0.0.1", acct)
    )


def _spent(roots: Sequence[int], port: int, sessions: int, echoes: Echoes) -> int:
    warm = [f"{WARM}{number}" for number in range(IN_FLIGHT)]
    asyncio.run(load(port, warm, echoes))  # connections, caches, first pages
    before_us = sum(map(cpu_us, roots))
    asyncio.run(load(port, [name_of(number) for number in range(sessions)], echoes))
    spent_us = sum(map(cpu_us, roots)) - before_us
    return max(1, spent_us // (sessions * PACKETS_PER_SESSION))


async def load(
    port: int,
    names: Sequence[str],
    echoes: Echoes,
    steps: Sequence[int] = range(PACKETS_PER_SESSION),
) -> None:
    """Report on every session, one packet after the other, many sessions at a time."""
    link = await Link.open(("127.0.0.1", port), _settings(port))
    waiting = iter(names)

    async def work() -> None:
        for name in waiting:
            for step in steps:
                await link.accounting(attributes_of(name, step, echoes))

    try:
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    finally:
        link.close()


def attributes_of(name: str, step: int, echoes: Echoes) -> list[Attribute]:
    """Return what an access point reports of a session."""
    echo = echoes[int(name[1:]) % len(echoes)]
    return [*_report(name, step).attributes(), *_place(name), *echo]


def _report(name: str, step: int) -> Report:
    last = step == PACKETS_PER_SESSION - 1
    status = AcctStatus.STOP if last else AcctStatus.INTERIM_UPDATE
    return Report(
        status=status if step else AcctStatus.START,
        acct_session_id=name,
        event_s=BEGIN_S + step * STEP_S,
        session_time_s=step * STEP_S,
        octets_in=step * 100_000,
        octets_out=step * 10_000_000,
    )


def _place(name: str) -> list[Attribute]:
    """What an access point adds about itself and the station."""
    return [
        text(Type.NAS_IDENTIFIER, NODE),
        (int(Type.NAS_IP_ADDRESS), bytes((127, 0, 0, 1))),
        integer(Type.NAS_PORT_TYPE, WIRELESS_802_11),
        text(Type.USER_NAME, f"{name}@{REALM}"),
        text(Type.CALLING_STATION_ID, "02-00-00-00-00-01"),
        text(Type.CALLED_STATION_ID, "02-00-00-00-00-02:OpenRoaming"),
    ]


def sent(
    sessions: int, steps: Sequence[int] = range(PACKETS_PER_SESSION)
) -> list[tuple[str, int, int, int, int]]:
    """Return what was sent: session, status, seconds, octets in and out."""
    found = []
    for number in range(sessions):
        for step in steps:
            report = _report(name_of(number), step)
            counters = (report.session_time_s or 0, report.octets_in or 0, report.octets_out or 0)
            found.append((report.acct_session_id, int(report.status), *counters))
    return found


def name_of(number: int) -> str:
    """Return what a session is called."""
    return f"s{number:07d}"
