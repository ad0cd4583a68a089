"""The bench of netting on small graphs: its figures are those of what it netted."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import duckdb
import pytest

from opencarrier.clearing import bench, rated_rows, tree_bench


@pytest.mark.parametrize("operators", [2, 30])
def test_each_mode_leaves_no_more_than_the_one_before(operators: int) -> None:
    for name, told in bench.run(operators).items():
        left = [
            told[mode]["residual_ppm"] for mode in ("bilateral", "circular", "circular_pledged")
        ]
        assert left == sorted(left, reverse=True), name
        assert told["bilateral"]["money_ppm"] == told["circular"]["money_ppm"] == 0


def test_the_graphs_are_the_same_in_every_run_and_as_large_as_they_say() -> None:
    assert len(bench.dense(400)) == 400 * 399
    assert len(bench.month(400)) == 400 * 16 - sum(
        400 for step in range(1, 17) for other in range(1, step) if not (step**2 - other**2) % 400
    )
    assert 5_500 < len(bench.sparse(400)) < 7_500
    assert bench.sparse(40) == bench.sparse(40)


@pytest.mark.parametrize("records", [1, 1_000])
def test_the_bench_of_records_counts_every_hash(records: int) -> None:
    told = tree_bench.run(records)
    assert told["records"] == records
    assert told["hashes"] == 5 * records - told["trees"]
    assert told["tree_ppm_of_floor"] > 1_000_000


@pytest.mark.parametrize(
    ("lines", "groups"),
    [([(0, 1), (1, 2), (3,)], 2), ([(0,), (1,), (2,)], 3), ([(0, 1), (2, 3), (0, 2)], 1)],
)
def test_files_with_an_account_in_common_are_sorted_together(
    tmp_path: Path, lines: list[tuple[int, ...]], groups: int
) -> None:
    """Each account's records stand together, ascending, in whichever files they are."""
    (tmp_path / "rated").mkdir()
    with duckdb.connect() as database:
        for number, present in enumerate(lines):
            file = tmp_path / "rated" / f"{number:04d}.parquet"
            database.execute(_RATED.format(first=number * 100, lines=list(present), file=file))
    batches = list(rated_rows.stream(tmp_path, {line: line for line in range(4)}, tmp_path / "x"))
    rows = [row for batch in batches for row in batch.to_pylist()]
    accounts = [row["account"] for row in rows]
    together = [account for account, _ in groupby(accounts)]
    assert len(together) == len(set(together)) == len({line for file in lines for line in file})
    for account in together:
        ids = [row["usage_id"] for row in rows if row["account"] == account]
        assert ids == sorted(ids)
    assert len(rows) == 100 * len(lines)
    assert len(batches) == groups


_RATED = """
copy (
    select unhex(sha256((n + {first})::varchar)) as usage_id,
        {lines}[1 + n % len({lines})]::integer as line, 0::bigint as amount,
        0::integer as discount_ppm, 0::tinyint as status, 0::bigint as seller_minor,
        0::bigint as host_minor, 0::bigint as protocol_minor, 0::bigint as tax_minor
    from range(100) numbers(n)
) to '{file}' (format parquet)
"""
