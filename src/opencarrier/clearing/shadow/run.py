"""Compare a month of ours with another clearing's in DuckDB, within a limit of memory.

Both sides are joined row by row; each account's three sums, theirs, ours and the differences, are
taken apart from each other and must agree.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from opencarrier.clearing.new_folder import new_folder
from opencarrier.clearing.shadow.model import (
    Cause,
    Compared,
    ShadowOrder,
    ShadowReport,
)
from opencarrier.clearing.shadow.staging import stage
from opencarrier.clearing.shadow.summary import summary
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.statements import RowsAre, StatementForm

REPORT: Final = "shadow.json"
DIFFERENCES: Final = "differences.csv"
REFUSED: Final = "refused.csv"
SUMMARY: Final = "summary.txt"
THREADS: Final = 2
_CHARGED: Final = StatementForm(rows_are=RowsAre.USAGE, decimals=0, with_tax=False)
_PERIOD_FORMATS: Final = {"month": "%Y-%m", "day": "%Y-%m-%d", "": ""}
_NANO_PER_MINOR: Final = 1_000
_ADJUSTED: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("home", "visited", "currency")),
        ("nano", pa.decimal128(38, 0)),
    ]
)


def compare(order: ShadowOrder) -> ShadowReport:
    """Compare, and leave a folder with the report, whole or not at all.

    `PeerError` where the run and the records are not of each other, or the folder is another's.
    """
    made = new_folder(order.out, report=REPORT, holds="comparison", scratch=("spill",))
    with made as folder, _database(order, folder / "spill") as database:
        refused = _load(database, order, folder)
        for name in _statements(order.form):
            database.execute(_sql(name))
        _check_run(database)
        report = _report(database, order, refused)
        _write(database, report, folder)
    return report


def parties_of(usage: Path) -> set[PartyId]:
    """Return the operators that a dataset's records name."""
    with duckdb.connect() as database:
        rows = database.execute(_PARTIES, [_files(usage)]).fetchall()
    return {PartyId(name) for (name,) in rows}


_PARTIES: Final = """
with used as (from read_parquet(?, hive_partitioning = false))
select home from used where home is not null union select visited from used
"""


def _statements(form: StatementForm | None) -> Sequence[str]:
    """Name the statements of a comparison, in order."""
    if form is None:
        return ("ours", "charged", "parts", "records", "compared", "accounts")
    if form.rows_are is RowsAre.SUM:
        return ("ours", "theirs", "sums", "compared", "accounts")
    owned = "sessions" if form.rows_are is RowsAre.SESSION else "parts"
    return ("ours", "theirs", owned, "records", "compared", "accounts")


def _load(
    database: duckdb.DuckDBPyConnection, order: ShadowOrder, folder: Path
) -> Mapping[str, int]:
    """Bring in what both sides are made of; return what was refused of theirs, by reason."""
    form, staged = order.form or _CHARGED, folder / "spill" / "statement.parquet"
    refused: Counter[str] = Counter()
    if order.form is not None:
        refused = stage(order, form, staged, folder / REFUSED)
    for name, value in _variables(order, form, staged).items():
        database.execute(f"set variable {name} = ?", [value])
    tables = {
        "line_rows": _lines(order.rated),
        "settled": _settled(form),
        "booked": _adjusted(order),
        "causes": _words({cause: cause.name.lower() for cause in Cause}),
        "waiting_words": _words(order.waiting),
    }
    for name, table in tables.items():
        database.register("given", table)
        database.execute(f"create temp table {name} as from given")
        database.unregister("given")
    return refused


def _variables(order: ShadowOrder, form: StatementForm, staged: Path) -> Mapping[str, Any]:
    """Return what the statements ask for by name."""
    month = order.month
    return {
        "files": _files(order.usage),
        "rated": _audit(order.rated),
        "staged": str(staged),
        "rows_are": form.rows_are.value,
        "with_tax": form.with_tax,
        "without_tax": not (form.with_tax or form.tells_tax),
        "offset_us": form.offset_min * 60 * SECOND_US,
        "period_format": _PERIOD_FORMATS[form.period],
        "since_us": -INT64_MAX if month is None else month.since_us,
        "until_us": INT64_MAX if month is None else month.until_us,
        "month": None if month is None else month.name,
        "rounding": order.rounding,
    }


def _settled(form: StatementForm) -> pa.Table:
    return pa.table(
        {
            "currency": pa.array(form.assets.keys(), pa.string()),
            "asset": pa.array(form.assets.values(), pa.string()),
        }
    )


def _adjusted(order: ShadowOrder) -> pa.Table:
    """Return what deals made of the month for each account; all of it, where no month is named."""
    sums: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for item in order.adjustments:
        if order.month is None or order.month.since_us < item.end_us <= order.month.until_us:
            sums[item.payer, item.seller, item.currency] += item.amount_minor * _NANO_PER_MINOR
    rows = [
        {"home": home, "visited": visited, "currency": currency, "nano": nano}
        for (home, visited, currency), nano in sorted(sums.items())
    ]
    return pa.Table.from_pylist(rows, schema=_ADJUSTED)


def _check_run(database: duckdb.DuckDBPyConnection) -> None:
    """Refuse a run over other records than the dataset's."""
    (rated,) = _one(database, "select count(*) from read_parquet(getvariable('rated'))")
    (joined,) = _one(database, "select count(*) from parts")
    if rated != joined:
        raise PeerError("rated", f"{rated} records are rated, {joined} of them are in the dataset")


def _report(
    database: duckdb.DuckDBPyConnection, order: ShadowOrder, refused: Mapping[str, int]
) -> ShadowReport:
    (rows,) = _one(database, "select count(*) from theirs where not beside")
    (unequal,) = _one(database, "select count(*) from unequal where their_key is not null")
    (records,) = _one(database, "select count(*) from parts where counts")
    return ShadowReport(
        rows_are=(order.form or _CHARGED).rows_are.value,
        month=None if order.month is None else order.month.name,
        rounding=order.rounding,
        rows=rows,
        equal=rows - unequal,
        records=records,
        refused=refused,
        accounts=list(_accounts(database)),
    )


def _accounts(database: duckdb.DuckDBPyConnection) -> Iterator[Compared]:
    causes: defaultdict[tuple[str, ...], dict[Cause, tuple[int, int]]] = defaultdict(dict)
    for *account, reason, count, nano in database.execute(_BY_CAUSE).fetchall():
        causes[tuple(account)][Cause(reason)] = count, nano
    for *account, theirs, ours in database.execute("from accounts").fetchall():
        home, visited, currency = account
        yield Compared(
            home=PartyId(home),
            visited=PartyId(visited),
            currency=currency,
            theirs_nano=theirs,
            ours_nano=ours,
            causes=causes[tuple(account)],
        )


_BY_CAUSE: Final = """
select home, visited, currency, reason, count(*), sum(nano) from differences group by all
"""


def _write(database: duckdb.DuckDBPyConnection, report: ShadowReport, folder: Path) -> None:
    path = str(folder / DIFFERENCES).replace("'", "''")
    database.execute(f"copy ({_sql('written')}) to '{path}' (format csv, header)")
    folder.joinpath(REPORT).write_text(json.dumps(report.as_mapping(), indent=2) + "\n")
    folder.joinpath(SUMMARY).write_text(summary(report))


def _lines(rated: Path) -> pa.Table:
    path = rated / "lines.parquet"
    if not path.exists():
        raise PeerError("rated", f"{rated} holds no rated month")
    return pq.read_table(path)


def _words(words: Mapping[int, str]) -> pa.Table:
    return pa.table(
        {"number": pa.array(words.keys(), pa.int8()), "word": pa.array(words.values(), pa.string())}
    )


def _files(usage: Path) -> list[str]:
    files = [str(path) for path in sorted(usage.glob("day=*/visited=*/*.parquet"))]
    if not files:
        raise PeerError("usage", f"{usage} holds no records")
    return files


def _audit(rated: Path) -> list[str]:
    files = [str(path) for path in sorted((rated / "rated").glob("*.parquet"))]
    if not files:
        raise PeerError("rated", f"{rated} holds no rated month")
    return files


def _one(database: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = database.execute(query).fetchone()
    assert row is not None
    return tuple(int(value) for value in row)


def _sql(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.sql").read_text()


@contextmanager
def _database(order: ShadowOrder, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database that is nowhere but in memory and, beyond its limit, in `spill`."""
    spill.mkdir()
    with duckdb.connect() as database:
        database.execute(f"set threads = {THREADS}")
        database.execute(f"set memory_limit = '{order.memory_mib}MiB'")
        database.execute("set temp_directory = ?", [str(spill)])
        database.execute("set preserve_insertion_order = false")
        yield database
