"""How fast every page and list answers with 1.7 million nodes and a month of records in the tables.

The demo is played once, its rows are told again (`console_month`), nodes are put on the map
(`console.load`), then each GET of the table of rights is asked for as the owner, with ids of the
month in its path. Times are wall clock, medians of 15, first ones apart.
"""

from __future__ import annotations

import asyncio
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
from opencarrier.app.system import SystemClock
from opencarrier.bench.console import NODES, Asking, load
from opencarrier.bench.console_month import MONTH_RECORDS, tell
from opencarrier.demo.play import DOMAIN
from opencarrier.kernel.entropy import SeededEntropy

TIMES: Final = 15
MEDIAN_MS_MAX: Final = 300
OCTETS_MAX: Final = 300_000

NOT_ASKED: Final = frozenset({"GET /v1/events"})
"""What never ends: a stream."""


def run(
    records: int = MONTH_RECORDS, nodes: int = NODES, kept: Path | None = None
) -> dict[str, Any]:
    """Load, serve, ask; `kept` is a folder that was loaded before."""
    with TemporaryDirectory(prefix="pages") as name:
        root = kept or Path(name) / "data"
        began_s, counted = time.monotonic(), {}
        if kept is None:
            _play(root)
            counted = dict(tell(Folder(root).database, SystemClock().now_us(), records))
        settings = Settings(domain=DOMAIN, radius_port=0, acct_port=0, http_port=0, cycle_s=0)
        base = open_installation(Folder(root), settings, entropy=SeededEntropy(1))
        try:
            with onchain(base) as place:
                if kept is None:
                    load(place, nodes)
                loaded_s = round(time.monotonic() - began_s)
                told = asyncio.run(_served(place))
        finally:
            base.close()
    return {"records": records, "nodes": nodes, "loaded_s": loaded_s, "rows": counted, **told}


def _play(root: Path) -> None:
    command = [sys.executable, "-m", "opencarrier", "demo", "--exit", "--json", "--http-port", "0"]
    subprocess.run([*command, "--data", str(root)], check=True, stdout=subprocess.DEVNULL)


async def _served(place: Onchain) -> dict[str, Any]:
    with closing(sqlite3.connect(place.base.folder.database)) as unit:
        samples = sampled(unit)
    async with serving(place) as served:
        where = urlsplit(served.running.http)
        assert where.hostname is not None
        assert where.port is not None
        served.web.ready = True
        ask = (where.hostname, where.port, served.web.token)
        return await asyncio.to_thread(_asked, *ask, samples)


def _asked(host: str, port: int, token: str, samples: Mapping[str, str]) -> dict[str, Any]:
    """Ask for each page: first, then again; what failed is told, never passed over."""
    ask, told = Asking(host, port, token), {}
    for route in sorted(RIGHTS):
        if route.startswith("GET ") and route not in NOT_ASKED:
            path = filled(route.removeprefix("GET "), samples)
            first_ms = ask.timed(path, any_status=True)
            again_ms = median(ask.timed(path, any_status=True) for _ in range(TIMES))
            told[path] = {
                "status": ask.status,
                "first_ms": round(first_ms),
                "again_ms": round(again_ms),
                "octets": ask.octets,
            }
    answered = {path: one for path, one in told.items() if one["status"] == 200}
    return {
        "asked": told,
        "slow": [path for path, one in answered.items() if one["again_ms"] > MEDIAN_MS_MAX],
        "heavy": [path for path, one in answered.items() if one["octets"] > OCTETS_MAX],
        "failed": [path for path, one in told.items() if one["status"] >= 500],
    }


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
    session_id, node_id, host, sequence = unit.execute(_NEWEST, (subscriber,)).fetchone()
    (usage_id,) = unit.execute(_SETTLED).fetchone()
    tx_hash, block = unit.execute(_FINAL).fetchone()
    (agreement,) = unit.execute(_AGREED, {"operator": operator}).fetchone()
    session, usage = f"0x{session_id.hex()}", f"0x{usage_id.hex()}"
    found = (subscriber, operator, host, node_id, session, session, str(sequence), usage, usage)
    more = (usage, f"0x{tx_hash.hex()}", str(block), "ClearingHouse", f"0x{agreement.hex()}")
    known = dict(zip(NAMES, (*found, *more), strict=True))
    return dict.fromkeys(UNKNOWN, "none") | EVERYWHERE | known


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

EVERYWHERE: Final = {"key": "get_v1_me", "code": "unknown_token"}
"""What every installation has: an operation of the API, a type of problem."""

UNKNOWN: Final = ("token", "platform", "kind", "place", "relay_id", "endpoint", "exchange")
"""Parameters that an installation of a demo has nothing for: absent things are asked for."""

_FINAL: Final = """
SELECT tx_hash, block_number FROM settlement_attempt WHERE tx_hash IS NOT NULL
ORDER BY block_number LIMIT 1
"""
_NEWEST: Final = """
SELECT usage.session_id, usage.node_id, charge.host, cycle.sequence
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
