"""Sums in other currencies brought to the asset: exact, and rounded half up once per position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opencarrier.kernel.money import divide_half_up, int64


@dataclass(frozen=True, slots=True)
class Part:
    """What one position's records came to at one rate, leg by leg; `rate` / 10^`decimals`."""

    legs_minor: tuple[int, ...]
    rate: int
    decimals: int


def converted(parts: Iterable[Part]) -> tuple[int, ...]:
    """Return a position's legs in the asset; they sum to its exact total, rounded once.

    Half of a minor unit goes up, away from zero, so that a claim and the debt it is are one
    number. The units that rounding the legs down leaves go to the largest remainders, in order.
    `MoneyError` beyond 64 bits.
    """
    known = list(parts)
    scale = 10 ** max((part.decimals for part in known), default=0)
    legs = _scaled(known, scale)
    total_minor = _half_up(sum(legs), scale)
    down = [leg // scale for leg in legs]
    first = sorted(range(len(legs)), key=lambda at: (-(legs[at] % scale), at))
    for at in first[: total_minor - sum(down)]:
        down[at] += 1
    return tuple(int64(leg, "a leg") for leg in down)


def _scaled(parts: Sequence[Part], scale: int) -> list[int]:
    """Sum each leg over all rates, in minor units times the scale."""
    columns = zip(
        *(
            [leg * part.rate * (scale // 10**part.decimals) for leg in part.legs_minor]
            for part in parts
        ),
        strict=True,
    )
    return [sum(column) for column in columns]


def _half_up(numerator: int, denominator: int) -> int:
    rounded = divide_half_up(abs(numerator), denominator)
    return rounded if numerator >= 0 else -rounded
