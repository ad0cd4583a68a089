"""Other currencies: exact over all rates of a position, rounded half up once, legs that sum."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rating.roaming import TERM, deal, pricing, rate, roaming

from opencarrier.kernel.money import INT64_MAX, MoneyError
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.adjustment_inputs import encode_inputs
from opencarrier.rating.adjustments import due_again, inputs_of
from opencarrier.rating.agreements.exchange import Part, converted
from opencarrier.rating.agreements.plans import Flat
from opencarrier.rating.periods import PeriodSums


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], ()),
        ([Part((100, 7), 1, 0)], (100, 7)),
        ([Part((10_000,), 10_835, 4)], (10_835,)),
        ([Part((1,), 5, 1)], (1,)),  # 0.5 goes up
        ([Part((1,), 4, 1)], (0,)),
        ([Part((-1,), 5, 1)], (-1,)),  # a claim and the debt it is are one number
        ([Part((1,), 25, 2), Part((1,), 25, 2)], (1,)),  # 0.25 twice: rounded once, not twice
        ([Part((1, 1, 1), 5, 1)], (1, 1, 0)),  # 1.5 goes up to 2; equal remainders, in order
        ([Part((1, 2), 26, 2), Part((3, 0), 1, 1)], (1, 0)),  # 0.56 and 0.52 make 1.08
        ([Part((INT64_MAX,), 1, 0)], (INT64_MAX,)),
    ],
)
def test_positions_worked_by_hand(parts: list[Part], expected: tuple[int, ...]) -> None:
    assert converted(parts) == expected


def test_what_leaves_64_bits_is_refused() -> None:
    with pytest.raises(MoneyError):
        converted([Part((INT64_MAX,), 1, 0), Part((1,), 1, 0)])


def test_an_adjustment_that_leaves_64_bits_in_the_asset_is_a_peers_mistake() -> None:
    """Whoever verifies a receipt meets it: terms within bounds, whose product is not."""
    flat = deal(pricing(plan=Flat(fixed_minor=10**18)), currency="EUR")
    exchange = rate(rate=10**15, decimals=0)
    signed = roaming(rates=(exchange,), deals=(flat,))
    sums = PeriodSums({}, (0,))
    made = inputs_of(signed, flat, TERM, sums, is_final=True)
    with pytest.raises(PeerError):
        due_again(encode_inputs(made), exchange)


PARTS = st.lists(
    st.builds(
        Part,
        st.tuples(*[st.integers(-(10**9), 10**12)] * 3),
        st.integers(1, 10**6),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=5,
)


@given(PARTS, st.randoms())
def test_legs_sum_to_the_exact_total_rounded_once(parts: list[Part], random: object) -> None:
    exact = [
        sum(Fraction(part.legs_minor[at] * part.rate, 10**part.decimals) for part in parts)
        for at in range(3)
    ]
    total = sum(exact)
    rounded = floor(abs(total) + Fraction(1, 2)) * (1 if total >= 0 else -1)
    legs = converted(parts)
    assert sum(legs) == rounded
    assert all(abs(leg - whole) < 1 or leg == whole for leg, whole in zip(legs, exact, strict=True))
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert converted(shuffled) == legs
