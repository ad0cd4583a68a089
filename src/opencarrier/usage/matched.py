"""Match a dataset in DuckDB: every session's outcome in one file, the sums of it in a report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.spine.usage import Rung
from opencarrier.usage.bias import ALLOWANCE_PPM, Differences, Lean, Watched, lean
from opencarrier.usage.dataset import files_of
from opencarrier.usage.matching import (
    DEFAULT,
    Amounts,
    Match,
    Outcome,
    SessionKey,
    Tolerance,
    Tolerances,
)

MEMORY_MIB: Final = 800
THREADS: Final = 2
MATCHES: Final = "matches.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOrder:
    """What is matched, by which tolerances, and the new folder the outcomes go to."""

    usage: Path
    out: Path
    tolerances: Tolerances = field(default_factory=dict)
    default: Tolerance = DEFAULT
    memory_mib: int = MEMORY_MIB
    threads: int = THREADS


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchReport:
    """How many sessions came to which outcome, the octets in each state, and what leans."""

    outcomes: Mapping[Outcome, int]
    claimed_octets: int
    paid_octets: int
    disputed_octets: int
    differences: Mapping[Watched, Differences]

    @property
    def alarms(self) -> list[tuple[Watched, Lean]]:
        """What leans beyond chance and the allowance, in one order."""
        leans = ((watched, lean(seen)) for watched, seen in self.differences.items())
        return sorted(((w, way) for w, way in leans if way is not Lean.NONE), key=str)

    def as_mapping(self) -> dict[str, Any]:
        """Return the report with stable keys, for JSON."""
        return {
            **{word.name.lower(): self.outcomes.get(word, 0) for word in Outcome},
            "claimed_octets": self.claimed_octets,
            "paid_octets": self.paid_octets,
            "disputed_octets": self.disputed_octets,
            "watched": len(self.differences),
            "allowance_ppm": ALLOWANCE_PPM,
            "alarms": [self._alarm(watched, way) for watched, way in self.alarms],
        }

    def _alarm(self, watched: Watched, way: Lean) -> dict[str, Any]:
        seen = self.differences[watched]
        return {
            **watched._asdict(),
            "lean": way.name.lower(),
            "sessions": seen.count,
            "mean_ppm": seen.total_ppm // seen.count,
        }


def match_dataset(order: MatchOrder) -> MatchReport:
    """Match a dataset; the folder with `matches.parquet` appears whole or not at all.

    `PeerError` where there is nothing to match or the folder is there already.
    """
    if order.out.exists():
        raise PeerError("out", f"{order.out} is there")
    files = [str(path) for path in files_of(order.usage)]
    if not files:
        raise PeerError("usage", f"{order.usage} holds no records")
    unready = order.out.with_name(f".{order.out.name}.unready")
    shutil.rmtree(unready, ignore_errors=True)
    unready.mkdir(parents=True)
    with _database(order, unready.joinpath("spill"), files) as database:
        database.execute(_WRITE.format(path=str(unready.joinpath(MATCHES)).replace("'", "''")))
        report = _report(database, unready.joinpath(MATCHES))
    shutil.rmtree(unready.joinpath("spill"), ignore_errors=True)
    unready.rename(order.out)
    return report


def read_matches(folder: Path) -> Iterator[Match]:
    """Yield the outcomes in their order, as the rules give them."""
    with duckdb.connect() as database:
        rows = database.execute("from read_parquet(?)", [str(folder.joinpath(MATCHES))])
        names = [column[0] for column in rows.description or ()]
        while row := rows.fetchone():
            yield _to_match(dict(zip(names, row, strict=True)))


def _to_match(row: Mapping[str, Any]) -> Match:
    amounts = {name: _amounts(row, name) for name in _STATES}
    return Match(
        key=SessionKey(
            PartyId(row["visited"]), row["home"], Id(row["session_id"]), Service(row["service"])
        ),
        node=row["node"],
        outcome=Outcome(row["outcome"]),
        rung=Rung(row["rung"]),
        counterpart=Side(row["counterpart"]) if row["counterpart"] else None,
        **amounts,
    )


def _amounts(row: Mapping[str, Any], state: str) -> Amounts:
    return Amounts(*(int(row[f"{state}_{name}"]) for name in Amounts._fields))


@contextmanager
def _database(
    order: MatchOrder, spill: Path, files: list[str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as database:
        database.execute(f"set threads = {order.threads}")
        database.execute(f"set memory_limit = '{order.memory_mib}MiB'")
        database.execute("set temp_directory = ?", [str(spill)])
        database.execute("set variable files = ?", [files])
        for name in ("volume_ppm", "duration_ppm", "duration_s"):
            database.execute(f"set variable {name} = {getattr(order.default, name)}")
        database.register("given", _tolerance_table(order.tolerances))
        database.execute("create temp table tolerances as from given")
        database.execute(_RECORDS)
        database.execute(_sql("matched"))
        yield database


def _sql(name: str) -> str:
    return resources.files("opencarrier.usage").joinpath(f"{name}.sql").read_text()


_RECORDS: Final = """
create or replace temp macro records() as table
select * from read_parquet(getvariable('files'), hive_partitioning = false)
"""


def _tolerance_table(tolerances: Tolerances) -> pa.Table:
    names = ("volume_ppm", "duration_ppm", "duration_s")
    columns: dict[str, pa.Array] = {
        "visited": pa.array([visited for visited, _ in tolerances], pa.string()),
        "home": pa.array([home for _, home in tolerances], pa.string()),
    }
    for name in names:
        values = [getattr(tolerance, name) for tolerance in tolerances.values()]
        columns[name] = pa.array(values, pa.int64())
    return pa.table(columns)


_STATES: Final = ("claimed", "other", "paid", "disputed")
_WRITE: Final = """
copy (from written order by visited, home nulls first, session_id, service)
to '{path}' (format parquet, compression zstd)
"""


def _report(database: duckdb.DuckDBPyConnection, matches: Path) -> MatchReport:
    database.execute("set variable matches = ?", [str(matches)])
    database.execute(_sql("matched_sums"))
    counted = database.execute("from counts").fetchall()
    return MatchReport(
        outcomes={Outcome(row[0]): row[1] for row in counted},
        claimed_octets=sum(int(row[2]) for row in counted),
        paid_octets=sum(int(row[3]) for row in counted),
        disputed_octets=sum(int(row[4]) for row in counted),
        differences={
            Watched(PartyId(visited), home, node): Differences(count, int(total), int(squares))
            for visited, home, node, count, total, squares in database.execute(
                "from watched"
            ).fetchall()
        },
    )
