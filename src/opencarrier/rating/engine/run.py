"""A run: the records of a dataset rated once, batch by batch, to an audit file and to sums."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.agreements.rows import Row
from opencarrier.rating.engine.results import TABLES, digest
from opencarrier.rating.engine.tables import account_table, line_table, load_subscribers
from opencarrier.rating.reasons import SuspenseReason
from opencarrier.rating.rules import v2

VERSIONS: Final = {v2.VERSION: "v2"}
"""The folder of SQL of each rule version; what an old cycle was rated by stays."""

BATCH_OCTETS: Final = 384 << 20
"""Octets of record files rated together: whole visited operators, so that each node is in one."""

MEMORY_MIB: Final = 800
THREADS: Final = 2
FORMAT: Final = "opencarrier/rated/v1"
REPORT: Final = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is rated, by what, and where to: `usage` files lie in folders `visited=PARTY`.

    `only` names an earlier run whose suspense alone is rated again, now that more is known.
    `only_visited` names folders: a share of the dataset, where others are rated elsewhere.
    """

    usage: Path
    rows: Sequence[Row]
    subscribers: Path | None
    out: Path
    rules: str = v2.VERSION
    only: Path | None = None
    only_visited: frozenset[str] | None = None
    memory_mib: int = MEMORY_MIB
    threads: int = THREADS
    batch_octets: int = BATCH_OCTETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run came to; sums are of all currencies' minor units together, exact."""

    rules: str
    records: int
    settlement_free: int
    disputed: int
    suspense: dict[str, int]
    charge_minor: int
    host_minor: int
    pairs: int
    positions: int
    nodes: int
    positions_sha256: str
    nodes_sha256: str
    lines_sha256: str
    subscribers: int

    def as_mapping(self) -> dict[str, Any]:
        """Return the report with stable keys, for JSON."""
        return {"format": FORMAT, **asdict(self)}


def rate(order: Order) -> Report:
    """Rate a dataset into a new folder; `PeerError` where what is given cannot be read.

    `rated/` has a row a record with every leg, `positions`, `nodes`, `suspense`, `lines` and
    `line_sums` the results, `run.json` the report. The folder appears whole or not at all.
    """
    unready = order.out.with_name(f".{order.out.name}.unready")
    _make(order.out, unready)
    (unready / "rated").mkdir()
    with _database(order, unready) as database:
        lines = line_table(order.rows)
        subscribers = _prepare(database, order, lines)
        for number, files in enumerate(_batches(order)):
            _rate_batch(database, order, files, unready / "rated" / f"{number:04d}.parquet")
        report = _finish(database, order.rules, lines, subscribers, unready)
    return _publish(report, unready, order.out)


def merge(parts: Sequence[Path], out: Path) -> Report:
    """Add the results of runs over parts of a dataset; the sums are those of one run over it all.

    The parts must have been rated by the same lines and rules: `PeerError` otherwise.
    """
    told = [json.loads(part.joinpath(REPORT).read_text()) for part in parts]
    if len({(item["rules"], item["lines_sha256"]) for item in told}) != 1:
        raise PeerError("parts_differ", "they were rated by other lines or rules")
    unready = out.with_name(f".{out.name}.unready")
    _make(out, unready)
    with duckdb.connect() as database:
        lines = pq.read_table(parts[0] / "lines.parquet")
        _make_tables(database, told[0]["rules"], lines)
        for part in parts:
            for name in ("line_sums", "node_sums", "waiting", "counts"):
                database.execute(f"insert into {name} from read_parquet(?)", [_sums(part, name)])
        subscribers = max(item["subscribers"] for item in told)
        report = _finish(database, told[0]["rules"], lines, subscribers, unready)
    _link_rated(parts, unready / "rated")
    return _publish(report, unready, out)


def _link_rated(parts: Sequence[Path], folder: Path) -> None:
    """Have the parts' audit rows in one folder; the parts keep theirs."""
    folder.mkdir()
    audits = [path for part in parts for path in sorted((part / "rated").glob("*.parquet"))]
    for number, path in enumerate(audits):
        target = folder / f"{number:04d}.parquet"
        try:
            target.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, target)


def _make(out: Path, unready: Path) -> None:
    """Begin a run's folder; what it takes the place of must be a run's."""
    if out.exists() and not out.joinpath(REPORT).exists():
        raise PeerError("out", f"{out} is there and holds no run")
    shutil.rmtree(unready, ignore_errors=True)
    unready.mkdir(parents=True)


def visited_of(usage: Path) -> list[str]:
    """Return the folders of visited operators in a dataset, ascending."""
    return sorted(_files(usage))


def _files(usage: Path) -> dict[str, list[Path]]:
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(usage.rglob("visited=*/*.parquet")):
        files[path.parent.name].append(path)
    return files


def _batches(order: Order) -> Iterator[list[str]]:
    """Yield the files to rate in batches of whole visited operators, ascending."""
    files, octets = _files(order.usage), order.batch_octets
    batch: list[str] = []
    size = 0
    for visited in sorted(files):
        if order.only_visited is not None and visited not in order.only_visited:
            continue
        batch += map(str, files[visited])
        size += sum(path.stat().st_size for path in files[visited])
        if size >= octets:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _database(order: Order, folder: Path) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    database.execute(f"set threads = {order.threads}")
    database.execute(f"set memory_limit = '{order.memory_mib}MiB'")
    database.execute("set temp_directory = ?", [str(folder / "spill")])
    database.execute("set preserve_insertion_order = false")
    # Lines and subscribers are what is built, records what runs past them, whatever their number.
    database.execute("set disabled_optimizers = 'join_order,build_side_probe_side'")
    return database


def _prepare(database: duckdb.DuckDBPyConnection, order: Order, lines: pa.Table) -> int:
    _make_tables(database, order.rules, lines)
    if order.only is not None:
        database.execute(
            "create table wanted as select usage_id from read_parquet(?)",
            [str(order.only / "suspense.parquet")],
        )
    database.execute(_sql(order.rules, "formula"))
    return load_subscribers(database, order.subscribers)


def _make_tables(database: duckdb.DuckDBPyConnection, rules: str, lines: pa.Table) -> None:
    for name, table in (("line_rows", lines), ("accounts", account_table(lines))):
        database.register("given", table)
        database.execute(f"create table {name} as from given")
        database.unregister("given")
    database.execute(_sql(rules, "tables"))


def _rate_batch(
    database: duckdb.DuckDBPyConnection, order: Order, files: Sequence[str], audit: Path
) -> None:
    database.execute("set variable files = ?", [list(files)])
    database.execute(_RECORDS if order.only is None else _RECORDS + _ONLY)
    database.execute(_sql(order.rules, "rate"))
    if database.execute("select 1 from rated where kind is not null limit 1").fetchone():
        database.execute(_sql(order.rules, "corrections"))
    database.execute(_sql(order.rules, "results"))
    database.execute(_AUDIT.format(audit=audit))


_RECORDS: Final = """
create or replace temp macro records() as table
select * from read_parquet(getvariable('files'), hive_partitioning = false)
"""
_ONLY: Final = "where usage_id in (select usage_id from wanted)"
_AUDIT: Final = """
copy (
    select
        usage_id, line, amount, discount_ppm, status, dispute,
        seller_minor, host_minor, protocol_minor, tax_minor
    from rated
) to '{audit}' (
    format parquet, parquet_version v2, compression snappy, dictionary_size_limit 1
)
"""
"""Delta encoding in place of dictionaries: a third of the time, and smaller, where all differ."""


def _finish(
    database: duckdb.DuckDBPyConnection,
    rules: str,
    lines: pa.Table,
    subscribers: int,
    folder: Path,
) -> Report:
    database.execute(_sql(rules, "positions"))
    for name in (*TABLES, "line_sums", "node_sums", "counts"):
        database.execute(f"copy {name} to '{folder / name}.parquet' (compression zstd)")
    database.execute(f"copy ({_SUSPENSE}) to '{folder / 'suspense'}.parquet' (compression zstd)")
    pq.write_table(lines, folder / "lines.parquet")
    shutil.rmtree(folder / "spill", ignore_errors=True)
    return _report(database, rules, lines, subscribers)


_SUSPENSE: Final = "select * from waiting order by usage_id"


def _report(
    database: duckdb.DuckDBPyConnection, rules: str, lines: pa.Table, subscribers: int
) -> Report:
    rated, free, disputed = _one(
        database, "select sum(rated), sum(settlement_free), sum(disputed) from counts"
    )
    pairs, positions, charge_minor, host_minor = _one(database, _TOTALS)
    (nodes,) = _one(database, "select count(*) from nodes")
    reasons = database.execute("select status, count(*) from waiting group by 1 order by 1")
    return Report(
        rules=rules,
        records=rated,
        settlement_free=free,
        disputed=disputed,
        suspense={SuspenseReason(code).name.lower(): count for code, count in reasons.fetchall()},
        charge_minor=charge_minor,
        host_minor=host_minor,
        pairs=pairs,
        positions=positions,
        nodes=nodes,
        positions_sha256=digest(database, "positions"),
        nodes_sha256=digest(database, "nodes"),
        lines_sha256=_table_hash(lines),
        subscribers=subscribers,
    )


_TOTALS: Final = """
select
    count(distinct (home, visited)),
    count(*),
    sum(seller_minor + host_minor + protocol_minor + tax_minor),
    sum(host_minor)
from positions
"""


def _one(database: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = database.execute(query).fetchone()
    assert row is not None
    return tuple(int(value or 0) for value in row)


def _table_hash(table: pa.Table) -> str:
    """Name a table by its values, column by column."""
    hasher = sha256()
    for name in table.column_names:
        values = table.column(name).to_pylist()
        hasher.update(json.dumps([name, values], default=bytes.hex).encode())
    return hasher.hexdigest()


def _sums(part: Path, name: str) -> str:
    return str(part / f"{'suspense' if name == 'waiting' else name}.parquet")


def _publish(report: Report, unready: Path, out: Path) -> Report:
    text = json.dumps(report.as_mapping(), indent=2) + "\n"
    unready.joinpath(REPORT).write_text(text)
    shutil.rmtree(out, ignore_errors=True)
    unready.rename(out)
    return report


def _sql(rules: str, name: str) -> str:
    """Return a statement file of a rule version."""
    if rules not in VERSIONS:
        raise PeerError("unknown_rule_version", rules)
    return resources.files(__package__).joinpath(VERSIONS[rules], f"{name}.sql").read_text()
