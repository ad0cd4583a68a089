"""The formula: worked by hand, against exact fractions, and cut anywhere."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.rating.model import CHARGE_MAX_MINOR, STEP_MAX, TARIFF_UNITS, Price
from opencarrier.rating.rules import v1
from opencarrier.spine.usage import ZERO, Counters

from .worlds import KIB, counters, price, tariff

MINUTE = {"unit": "duration_s", "step": 60, "price_nano": 5_000_000}


@pytest.mark.parametrize(
    ("changes", "amount", "discount_ppm", "expected"),
    [
        ({}, 0, 0, 0),
        ({}, 1, 0, 1),  # a begun KiB counts whole: 1,000 nano are one micro-unit
        ({}, KIB, 0, 1),
        ({}, KIB + 1, 0, 2),
        ({"price_nano": 499}, KIB, 0, 0),  # 0.499 rounds down
        ({"price_nano": 500}, KIB, 0, 1),  # halves round up
        ({"price_nano": 1}, 1_500 * KIB, 0, 2),  # rounded once, not per step
        ({"price_nano": 0}, 1 << 40, 0, 0),
        ({"price_nano": 0, "minimum_minor": 7}, 0, 0, 0),  # nothing for nothing
        ({"minimum_minor": 50}, 1, 0, 50),
        ({"minimum_minor": 50}, 51 * KIB, 0, 51),
        ({"step": 1, "price_nano": 3_000}, 5, 0, 15),
        (MINUTE, 59, 0, 5_000),
        (MINUTE, 61, 0, 10_000),
        ({}, 1_000 * KIB, 250_000, 750),
        ({}, 1_000 * KIB, PPM, 0),
        ({"minimum_minor": 900}, 1_000 * KIB, 250_000, 900),  # the minimum stands
        ({}, 3 * KIB, 500_000, 2),  # 1.5 rounds up
        ({}, 5_829_918_058, 0, 5_693_280),  # a long download: 5,693,279.4 KiB, both ways
        ({"price_nano": INT64_MAX, "step": STEP_MAX}, 1, PPM - 1, 9_223_372_037),  # widest price
        ({"price_nano": 9_199_999_999_999_499}, 1, 0, 9_199_999_999_999),  # dearest
    ],
)
def test_prices_worked_by_hand(
    changes: dict[str, object], amount: int, discount_ppm: int, expected: int
) -> None:
    assert v1.cumulative(price(**changes), amount, discount_ppm) == expected


@pytest.mark.parametrize(
    ("changes", "amount", "discount_ppm"),
    [
        ({}, -1, 0),
        ({"step": STEP_MAX}, v1.QUANTITY_MAX + 1, 0),
        ({"price_nano": INT64_MAX}, 2 * KIB, PPM),  # gross beyond 64 bits though nothing is owed
        ({"price_nano": CHARGE_MAX_MINOR * 1_000}, 1, 0),
        ({}, 1, PPM + 1),
    ],
)
def test_beyond_the_guards_nothing_is_priced(
    changes: dict[str, object], amount: int, discount_ppm: int
) -> None:
    terms = price(**changes)
    assert not v1.fits(terms, amount, discount_ppm)
    with pytest.raises(AssertionError):
        v1.cumulative(terms, amount, discount_ppm)


@pytest.mark.parametrize(
    ("tax_ppm", "included", "legs"),
    [
        # 1,000 minor: the host has 60 percent, the protocol 1, the visited operator the rest
        (0, False, (390, 600, 10, 0)),
        (200_000, False, (390, 600, 10, 200)),
        # 200,000 ppm within 1,000: 166.67 is tax; of 833 the host has 499, the protocol 8
        (200_000, True, (326, 499, 8, 167)),
        (PPM, True, (195, 300, 5, 500)),
    ],
)
def test_wholesale_legs_worked_by_hand(
    tax_ppm: int, included: bool, legs: tuple[int, int, int, int]
) -> None:
    terms = tariff(tax_ppm=tax_ppm, tax_included=included)
    found = v1.wholesale_legs(terms, 10_000, counters(1_000 * KIB))
    assert legs == (found.seller_minor, found.host_minor, found.protocol_minor, found.tax_minor)


def test_retail_legs_worked_by_hand() -> None:
    terms = price(tax_ppm=200_000, tax_included=True)
    found = v1.retail_legs(terms, 250_000, counters(1_000 * KIB))
    # 750 paid, 125 of it tax; the seller's 833.33 without tax or discount become 625
    assert (found.seller_minor, found.tax_minor, found.discount_minor) == (625, 125, 208)


def test_units_are_counted_from_the_counters() -> None:
    session = Counters(session_time_s=7, octets_in=3, octets_out=5)
    counted = {unit: v1.quantity(unit, session) for unit in TARIFF_UNITS}
    assert counted == {
        "octets_total": 8,
        "octets_in": 3,
        "octets_out": 5,
        "duration_s": 7,
        "sessions": 1,
    }
    assert all(v1.quantity(unit, ZERO) == 0 for unit in TARIFF_UNITS)


@pytest.mark.parametrize(
    ("host_ppm", "protocol_ppm"),
    [(500_000, 500_000), (400_000, 100_000), (700_000, 50_000), (0, PPM), (PPM, 0), (999_999, 1)],
)
@pytest.mark.parametrize("included", [False, True])
def test_no_leg_falls_from_one_micro_unit_to_the_next(
    host_ppm: int, protocol_ppm: int, included: bool
) -> None:
    terms = tariff(
        step=1, host_ppm=host_ppm, tax_ppm=190_000, tax_included=included, unit="octets_in"
    )
    before = (0, 0, 0, 0)
    for minor in range(1, 300):
        legs = v1.wholesale_legs(terms, protocol_ppm, counters(minor))
        now = (legs.seller_minor, legs.host_minor, legs.protocol_minor, legs.tax_minor)
        assert all(a <= b for a, b in zip(before, now, strict=True)), minor
        before = now


amounts = st.integers(0, 1 << 45)
prices = st.builds(
    price,
    step=st.sampled_from([1, 7, 60, KIB, 1 << 20]),
    price_nano=st.integers(0, 50_000),
    minimum_minor=st.integers(0, 5_000),
    tax_ppm=st.integers(0, PPM),
    tax_included=st.booleans(),
    unit=st.sampled_from(TARIFF_UNITS),
)
discounts = st.integers(0, PPM)


def exact(terms: Price, amount: int, discount_ppm: int) -> int:
    """The same price by rational numbers, written without looking at the formula."""
    if amount == 0:
        return 0
    gross = Fraction(ceil(Fraction(amount, terms.step)) * terms.price_nano, 1_000)
    net = gross * (1 - Fraction(discount_ppm, PPM))
    return max(terms.minimum_minor, floor(net + Fraction(1, 2)))


@given(prices, amounts, discounts)
def test_the_formula_is_the_rational_price_rounded_once(
    terms: Price, amount: int, discount_ppm: int
) -> None:
    if v1.fits(terms, amount, discount_ppm):
        assert v1.cumulative(terms, amount, discount_ppm) == exact(terms, amount, discount_ppm)


@given(prices, amounts, discounts)
def test_within_the_guards_no_intermediate_value_leaves_64_bits(
    terms: Price, amount: int, discount_ppm: int
) -> None:
    if not v1.fits(terms, amount, discount_ppm):
        return
    gross = (amount + terms.step - 1) // terms.step * terms.price_nano
    keep = PPM - discount_ppm
    values = [
        amount + terms.step - 1,
        gross,
        gross // 10**9 * keep,
        gross % 10**9 * keep + 500_000_000,
        v1.cumulative(terms, amount, discount_ppm) * PPM + PPM,
    ]
    assert all(value <= INT64_MAX for value in values)


@given(prices, amounts, amounts, discounts)
def test_more_use_never_costs_less(terms: Price, a: int, b: int, discount_ppm: int) -> None:
    low, high = sorted((a, b))
    if v1.fits(terms, high, discount_ppm):
        assert v1.cumulative(terms, low, discount_ppm) <= v1.cumulative(terms, high, discount_ppm)


shares = st.tuples(st.integers(0, PPM), st.integers(0, PPM)).filter(lambda two: sum(two) <= PPM)
steps_of_counters = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3_000), st.integers(0, 3_000)), max_size=12
)


def running(steps: list[tuple[int, int, int]]) -> list[Counters]:
    """Counters that only rise, from zero."""
    points, now = [ZERO], ZERO
    for time_s, octets_in, octets_out in steps:
        now = Counters(
            session_time_s=now.session_time_s + time_s,
            octets_in=now.octets_in + octets_in,
            octets_out=now.octets_out + octets_out,
        )
        points.append(now)
    return points


@given(prices, shares, steps_of_counters)
def test_wholesale_legs_never_fall_and_sum_to_the_price(
    terms: Price, parts: tuple[int, int], steps: list[tuple[int, int, int]]
) -> None:
    host_ppm, protocol_ppm = parts
    fields = {name: getattr(terms, name) for name in Price.__slots__}
    dated = tariff(host_ppm=host_ppm, **fields)
    before = (0, 0, 0, 0)
    for point in running(steps):
        legs = v1.wholesale_legs(dated, protocol_ppm, point)
        now = (legs.seller_minor, legs.host_minor, legs.protocol_minor, legs.tax_minor)
        assert all(a <= b for a, b in zip(before, now, strict=True))
        before = now
        minor = v1.cumulative(dated, v1.quantity(dated.unit, point))
        assert sum(now) == minor + (0 if dated.tax_included else legs.tax_minor)
        untaxed = minor - legs.tax_minor if dated.tax_included else minor
        assert legs.host_minor == floor(Fraction(untaxed * host_ppm, PPM))
        assert abs(legs.protocol_minor - Fraction(untaxed * protocol_ppm, PPM)) < 1
        share = Fraction(dated.tax_ppm, PPM + dated.tax_ppm if dated.tax_included else PPM)
        assert legs.tax_minor == floor(minor * share + Fraction(1, 2))


@given(prices, discounts, steps_of_counters)
def test_retail_legs_and_the_discount_never_fall(
    terms: Price, discount_ppm: int, steps: list[tuple[int, int, int]]
) -> None:
    before = (0, 0, 0)
    for point in running(steps):
        legs = v1.retail_legs(terms, discount_ppm, point)
        now = (legs.seller_minor, legs.tax_minor, legs.discount_minor)
        assert all(a <= b for a, b in zip(before, now, strict=True))
        before = now
        full = v1.retail_legs(terms, 0, point)
        forgone = full.seller_minor - legs.seller_minor
        assert abs(legs.discount_minor - forgone) <= 2, "the discount is what the seller forgoes"
