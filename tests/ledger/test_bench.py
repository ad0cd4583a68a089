"""The benchmark books what it measures."""

from opencarrier.ledger import bench


def test_the_benchmark_runs_small() -> None:
    figures = bench.run(transfers=80)
    assert figures.pop("transfers") == 80
    assert all(figure > 0 for figure in figures.values())
