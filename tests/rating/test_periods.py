"""Deals on whole periods: plans worked by hand, GSMA's example, and any order to the same sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.clock import Window
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.money import INT64_MAX, MoneyError
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.adjustment_inputs import decode_inputs
from opencarrier.rating.adjustments import adjust, adjusted, inputs_of, readjust
from opencarrier.rating.agreements.model import Deal, RoamingAgreement
from opencarrier.rating.agreements.plans import (
    BackToFirst,
    Balanced,
    Discounted,
    DiscountTier,
    Flat,
    Linear,
    NotCharged,
    Plan,
    Tier,
    Tiered,
    Totals,
)
from opencarrier.rating.periods import (
    NONE,
    Legs,
    LineSum,
    PeriodSums,
    RatedRecord,
    Verdict,
    charged,
    owed,
    sums_of,
    windows_in,
)
from opencarrier.spine.money import Adjustment, Role

from .roaming import GIB, PERIODS_US, TERM, commitment, deal, line, pricing, roaming
from .worlds import DAY_US, START_US

DOLLAR = 1_000_000
TIERS = (
    Tier(start=0, fixed_minor=0, price_nano=5 * 10**9),
    Tier(start=1_500, fixed_minor=7 * DOLLAR, price_nano=3 * 10**9),
)
CUTS = (
    DiscountTier(start_minor=100, discount_ppm=0),
    DiscountTier(start_minor=1_000, discount_ppm=100_000),
)


@pytest.mark.parametrize(
    ("plan", "amount", "expected"),
    [
        (NotCharged(), 1 << 70, 0),
        (Flat(fixed_minor=7), 0, 7),
        (Flat(fixed_minor=7), 1 << 70, 7),
        (Linear(step=GIB, price_nano=10**9), GIB + GIB // 2, 1_500_000),
        (Linear(step=1_000, price_nano=1_000), 499, 0),  # 0.499 rounds down
        (Linear(step=1_000, price_nano=1_000), 500, 1),  # halves round up
        (Linear(step=1, price_nano=INT64_MAX), 2**53 + 1, 83076749736557251270852778867556),
        (BackToFirst(step=1, tiers=TIERS), 0, 0),
        (BackToFirst(step=1, tiers=TIERS), 1_500, 7_500 * DOLLAR),
        (BackToFirst(step=1, tiers=TIERS), 1_501, 4_510 * DOLLAR),  # the whole, back to the first
        (BackToFirst(step=1, tiers=TIERS[1:]), 1_500, 0),
        (Tiered(step=1, tiers=TIERS), 1_500, 7_500 * DOLLAR),
        (Tiered(step=1, tiers=TIERS), 1_501, 7_510 * DOLLAR),
        (Tiered(step=1, tiers=TIERS), 3_000, 12_007 * DOLLAR),
        (Tiered(step=1, tiers=TIERS[1:]), 1_500, 0),
    ],
)
def test_plans_worked_by_hand(plan: Plan, amount: int, expected: int) -> None:
    assert plan.minor(Totals(amount=amount, reverse_amount=0, untaxed_minor=0)) == expected


@pytest.mark.parametrize(
    ("there", "back", "expected"),
    [(0, 5, 0), (5, 5, 5 * 2), (5, 4, 4 * 2 + 3), (5, 0, 5 * 3), (4, 5, 4 * 2)],
)
def test_what_is_balanced_has_one_price_and_the_excess_another(
    there: int, back: int, expected: int
) -> None:
    plan = Balanced(step=1, balanced_price_nano=2_000, unbalanced_price_nano=3_000)
    assert plan.minor(Totals(amount=there, reverse_amount=back, untaxed_minor=0)) == expected


@pytest.mark.parametrize(
    ("whole", "charged_minor", "expected"),
    [
        (False, 0, 0),
        (False, 1_000, 1_000),
        (False, 1_004, 1_004),  # 0.4 off rounds down
        (False, 1_005, 1_004),  # 0.5 off rounds up
        (False, 2_000, 1_900),
        (True, 100, 100),
        (True, 1_000, 1_000),
        (True, 1_001, 901),  # all of it, at the tier it goes beyond
    ],
)
def test_discounts_by_what_was_charged(whole: bool, charged_minor: int, expected: int) -> None:
    plan = Discounted(whole=whole, tiers=CUTS)
    totals = Totals(amount=0, reverse_amount=0, untaxed_minor=charged_minor)
    assert plan.minor(totals) == expected


def legs(seller: int, tax: int = 0, *, host: int = 0, protocol: int = 0) -> Legs:
    return Legs(seller_minor=seller, host_minor=host, protocol_minor=protocol, tax_minor=tax)


# GSMA's BWR calculation service: five services, charges and taxes as its usage data has them.
BWR = {"moc": (1_007, 15), "mtc": (3_003, 15), "sms": (1_000, 10), "data": (900, 9), "x": (600, 6)}
BWR_SUMS = PeriodSums(
    {name: LineSum(1, legs(charge, tax)) for name, (charge, tax) in BWR.items()}, (0,)
)
AS_CHARGED = Discounted(whole=False, tiers=(DiscountTier(start_minor=0, discount_ppm=0),))


def bwr_deal(**terms: Any) -> Deal:
    counted = pricing(lines=tuple(BWR), plan=AS_CHARGED)
    terms = {"basis": "contract", "amount_minor": 6_550, "shortfall": "no_deal", **terms}
    return deal(counted, commitment=commitment(**terms))


@pytest.mark.parametrize(
    ("with_tax", "amount_minor", "verdict"),
    [
        (True, 6_550, Verdict.MET),
        (True, 6_565, Verdict.MET),
        (True, 6_566, Verdict.NO_DEAL),
        (False, 6_550, Verdict.NO_DEAL),  # 6,510 without taxes
        (False, 6_510, Verdict.MET),
        (False, 6_511, Verdict.NO_DEAL),
    ],
)
@pytest.mark.parametrize("basis", ["contract", "deal"])
def test_the_worked_example_of_bwr(
    with_tax: bool, amount_minor: int, verdict: Verdict, basis: str
) -> None:
    item = bwr_deal(with_tax=with_tax, amount_minor=amount_minor, basis=basis)
    found = owed(item, 0, BWR_SUMS, is_final=True)
    assert (found.verdict, found.legs.amount_minor) == (verdict, 6_565)
    assert found.legs.tax_minor == 55


@pytest.mark.parametrize(
    ("amount_minor", "verdict", "expected"),
    [
        (12_500, Verdict.NO_DEAL, 1_007),  # what the records were charged stands
        (12_000, Verdict.MET, 12_000),
        (11_000, Verdict.MET, 12_000),
    ],
)
def test_a_deal_commitment_counts_what_the_plans_make(
    amount_minor: int, verdict: Verdict, expected: int
) -> None:
    """BWR's other example: 3,000 messages, 1,500 at 5 and the rest at 3 make 12,000."""
    tiers = (TIERS[0], replace(TIERS[1], fixed_minor=0))
    tiers = tuple(replace(tier, price_nano=tier.price_nano // DOLLAR) for tier in tiers)
    messages = pricing(lines=("sms",), plan=Tiered(step=1, tiers=tiers))
    item = deal(messages, commitment=commitment(amount_minor=amount_minor, shortfall="no_deal"))
    found = owed(item, 0, PeriodSums({"sms": LineSum(3_000, legs(1_007))}, (0,)), is_final=True)
    assert (found.verdict, found.legs.amount_minor) == (verdict, expected)


@pytest.mark.parametrize(
    ("with_tax", "shortfall", "verdict", "expected"),
    [
        # 6,510 and 55 tax were counted; 8,000 were promised; tax on what is missing is 20 percent
        (False, "send_or_pay", Verdict.SHORTFALL, 6_565 + 1_490 + 298),
        (True, "send_or_pay", Verdict.SHORTFALL, 8_000),
        (False, "none", Verdict.MISSED, 6_565),
        (True, "no_deal", Verdict.NO_DEAL, 6_565),
    ],
)
def test_what_a_shortfall_makes(
    with_tax: bool, shortfall: str, verdict: Verdict, expected: int
) -> None:
    terms = {"amount_minor": 8_000, "shortfall": shortfall, "tax_ppm": 200_000}
    item = bwr_deal(with_tax=with_tax, **terms)
    found = owed(item, 10_000, BWR_SUMS, is_final=True)
    assert (found.verdict, found.legs.amount_minor) == (verdict, expected)
    still_open = owed(item, 10_000, BWR_SUMS, is_final=False)
    assert (still_open.verdict, still_open.legs.amount_minor) == (Verdict.OPEN, 6_565)


def test_a_subscriber_counts_once_a_period() -> None:
    access = pricing(measure="subscribers", plan=Linear(step=1, price_nano=150_000))
    item = deal(access, per="period")
    first, second, _ = windows_in(PERIODS_US, item)
    seen = [(b"ada", 0), (b"ada", 9), (b"bob", 9), (b"bob", 10), (b"eve", 29)]
    records = [
        RatedRecord(
            line="data-there", subject=who, at_us=START_US + day * DAY_US, amount=1, legs=NONE
        )
        for who, day in seen
    ]
    records.append(replace(records[0], line="other", subject=b"zoe"))
    assert sums_of(item, first, records).subscribers == (2,)
    assert sums_of(item, second, records).subscribers == (1,)
    whole = sums_of(item, TERM, records)
    assert owed(item, 0, whole, is_final=True).legs.amount_minor == 3 * 150
    assert charged(item, whole) == NONE, "what records cost stays beside it"


def test_periods_are_half_open_and_a_term_is_all_of_them() -> None:
    assert windows_in(PERIODS_US, deal()) == [TERM]
    windows = windows_in(PERIODS_US, deal(per="period"))
    assert windows[0] == Window(START_US, START_US + 10 * DAY_US)
    assert [(one.end_us, two.start_us) for one, two in pairwise(windows)] == [
        (PERIODS_US[1], PERIODS_US[1]),
        (PERIODS_US[2], PERIODS_US[2]),
    ]


WIDE = roaming(
    line(),
    line("data-back", home=line().visited, visited=line().home),
    deals=(
        deal(
            pricing(plan=Tiered(step=10, tiers=TIERS), tax_ppm=200_000),
            pricing(measure="subscribers", plan=Linear(step=1, price_nano=777), tax_included=True),
            commitment=commitment(amount_minor=10**9, tax_ppm=70_000),
        ),
        deal(pricing(plan=BackToFirst(step=7, tiers=TIERS), tax_ppm=70_000, tax_included=True)),
        deal(pricing(plan=Discounted(whole=True, tiers=CUTS))),
        deal(
            pricing(
                reverse_lines=("data-back",),
                plan=Balanced(step=3, balanced_price_nano=2_000, unbalanced_price_nano=3_001),
            )
        ),
        deal(pricing(plan=NotCharged()), commitment=commitment(amount_minor=9, shortfall="none")),
    ),
)
RECORDS = st.lists(
    st.builds(
        RatedRecord,
        line=st.sampled_from(["data-there", "data-back"]),
        subject=st.sampled_from([b"ada", b"bob", b"eve"]),
        at_us=st.integers(TERM.start_us, TERM.end_us - 1),
        amount=st.integers(0, 4_000),
        legs=st.builds(
            legs,
            st.integers(0, 900),
            st.integers(0, 99),
            host=st.integers(0, 600),
            protocol=st.integers(0, 9),
        ),
    ),
    max_size=8,
)


def booked_in(
    agreement: RoamingAgreement, item: Deal, steps: Sequence[Sequence[RatedRecord]]
) -> list[Adjustment]:
    """Adjust after each step, the last ones as final, and return what was booked."""
    made: list[Adjustment] = []
    for number, records in enumerate(steps):
        sums = sums_of(item, TERM, records)
        inputs = inputs_of(
            agreement, item, TERM, sums, earlier=tuple(made), is_final=number >= len(steps) - 2
        )
        found = adjust(inputs)
        if found is not None:
            assert readjust(found.inputs) == adjusted(inputs)
            made.append(found)
    return made


@settings(max_examples=60)
@given(RECORDS, st.lists(st.integers(0, 8), max_size=4), st.randoms(), st.sampled_from(WIDE.deals))
def test_late_use_and_corrections_end_at_the_same_sum(
    records: list[RatedRecord], cuts: list[int], random: Any, item: Deal
) -> None:
    """Steps see any part of the records in any order, and records that are voided later."""
    shuffled = list(records)
    random.shuffle(shuffled)
    steps = [shuffled[:at] for at in sorted(cuts)] + [shuffled[:cut] for cut in cuts]
    made = booked_in(WIDE, item, [*steps, records])
    sums = sums_of(item, TERM, records)
    expected = owed(item, WIDE.protocol_ppm, sums, is_final=True).legs - charged(item, sums)
    assert sum(one.amount_minor for one in made) == expected.amount_minor
    totals = dict.fromkeys(Role, 0)
    for one in made:
        for leg in one.allocations:
            totals[leg.role] += leg.amount_minor
    assert tuple(totals.values()) == tuple(getattr(expected, name) for name in Legs.__slots__)
    assert len({one.adjustment_id for one in made}) == len(made)


@given(RECORDS, st.sampled_from(WIDE.deals), st.booleans())
def test_legs_sum_to_what_is_owed_and_hosts_keep_theirs(
    records: list[RatedRecord], item: Deal, is_final: bool
) -> None:
    sums = sums_of(item, TERM, records)
    found = owed(item, WIDE.protocol_ppm, sums, is_final=is_final).legs
    assert found.host_minor == charged(item, sums).host_minor
    assert min(found.host_minor, found.protocol_minor, found.tax_minor) >= 0


def test_nothing_to_adjust_is_no_adjustment() -> None:
    item = WIDE.deals[2]
    small = PeriodSums({"data-there": LineSum(1, legs(99, 3))}, (0,))
    assert adjust(inputs_of(WIDE, item, TERM, small, is_final=True)) is None


def test_an_adjustment_beyond_64_bits_is_refused() -> None:
    plan = Linear(step=1, price_nano=1_000)
    wide = roaming(deals=(deal(pricing(plan=plan)),))

    def made(amount: int) -> Adjustment | None:
        sums = PeriodSums({"data-there": LineSum(amount, NONE)}, (0,))
        return adjust(inputs_of(wide, wide.deals[0], TERM, sums, is_final=True))

    found = made(INT64_MAX)
    assert found is not None
    assert found.amount_minor == INT64_MAX
    with pytest.raises(MoneyError):
        made((INT64_MAX + 1) * 2)


def some_inputs() -> bytes:
    item = WIDE.deals[0]
    sums = PeriodSums({"data-there": LineSum(9_999, legs(5, 1, host=2, protocol=1))}, (0, 3))
    found = adjust(inputs_of(WIDE, item, TERM, sums, is_final=True))
    assert found is not None
    return found.inputs


INPUTS = some_inputs()


def test_inputs_lead_to_the_hash_both_signed() -> None:
    assert decode_inputs(INPUTS).head.hash == WIDE.hash


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_us", TERM.start_us + 1),
        ("start_us", [TERM.start_us]),
        ("end_us", {}),
        ("end_us", PERIODS_US[1]),  # a period, where the deal is on the term
        ("is_final", 1),
        ("number", -1),
        ("subscribers", [0]),
        ("subscribers", [0, -1]),
        ("booked", [0, 1, 0, 0]),  # a host's share
        ("booked", [0, 0, 0]),
        ("lines", [["b", 1, 0, 0, 0, 0], ["a", 1, 0, 0, 0, 0]]),
        ("lines", [["a", 1, 0, 0, 0, 0]] * 2),
        ("lines", [["a", -1, 0, 0, 0, 0]]),
        ("lines", [[1, 1, 0, 0, 0, 0]]),
        ("deal_hashes", [b"\0" * 32]),
        ("deal_hashes", [b"\0"]),
        ("lines", [["data-there", 1 << 99, 1, 0, 0, 0]]),  # an amount beyond 64 bits
    ],
)
def test_inputs_that_rating_would_not_write_are_refused(name: str, value: Any) -> None:
    fields = dict(decode(INPUTS))  # type: ignore[arg-type, call-overload]
    with pytest.raises(PeerError):
        readjust(encode({**fields, name: value}))


@settings(max_examples=80)
@given(st.integers(0, len(INPUTS) - 1), st.integers(1, 255))
def test_no_damage_to_inputs_raises_anything_else(at: int, flip: int) -> None:
    damaged = bytearray(INPUTS)
    damaged[at] ^= flip
    try:
        found = decode_inputs(bytes(damaged))
    except PeerError:
        return
    assert found != decode_inputs(INPUTS)
