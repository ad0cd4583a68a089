"""Match a dataset in DuckDB: a session's outcome a row, batch by batch, and the sums of it."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.spine.usage import Rung
from opencarrier.usage.bias import ALLOWANCE_PPM, Differences, Lean, Watched, lean
from opencarrier.usage.dataset import BATCH_ROWS, files_of
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
BATCH_OCTETS: Final = 64 << 20
"""Octets of record files matched together: whole visited operators, so each session is in one."""

MATCHES: Final = "matches"
WATCHED: Final = "watched.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOrder:
    """What is matched, by which tolerances, and the new folder the outcomes go to."""

    usage: Path
    out: Path
    tolerances: Tolerances = field(default_factory=dict)
    default: Tolerance = DEFAULT
    memory_mib: int = MEMORY_MIB
    threads: int = THREADS
    batch_octets: int = BATCH_OCTETS


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchReport:
    """How many sessions came to which outcome, the octets in each state, and what leans."""

    outcomes: Mapping[Outcome, int]
    claimed_octets: int
    paid_octets: int
    disputed_octets: int
    watched: int
    alarms: Sequence[tuple[Watched, Lean, Differences]]

    def as_mapping(self) -> dict[str, Any]:
        """Return the report with stable keys, for JSON."""
        return {
            **{word.name.lower(): self.outcomes.get(word, 0) for word in Outcome},
            "claimed_octets": self.claimed_octets,
            "paid_octets": self.paid_octets,
            "disputed_octets": self.disputed_octets,
            "watched": self.watched,
            "allowance_ppm": ALLOWANCE_PPM,
            "alarms": [
                {
                    **watched._asdict(),
                    "lean": way.name.lower(),
                    "sessions": seen.count,
                    "mean_ppm": seen.total_ppm // seen.count,
                }
                for watched, way, seen in self.alarms
            ],
        }


def match_dataset(order: MatchOrder) -> MatchReport:
    """Match a dataset, some visited operators at a time; the folder appears whole or not at all.

    `matches/` has a row a session, ascending file by file, `watched.parquet` the sums of
    differences. `PeerError` where there is nothing to match or the folder is there already.
    """
    if order.out.exists():
        raise PeerError("out", f"{order.out} is there")
    batches = list(_batches(order))
    if not batches:
        raise PeerError("usage", f"{order.usage} holds no records")
    unready = order.out.with_name(f".{order.out.name}.unready")
    shutil.rmtree(unready, ignore_errors=True)
    unready.joinpath(MATCHES).mkdir(parents=True)
    with _database(order, unready.joinpath("spill")) as database:
        for number, files in enumerate(batches):
            _match_batch(database, files, unready.joinpath(MATCHES, f"{number:04d}.parquet"))
        report = _report(database, unready.joinpath(WATCHED))
    shutil.rmtree(unready.joinpath("spill"), ignore_errors=True)
    unready.rename(order.out)
    return report


def match_files(folder: Path) -> list[Path]:
    """Return the files of a run's outcomes in their order."""
    return sorted(folder.joinpath(MATCHES).glob("*.parquet"))


def read_matches(folder: Path) -> Iterator[Match]:
    """Yield the outcomes in their order, as the rules give them."""
    for path in match_files(folder):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield from map(_to_match, batch.to_pylist())


def read_watched(folder: Path) -> Iterator[tuple[Watched, Differences]]:
    """Yield what is watched, pairs and nodes, with its differences."""
    with pq.ParquetFile(folder.joinpath(WATCHED)) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield from map(_to_watched, batch.to_pylist())


def _batches(order: MatchOrder) -> Iterator[list[Path]]:
    """Yield the files to match in batches of whole visited operators, ascending."""
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for path in files_of(order.usage):
        files[path.parent.name].append(path)
    batch: list[Path] = []
    octets = 0
    for visited in sorted(files):
        batch += files[visited]
        octets += sum(path.stat().st_size for path in files[visited])
        if octets >= order.batch_octets:
            yield batch
            batch, octets = [], 0
    if batch:
        yield batch


def _match_batch(database: duckdb.DuckDBPyConnection, files: Sequence[Path], out: Path) -> None:
    database.execute("set variable files = ?", [[str(path) for path in files]])
    database.execute(_RECORDS)
    database.execute(_sql("matched"))
    if database.execute("select 1 from doubtful limit 1").fetchone():
        database.execute(_sql("matched_again"))
    database.execute(_sql("matched_outcomes"))
    database.execute(_sql("matched_sums"))
    database.execute(_WRITE.format(path=str(out).replace("'", "''")))


def _to_watched(row: Mapping[str, Any]) -> tuple[Watched, Differences]:
    visited, home, node, count, total, squares = row.values()
    return Watched(visited, home, node), Differences(count, int(total), int(squares))


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
def _database(order: MatchOrder, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as database:
        database.execute(f"set threads = {order.threads}")
        database.execute(f"set memory_limit = '{order.memory_mib}MiB'")
        database.execute("set temp_directory = ?", [str(spill)])
        for name in ("volume_ppm", "duration_ppm", "duration_s"):
            database.execute(f"set variable {name} = {getattr(order.default, name)}")
        database.register("given", _tolerance_table(order.tolerances))
        database.execute("create temp table tolerances as from given")
        database.execute(_PREPARED)
        yield database


def _sql(name: str) -> str:
    return resources.files("opencarrier.usage").joinpath(f"{name}.sql").read_text()


_RECORDS: Final = """
create or replace temp macro records() as table
select * from read_parquet(getvariable('files'), hive_partitioning = false)
"""
_PREPARED: Final = """
create temp table counted (
    outcome tinyint, sessions bigint,
    claimed_octets hugeint, paid_octets hugeint, disputed_octets hugeint
);
create temp table watched (
    visited varchar, home varchar, node varchar,
    sessions bigint, total_ppm decimal(38, 0), squares decimal(38, 0)
);
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
copy written to '{path}' (format parquet, compression snappy)
"""


def _report(database: duckdb.DuckDBPyConnection, watched: Path) -> MatchReport:
    path = str(watched).replace("'", "''")
    database.execute(f"copy watched to '{path}' (format parquet, compression zstd)")
    counted = database.execute(_COUNTED).fetchall()
    (number,) = database.execute("select count(*) from watched").fetchone() or (0,)
    return MatchReport(
        outcomes={Outcome(row[0]): int(row[1]) for row in counted},
        claimed_octets=sum(int(row[2]) for row in counted),
        paid_octets=sum(int(row[3]) for row in counted),
        disputed_octets=sum(int(row[4]) for row in counted),
        watched=number,
        alarms=_alarms(database),
    )


def _alarms(database: duckdb.DuckDBPyConnection) -> list[tuple[Watched, Lean, Differences]]:
    """Return what leans, in one order; what is not beyond the allowance cannot."""
    found = []
    rows = database.execute(_BEYOND, [ALLOWANCE_PPM])
    names = [column[0] for column in rows.description or ()]
    while row := rows.fetchone():
        watched, seen = _to_watched(dict(zip(names, row, strict=True)))
        way = lean(seen)
        if way is not Lean.NONE:
            found.append((watched, way, seen))
    return sorted(found, key=str)


_COUNTED: Final = """
select outcome, sum(sessions), sum(claimed_octets), sum(paid_octets), sum(disputed_octets)
from counted group by outcome
"""
_BEYOND: Final = "from watched where abs(total_ppm) > sessions * ?"
