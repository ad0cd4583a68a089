"""Deals over a rated month: what SQL sums is what the rules sum, and every closing ends alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.clock import Window
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.agreements.book import Book, Entry
from opencarrier.rating.agreements.documents import (
    read_roaming_agreement,
    write_roaming_agreement,
)
from opencarrier.rating.agreements.plans import Balanced, Linear, Tier, Tiered
from opencarrier.rating.agreements.rows import rows_of
from opencarrier.rating.engine.deals import (
    DealOrder,
    adjustments_of,
    read_adjustments,
    write_adjustments,
)
from opencarrier.rating.periods import RatedRecord, charged, owed, sums_of, windows_in
from opencarrier.rating.rules.v1 import WholesaleLegs
from opencarrier.spine.money import Adjustment
from opencarrier.spine.records import RecordKind, Service
from opencarrier.usage.record import UsageRecord

from .months import rated, record, run
from .roaming import BACK, TERM, commitment, deal, line, pricing, rate, roaming
from .worlds import DAY_US, HOME, START_US, VISITED

TIERS = (
    Tier(start=0, fixed_minor=0, price_nano=5_000),
    Tier(start=5_000_000, fixed_minor=9, price_nano=3_000),
)
HALF_US = START_US + 15 * DAY_US
AGREEMENT = roaming(
    line(currency="EUR", tax_ppm=200_000),
    line("calls", services=(Service.VOICE,), unit="duration_s", first_step=60, next_step=1),
    BACK,
    rates=(rate(Window(START_US, HALF_US)), rate(Window(HALF_US, TERM.end_us), rate=9)),
    deals=(
        deal(
            pricing(plan=Tiered(step=1_024, tiers=TIERS), tax_ppm=200_000),
            currency="EUR",
            commitment=commitment(amount_minor=40_000, tax_ppm=200_000),
        ),
        deal(
            pricing(lines=("calls",), measure="subscribers", plan=Linear(step=1, price_nano=7_000)),
            deal="access",
            per="period",
        ),
        deal(
            pricing(
                lines=("data-back",),
                reverse_lines=("data-there",),
                plan=Balanced(step=1_024, balanced_price_nano=1_000, unbalanced_price_nano=4_000),
            ),
            deal="back",
            home=VISITED,
            visited=HOME,
        ),
    ),
)
BOOK = Book((Entry(agreement=AGREEMENT, signatures=(), source="", first_line=1),))
LINES = {"data-there": Service.DATA, "calls": Service.VOICE, "data-back": Service.DATA}


def used(number: int, name: str, day: int, **more: Any) -> UsageRecord:
    """Make a record of a line, some days after the term began."""
    home, visited = (VISITED, HOME) if name == "data-back" else (HOME, VISITED)
    at_us = START_US + day * DAY_US
    return record(
        number,
        home=home,
        visited=visited,
        reporter=visited,
        service=LINES[name],
        start_us=at_us,
        end_us=at_us,
        **{"octets_in": 100_000 * number, "duration_s": 7 * number, **more},
    )


def adjusted(
    folder: Path, records: Sequence[UsageRecord], booked: Sequence[Adjustment], day: int
) -> list[Adjustment]:
    run(folder, records, rows_of(AGREEMENT))
    order = DealOrder(
        usage=folder / "usage",
        rated=folder / "out",
        book=BOOK,
        booked=booked,
        until_us=START_US + day * DAY_US,
    )
    return adjustments_of(order)


def by_rules(folder: Path, records: Sequence[UsageRecord]) -> dict[tuple[str, int], int]:
    """Return what each deal and window must move in all, by the pure rules over the audit rows."""
    rows = rated(folder / "out")
    legs = WholesaleLegs.__slots__
    names = {(Service.DATA, HOME): "data-there", (Service.VOICE, HOME): "calls"}
    known = [
        RatedRecord(
            line=names.get((item.service, item.home), "data-back"),
            subject=item.subject,
            at_us=item.start_us if item.tariff_at_us is None else item.tariff_at_us,
            amount=rows[item.usage_id]["amount"],
            legs=WholesaleLegs(**{name: rows[item.usage_id][name] for name in legs}),
        )
        for item in records
        if item.usage_id in rows
    ]
    found = {}
    for item in AGREEMENT.deals:
        for window in windows_in(AGREEMENT.periods_us, item):
            sums = sums_of(item, window, known)
            moved = owed(item, AGREEMENT.protocol_ppm, sums, is_final=True).legs
            moved -= charged(item, sums)
            found[item.deal, window.start_us] = moved.amount_minor
    return {key: amount for key, amount in found.items() if amount}


def total(items: Sequence[Adjustment]) -> dict[tuple[str, int], int]:
    names = {item.hash: item.deal for item in AGREEMENT.deals}
    sums: dict[tuple[str, int], int] = {}
    for item in items:
        key = names[item.deal_hash], item.start_us
        sums[key] = sums.get(key, 0) + item.amount_minor
    return {key: amount for key, amount in sums.items() if amount}


MONTH = [
    used(1, "data-there", 0),
    used(2, "calls", 3),
    used(3, "calls", 12),
    used(7, "calls", 13),
    used(8, "calls", 14),  # subject 3 again, in the same period
    used(4, "data-back", 8),
    used(60, "data-there", 20),
    used(90, "data-there", 29, tariff_at_us=START_US + DAY_US),
    used(9, "calls", 11, tariff_at_us=START_US + 2 * DAY_US),  # begun in the first period
    used(5, "calls", 35),  # after the term: no line, it waits
]


def test_sql_sums_what_the_rules_sum(tmp_path: Path) -> None:
    made = adjusted(tmp_path, MONTH, [], 40)
    assert total(made) == by_rules(tmp_path, MONTH)
    assert [(item.number, item.is_final) for item in made] == [(0, True)] * len(made)
    access = [item.amount_minor for item in made if item.deal_hash == AGREEMENT.deals[1].hash]
    assert access == [14, 14], "two subscribers each; in the third period nobody"


def test_late_use_and_corrections_end_where_one_closing_does(tmp_path: Path) -> None:
    """A run of part of the month, then of more, then with a record corrected and one voided."""
    first = adjusted(tmp_path / "1", MONTH[:4], [], 11)
    second = adjusted(tmp_path / "2", MONTH[:7], first, 30)
    right = used(61, "data-there", 20, kind=RecordKind.CORRECTION, corrects=MONTH[6].usage_id)
    void = used(62, "calls", 3, kind=RecordKind.VOID, corrects=MONTH[1].usage_id)
    whole = [*MONTH, replace(right, octets_in=20_000_000), void]
    third = adjusted(tmp_path / "3", whole, [*first, *second], 40)
    assert total([*first, *second, *third]) == by_rules(tmp_path / "3", whole)
    assert not any(item.is_final for item in first if item.end_us > START_US + 11 * DAY_US)
    again = adjusted(tmp_path / "3b", whole, [*first, *second, *third], 40)
    assert again == [], "nothing is left to move"


def test_a_window_that_has_not_begun_is_left(tmp_path: Path) -> None:
    made = adjusted(tmp_path, MONTH, [], 10)
    assert max(item.start_us for item in made) == START_US
    assert {item.is_final for item in made if item.end_us == START_US + 10 * DAY_US} == {True}
    begun = adjusted(tmp_path / "b", MONTH, [], 11)
    assert max(item.start_us for item in begun) == START_US + 10 * DAY_US


def test_no_record_at_all_still_owes_what_was_promised(tmp_path: Path) -> None:
    (tmp_path / "usage").mkdir()
    (made,) = adjusted(tmp_path, [], [], 40)
    assert made.amount_minor == 48_000, "the commitment, with tax"


def test_what_is_written_reads_back_from_its_inputs(tmp_path: Path) -> None:
    made = adjusted(tmp_path, MONTH, [], 40)
    text = write_adjustments(made)
    assert read_adjustments(text) == made
    told = json.loads(text.split("\n")[0])
    for name, value in [("amount_minor", 1), ("inputs", "0x00"), ("verdict", "open"), ("x", 1)]:
        with pytest.raises(PeerError):
            read_adjustments(json.dumps({**told, name: value}))
    for spoilt in ("{", "[]", "{}", '{"inputs": 1}', '{"inputs": "0xzz"}'):
        with pytest.raises(PeerError):
            read_adjustments(spoilt)


def test_an_adjustment_missing_or_twice_is_refused(tmp_path: Path) -> None:
    made = adjusted(tmp_path, MONTH, [], 40)
    with pytest.raises(PeerError, match="missing or twice"):
        adjusted(tmp_path / "a", MONTH, [*made, made[0]], 40)
    later = adjusted(tmp_path / "b", MONTH[:1], made, 40)
    assert later
    assert {item.number for item in later} == {1}
    with pytest.raises(PeerError, match="missing or twice"):
        adjusted(tmp_path / "c", MONTH, later, 40)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    order = DealOrder(usage=tmp_path, rated=tmp_path, book=BOOK, booked=[], until_us=TERM.end_us)
    with pytest.raises(PeerError, match="holds no run"):
        adjustments_of(order)
    none = replace(order, book=Book((replace(BOOK.entries[0], agreement=roaming()),)))
    assert adjustments_of(none) == []


@settings(max_examples=5)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(LINES)), st.integers(0, 29)), min_size=1, max_size=12
    ),
    st.integers(1, 11),
)
def test_any_month_in_two_closings(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[str, int]], part: int
) -> None:
    folder = tmp_path_factory.mktemp("month")
    records = [used(number + 1, *item) for number, item in enumerate(found)]
    first = adjusted(folder / "1", records[:part], [], 30)
    second = adjusted(folder / "2", records, first, 31)
    assert total([*first, *second]) == by_rules(folder / "2", records)


def test_the_agreement_of_these_tests_is_a_sound_one() -> None:
    assert read_roaming_agreement(write_roaming_agreement(AGREEMENT)) == (AGREEMENT, ())
