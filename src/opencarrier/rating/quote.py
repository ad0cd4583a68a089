"""The quote: how long a session may last before its access point asks again, and what is held.

Prepaid RADIUS cannot stop a session in time without a disconnect message; what bounds the
exposure is the Session-Timeout (RFC 2865 section 5.27), at the end of which the access point
comes back for a new grant (Termination-Action, section 5.29).
"""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.rating.model import INTERIM_FLOOR_S, SESSION_S_MAX, RetailPlan
from opencarrier.rating.reasons import AccessReason
from opencarrier.rating.rules import v1
from opencarrier.rating.wholesale import Terms
from opencarrier.spine.access import Rate
from opencarrier.spine.usage import Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Both contracts as they stand for a subscriber, and the money there is to cover them."""

    terms: Terms
    plan: RetailPlan
    discount_ppm: int
    grace_s: int
    balance_minor: int | None
    """What the subscriber's balance still covers; None where it pays as it uses."""
    collateral_minor: int | None
    """What the home's collateral still covers; None where that is not asked."""
    longest_s: int = SESSION_S_MAX
    """When what is offered ends: a tariff, a plan, the lock a discount hangs on."""
    room_minor: int | None = None
    """What the subscriber's own cap still allows this month; None where it has none."""
    line_octets_per_s: int = 0
    """What a line may carry where nobody is known to keep to the plan's cap."""

    @property
    def octets_per_s(self) -> int:
        """What a session is taken to use at most."""
        return max(self.plan.rate_cap_octets_per_s, self.line_octets_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """How long is granted, and what the session can cost at most, retail and wholesale.

    `spend_minor` is the hold and what a discount can take off it, `accepted` the rate in band that
    both operators are held to.
    """

    session_timeout_s: int
    interim_interval_s: int
    hold_minor: int
    spend_minor: int
    exposure_minor: int
    accepted: Rate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetailPrice:
    """What an amount of use costs on a plan, tax included, and until when the plan says so."""

    plan_hash: Id
    tariff_hash: Id
    amount_minor: int
    tax_minor: int
    valid_until_us: int


def retail_price(plan: RetailPlan, counters: Counters) -> RetailPrice | Refusal:
    """Price an amount of use on a plan, as a session of it would be rated, without discount."""
    price = plan.price
    if not v1.fits(price, v1.quantity(price.unit, counters)):
        return Refusal(AccessReason.BEYOND_RANGE, f"{counters}")
    legs = v1.retail_legs(price, 0, counters)
    return RetailPrice(
        plan_hash=plan.hash,
        tariff_hash=price.hash,
        amount_minor=legs.seller_minor + legs.tax_minor,
        tax_minor=legs.tax_minor,
        valid_until_us=price.window.end_us,
    )


def quote(offer: Offer) -> Quote | Refusal:
    """Grant the longest time both the balance and the collateral cover, up to the plan's.

    Whoever pays as it uses has nothing held in advance: each slice is paid for before it.

    Less than one interim interval (the access point's floor of 60 s) is not worth granting:
    the refusal says which money was short.
    """
    longest_s = max(INTERIM_FLOOR_S, min(offer.plan.session_s_max, offer.longest_s))
    best = _covered(offer, longest_s)
    if isinstance(best, Quote):
        return best
    best = _covered(offer, INTERIM_FLOOR_S)
    if isinstance(best, Refusal):
        return best
    least_s, beyond_s = INTERIM_FLOOR_S, longest_s
    while beyond_s - least_s > 1:
        middle_s = (least_s + beyond_s) // 2
        found = _covered(offer, middle_s)
        if isinstance(found, Quote):
            least_s, best = middle_s, found
        else:
            beyond_s = middle_s
    return best


def wholesale_minor(offer: Offer, timeout_s: int) -> int:
    """Return the most a session of this length can cost the home operator, tax included.

    Where home and visited are one, its own part is no debt: what hosts, protocol and tax get is.
    """
    terms = offer.terms
    legs = terms.legs(_most(offer, terms.unit, timeout_s))
    own = terms.home == terms.visited
    seller_minor = 0 if own else legs.seller_minor
    return seller_minor + legs.host_minor + legs.protocol_minor + legs.tax_minor


def _covered(offer: Offer, timeout_s: int) -> Quote | Refusal:
    """Return the quote of a length, or what does not cover it."""
    price, terms = offer.plan.price, offer.terms
    retail = v1.quantity(price.unit, _most(offer, price.unit, timeout_s))
    wholesale = _most(offer, terms.unit, timeout_s)
    if not v1.fits(price, retail, offer.discount_ppm) or not terms.fits(wholesale):
        return Refusal(AccessReason.BEYOND_RANGE, f"{timeout_s} s at the plan's rate cap")
    legs = retail_legs(offer, timeout_s)
    hold_minor = legs.seller_minor + legs.tax_minor
    if offer.balance_minor is not None and hold_minor > offer.balance_minor:
        return Refusal(
            AccessReason.INSUFFICIENT_BALANCE,
            f"{timeout_s} s can cost {hold_minor}, {offer.balance_minor} is free",
        )
    if offer.room_minor is not None and hold_minor > offer.room_minor:
        return Refusal(
            AccessReason.SPEND_CAP_REACHED,
            f"{timeout_s} s can cost {hold_minor}, the month's cap leaves {offer.room_minor}",
        )
    exposure_minor = wholesale_minor(offer, timeout_s)
    if offer.collateral_minor is not None and exposure_minor > max(0, offer.collateral_minor):
        return Refusal(
            AccessReason.INSUFFICIENT_COLLATERAL,
            f"{timeout_s} s can cost {exposure_minor}, collateral covers {offer.collateral_minor}",
        )
    return Quote(
        session_timeout_s=timeout_s,
        interim_interval_s=min(offer.plan.interim_s, timeout_s),
        hold_minor=0 if offer.balance_minor is None else hold_minor,
        spend_minor=hold_minor + legs.discount_minor,
        exposure_minor=exposure_minor,
    )


def retail_legs(offer: Offer, timeout_s: int) -> v1.RetailLegs:
    """Return what the most a session of this length can cost the subscriber is made of."""
    price = offer.plan.price
    return v1.retail_legs(price, offer.discount_ppm, _most(offer, price.unit, timeout_s))


def _most(offer: Offer, unit: str, timeout_s: int) -> Counters:
    """Return the most a session can count in a unit; its octets both ways keep to the rate cap."""
    duration_s = timeout_s + offer.grace_s
    octets = offer.octets_per_s * duration_s
    octets_in, octets_out = (0, octets) if unit == "octets_out" else (octets, 0)
    return Counters(session_time_s=duration_s, octets_in=octets_in, octets_out=octets_out)
