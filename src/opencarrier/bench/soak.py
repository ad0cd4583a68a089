"""Many open sessions at once: what they cost in memory, how fast a server is back, what is lost.

Every session has a Start and an interim update, none a Stop; they share the Class of some attaches.
Then all processes of the server are killed; it is started again on the same database, and answers
for all. One process on SQLite, two on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from opencarrier.bench import postgresql
from opencarrier.bench.accounting import PEOPLE, Echoes, attached, sent
from opencarrier.bench.blast import blast
from opencarrier.bench.processes import cpu_us, resident_kib
from opencarrier.bench.serving import Server, furnish, serving
from opencarrier.bench.workers import SOCKETS, Deal, see_that_all_answer

QUARTERS = 4
STEPS = range(2)
AGAIN = range(2, 3)
ATTACHES = 2_000
SAMPLE = 1_000
"""Sessions that report once more after the restart."""


def run(sessions: int = 200_000) -> dict[str, Any]:
    """Return memory by quarter, CPU a packet, seconds to the first answer, and rows lost."""
    figures: dict[str, Any] = {
        "cores": os.cpu_count() or 1,
        "sessions": sessions,
        "sqlite": _soaked(sessions),
    }
    if postgresql.program("postgres") is None:
        return figures | {"postgresql": "not installed"}
    with postgresql.server(durable=True) as database:
        return figures | {"postgresql": _soaked(sessions, database, workers=2)}


def _soaked(
    sessions: int, database: postgresql.Server | None = None, *, workers: int = 1
) -> dict[str, Any]:
    url = "" if database is None else database.database()
    roots = [] if database is None else [database.pid]
    again = range(min(SAMPLE, sessions))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        furnish(root, url, people=PEOPLE)
        with serving("rooms", root, url, workers=workers) as server:
            see_that_all_answer(server, workers)
            echoes = asyncio.run(attached(server, min(sessions, ATTACHES)))
            told = _filled(server, roots, Deal(SOCKETS * workers, echoes), sessions)
            server.kill()
        started_s = time.monotonic()
        with serving("rooms", root, url, workers=workers) as server:
            told |= _back(server, echoes, again, started_s)
            kept = {tuple(row) for row in server.ask("observations")}
    wanted = set(sent(sessions, STEPS)) | set(sent(len(again), AGAIN))
    return told | {
        "workers": workers,
        "packets": len(wanted),
        "lost": len(wanted - kept),
        "strange": len(kept - wanted),
    }


def _filled(server: Server, roots: list[int], deal: Deal, sessions: int) -> dict[str, Any]:
    resident_mib = [resident_kib(server.pid) >> 10]
    before_us = sum(map(cpu_us, [server.pid, *roots]))
    for quarter in range(QUARTERS):
        blast(server.ports["acct"], deal.load(range(quarter, sessions, QUARTERS), STEPS))
        resident_mib.append(resident_kib(server.pid) >> 10)
    spent_us = sum(map(cpu_us, [server.pid, *roots])) - before_us
    return {
        "cpu_us_per_packet": spent_us // (sessions * len(STEPS)),
        "resident_mib": resident_mib,
    }


def _back(server: Server, echoes: Echoes, again: range, started_s: float) -> dict[str, Any]:
    deal = Deal(SOCKETS, echoes)
    blast(server.ports["acct"], deal.load(again[:1], AGAIN))
    restart_s, spent_us = time.monotonic() - started_s, cpu_us(server.pid)
    blast(server.ports["acct"], deal.load(again[1:], AGAIN))
    return {
        "restart_s": round(restart_s, 2),
        "restart_cpu_s": round(spent_us / 1_000_000, 2),
    }
