"""Money as integers of an asset's ledger scale, with rounding that has a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType

AssetId = NewType("AssetId", str)
"""A CAIP-19 id (`eip155:31337/erc20:0x...`) or `issuer/currency`: two issuers, two assets."""

INT64_MAX = (1 << 63) - 1
PPM = 1_000_000
NANO = 1_000_000_000


class MoneyError(ArithmeticError):
    """Money left its range or two assets met in one sum."""


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount: `minor` units of `asset`'s ledger scale (micro-units where it has 6)."""

    asset: AssetId
    minor: int

    def __add__(self, other: Money) -> Money:
        """Add money of the same asset; `MoneyError` across assets."""
        return Money(self._same(other), self.minor + other.minor)

    def __sub__(self, other: Money) -> Money:
        """Subtract money of the same asset; `MoneyError` across assets."""
        return Money(self._same(other), self.minor - other.minor)

    def __neg__(self) -> Money:
        """Turn a debt into a claim."""
        return Money(self.asset, -self.minor)

    def _same(self, other: Money) -> AssetId:
        if self.asset != other.asset:
            raise MoneyError(f"{self.asset} and {other.asset} do not add up")
        return self.asset


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What an asset is called and how finely it is kept and paid out."""

    asset_id: AssetId
    code: str
    ledger_decimals: int
    payout_decimals: int


def int64(value: int, what: str) -> int:
    """Return `value` if a signed 64-bit column holds it; `MoneyError` naming `what` otherwise."""
    if not -INT64_MAX <= value <= INT64_MAX:
        raise MoneyError(f"{what} is beyond 64 bits: {value}")
    return value


def divide_half_up(numerator: int, denominator: int) -> int:
    """Divide non-negative integers, halves rounded up."""
    assert numerator >= 0
    assert denominator > 0
    return (numerator + denominator // 2) // denominator


def divide_floor(numerator: int, denominator: int) -> int:
    """Divide non-negative integers, the remainder left to somebody named by the caller."""
    assert numerator >= 0
    assert denominator > 0
    return numerator // denominator


def divide_ceiling(numerator: int, denominator: int) -> int:
    """Divide non-negative integers, any begun unit counted whole."""
    assert numerator >= 0
    assert denominator > 0
    return -(-numerator // denominator)


def split(total_minor: int, weights: Sequence[int]) -> list[int]:
    """Split a total by weights into parts that sum to it (largest remainder first, then order)."""
    assert total_minor >= 0
    whole = sum(weights)
    assert whole > 0
    assert min(weights) >= 0
    parts = [total_minor * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda i: (-(total_minor * weights[i] % whole), i)
    )
    for i in by_remainder[: total_minor - sum(parts)]:
        parts[i] += 1
    return parts
