"""How fast every page and list answers with 1.7 million nodes and a month of records in the tables.

The demo is played once, its rows are told again (`console_month`), nodes are put on the map
(`console.load`), then each GET of the table of rights is asked for as the owner, with ids of the
month in its path. Times are wall clock, medians of 15, first ones apart; `cpu_ms` is the mean CPU
time of asking and answering, which others on the machine change little.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.console.rights import RIGHTS
from opencarrier.app.daemon import serving
from opencarrier.app.folder import Folder
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.bench.console import NODES, Asking, load
from opencarrier.bench.console_month import MONTH_RECORDS, tell
from opencarrier.bench.console_people import SUBSCRIBERS, people
from opencarrier.demo.play import DOMAIN
from opencarrier.identity.accounts.model import BY_LINK
from opencarrier.kernel.calendar import month_name, month_of

TIMES: Final = 15
MEDIAN_MS_MAX: Final = 300
OCTETS_MAX: Final = 300_000

NOT_ASKED: Final = frozenset({"GET /v1/events", "GET /v1/subscribers/{party}/receipts.zip"})
"""A stream, which never ends; and proofs: those of what was retold do not hold."""


def run(
    records: int = MONTH_RECORDS,
    nodes: int = NODES,
    kept: Path | None = None,
    subscribers: int = SUBSCRIBERS,
    times: int = TIMES,
) -> dict[str, Any]:
    """Load, serve, ask; `kept` is a folder that was loaded before."""
    with TemporaryDirectory(prefix="pages") as name:
        root = kept or Path(name) / "data"
        began_s, counted = time.monotonic(), {}
        if kept is None:
            _play(root)
            counted = dict(tell(Folder(root).database, SystemClock().now_us(), records))
        settings = Settings(domain=DOMAIN, radius_port=0, acct_port=0, http_port=0, cycle_s=0)
        base = open_installation(Folder(root), settings, entropy=SystemEntropy())
        try:
            with onchain(base) as place:
                if kept is None:
                    load(place, nodes)
                    with closing(sqlite3.connect(place.base.folder.database)) as unit:
                        node_id = sampled(unit)["node_id"]
                    people(place, node_id, subscribers)
                loaded_s = round(time.monotonic() - began_s)
                told = asyncio.run(_served(place, times))
        finally:
            base.close()
    return {"records": records, "nodes": nodes, "loaded_s": loaded_s, "rows": counted, **told}


def _play(root: Path) -> None:
    command = [sys.executable, "-m", "opencarrier", "demo", "--exit", "--json", "--http-port", "0"]
    subprocess.run([*command, "--data", str(root)], check=True, stdout=subprocess.DEVNULL)


async def _served(place: Onchain, times: int) -> dict[str, Any]:
    with closing(sqlite3.connect(place.base.folder.database)) as unit:
        samples = sampled(unit)
    async with serving(place) as served:
        where = urlsplit(served.running.http)
        assert where.hostname is not None
        assert where.port is not None
        served.web.ready = True
        cookie = f"opencarrier-{where.port}={_signed_in(place)}"
        return await asyncio.to_thread(_asked, where.hostname, where.port, cookie, samples, times)


def _signed_in(place: Onchain) -> str:
    """Return the token of a session of the owner's."""
    accounts = place.base.accounts
    with place.base.store.write() as unit:
        owner = accounts.book.owners(unit)[0]
        return accounts.sessions.begin(unit, owner, key=BY_LINK, came_from="")[0]


def _asked(
    host: str, port: int, cookie: str, samples: Mapping[str, str], times: int
) -> dict[str, Any]:
    """Ask for each page: first, then again; what failed is told, never passed over."""
    ask, told = Asking(host, port, cookie), {}
    for route in sorted(RIGHTS):
        if route.startswith("GET ") and route not in NOT_ASKED:
            for path in paths_of(route, samples):
                told[path] = _timed(ask, path, times)
                if more := _next(ask.body, path):
                    told[more] = _timed(ask, more, times)
    answered = {path: one for path, one in told.items() if one["status"] == 200}
    pages = {path: one for path, one in answered.items() if not _is_file(path)}
    return {
        "asked": told,
        "slow": [path for path, one in pages.items() if one["again_ms"] > MEDIAN_MS_MAX],
        "heavy": [path for path, one in pages.items() if one["octets"] > OCTETS_MAX],
        "failed": [path for path, one in told.items() if one["status"] >= 500],
    }


def _timed(ask: Asking, path: str, times: int) -> dict[str, int]:
    first_ms = ask.timed(path, any_status=True)
    times = min(times, FILE_TIMES) if _is_file(path) else times
    began_s = time.process_time()
    again_ms = median(ask.timed(path, any_status=True) for _ in range(times))
    cpu_ms = (time.process_time() - began_s) * 1_000 / times
    return {
        "status": ask.status,
        "first_ms": round(first_ms),
        "again_ms": round(again_ms),
        "cpu_ms": round(cpu_ms),
        "octets": ask.octets,
    }


def _is_file(path: str) -> bool:
    return path.partition("?")[0].endswith(FILES)


def _next(body: bytes, path: str) -> str:
    """Return where a list goes on, nothing where it ends or none was told."""
    if not path.startswith("/v1/") or not body.startswith(b"{"):
        return ""
    cursor = json.loads(body).get("next")
    return f"{path}{'&' if '?' in path else '?'}cursor={cursor}" if cursor else ""


def paths_of(route: str, samples: Mapping[str, str]) -> list[str]:
    """Return what is asked of a route: itself, or with each of its queries or kinds of id."""
    if "{identifier}" in route:
        return [route.removeprefix("GET ").format(identifier=samples[one]) for one in SOUGHT]
    path = filled(route.removeprefix("GET "), samples)
    queries = QUERIES.get(route, ("",))
    return [f"{path}?{query.format_map(samples)}".rstrip("?") for query in queries]


def filled(path: str, samples: Mapping[str, str]) -> str:
    """Put samples where a route has parameters; a party is what the part before it says.

    `KeyError`: a route has a parameter that nothing was sampled for.
    """
    kind = path.removeprefix("/v1").split("/")[1].rstrip("s")

    def sample(found: re.Match[str]) -> str:
        name = found[1]
        return samples[kind if name == "party" else name]

    return re.sub(r"{(\w+)(?::path)?}", sample, path)


def sampled(unit: sqlite3.Connection) -> Mapping[str, str]:
    """Return who has most of the month and the newest of it; a record that was not retold."""
    subscriber, operator = unit.execute(
        "SELECT subscriber, home FROM rating_authorisations GROUP BY 1, 2 ORDER BY count(*) DESC"
    ).fetchone()
    newest = unit.execute(_NEWEST, (subscriber,)).fetchone()
    granted, session_id, node_id, host, sequence = newest
    (usage_id,) = unit.execute(_SETTLED).fetchone()
    tx_hash, block = unit.execute(_FINAL).fetchone()
    (agreement,) = unit.execute(_AGREED, {"operator": operator}).fetchone()
    session, usage = f"0x{session_id.hex()}", f"0x{usage_id.hex()}"
    stay = (granted.hex(), session, str(sequence))
    found = (subscriber, operator, host, node_id, *stay, usage, usage)
    more = (usage, f"0x{tx_hash.hex()}", str(block), "ClearingHouse", f"0x{agreement.hex()}")
    known = dict(zip(NAMES, (*found, *more), strict=True))
    return dict.fromkeys(UNKNOWN, "none") | EVERYWHERE | known | _people(unit)


def _people(unit: sqlite3.Connection) -> dict[str, str]:
    """Return the endpoint that was told most, a refund that waits, and a month that is charged."""
    (endpoint,) = unit.execute(_TOLD).fetchone() or ("none",)
    (refunded,) = unit.execute(_REFUNDED).fetchone() or ("none",)
    (ended_us,) = unit.execute("SELECT max(end_us) FROM usage").fetchone()
    month = month_name(month_of(ended_us).start_us)
    return dict(zip(OF_PEOPLE, (endpoint, refunded, month), strict=True))


NAMES: Final = [
    "subscriber",
    "operator",
    "host",
    "node_id",
    "session",
    "session_id",
    "sequence",
    "usage",
    "usage_id",
    "identifier",
    "tx_hash",
    "number",
    "name",
    "agreement",
]
"""Parameters that something of the month is asked for by; parties by what they are."""

OF_PEOPLE: Final = ("endpoint", "refunded", "month")
"""Of what is put beside the month: who is told most, who waits for money, when there is a bill."""

EVERYWHERE: Final = {"key": "get_v1_me", "code": "unknown_token"}
"""What every installation has: an operation of the API, a type of problem."""

UNKNOWN: Final = ("token", "platform", "kind", "place", "relay_id", "exchange")
"""Parameters that an installation of a demo has nothing for: absent things are asked for."""

NAMED: Final = "Subscriber+2"
_NODE: Final = "node={node_id}"
_EUROPE: Final = "west=-16000000&south=32000000&east=48000000&north=64000000&level=5"
QUERIES: Final[Mapping[str, tuple[str, ...]]] = {
    "GET /people": ("", "named=Host+01"),
    "GET /trace": ("sought={session_id}",),
    "GET /subscriber": ("", f"who={NAMED}"),
    "GET /subscribers": ("", f"named={NAMED}"),
    "GET /subscribers/refund": ("party={refunded}",),
    "GET /subscriber/{party}/receipts": ("", "month={month}"),
    "GET /host/{party}/ban": (_NODE,),
    "GET /host/{party}/appeal": (_NODE,),
    "GET /host/{party}/decide": (_NODE,),
    "GET /v1/hosts/{party}/bans": (_NODE,),
    "GET /v1/hosts/{party}/appeal": (_NODE,),
    "GET /v1/hosts/{party}/decision": (f"{_NODE}&lifted=true",),
    "GET /v1/hosts/{party}/payout/call": ("act=cancel",),
    "GET /v1/network/cells": (_EUROPE,),
    "GET /v1/people/roles": ("", "named=Host+01"),
    "GET /v1/subscribers": ("", f"named={NAMED}"),
    "GET /v1/subscribers/{party}/receipts": ("", "month={month}"),
}
"""With what some routes are asked; without it they would show a choice, or refuse."""

SOUGHT: Final = ("usage", "session_id", "subscriber", "host", "node_id", "platform")
"""Whose traces are asked for; the last is nobody's."""

FILES: Final = (".csv", "statement.json")
"""What is a file and no page: it is written as it is read, and has bounds of its own."""

FILE_TIMES: Final = 3

_TOLD: Final = """
SELECT endpoint FROM webhooks_delivery GROUP BY 1 ORDER BY count(*) DESC LIMIT 1
"""
_REFUNDED: Final = """
SELECT substr(name, 9) FROM ledger_accounts
WHERE name > 'refunds/' AND name < 'refunds0' AND credits_posted > debits_posted LIMIT 1
"""
_FINAL: Final = """
SELECT tx_hash, block_number FROM settlement_attempt WHERE tx_hash IS NOT NULL
ORDER BY block_number LIMIT 1
"""
_NEWEST: Final = """
SELECT granted.authorisation_id, usage.session_id, usage.node_id, charge.host, cycle.sequence
FROM rating_authorisations AS granted
JOIN usage ON usage.authorisation_id = granted.authorisation_id
JOIN rating_charges AS charge ON charge.usage_id = usage.usage_id AND charge.kind = 1
JOIN settlement_cycle AS cycle ON cycle.cycle_id = usage.cycle_id
WHERE granted.subscriber = ? ORDER BY granted.granted_us DESC LIMIT 1
"""
_SETTLED: Final = """
SELECT usage_id FROM usage JOIN settlement_cycle AS cycle ON cycle.cycle_id = usage.cycle_id
ORDER BY cycle.sequence LIMIT 1
"""
_AGREED: Final = """
SELECT agreement_hash FROM rating_agreements WHERE :operator IN (home, visited) LIMIT 1
"""
