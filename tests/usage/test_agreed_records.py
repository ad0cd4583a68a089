"""What matching pays less for becomes corrections: rated at the lower amounts, exactly, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rating.months import rate as rate_order
from tests.rating.months import record, row, run, table

from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.engine.run import Order
from opencarrier.spine.records import RecordKind, Side
from opencarrier.usage.agreed_records import correct, lowered
from opencarrier.usage.dataset import read_records
from opencarrier.usage.matched import MatchOrder, match_dataset, read_matches
from opencarrier.usage.matching import Amounts, Outcome, match

CLAIMED, AT_HOME = (102_400, 1_048_576, 5_120), (101_376, 524_288, 9_216)
"""Within tolerance, a mismatch, and one of which the home has more."""


def claims():
    return [record(number, octets_in=octets) for number, octets in enumerate(CLAIMED)]


def homes():
    said = [
        replace(record(number, octets_in=octets), side=Side.HOME, reporter="op_h")
        for number, octets in enumerate(AT_HOME)
    ]
    return [replace(item, usage_id=derive("home", n)) for n, item in enumerate(said)]


def matched(folder: Path, name: str) -> Path:
    match_dataset(MatchOrder(usage=folder / "usage", out=folder / name))
    return folder / name


def owed(folder: Path) -> int:
    (position,) = table(folder, "positions")
    legs = ("seller_minor", "host_minor", "protocol_minor", "tax_minor")
    return sum(int(position[leg]) for leg in legs)


def test_a_month_is_rated_at_what_is_paid(tmp_path):
    """As if the claim had been the lower amounts; matched again, all of it is paid."""
    run(tmp_path, [*claims(), *homes()], [row()])
    assert correct(tmp_path / "usage", matched(tmp_path, "first")) == 2
    rate_order(
        Order(usage=tmp_path / "usage", out=tmp_path / "less", subscribers=None, rows=[row()])
    )
    lower = [
        replace(item, octets_in=min(pair))
        for item, pair in zip(claims(), zip(CLAIMED, AT_HOME, strict=True), strict=True)
    ]
    (tmp_path / "alone").mkdir()
    run(tmp_path / "alone", lower, [row()])
    assert owed(tmp_path / "less") == owed(tmp_path / "alone" / "out") < owed(tmp_path / "out")
    again = matched(tmp_path, "second")
    outcomes = sorted(item.outcome for item in read_matches(again))
    assert outcomes == [Outcome.MATCHED, Outcome.MATCHED, Outcome.MISMATCH]
    assert all(item.paid == item.claimed for item in read_matches(again))
    assert correct(tmp_path / "usage", again) == 0
    assert correct(tmp_path / "usage", tmp_path / "first") == 0
    kinds = [item.kind for item in read_records(tmp_path / "usage")]
    assert kinds.count(RecordKind.CORRECTION) == 2


def test_without_outcomes_nothing_is_corrected(tmp_path):
    run(tmp_path, claims(), [row()])
    with pytest.raises(PeerError, match="no outcomes"):
        correct(tmp_path / "usage", tmp_path)


@settings(max_examples=30)
@given(
    parts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=5),
    home=st.tuples(st.integers(0, 120), st.integers(0, 120)),
)
def test_a_session_of_parts_is_claimed_at_what_is_paid(parts, home):
    """Corrected once, and once more with a meter that has still less."""
    session = derive("session")
    claim = [
        replace(
            record(number, octets_in=a, octets_out=b), session_id=session, start_us=1_000 + number
        )
        for number, (a, b) in enumerate(parts)
    ]
    meter = replace(
        record(99, octets_in=home[0], octets_out=home[1]),
        session_id=session,
        side=Side.HOME,
        reporter="op_h",
    )
    for less in (meter, replace(meter, octets_in=home[0] // 2, octets_out=home[1] // 3)):
        (before,) = match([*claim, less])
        claim += lowered(claim, before.paid)
        (after,) = match([*claim, less])
        assert after.claimed == before.paid == after.paid
        assert isinstance(after.paid, Amounts)
