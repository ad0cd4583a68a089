"""Version 2 of the formula: steps, amounts per session, quotes; version 1 where none is used."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.clock import Window
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.rating.agreements.rows import ANY, Row, rows_of
from opencarrier.rating.model import CHARGE_MAX_MINOR, STEP_MAX
from opencarrier.rating.reasons import DisputeReason
from opencarrier.rating.rules import v1, v2
from opencarrier.rating.rules.v2 import NOTHING, UNITS, Amounts, Quote, Terms
from opencarrier.spine.records import Qos, RcoiClass, Service
from opencarrier.spine.usage import Counters

from .roaming import TERM, line, rate, roaming
from .worlds import DAY_US, KIB, START_US, agreement, tariff

MINUTE = {"unit": "duration_s", "first_step": 60, "next_step": 1, "price_nano": 1_000_000}


def terms(**changes: Any) -> Terms:
    """Return 1,000 nano per begun KiB: one minor unit."""
    fields: dict[str, Any] = {
        "unit": "octets_total",
        "first_step": KIB,
        "next_step": KIB,
        "price_nano": 1_000,
        "fixed_minor": 0,
        "minimum_minor": 0,
        "currency": "USD",
        "tax_ppm": 0,
        "tax_included": False,
        "host_ppm": 0,
        "in_band": False,
    }
    return Terms(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "amount", "expected"),
    [
        ({}, 0, 0),
        ({}, 1, 1),
        ({}, KIB + 1, 2),
        ({"first_step": 10 * KIB}, 1, 10),  # the first step whole
        ({"first_step": 10 * KIB}, 10 * KIB, 10),
        ({"first_step": 10 * KIB}, 10 * KIB + 1, 11),  # then each begun next one
        (MINUTE, 1, 60_000),
        (MINUTE, 60, 60_000),
        (MINUTE, 61, 61_000),
        ({**MINUTE, "fixed_minor": 20_000}, 0, 0),  # nothing costs nothing
        ({**MINUTE, "fixed_minor": 20_000}, 1, 80_000),
        ({**MINUTE, "fixed_minor": 20_000, "minimum_minor": 80_001}, 1, 80_001),
        ({**MINUTE, "fixed_minor": 20_000, "minimum_minor": 80_000}, 61, 81_000),
        ({"unit": "units", "first_step": 1, "next_step": 1, "price_nano": 2_500}, 3, 8),  # 7.5
        ({"unit": "sessions", "first_step": 1, "next_step": 1, "price_nano": 9_000}, 1, 9),
        ({"price_nano": 9_199_999_999_999_499}, 1, 9_199_999_999_999),  # dearest
    ],
)
def test_prices_worked_by_hand(changes: dict[str, Any], amount: int, expected: int) -> None:
    item = terms(**changes)
    assert v2.cumulative(item, amount, item.price_nano) == expected


@pytest.mark.parametrize(
    ("changes", "amount", "fits"),
    [
        ({}, v1.QUANTITY_MAX, True),
        ({}, v1.QUANTITY_MAX + 1, False),
        ({}, -1, False),
        ({"price_nano": INT64_MAX // 2, "first_step": 2 * KIB}, 1, False),  # dearer than all
        ({"price_nano": INT64_MAX, "first_step": 2 * KIB}, 1, False),  # gross beyond 64 bits
        ({"fixed_minor": CHARGE_MAX_MINOR - 1, "price_nano": 499}, 1, True),
        ({"fixed_minor": CHARGE_MAX_MINOR - 1, "price_nano": 500}, 1, False),
        ({"first_step": STEP_MAX, "price_nano": 1}, 1, True),
    ],
)
def test_the_guards_on_both_sides(changes: dict[str, Any], amount: int, fits: bool) -> None:
    item = terms(**{"price_nano": 1, **changes})
    assert v2.fits(item, amount, item.price_nano) is fits
    if not fits:
        with pytest.raises(AssertionError):
            v2.cumulative(item, amount, item.price_nano)


IN_BAND = terms(in_band=True, price_nano=1_900)


@pytest.mark.parametrize(
    ("quote", "price_nano", "dispute"),
    [
        (None, 1_900, None),
        (Quote("USD", 1_900), 1_900, None),  # equals
        (Quote("USD", 1_899), 1_899, None),  # beats
        (Quote("USD", 0), 0, None),
        (Quote("USD", 1_901), 1_900, DisputeReason.QUOTE_ABOVE_AGREEMENT),
        (Quote("EUR", 1), 1_900, DisputeReason.QUOTE_IN_OTHER_CURRENCY),
    ],
)
def test_a_quote_counts_where_it_equals_or_beats_the_line(
    quote: Quote | None, price_nano: int, dispute: DisputeReason | None
) -> None:
    assert v2.price_of(IN_BAND, quote) == (price_nano, dispute)
    used = Amounts(octets_in=1_000 * KIB)
    rated = v2.rate(IN_BAND, 0, before=NOTHING, used=used, quote=quote)
    assert (rated.legs.amount_minor, rated.dispute) == (price_nano, dispute)
    assert v2.price_of(terms(), quote) == (1_000, None), "a line without quotes has its price"


def test_what_is_settlement_free_costs_nothing() -> None:
    used = Amounts(octets_in=1_000 * KIB)
    free = RcoiClass.SETTLEMENT_FREE
    dear = terms(minimum_minor=5, fixed_minor=7)
    assert v2.rate(dear, 0, before=NOTHING, used=used, rcoi=free).legs.amount_minor == 0
    paid = v2.rate(dear, 0, before=NOTHING, used=used, rcoi=RcoiClass.SETTLED)
    assert paid.legs.amount_minor == 1_007


SHARES = st.tuples(st.integers(0, PPM), st.integers(0, PPM)).filter(lambda both: sum(both) <= PPM)


@st.composite
def some_terms(draw: st.DrawFn) -> Terms:
    next_step = draw(st.integers(1, 1 << 12))
    return terms(
        unit=draw(st.sampled_from(UNITS)),
        first_step=next_step * draw(st.integers(1, 1_000)),
        next_step=next_step,
        price_nano=draw(st.integers(0, 10**9)),
        fixed_minor=draw(st.integers(0, 10**6)),
        minimum_minor=draw(st.integers(0, 10**6)),
        tax_ppm=draw(st.integers(0, PPM)),
        tax_included=draw(st.booleans()),
    )


SOME_AMOUNTS = st.builds(
    Amounts,
    octets_in=st.integers(0, 1 << 20),
    octets_out=st.integers(0, 1 << 20),
    duration_s=st.integers(0, 1 << 20),
    units=st.integers(0, 1 << 20),
)


@given(some_terms(), st.integers(0, 1 << 40), st.integers(0, PPM))
def test_the_price_is_what_fractions_say(item: Terms, amount: int, discount_ppm: int) -> None:
    counted = item.first_step + max(0, ceil(Fraction(amount - item.first_step, item.next_step))) * (
        item.next_step
    )
    gross = Fraction(counted, item.next_step) * item.price_nano
    net = floor(gross * (PPM - discount_ppm) / 10**9 + Fraction(1, 2)) + item.fixed_minor
    expected = max(net, item.minimum_minor) if amount else 0
    if v2.fits(item, amount, item.price_nano, discount_ppm):
        assert v2.cumulative(item, amount, item.price_nano, discount_ppm) == expected
    else:
        assert gross > INT64_MAX or net >= CHARGE_MAX_MINOR


@given(some_terms(), st.lists(SOME_AMOUNTS, min_size=1, max_size=6), SHARES)
def test_any_cuts_of_a_session_sum_to_the_uncut_one(
    item: Terms, parts: list[Amounts], shares: tuple[int, int]
) -> None:
    item, protocol_ppm = _shared(item, shares)
    before, pieces = NOTHING, []
    for part in parts:
        pieces.append(v2.rate(item, protocol_ppm, before=before, used=part).legs)
        before += part
    whole = v2.rate(item, protocol_ppm, before=NOTHING, used=before).legs
    for name in whole.__slots__:
        legs = [getattr(piece, name) for piece in pieces]
        assert min(legs) >= 0
        assert sum(legs) == getattr(whole, name)


@given(
    st.integers(1, STEP_MAX),
    st.integers(0, 10**9),
    st.integers(0, 10**6),
    st.integers(0, PPM),
    st.booleans(),
    SHARES,
    SOME_AMOUNTS,
)
def test_a_version_1_tariff_costs_the_same_by_its_row(
    step: int,
    price_nano: int,
    minimum_minor: int,
    tax_ppm: int,
    tax_included: bool,
    shares: tuple[int, int],
    used: Amounts,
) -> None:
    item = tariff(
        step=step,
        price_nano=price_nano,
        minimum_minor=minimum_minor,
        tax_ppm=tax_ppm,
        tax_included=tax_included,
        host_ppm=shares[0],
    )
    row = rows_of(agreement(item, protocol_ppm=shares[1]))[0]
    counters = Counters(
        session_time_s=used.duration_s, octets_in=used.octets_in, octets_out=used.octets_out
    )
    rated = v2.rate(row, row.protocol_ppm, before=NOTHING, used=used)
    assert rated.legs == v1.wholesale_legs(item, shares[1], counters)


def test_a_version_1_agreement_is_one_row_for_each_service() -> None:
    old = agreement(tariff(), tariff(window=Window(START_US + 20 * DAY_US, START_US + 21 * DAY_US)))
    rows = rows_of(old)
    assert [(row.place, row.service) for row in rows] == [
        (place, service) for place in (0, 1) for service in Service
    ]
    assert {(row.qos, row.rcoi, row.currency, row.rate) for row in rows} == {(ANY, ANY, "", 1)}
    assert {row.agreement_hash for row in rows} == {old.hash}


def spans(rows: list[Row]) -> list[tuple[int, int, int, int]]:
    return [(row.valid_from_us, row.valid_until_us, row.rate, row.decimals) for row in rows]


def test_a_line_is_a_row_for_each_rate_service_and_class() -> None:
    middle_us = START_US + 10 * DAY_US
    dated = (rate(Window(middle_us, TERM.end_us), rate=3), rate(Window(START_US, middle_us)))
    item = line(
        services=(Service.WIFI, Service.DATA), qos=(Qos.NONE, Qos.GOLD), currency="EUR", host_ppm=7
    )
    rows = rows_of(roaming(item, rates=dated))
    assert spans(rows[::4]) == [
        (START_US, middle_us, 10_835, 4),
        (middle_us, TERM.end_us, 3, 4),
    ]
    assert [(row.service, row.qos, row.rcoi) for row in rows[:4]] == [
        (Service.WIFI, Qos.NONE, ANY),
        (Service.WIFI, Qos.GOLD, ANY),
        (Service.DATA, Qos.NONE, ANY),
        (Service.DATA, Qos.GOLD, ANY),
    ]
    assert {(row.currency, row.host_ppm, row.protocol_ppm) for row in rows} == {("EUR", 7, 10_000)}
    assert spans(rows_of(roaming(line()))) == [(TERM.start_us, TERM.end_us, 1, 0)]


def _shared(item: Terms, shares: tuple[int, int]) -> tuple[Terms, int]:
    fields = {name: getattr(item, name) for name in Terms.__slots__}
    return Terms(**{**fields, "host_ppm": shares[0]}), shares[1]
