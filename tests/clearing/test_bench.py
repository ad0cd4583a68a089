"""The bench of netting on small graphs: its figures are those of what it netted."""

from __future__ import annotations

import pytest

from opencarrier.clearing import bench, tree_bench


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
