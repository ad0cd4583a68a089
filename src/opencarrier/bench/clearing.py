"""A month of a network cleared, beside what it costs to decode the same columns of the same files.

Every stage is a process of its own: its CPU is that of all its threads from its first look at the
files to its last result, its memory the most it ever held. The month is made in a temporary folder.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opencarrier.bench import month as months
from opencarrier.bench.month import Month

THREADS: Final = 2
BATCH_ROWS: Final = 1 << 16

COLUMNS: Final = (
    *("usage_id", "kind", "corrects", "sequence", "side", "home", "visited", "subject", "node"),
    *("service", "rcoi", "qos", "start_us", "tariff_at_us", "octets_in", "octets_out"),
    *("duration_s", "units", "from_octets_in", "from_octets_out", "from_duration_s", "from_units"),
    *("quoted_currency", "quoted_nano_per_kib"),
)
"""What rating reads of a record: the floor decodes them of the visited operators' files alone,
though rating opens those of the homes too, to find that it needs nothing of them.
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage came to: its result, processor seconds, wall seconds, memory at its peak."""

    told: dict[str, Any]
    cpu_s: float
    wall_s: float
    peak_rss_mib: int


def run(records: int = 100_000, seed: int = 1) -> dict[str, Any]:
    """Make a month, decode, match, rate and clear it, and rate it by engines that share no code.

    `decode_floor_cpu_s` is pyarrow's, `decode_sql_cpu_s` DuckDB's own for the same columns.
    """
    with tempfile.TemporaryDirectory(prefix="opencarrier-month-") as name:
        folder = Path(name)
        made = _stage("make", folder, records, seed)
        floor = _stage("decode", folder, records, seed)
        sql = _stage("decode_sql", folder, records, seed)
        rated = _stage("rate", folder, records, seed)
        figures = _figures(records, seed, {"make": made, "floor": floor, "sql": sql}, rated)
        figures |= _stage("sample", folder, records, seed).told
        matched = _stage("match", folder, records, seed)
        cleared = _stage("clear", folder, records, seed)
        tree = _stage("tree", folder, records, seed)
        return (
            figures
            | _matching_figures(matched)
            | _clearing_figures(floor, (matched, rated, cleared), tree)
            | {"peers": {peer: _peer(peer, folder, records, seed, rated) for peer in PEERS}}
        )


def _figures(records: int, seed: int, before: dict[str, Stage], rated: Stage) -> dict[str, Any]:
    told, floor = rated.told, before["floor"]
    return {
        "records": records,
        "seed": seed,
        "days": Month(records, seed).days,
        "make_cpu_s": before["make"].cpu_s,
        "decode_floor_cpu_s": floor.cpu_s,
        "decode_sql_cpu_s": before["sql"].cpu_s,
        "rating_cpu_s": rated.cpu_s,
        "times_decode_floor": round(rated.cpu_s / floor.cpu_s, 2),
        "times_decode_sql": round(rated.cpu_s / before["sql"].cpu_s, 2),
        "wall_s": rated.wall_s,
        "peak_rss_mib": rated.peak_rss_mib,
        "charge_micro": told["charge_minor"],
        "pairs": told["pairs"],
        "nodes": told["nodes"],
        "suspense": sum(told["suspense"].values()),
        "positions_sha256": told["positions_sha256"],
        "nodes_sha256": told["nodes_sha256"],
    }


def _matching_figures(matched: Stage) -> dict[str, Any]:
    told = matched.told
    return {
        "matching_cpu_s": matched.cpu_s,
        "matching_peak_rss_mib": matched.peak_rss_mib,
        **{name: told[name] for name in ("matched", "within_tolerance", "mismatch", "one_sided")},
    }


def _clearing_figures(floor: Stage, cycle: Sequence[Stage], tree: Stage) -> dict[str, Any]:
    """What clearing came to; the cycle is matching, rating, netting and ledger without the tree."""
    cleared = cycle[-1]
    tree_cpu_s = tree.told["tree_cpu_ms"] / 1_000
    cycle_cpu_s = round(sum(stage.cpu_s for stage in cycle) - tree_cpu_s, 2)
    return {
        "records_root": cleared.told["records_root"],
        "cleared_records": cleared.told["records"],
        "holds": cleared.told["holds"],
        "netting": cleared.told["assets"],
        "clear_cpu_s": cleared.cpu_s,
        "cycle_cpu_s": cycle_cpu_s,
        "cycle_times_decode_floor": round(cycle_cpu_s / floor.cpu_s, 2),
        "cycle_wall_s": round(sum(stage.wall_s for stage in cycle), 2),
        "tree_cpu_s": tree_cpu_s,
        "tree_floor_cpu_s": tree.told["floor_cpu_ms"] / 1_000,
        "tree_times_hash_floor": round(tree.told["tree_ppm_of_floor"] / 1_000_000, 2),
        "clear_peak_rss_mib": cleared.peak_rss_mib,
    }


def _peer(name: str, folder: Path, records: int, seed: int, rated: Stage) -> dict[str, Any] | None:
    """Run an engine that is here for comparison; None where it is not installed."""
    stage = _stage(name, folder, records, seed)
    if not stage.told:
        return None
    both = ("positions_sha256", "nodes_sha256")
    return {
        "rating_cpu_s": stage.cpu_s,
        "wall_s": stage.wall_s,
        "peak_rss_mib": stage.peak_rss_mib,
        "agrees": all(stage.told[key] == rated.told[key] for key in both),
    }


def _stage(name: str, folder: Path, records: int, seed: int) -> Stage:
    words = [sys.executable, "-m", "opencarrier.bench.clearing", name, str(folder)]
    environment = {**os.environ, "POLARS_MAX_THREADS": str(THREADS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, str(records), str(seed)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Stage(**json.loads(done.stdout))


def make(folder: Path, month: Month) -> dict[str, Any]:
    """Write the month's files."""
    months.write_usage(month, folder / "usage")
    months.write_subscribers(month, folder / "subscribers.parquet")
    return {}


def decode(folder: Path, month: Month) -> dict[str, Any]:
    """Decode the columns rating reads with pyarrow, a batch at a time, and do nothing with them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(THREADS)
    count = 0
    for path in sorted((folder / "usage").glob(months.VISITED_FILES)):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(COLUMNS)):
                count += batch.num_rows
    assert count == month.records
    return {"records": count}


def decode_sql(folder: Path, month: Month) -> dict[str, Any]:
    """Decode the same with DuckDB: the greatest value of each column, the cheapest use of it."""
    import duckdb

    greatest = ", ".join(f"max({name})" for name in COLUMNS)
    with duckdb.connect() as database:
        database.execute(f"set threads = {THREADS}")
        names = str(folder / "usage" / months.VISITED_FILES)
        files = duckdb.read_parquet(names, connection=database)
        (row,) = files.aggregate(f"count(*), {greatest}").fetchall()
    assert row[0] == month.records
    return {"records": int(row[0])}


def rate(folder: Path, month: Month) -> dict[str, Any]:
    """Rate the month as `opencarrier rate` does, from its lines on."""
    from opencarrier.rating.engine.run import Order
    from opencarrier.rating.engine.run import rate as run_rating

    order = Order(
        usage=folder / "usage",
        rows=list(months.rows(month)),
        subscribers=folder / "subscribers.parquet",
        out=folder / "rated",
        threads=THREADS,
    )
    return run_rating(order).as_mapping()


def sample(folder: Path, month: Month) -> dict[str, Any]:
    """Rate a sample of the month by the readable rules and compare every leg."""
    from opencarrier.bench.sampled import compare

    return dict(compare(folder, month))


def match(folder: Path, month: Month) -> dict[str, Any]:
    """Match the month as `opencarrier match` does."""
    from opencarrier.usage.matched import MatchOrder, match_dataset

    return match_dataset(MatchOrder(usage=folder / "usage", out=folder / "matched")).as_mapping()


def clear(folder: Path, month: Month) -> dict[str, Any]:
    """Clear the rated month as `opencarrier clear` does, its holds in a ledger."""
    from opencarrier.clearing.month import Order
    from opencarrier.clearing.month import clear as run_clearing
    from opencarrier.clearing.netting import NettingMode

    order = Order(
        rated=folder / "rated",
        matched=folder / "matched",
        usage=folder / "usage",
        out=folder / "cleared",
        domain="bench",
        sequence=month.seed,
        mode=NettingMode.CIRCULAR,
        secret=bytes(32),
        post_at_us=0,
    )
    return run_clearing(order).as_mapping()


def tree(folder: Path, month: Month) -> dict[str, Any]:
    """Build the tree of records alone, then do its hashes bare."""
    from opencarrier.clearing.accounts import by_line, read_accounts
    from opencarrier.clearing.tree_bench import measure

    accounts, lines = read_accounts(folder / "rated")
    return dict(measure(folder / "rated", lines, by_line(accounts), folder / "tree"))


def numpy_kernel(folder: Path, month: Month) -> dict[str, Any]:
    """Rate with arrays alone."""
    try:
        from opencarrier.bench.peer_numpy import rate as run_peer
    except ImportError:
        return {}
    return run_peer(folder, month)


def polars(folder: Path, month: Month) -> dict[str, Any]:
    """Rate with Polars in 128-bit integers."""
    try:
        from opencarrier.bench.peer_polars import rate as run_peer
    except ImportError:
        return {}
    return run_peer(folder, month)


PEERS: Final = ("numpy_kernel", "polars")
STAGES: Final[dict[str, Callable[[Path, Month], dict[str, Any]]]] = {
    item.__name__: item
    for item in (make, decode, decode_sql, rate, sample, match, clear, tree, numpy_kernel, polars)
}


def main(words: list[str]) -> None:
    """Run one stage and print what it came to."""
    name, folder, records, seed = words
    began_s, cpu_s = time.perf_counter(), time.process_time()
    told = STAGES[name](Path(folder), Month(int(records), int(seed)))
    stage = {
        "told": told,
        "cpu_s": round(time.process_time() - cpu_s, 2),
        "wall_s": round(time.perf_counter() - began_s, 2),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }
    print(json.dumps(stage))


if __name__ == "__main__":
    main(sys.argv[1:])
