"""What deals make of a whole period: the difference of what is owed by now and what is booked.

Records are charged one by one as they come; a deal looks at their sum. Each adjustment brings what
is booked to a function of the period's totals, so late use, corrections and any order of closing
end at the same amount, leg by leg. A commitment counts only once the period is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Final, TypeAlias

from opencarrier.kernel.clock import Window
from opencarrier.kernel.money import PPM, divide_floor, divide_half_up
from opencarrier.rating.agreements.model import Commitment, Deal, Pricing
from opencarrier.rating.agreements.plans import Discounted, Totals
from opencarrier.rating.rules.v1 import WholesaleLegs

Legs: TypeAlias = WholesaleLegs
NONE: Final = Legs(seller_minor=0, host_minor=0, protocol_minor=0, tax_minor=0)


class Verdict(IntEnum):
    """How a deal stands: its period still open, met, or missed with what follows."""

    OPEN = 1
    MET = 2
    MISSED = 3
    NO_DEAL = 4
    SHORTFALL = 5


@dataclass(frozen=True, slots=True)
class LineSum:
    """What a line's records of a period came to: an amount of its unit, and their charges."""

    amount: int
    legs: Legs


@dataclass(frozen=True, slots=True)
class PeriodSums:
    """All that a deal reads of a period: a sum by line, and each pricing's distinct subscribers.

    A line without a sum had no record. A pricing of use has no subscribers, written 0.
    """

    lines: Mapping[str, LineSum]
    subscribers: tuple[int, ...]

    def amount(self, names: Iterable[str]) -> int:
        """Return what some lines' records amount to."""
        return sum(self.lines[name].amount for name in names if name in self.lines)

    def legs(self, names: Iterable[str]) -> Legs:
        """Return what some lines' records were charged."""
        return reduce(add, (self.lines[name].legs for name in names if name in self.lines), NONE)


@dataclass(frozen=True, slots=True)
class Owed:
    """What a period comes to under a deal, in place of what its records were charged."""

    legs: Legs
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedRecord:
    """A record as a deal sees it: whose, when, by which line, how much and for what."""

    line: str
    subject: bytes
    at_us: int
    amount: int
    legs: Legs


def windows_in(periods_us: Sequence[int], deal: Deal) -> list[Window]:
    """Return the times a deal sums over: each of the agreement's periods, or its whole term."""
    ends = (periods_us[0], periods_us[-1]) if deal.per == "term" else periods_us
    return [Window(start_us, end_us) for start_us, end_us in pairwise(ends)]


def sums_of(deal: Deal, window: Window, records: Iterable[RatedRecord]) -> PeriodSums:
    """Sum the records of a deal's lines in a window, and count each pricing's subscribers once."""
    known = [record for record in records if window.holds(record.at_us)]
    lines: dict[str, LineSum] = {}
    for record in known:
        before = lines.get(record.line, LineSum(0, NONE))
        legs = before.legs + record.legs
        lines[record.line] = LineSum(before.amount + record.amount, legs)
    subscribers = [
        len({record.subject for record in known if record.line in pricing.lines})
        if pricing.measure == "subscribers"
        else 0
        for pricing in deal.pricings
    ]
    return PeriodSums(lines, tuple(subscribers))


def charged(deal: Deal, sums: PeriodSums) -> Legs:
    """Return what the records were charged whose charges the deal takes the place of."""
    names = [name for item in deal.pricings if item.measure == "usage" for name in item.lines]
    return sums.legs(names)


def owed(deal: Deal, protocol_ppm: int, sums: PeriodSums, *, is_final: bool) -> Owed:
    """Return what a period comes to under a deal, from its sums alone.

    While the period is open a commitment is taken to be met. Hosts keep what their records gave
    them; the visited operator bears and has the difference.
    """
    assert len(sums.subscribers) == len(deal.pricings)
    priced = [
        _priced(pricing, protocol_ppm, sums, subscribers)
        for pricing, subscribers in zip(deal.pricings, sums.subscribers, strict=True)
    ]
    rated = reduce(add, priced, NONE)
    if not is_final:
        return Owed(rated, Verdict.OPEN)
    commitment = deal.commitment
    if commitment is None:
        return Owed(rated, Verdict.MET)
    missing_minor = commitment.amount_minor - _counted(deal, commitment, sums, priced)
    if missing_minor <= 0:
        return Owed(rated, Verdict.MET)
    if commitment.shortfall == "no_deal":
        return Owed(charged(deal, sums), Verdict.NO_DEAL)
    if commitment.shortfall == "send_or_pay":
        missing = _shortfall(commitment, protocol_ppm, missing_minor)
        return Owed(rated + missing, Verdict.SHORTFALL)
    return Owed(rated, Verdict.MISSED)


def _priced(pricing: Pricing, protocol_ppm: int, sums: PeriodSums, subscribers: int) -> Legs:
    if pricing.measure == "subscribers":
        totals = Totals(amount=subscribers, reverse_amount=0, untaxed_minor=0)
        return _taxed(pricing, protocol_ppm, pricing.plan.minor(totals), NONE)
    charges = sums.legs(pricing.lines)
    totals = Totals(
        amount=sums.amount(pricing.lines),
        reverse_amount=sums.amount(pricing.reverse_lines),
        untaxed_minor=charges.amount_minor - charges.tax_minor,
    )
    minor = pricing.plan.minor(totals)
    if isinstance(pricing.plan, Discounted):
        return _scaled(charges, minor)
    return _taxed(pricing, protocol_ppm, minor, charges)


def _taxed(pricing: Pricing, protocol_ppm: int, minor: int, charges: Legs) -> Legs:
    """Put tax on a plan's amount, or take it out of it, and let it fall to the legs."""
    base_ppm = PPM + pricing.tax_ppm if pricing.tax_included else PPM
    tax_minor = divide_half_up(minor * pricing.tax_ppm, base_ppm)
    untaxed_minor = minor - tax_minor if pricing.tax_included else minor
    return _fallen(untaxed_minor, tax_minor, charges.host_minor, protocol_ppm)


def _scaled(charges: Legs, untaxed_minor: int) -> Legs:
    """Scale charges to a discounted sum; without a discount they stay as they are."""
    before_minor = charges.amount_minor - charges.tax_minor
    if before_minor == 0:
        return charges
    protocol_minor = divide_floor(charges.protocol_minor * untaxed_minor, before_minor)
    return Legs(
        seller_minor=untaxed_minor - charges.host_minor - protocol_minor,
        host_minor=charges.host_minor,
        protocol_minor=protocol_minor,
        tax_minor=divide_half_up(charges.tax_minor * untaxed_minor, before_minor),
    )


def _counted(deal: Deal, commitment: Commitment, sums: PeriodSums, priced: Iterable[Legs]) -> int:
    """Return what counts towards a commitment: the records' charges, or what the plans make."""
    counting = [
        (pricing, legs)
        for pricing, legs in zip(deal.pricings, priced, strict=True)
        if pricing.in_commitment
    ]
    if commitment.basis == "contract":
        legs = sums.legs({name for pricing, _ in counting for name in pricing.lines})
    else:
        legs = reduce(add, (legs for _, legs in counting), NONE)
    return legs.amount_minor if commitment.with_tax else legs.amount_minor - legs.tax_minor


def _shortfall(commitment: Commitment, protocol_ppm: int, missing_minor: int) -> Legs:
    base_ppm = PPM + commitment.tax_ppm if commitment.with_tax else PPM
    tax_minor = divide_half_up(missing_minor * commitment.tax_ppm, base_ppm)
    untaxed_minor = missing_minor - tax_minor if commitment.with_tax else missing_minor
    return _fallen(untaxed_minor, tax_minor, 0, protocol_ppm)


def _fallen(untaxed_minor: int, tax_minor: int, host_minor: int, protocol_ppm: int) -> Legs:
    protocol_minor = divide_floor(untaxed_minor * protocol_ppm, PPM)
    return Legs(
        seller_minor=untaxed_minor - host_minor - protocol_minor,
        host_minor=host_minor,
        protocol_minor=protocol_minor,
        tax_minor=tax_minor,
    )
