"""The bench of a month: its seed decides it, and engines that share no code agree on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from opencarrier.bench import clearing, month
from opencarrier.bench.month import Month, home_of, mix, rows
from opencarrier.bench.sampled import compare
from opencarrier.usage.dataset import read_records
from opencarrier.usage.matched import MatchOrder, match_dataset, match_files, read_matches
from opencarrier.usage.matching import match
from opencarrier.usage.record import check


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Month:
    monkeypatch.setattr(month, "OPERATORS", 20)
    return Month(1_000, seed=5)


def test_every_engine_comes_to_the_same_month(small: Month, tmp_path: Path) -> None:
    clearing.make(tmp_path, small)
    told = clearing.rate(tmp_path, small)
    assert told["records"] == clearing.decode(tmp_path, small)["records"] == 1_000
    assert clearing.decode_sql(tmp_path, small) == {"records": 1_000}
    assert told["suspense"].keys() == {"no_agreement"}
    assert clearing.sample(tmp_path, small) == {"sampled": 1_000, "agreed": 1_000}
    cleared = clearing.clear(tmp_path, small)
    counted = clearing.tree(tmp_path, small)
    assert counted["records"] == cleared["records"] == 1_000 - sum(told["suspense"].values())
    for peer in (clearing.numpy_kernel, clearing.polars):
        both = peer(tmp_path, small)
        assert both == {name: told[name] for name in ("positions_sha256", "nodes_sha256")}


def test_a_record_rated_otherwise_than_by_the_rules_is_counted(
    small: Month, tmp_path: Path
) -> None:
    clearing.make(tmp_path, small)
    clearing.rate(tmp_path, small)
    (audit,) = (tmp_path / "rated" / "rated").glob("*.parquet")
    rows = pq.read_table(audit).to_pylist()
    rows[0]["tax_minor"] = (rows[0]["tax_minor"] or 0) + 1
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(audit)), audit)
    assert compare(tmp_path, small) == {"sampled": 1_000, "agreed": 999}
    assert compare(tmp_path, small, sample=10)["sampled"] == 10


def test_every_batching_matches_the_month_as_the_rules_do(small: Month, tmp_path: Path) -> None:
    clearing.make(tmp_path, small)
    told = clearing.match(tmp_path, small)
    expected = match(read_records(tmp_path / "usage"))
    assert list(read_matches(tmp_path / "matched")) == expected
    assert Counter(item.outcome.name.lower() for item in expected) == {
        name: told[name] for name in ("matched", "within_tolerance", "mismatch", "one_sided")
    }
    apart = MatchOrder(usage=tmp_path / "usage", out=tmp_path / "apart", batch_octets=1, threads=1)
    assert match_dataset(apart).as_mapping() == told
    assert len(match_files(apart.out)) == month.OPERATORS
    assert list(read_matches(apart.out)) == expected


def test_the_month_is_made_of_good_records_and_its_seed_decides_it(
    small: Month, tmp_path: Path
) -> None:
    ids = []
    for name in ("one", "two"):
        month.write_usage(small, tmp_path / name)
        found = list(read_records(tmp_path / name))
        assert [check(item) for item in found[::50]] == [None] * len(found[::50])
        ids.append(found)
    assert ids[0] == ids[1]
    month.write_usage(Month(1_000, seed=6), tmp_path / "three")
    assert list(read_records(tmp_path / "three")) != ids[0]


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
