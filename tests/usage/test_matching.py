"""Two sides of a session: outcomes, consequences, confluence, and the SQL that says the same."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import Evidence, RecordKind, Side
from opencarrier.spine.usage import Rung
from opencarrier.usage.bias import ALLOWANCE_PPM, Differences, Lean, lean, watch
from opencarrier.usage.dataset import DatasetWriter
from opencarrier.usage.matched import MatchOrder, match_dataset, read_matches, read_watched
from opencarrier.usage.matching import (
    NOTHING,
    Amounts,
    Match,
    Outcome,
    Tolerance,
    judge,
    match,
)
from opencarrier.usage.record import UsageRecord

from .records import AT_US, record

SESSION = derive("session", 1)


def said(side: Side, amounts: Amounts, number: int = 0, **changes: Any) -> UsageRecord:
    """A side's report of one session, by whoever owns the meter."""
    reporter = "op_home" if side is Side.HOME else "op_visited"
    evidence = Evidence.ACKNOWLEDGED if side is Side.DEVICE else Evidence.NONE
    values = {"session_id": SESSION, "reporter": reporter, "evidence": evidence} | changes
    return record(number, side=side, **amounts._asdict(), **values)


def only(records: list[UsageRecord]) -> Match:
    """The outcome of one session."""
    (found,) = match(records)
    return found


CLAIM = Amounts(1_000, 99_000, 1_000, 0)


def test_equal_sides_match_and_all_is_paid() -> None:
    found = only([said(Side.VISITED, CLAIM), said(Side.HOME, CLAIM)])
    assert (found.outcome, found.rung) == (Outcome.MATCHED, Rung.CO_SIGNED)
    assert (found.paid, found.disputed) == (CLAIM, NOTHING)


@pytest.mark.parametrize(
    ("other", "outcome"),
    [
        (CLAIM._replace(octets_out=96_000), Outcome.WITHIN_TOLERANCE),
        (CLAIM._replace(octets_out=95_999), Outcome.MISMATCH),
        (CLAIM._replace(octets_in=0, octets_out=97_000), Outcome.WITHIN_TOLERANCE),
        (CLAIM._replace(octets_in=0, octets_out=96_999), Outcome.MISMATCH),
        (CLAIM._replace(octets_in=2_501, octets_out=97_500), Outcome.MISMATCH),
        (CLAIM._replace(octets_in=2_500, octets_out=97_500), Outcome.WITHIN_TOLERANCE),
        (CLAIM._replace(duration_s=940), Outcome.WITHIN_TOLERANCE),
        (CLAIM._replace(duration_s=939), Outcome.MISMATCH),
        (CLAIM._replace(duration_s=1_063), Outcome.WITHIN_TOLERANCE),
        (CLAIM._replace(duration_s=1_064), Outcome.MISMATCH),
        (CLAIM._replace(units=1), Outcome.MISMATCH),
    ],
)
def test_both_sides_of_every_tolerance(other: Amounts, outcome: Outcome) -> None:
    """3 % of the larger volume, 5 % of the longer time and 10 s, no unit; both ways round."""
    assert judge(CLAIM, other, Tolerance()) is outcome
    assert judge(other, CLAIM, Tolerance()) is outcome


def test_within_tolerance_the_lower_of_each_amount_is_paid_and_nothing_disputed() -> None:
    home = CLAIM._replace(octets_out=97_000, duration_s=1_010)
    found = only([said(Side.VISITED, CLAIM), said(Side.HOME, home)])
    assert found.outcome is Outcome.WITHIN_TOLERANCE
    assert found.paid == CLAIM._replace(octets_out=97_000)
    assert found.disputed == NOTHING


def test_a_mismatch_pays_the_undisputed_part_and_names_the_difference() -> None:
    home = CLAIM._replace(octets_out=9_000, duration_s=2_000)
    found = only([said(Side.VISITED, CLAIM), said(Side.HOME, home)])
    assert (found.outcome, found.rung) == (Outcome.MISMATCH, Rung.CO_SIGNED)
    assert found.paid == CLAIM._replace(octets_out=9_000)
    assert found.disputed == Amounts(0, 90_000, 0, 0)


def test_one_side_alone_is_paid_on_the_lower_rung_and_only_what_is_claimed() -> None:
    claimed = only([said(Side.VISITED, CLAIM)])
    assert (claimed.outcome, claimed.rung) == (Outcome.ONE_SIDED, Rung.ONE_SIDED)
    assert claimed.paid == CLAIM
    unclaimed = only([said(Side.HOME, CLAIM)])
    assert (unclaimed.outcome, unclaimed.paid) == (Outcome.ONE_SIDED, NOTHING)


def test_what_the_device_signed_stands_before_the_homes_meter() -> None:
    signed = CLAIM._replace(octets_out=98_000)
    home = CLAIM._replace(octets_out=5)
    found = only([said(side, a) for side, a in zip(Side, (CLAIM, home, signed), strict=True)])
    assert (found.counterpart, found.paid) == (Side.DEVICE, signed)


def test_a_device_that_signed_nothing_and_a_home_meter_told_by_others_are_no_evidence() -> None:
    unsigned = said(Side.DEVICE, CLAIM, evidence=Evidence.NONE)
    invented = said(Side.HOME, CLAIM, reporter="op_visited")
    found = only([said(Side.VISITED, CLAIM), unsigned, invented])
    assert found.outcome is Outcome.ONE_SIDED


def test_copies_of_one_meter_are_one_side() -> None:
    """The home passes on what it was sent: still one-sided, and no lower copy changes the claim."""
    copy = said(Side.VISITED, NOTHING, reporter="op_home")
    found = only([said(Side.VISITED, CLAIM), said(Side.VISITED, CLAIM), copy])
    assert (found.outcome, found.paid) == (Outcome.ONE_SIDED, CLAIM)
    assert only([said(Side.VISITED, CLAIM, reporter="op_home")]).paid == CLAIM


def test_corrections_and_voids_count_once_and_nobody_corrects_anothers_meter() -> None:
    first, less = said(Side.VISITED, CLAIM), CLAIM._replace(octets_out=1)
    correction = {"kind": RecordKind.CORRECTION, "corrects": first.usage_id}
    fixed = said(Side.VISITED, less, 1, **correction)
    again = said(Side.VISITED, CLAIM, 2, sequence=1, **correction)
    foreign = said(Side.VISITED, less, 3, reporter="op_home", **correction)
    void = said(Side.VISITED, NOTHING, 4, kind=RecordKind.VOID, corrects=first.usage_id, sequence=2)
    assert only([first, fixed]).paid == less
    assert only([fixed, again, first]).paid == CLAIM
    assert only([first, foreign]).paid == CLAIM
    assert only([first, again, void]).paid == NOTHING


def test_each_agreement_has_its_tolerance() -> None:
    home = CLAIM._replace(octets_out=98_999)
    records = [said(Side.VISITED, CLAIM), said(Side.HOME, home)]
    (strict,) = match(records, {("op_visited", "op_home"): Tolerance(volume_ppm=9)})
    (exact,) = match(records, {("op_visited", "op_home"): Tolerance(volume_ppm=10)})
    assert (strict.outcome, exact.outcome) == (Outcome.MISMATCH, Outcome.WITHIN_TOLERANCE)


def _differences(values: list[int]) -> Differences:
    return sum((Differences(1, d, d * d) for d in values), Differences())


@pytest.mark.parametrize("sign", [1, -1])
def test_a_constant_lean_is_told_from_the_33rd_session(sign: int) -> None:
    beyond = sign * (ALLOWANCE_PPM + 1)
    way = Lean.CLAIM_HIGH if sign > 0 else Lean.COUNTERPART_HIGH
    assert lean(_differences([beyond] * 32)) is Lean.NONE
    assert lean(_differences([beyond] * 33)) is way
    assert lean(_differences([sign * ALLOWANCE_PPM] * 1_000)) is Lean.NONE


@given(st.lists(st.integers(-30_000, 30_000), max_size=60))
@settings(max_examples=60)
def test_differences_that_cancel_are_no_lean(values: list[int]) -> None:
    assert lean(_differences([*values, *(-value for value in values)])) is Lean.NONE


def test_shaving_within_tolerance_is_seen_by_pair_and_by_node() -> None:
    shaved = CLAIM._replace(octets_out=97_500)
    records = [
        said(side, amounts, number, session_id=derive("s", number))
        for number in range(40)
        for side, amounts in ((Side.VISITED, CLAIM), (Side.HOME, shaved))
    ]
    seen = watch(match(records))
    assert {(w.home, w.node): lean(d) for w, d in seen.items()} == {
        ("op_home", None): Lean.CLAIM_HIGH,
        (None, "node-1"): Lean.CLAIM_HIGH,
    }


_SIZES = st.sampled_from([0, 1, 970, 1_000, 1_031, (1 << 62) - 1])


@st.composite
def _evidence(draw: st.DrawFn) -> UsageRecord:
    """Any report of one of few sessions, true or made up, so that they meet."""
    kind = draw(st.sampled_from([RecordKind.USAGE, RecordKind.USAGE, *RecordKind]))
    usage = draw(st.integers(0, 5))
    return record(
        usage,
        session_id=derive("session", draw(st.integers(0, 1))),
        kind=kind,
        corrects=None if kind is RecordKind.USAGE else derive("test", draw(st.integers(0, 5))),
        sequence=draw(st.integers(0, 2)),
        side=draw(st.sampled_from(Side)),
        reporter=draw(st.sampled_from(["op_visited", "op_home", "op_c"])),
        home=draw(st.sampled_from(["op_home", "op_home", None])),
        node=draw(st.sampled_from(["n1", "n2", None])),
        evidence=draw(st.sampled_from([Evidence.NONE, Evidence.ACKNOWLEDGED])),
        start_us=AT_US + draw(st.integers(0, 1)) * 86_400_000_000,
        end_us=AT_US + 2 * 86_400_000_000,
        octets_in=draw(_SIZES),
        octets_out=draw(_SIZES),
        duration_s=draw(_SIZES),
        units=draw(st.integers(0, 1)),
    )


@given(st.lists(_evidence(), max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_order_copies_and_splits_change_nothing(records: list[UsageRecord], random: Any) -> None:
    """Confluence: any order, any record any number of times."""
    again = [*records, *random.sample(records, len(records) // 2)]
    random.shuffle(again)
    found = match(records)
    assert match(again) == found
    half = len(found) // 2
    parts = (watch(found[:half]), watch(found[half:]))
    assert watch(found) == {
        key: parts[0].get(key, Differences()) + parts[1].get(key, Differences())
        for key in parts[0].keys() | parts[1].keys()
    }


@given(st.lists(st.lists(_evidence(), min_size=1, max_size=8), min_size=1, max_size=3))
@settings(max_examples=15, deadline=None)
def test_the_twin_in_sql_agrees_record_by_record(files: list[list[UsageRecord]]) -> None:
    """Over a dataset in as many files as there are lists; the sums agree too."""
    with TemporaryDirectory() as place:
        month, out = Path(place, "month"), Path(place, "out")
        for records in files:
            writer = DatasetWriter(month)
            for each in records:
                assert writer.add(each) is None
            writer.close()
        kept = _kept(month)
        tolerances = {("op_visited", None): Tolerance(volume_ppm=0)}
        report = match_dataset(MatchOrder(usage=month, out=out, tolerances=tolerances))
        expected = match(kept, tolerances)
        assert list(read_matches(out)) == expected
        assert dict(read_watched(out)) == watch(expected)
        assert report.watched == len(watch(expected))
        assert sum(report.outcomes.values()) == len(expected)
        assert report.paid_octets == sum(m.paid.octets_in + m.paid.octets_out for m in expected)


def _kept(month: Path) -> list[UsageRecord]:
    from opencarrier.usage.dataset import read_records

    return list(read_records(month))


def test_nothing_to_match_and_a_folder_that_is_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="usage"):
        match_dataset(MatchOrder(usage=tmp_path, out=tmp_path / "out"))
    with pytest.raises(PeerError, match="out"):
        match_dataset(MatchOrder(usage=tmp_path, out=tmp_path))
