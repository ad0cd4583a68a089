"""The bench of a month: its seed decides it, and engines that share no code agree on it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from opencarrier.bench import clearing, month
from opencarrier.bench.month import Month, home_of, mix, rows
from opencarrier.bench.sampled import compare
from opencarrier.rating.engine.run import Order, merge, rate, visited_of
from opencarrier.usage.dataset import read_records
from opencarrier.usage.matched import MatchOrder, match_dataset, match_files, read_matches
from opencarrier.usage.matching import Outcome, match
from opencarrier.usage.record import check

SMALL = Month(1_000, seed=5)
OPERATORS = 20


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of twenty operators instead of four hundred."""
    monkeypatch.setattr(month, "OPERATORS", OPERATORS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A small month's folder, and what rating it came to."""
    folder = tmp_path_factory.mktemp("month")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(month, "OPERATORS", OPERATORS)
        clearing.make(folder, SMALL)
        return folder, clearing.rate(folder, SMALL)


Made = tuple[Path, dict[str, Any]]


def test_every_engine_comes_to_the_same_month(few: None, made: Made) -> None:
    folder, told = made
    assert told["records"] == clearing.decode(folder, SMALL)["records"] == 1_000
    assert clearing.decode_sql(folder, SMALL) == {"records": 1_000}
    assert told["suspense"].keys() == {"no_agreement"}
    assert clearing.sample(folder, SMALL) == {"sampled": 1_000, "agreed": 1_000}
    clearing.match(folder, SMALL)
    cleared = clearing.clear(folder, SMALL)
    counted = clearing.tree(folder, SMALL)
    assert counted["records"] == cleared["records"] == 1_000 - sum(told["suspense"].values())
    for peer in (clearing.numpy_kernel, clearing.polars):
        both = peer(folder, SMALL)
        assert both == {name: told[name] for name in ("positions_sha256", "nodes_sha256")}


def test_every_partitioning_of_the_month_comes_to_the_same_digests(
    few: None, made: Made, tmp_path: Path
) -> None:
    """Batches of one operator or all, one thread or two, shares of operators merged either way."""
    folder, whole = made
    order = Order(
        usage=folder / "usage",
        rows=list(rows(SMALL)),
        subscribers=folder / "subscribers.parquet",
        out=tmp_path / "one",
        batch_octets=1,
        threads=1,
    )
    assert rate(order).as_mapping() == whole
    visited = visited_of(order.usage)
    parts = [tmp_path / f"share{share}" for share in range(3)]
    for share, out in enumerate(parts):
        only = frozenset(visited[share::3])
        rate(
            replace(order, only_visited=only, batch_octets=1 << 20, threads=1 + share % 2, out=out)
        )
    assert merge(parts, tmp_path / "merged").as_mapping() == whole
    assert merge(parts[::-1], tmp_path / "merged").as_mapping() == whole


def test_a_record_rated_otherwise_than_by_the_rules_is_counted(
    few: None, made: Made, tmp_path: Path
) -> None:
    folder, _ = made
    for name in ("usage", "subscribers.parquet"):
        (tmp_path / name).symlink_to(folder / name)
    shutil.copytree(folder / "rated", tmp_path / "rated")
    (audit,) = (tmp_path / "rated" / "rated").glob("*.parquet")
    told = pq.read_table(audit).to_pylist()
    told[0]["tax_minor"] = (told[0]["tax_minor"] or 0) + 1
    pq.write_table(pa.Table.from_pylist(told, pq.read_schema(audit)), audit)
    assert compare(tmp_path, SMALL) == {"sampled": 1_000, "agreed": 999}
    assert compare(tmp_path, SMALL, sample=10)["sampled"] == 10


def test_every_batching_matches_the_month_as_the_rules_do(made: Made, tmp_path: Path) -> None:
    folder, _ = made
    expected = match(read_records(folder / "usage"))
    counts = Counter(item.outcome for item in expected)
    assert all(counts[outcome] for outcome in Outcome)
    for name, batch_octets in (("one", 1 << 30), ("apart", 1)):
        order = MatchOrder(
            usage=folder / "usage", out=tmp_path / name, batch_octets=batch_octets, threads=1
        )
        assert match_dataset(order).outcomes == counts
        assert list(read_matches(order.out)) == expected
    assert len(match_files(tmp_path / "apart")) == OPERATORS


def test_the_month_is_made_of_good_records_and_its_seed_decides_it(
    few: None, made: Made, tmp_path: Path
) -> None:
    found = list(read_records(made[0] / "usage"))
    assert [check(item) for item in found[::50]] == [None] * len(found[::50])
    month.write_usage(SMALL, tmp_path / "again")
    assert list(read_records(tmp_path / "again")) == found
    month.write_usage(Month(100, seed=6), tmp_path / "other")
    month.write_usage(Month(100, seed=5), tmp_path / "third")
    assert list(read_records(tmp_path / "other")) != list(read_records(tmp_path / "third"))


def test_the_lines_are_as_many_as_the_month_says() -> None:
    made = list(rows(Month(1)))
    assert len(made) == 40_800
    assert len({(row.home, row.visited, row.service, row.valid_from_us) for row in made}) == 40_800
    assert len({home_of(7, partner) for partner in range(month.PARTNERS)}) == month.PARTNERS
    assert home_of(7, 0) == 7


def test_the_dice_are_the_same_in_sql() -> None:
    numbers = [0, 1, 7, (1 << 32) - 1, (1 << 40) + 3, *range(1 << 20, 1 << 21, 99_991)]
    with duckdb.connect() as database:
        database.execute(month.MIX)
        found = database.execute(
            "select mix(x) from (select unnest(?::bigint[]) as x)", [numbers]
        ).fetchall()
    assert [value for (value,) in found] == [mix(number) for number in numbers]


def test_a_part_of_a_month_has_fewer_days_equally_full() -> None:
    assert [Month(n).days for n in (1, 1_500_000, 23_000_000, 46_000_000)] == [1, 2, 31, 31]


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_the_bench_runs_and_its_engines_agree() -> None:
    told = clearing.run(records=20_000)
    assert told["pairs"] <= 6_800
    assert told["charge_micro"] > 0
    assert told["rating_cpu_s"] > 0 < told["decode_floor_cpu_s"]
    assert told["sampled"] == told["agreed"] == 20_000
    assert told["matching_cpu_s"] < told["cycle_cpu_s"]
    assert {name: peer["agrees"] for name, peer in told["peers"].items()} == {
        "numpy_kernel": True,
        "polars": True,
    }
