"""One process and two on one port and one database: processor time a packet, and who waits.

The load is made before (`blast`), so that it takes little of the cores. Where two processes spend
no more on a packet than one, and none waits for the other, twice the cores take twice the packets.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opencarrier.access.wire.authenticators import accounting_request
from opencarrier.bench import postgresql
from opencarrier.bench.accounting import (
    ATTACHES,
    PACKETS_PER_SESSION,
    PEOPLE,
    Echoes,
    attached,
    attributes_of,
    name_of,
    sent,
)
from opencarrier.bench.blast import Lane, blast
from opencarrier.bench.processes import cpu_us
from opencarrier.bench.serving import SECRET, Server, furnish, serving

SOCKETS, LANES = 64, 8
"""For each process: as many are in flight at each, however many there are."""

SAMPLE_S = 0.01
READY_S = 60.0
WARM = 1_000_000_000
"""The first of the sessions that warm a server up."""


def run(sessions: int = 4_000) -> dict[str, Any]:
    """Return figures by store and number of processes."""
    figures: dict[str, Any] = {"cores": os.cpu_count() or 1, "sqlite": _both(sessions, None)}
    if postgresql.program("postgres") is None:
        return figures | {"postgresql": "not installed"}
    with postgresql.server(durable=True) as database:
        return figures | {"postgresql": _both(sessions, database)}


def _both(sessions: int, database: postgresql.Server | None) -> dict[str, Any]:
    return {str(workers): _measured(sessions, workers, database) for workers in (1, 2)}


def _measured(sessions: int, workers: int, database: postgresql.Server | None) -> dict[str, Any]:
    url = "" if database is None else database.database()
    with tempfile.TemporaryDirectory() as folder:
        furnish(Path(folder), url, people=PEOPLE)
        with serving("rooms", Path(folder), url, workers=workers) as server:
            see_that_all_answer(server, workers)
            echoes = asyncio.run(attached(server, min(sessions, ATTACHES)))
            deal = Deal(SOCKETS * workers, echoes)
            told = _blasted(server, database, url, deal, sessions)
            kept = [tuple(row) for row in server.ask("observations")]
    mine = sorted(row for row in kept if row[0] < name_of(WARM))
    assert mine == sorted(sent(sessions)), "the rows are not what was sent"
    return told


def see_that_all_answer(server: Server, workers: int) -> None:
    """Wait until every process of a server answers."""
    deadline_s = time.monotonic() + READY_S
    while len(server.ask("answered")) < workers:
        assert time.monotonic() < deadline_s, "a worker does not begin"
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Deal:
    """Deals sessions out to sockets and lanes; a lane tells one session after another."""

    sockets: int
    echoes: Echoes

    def load(
        self, numbers: Sequence[int], steps: Sequence[int] = range(PACKETS_PER_SESSION)
    ) -> list[list[Lane]]:
        """Return the packets of some sessions, by socket and lane."""
        return [
            [self._lane(numbers, steps, place, lane) for lane in range(LANES)]
            for place in range(self.sockets)
        ]

    def _lane(self, numbers: Sequence[int], steps: Sequence[int], place: int, lane: int) -> Lane:
        return [
            accounting_request(lane, attributes_of(name_of(number), step, self.echoes), SECRET)
            for number in numbers[place * LANES + lane :: self.sockets * LANES]
            for step in steps
        ]


def _blasted(
    server: Server, database: postgresql.Server | None, url: str, deal: Deal, sessions: int
) -> dict[str, Any]:
    roots = [server.pid] + ([database.pid] if database else [])
    port = server.ports["acct"]
    blast(port, deal.load(range(WARM, WARM + deal.sockets * LANES)))
    load = deal.load(range(sessions))
    before_us = [cpu_us(root) for root in roots]
    with _waits(url) as waits:
        took_s = blast(port, load)
    spent_us = [cpu_us(root) - one for root, one in zip(roots, before_us, strict=True)]
    packets = sessions * PACKETS_PER_SESSION
    return {
        "cpu_us_per_packet": round(sum(spent_us) / packets, 1),
        "of_it_database_us": round(sum(spent_us[1:]) / packets, 1),
        "packets_per_s": round(packets / took_s),
        "server_cores_busy": round(sum(spent_us) / 1_000_000 / took_s, 2),
        "waits_permille": waits,
    }


@contextmanager
def _waits(url: str) -> Iterator[dict[str, int]]:
    """Look at what the database's backends wait for; thousandths of all looks at a busy one."""
    found: dict[str, int] = {}
    if not url:
        yield found
        return
    counted: Counter[str] = Counter()
    ends = threading.Event()
    looking = threading.Thread(target=_look, args=(url, counted, ends))
    looking.start()
    try:
        yield found
    finally:
        ends.set()
        looking.join()
        looks = max(1, counted.total())
        found |= {name: times * 1_000 // looks for name, times in sorted(counted.items())}


def _look(url: str, counted: Counter[str], ends: threading.Event) -> None:
    import psycopg

    query = (
        "SELECT coalesce(wait_event_type || '/' || wait_event, 'running') FROM pg_stat_activity"
        " WHERE state = 'active' AND backend_type = 'client backend'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        while not ends.wait(SAMPLE_S):
            counted.update(row[0] for row in connection.execute(query))
