"""What a line's traffic would have cost at another price, or less a discount: from its sums. Pure.

A record is charged by its session, rounded there; a sum does not know the sessions. Where nothing
can round, be lifted to a minimum or have a price of its own, the answer is exact. Else it lies
within bounds that no session can leave: one unit a record for each rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from opencarrier.kernel.money import PPM
from opencarrier.rating.agreements.model import Deal, Pricing
from opencarrier.rating.agreements.plans import Discounted, DiscountTier
from opencarrier.rating.periods import Legs, LineSum, PeriodSums, owed
from opencarrier.rating.rules import v2
from opencarrier.rating.traffic import Traffic
from opencarrier.spine.parties import PartyId

MILLI: Final = 1_000
"""Nano-units in a minor unit."""


class Why(IntEnum):
    """Why an answer has bounds; all that apply are given."""

    ROUNDING = 1
    MINIMUM = 2
    TAX = 3
    QUOTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What traffic comes to, tax included: between two amounts, which are one where it is exact."""

    least_minor: int
    most_minor: int
    why: frozenset[Why] = frozenset()

    def __post_init__(self) -> None:
        assert self.least_minor <= self.most_minor

    @property
    def is_exact(self) -> bool:
        """Whether it is known to the unit."""
        return self.least_minor == self.most_minor

    def __add__(self, other: Cost) -> Cost:
        """Add what other traffic comes to."""
        return Cost(
            least_minor=self.least_minor + other.least_minor,
            most_minor=self.most_minor + other.most_minor,
            why=self.why | other.why,
        )


NO_COST: Final = Cost(least_minor=0, most_minor=0)


def repriced(terms: v2.Terms, traffic: Traffic, price_nano: int, *, is_quoted: bool) -> Cost:
    """Return what a line's traffic would have cost at another price per step.

    Records that were quoted a price in band have had that one: it counts where it is not above the
    new price, so of them only bounds are known.
    """
    if price_nano == terms.price_nano or not traffic.uses:
        return _exactly(traffic.legs.amount_minor)
    untaxed = (
        _quoted(terms, traffic, price_nano) if is_quoted else _price(terms, traffic, price_nano)
    )
    return untaxed if terms.tax_included else _with_tax(terms, traffic, untaxed, price_nano)


def discounted(cost: Cost, legs: Legs | None, discount_ppm: int) -> Cost:
    """Take a part off what is charged without tax, as a deal of the agreement would.

    `legs` are how an exact cost falls; None where that is not known, which costs two units of
    certainty for the rounding of price and tax.
    """
    assert 0 <= discount_ppm <= PPM
    if not discount_ppm:
        return cost
    if legs is not None:
        return _exactly(_by_deal(legs, discount_ppm).amount_minor)
    keep = PPM - discount_ppm
    return Cost(
        least_minor=max(cost.least_minor * keep // PPM - 2, 0),
        most_minor=-(-cost.most_minor * keep // PPM) + 2,
        why=cost.why | {Why.ROUNDING},
    )


def legs_at(terms: v2.Terms, traffic: Traffic, price_nano: int, cost: Cost) -> Legs | None:
    """Return how a cost falls to price and tax where that follows from the sums."""
    if price_nano == terms.price_nano:
        return traffic.legs
    if not cost.is_exact or terms.tax_ppm:
        return None
    return Legs(seller_minor=cost.least_minor, host_minor=0, protocol_minor=0, tax_minor=0)


def _exactly(minor: int) -> Cost:
    return Cost(least_minor=minor, most_minor=minor)


def _price(terms: v2.Terms, traffic: Traffic, price_nano: int) -> Cost:
    """Price all steps, a fixed amount a session; a minimum lifts what begins, then takes back."""
    gross_nano = traffic.steps * price_nano
    fixed_minor = traffic.sessions * terms.fixed_minor
    least = most = gross_nano // MILLI + fixed_minor
    why = set()
    if price_nano % MILLI:
        why.add(Why.ROUNDING)
        least, most = least - traffic.uses, most + 1 + traffic.uses
    if terms.minimum_minor > _smallest(terms, price_nano):
        why.add(Why.MINIMUM)
        least -= terms.minimum_minor * (traffic.uses - traffic.sessions)
        most += terms.minimum_minor * traffic.sessions
    return Cost(least_minor=max(least, 0), most_minor=most, why=frozenset(why))


def _smallest(terms: v2.Terms, price_nano: int) -> int:
    """Return the least that a session with any use costs without a minimum."""
    return terms.fixed_minor + v2.steps(terms, 1) * price_nano // MILLI


def _quoted(terms: v2.Terms, traffic: Traffic, price_nano: int) -> Cost:
    """Bound what each quote makes of a new price: below it as before, else between both."""
    legs, uses = traffic.legs, traffic.uses
    before = legs.amount_minor - (0 if terms.tax_included else legs.tax_minor)
    slack = uses + terms.minimum_minor * uses
    ceiling = traffic.steps * price_nano // MILLI + 1 + traffic.sessions * terms.fixed_minor
    if price_nano > terms.price_nano:
        least, most = before, max(before, ceiling)
    else:
        least = max(before - slack, 0) * price_nano // terms.price_nano
        most = min(before, ceiling) if terms.price_nano else before
    return Cost(
        least_minor=max(least - slack, 0), most_minor=most + slack, why=frozenset({Why.QUOTES})
    )


def _with_tax(terms: v2.Terms, traffic: Traffic, untaxed: Cost, price_nano: int) -> Cost:
    """Put tax on a price, rounded a session; it is exact where no step's tax has a remainder."""
    if not terms.tax_ppm:
        return untaxed
    least = untaxed.least_minor * terms.tax_ppm // PPM
    most = -(-untaxed.most_minor * terms.tax_ppm // PPM)
    step_minor, rest = divmod(price_nano, MILLI)
    whole = not rest and not step_minor * terms.tax_ppm % PPM
    if untaxed.is_exact and whole and not terms.fixed_minor * terms.tax_ppm % PPM:
        return _exactly(untaxed.least_minor + least)
    return Cost(
        least_minor=untaxed.least_minor + max(least - traffic.uses, 0),
        most_minor=untaxed.most_minor + most + traffic.uses,
        why=untaxed.why | {Why.TAX},
    )


def _by_deal(legs: Legs, discount_ppm: int) -> Legs:
    """Ask the rule of deals what a discount on all of a period's charges leaves."""
    tier = DiscountTier(start_minor=0, discount_ppm=discount_ppm)
    pricing = Pricing(
        lines=("all",),
        reverse_lines=(),
        measure="usage",
        plan=Discounted(whole=True, tiers=(tier,)),
        tax_ppm=0,
        tax_included=False,
        in_commitment=False,
    )
    deal = Deal(
        deal="what-if",
        home=PartyId(""),
        visited=PartyId(""),
        per="term",
        currency="",
        commitment=None,
        pricings=(pricing,),
    )
    sums = PeriodSums({"all": LineSum(0, legs)}, (0,))
    return owed(deal, 0, sums, is_final=True).legs
