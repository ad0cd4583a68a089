"""A month cleared by rung: what both sides report alike is co-signed, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.clearing.rated_months import order, rated_records, records, rows
from tests.rating.months import run

from opencarrier.clearing.month import Cleared, Order, clear
from opencarrier.clearing.placed_positions import path_of
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.spine.records import Side
from opencarrier.spine.usage import Rung
from opencarrier.usage.matched import MatchOrder, match_dataset

COUNT = 60


def at_home(number: int, record: Any) -> Any:
    """What the home's own meter says: of a third the same, of a third less, of the rest nothing."""
    octets = record.octets_in * (100 if number % 3 == 0 else 99) // 100
    return replace(
        record,
        usage_id=derive("home", number),
        side=Side.HOME,
        reporter=record.home,
        octets_in=octets,
    )


@pytest.fixture(scope="module")
def cleared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Order, Cleared, Cleared]:
    """The order, the month by rung, and the same month without outcomes."""
    folder: Path = tmp_path_factory.mktemp("rungs")
    claims = records(COUNT)
    homes = [at_home(n, item) for n, item in enumerate(claims) if n % 3 < 2]
    run(folder, [*claims, *homes], rows())
    match_dataset(MatchOrder(usage=folder / "usage", out=folder / "matched"))
    made = order(folder / "out", matched=folder / "matched", usage=folder / "usage")
    plain = replace(made, matched=None, usage=None, out=folder / "plain")
    return made, clear(made), clear(plain)


def test_each_record_stands_on_its_sessions_rung(cleared: tuple[Order, Cleared, Cleared]) -> None:
    made, by_rung, _ = cleared
    alike = {item.usage_id for number, item in enumerate(records(COUNT)) if number % 3 == 0}
    rungs = Counter()
    for _, record in rated_records(made.rated):
        path = path_of(made.out, record.usage_id)
        assert not isinstance(path, Refusal)
        assert path.rung == (Rung.CO_SIGNED if record.usage_id in alike else Rung.ONE_SIDED)
        rungs[path.rung] += 1
    assert min(rungs.values()) > 10
    co_signed = [p for p in by_rung.positions if p.position.rung is Rung.CO_SIGNED]
    assert by_rung.as_mapping()["co_signed"] == len(co_signed) > 0


def test_nothing_is_lost_or_added_by_rungs(cleared: tuple[Order, Cleared, Cleared]) -> None:
    """Each pair owes the same, every record is there once, nodes earn the same."""
    made, by_rung, plain = cleared
    told = [item.as_mapping() for item in (by_rung, plain)]
    assert told[0]["records"] == told[1]["records"]
    owed = [Counter(), Counter()]
    for sums, month in zip(owed, (by_rung, plain), strict=True):
        for item in month.positions:
            account = item.account
            sums[account.debtor, account.creditor, account.currency] += account.gross_minor
    assert owed[0] == owed[1]
    assert not (made.out / "rungs").exists()
    earned = [
        {(r["visited"], r["node"]): int(r["earned_minor"]) for r in rows_}
        for rows_ in (
            pq.read_table(folder / "earnings.parquet").to_pylist()
            for folder in (made.out, made.out.with_name("plain"))
        )
    ]
    assert earned[0].keys() == earned[1].keys()
    assert all(abs(earned[0][key] - earned[1][key]) <= 2 for key in earned[0])


def test_files_of_an_operator_each_come_to_the_same(
    cleared: tuple[Order, Cleared, Cleared], tmp_path: Path
) -> None:
    """Rated and matched one visited operator at a time, the month has the same root."""
    claims = records(COUNT)
    homes = [at_home(n, item) for n, item in enumerate(claims) if n % 3 < 2]
    run(tmp_path, [*claims, *homes], rows(), batch_octets=1)
    usage, matched = tmp_path / "usage", tmp_path / "matched"
    match_dataset(MatchOrder(usage=usage, out=matched, batch_octets=1))
    assert len(list((tmp_path / "out" / "rated").glob("*.parquet"))) > 1
    made = clear(replace(cleared[0], rated=tmp_path / "out", matched=matched, usage=usage,
                         out=tmp_path / "cleared"))  # fmt: skip
    assert made.records_root == cleared[1].records_root
    assert made.as_mapping() == cleared[1].as_mapping()


def test_outcomes_that_are_not_there_are_refused(
    cleared: tuple[Order, Cleared, Cleared], tmp_path: Path
) -> None:
    made, _, _ = cleared
    (tmp_path / "none").mkdir()
    with pytest.raises(PeerError, match="no outcomes"):
        clear(replace(made, matched=tmp_path / "none", out=tmp_path / "c"))
    with pytest.raises(PeerError, match="no usage records"):
        clear(replace(made, usage=tmp_path / "none", out=tmp_path / "c"))
