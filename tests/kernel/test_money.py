"""Money: exact, one asset at a time, every division by name."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.money import (
    INT64_MAX,
    AssetId,
    Money,
    MoneyError,
    divide_ceiling,
    divide_floor,
    divide_half_up,
    int64,
    split,
)

EUR, XOF = AssetId("op_a/EUR"), AssetId("op_b/XOF")
naturals = st.integers(0, 1 << 130)
positives = st.integers(1, 1 << 70)


@given(naturals, st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any))
def test_a_split_sums_to_the_whole_and_no_part_strays(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1
        assert weight or not part


def test_a_remainder_goes_to_the_largest_fraction_then_to_the_first() -> None:
    assert split(10, [1, 1, 1]) == [4, 3, 3]
    assert split(11, [1, 1, 1]) == [4, 4, 3]
    assert split(1, [1, 2]) == [0, 1]
    assert split(0, [3, 0]) == [0, 0]


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [0, 0]), (1, [2, -1])])
def test_a_split_needs_something_to_split_by(total: int, weights: list[int]) -> None:
    with pytest.raises(AssertionError):
        split(total, weights)


@given(naturals, positives)
def test_divisions_are_what_their_names_say(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    assert divide_floor(numerator, denominator) == exact.__floor__()
    assert divide_ceiling(numerator, denominator) == exact.__ceil__()
    assert divide_half_up(numerator, denominator) == (exact + Fraction(1, 2)).__floor__()


def test_halves_round_up() -> None:
    assert [divide_half_up(n, 2) for n in range(6)] == [0, 1, 1, 2, 2, 3]
    assert [divide_half_up(n, 3) for n in range(6)] == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("divide", [divide_floor, divide_ceiling, divide_half_up])
@pytest.mark.parametrize(("numerator", "denominator"), [(-1, 1), (1, 0), (1, -1)])
def test_divisions_refuse_signs(divide: object, numerator: int, denominator: int) -> None:
    with pytest.raises(AssertionError):
        divide(numerator, denominator)


def test_two_assets_never_meet_in_a_sum() -> None:
    assert Money(EUR, 3) + Money(EUR, 4) - Money(EUR, 2) == -Money(EUR, -5)
    with pytest.raises(MoneyError):
        Money(EUR, 1) + Money(XOF, 1)
    with pytest.raises(MoneyError):
        Money(EUR, 1) - Money(XOF, 1)
    with pytest.raises(TypeError):
        Money(EUR, 1) < Money(XOF, 1)  # noqa: B015


def test_int64_has_both_ends() -> None:
    assert int64(INT64_MAX, "x") == INT64_MAX
    assert int64(-INT64_MAX, "x") == -INT64_MAX
    for beyond in (INT64_MAX + 1, -INT64_MAX - 1):
        with pytest.raises(MoneyError, match="amount"):
            int64(beyond, "amount")
