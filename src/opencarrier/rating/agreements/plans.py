"""Rating plans on what a pair used in a whole period: exact totals in, one amount out.

Every plan is a function of the totals alone, so it does not matter in what order, in how many
parts or how late they came. Amounts are rounded half up once, at the end; `step` is how much of
the unit a linear price is for. The shapes are those of GSMA's BWR contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from opencarrier.kernel.encoding import Value
from opencarrier.kernel.money import PPM, divide_half_up

TIERS_MAX: Final = 32
MILLI: Final = 1_000
"""Nano-units in a minor unit (a millionth of the currency unit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a plan is applied to: an amount of its unit, the other direction's, the charges.

    `untaxed_minor` is what the records of the same lines were charged, without tax.
    """

    amount: int
    reverse_amount: int
    untaxed_minor: int

    def __post_init__(self) -> None:
        assert min(self.amount, self.reverse_amount, self.untaxed_minor) >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """From where on it holds (what lies beyond `start`), once that much, and so much per step."""

    start: int
    fixed_minor: int
    price_nano: int

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountTier:
    """From which sum of charges on how much is taken off."""

    start_minor: int
    discount_ppm: int

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class NotCharged:
    """Nothing is owed."""

    def minor(self, totals: Totals) -> int:
        """Return what is owed, without regard to tax."""
        return 0

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {"kind": "not_charged"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """The same is owed whatever is used, also for nothing."""

    fixed_minor: int

    def minor(self, totals: Totals) -> int:
        """Return what is owed, without regard to tax."""
        return self.fixed_minor

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {"kind": "flat", "fixed_minor": self.fixed_minor}


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """So much per step, and a part of a step its part."""

    step: int
    price_nano: int

    def minor(self, totals: Totals) -> int:
        """Return what is owed, without regard to tax."""
        return _rounded(totals.amount * self.price_nano, self.step)

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {"kind": "linear", "step": self.step, "price_nano": self.price_nano}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackToFirst:
    """The whole amount at the terms of the last tier it goes beyond; nothing within none."""

    step: int
    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        assert ascending([tier.start for tier in self.tiers])

    def minor(self, totals: Totals) -> int:
        """Return what is owed, without regard to tax."""
        reached = [tier for tier in self.tiers if totals.amount > tier.start]
        return _rounded(_cost(reached[-1], totals.amount, self.step), self.step) if reached else 0

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {"kind": "back_to_first", "step": self.step, "tiers": _terms(self.tiers)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiered:
    """Each tier's part of the amount at that tier's terms; what is below the first is free."""

    step: int
    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        assert ascending([tier.start for tier in self.tiers])

    def minor(self, totals: Totals) -> int:
        """Return what is owed, without regard to tax."""
        parts = _parts(totals.amount, [tier.start for tier in self.tiers])
        costs = [
            _cost(tier, part, self.step) for tier, part in zip(self.tiers, parts, strict=False)
        ]
        return _rounded(sum(costs), self.step)

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {"kind": "tiered", "step": self.step, "tiers": _terms(self.tiers)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """What both directions used alike at one price, what this one used more at another."""

    step: int
    balanced_price_nano: int
    unbalanced_price_nano: int

    def minor(self, totals: Totals) -> int:
        """Return what is owed, without regard to tax."""
        balanced = min(totals.amount, totals.reverse_amount)
        excess = totals.amount - balanced
        nano = balanced * self.balanced_price_nano + excess * self.unbalanced_price_nano
        return _rounded(nano, self.step)

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {"kind": "balanced", **{name: getattr(self, name) for name in self.__slots__}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Discounted:
    """What the records were charged, less a discount by how much that is.

    With `whole` the last tier's discount is taken off all of it, else each tier's off its part. A
    single tier from 0 that takes off 0 leaves the charges as they are, to the unit.
    """

    whole: bool
    tiers: tuple[DiscountTier, ...]

    def __post_init__(self) -> None:
        assert ascending([tier.start_minor for tier in self.tiers])

    def minor(self, totals: Totals) -> int:
        """Return what is owed, without regard to tax."""
        charged_minor = totals.untaxed_minor
        parts = _parts(charged_minor, [tier.start_minor for tier in self.tiers])
        ppms = [tier.discount_ppm for tier, _ in zip(self.tiers, parts, strict=False)]
        if self.whole:
            parts, ppms = [charged_minor] if parts else [], ppms[-1:]
        off = sum(part * ppm for part, ppm in zip(parts, ppms, strict=True))
        return charged_minor - divide_half_up(off, PPM)

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {"kind": "discounted", "whole": self.whole, "tiers": _terms(self.tiers)}


Plan: TypeAlias = NotCharged | Flat | Linear | BackToFirst | Tiered | Balanced | Discounted


def ascending(starts: Sequence[int]) -> bool:
    """Say whether there are tiers, each begins beyond the one before, and not too many."""
    rising = all(before < after for before, after in pairwise(starts))
    return 0 < len(starts) <= TIERS_MAX and starts[0] >= 0 and rising


def _parts(amount: int, starts: Sequence[int]) -> list[int]:
    """Return how much of an amount lies in each tier that it goes beyond the start of."""
    ends = [*starts[1:], amount]
    return [min(amount, end) - at for at, end in zip(starts, ends, strict=True) if amount > at]


def _cost(tier: Tier, amount: int, step: int) -> int:
    """Return a tier's terms for an amount, in nano-units times the step."""
    return tier.fixed_minor * MILLI * step + amount * tier.price_nano


def _rounded(nano_steps: int, step: int) -> int:
    return divide_half_up(nano_steps, step * MILLI)


def _terms(tiers: Sequence[Tier | DiscountTier]) -> list[Value]:
    return [tier.terms() for tier in tiers]
