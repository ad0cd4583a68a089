"""The exact price of a cumulative quantity, and how it falls to its legs.

Every function here takes the counters of a session since its start and never falls when they
rise; a charge is the difference of two values. So wherever a session is cut, each leg's charges
sum to what the uncut session would have cost, and no leg is ever negative.

All intermediate values fit signed 64-bit integers within the guards, so the same formula runs
unchanged in SQL engines that wrap silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.kernel.money import (
    INT64_MAX,
    NANO,
    PPM,
    divide_ceiling,
    divide_floor,
    divide_half_up,
)
from opencarrier.rating.model import CHARGE_MAX_MINOR, Price, Tariff
from opencarrier.spine.usage import ZERO, Counters

VERSION: Final = "rating/v1"
QUANTITY_MAX: Final = 1 << 62
"""Guard on the quantity of a session: with the step added it stays within 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholesaleLegs:
    """How a session's wholesale price falls to those it is owed to, in minor units."""

    seller_minor: int
    host_minor: int
    protocol_minor: int
    tax_minor: int

    def __add__(self, other: WholesaleLegs) -> WholesaleLegs:
        """Add leg by leg."""
        names = self.__slots__
        return WholesaleLegs(**{n: getattr(self, n) + getattr(other, n) for n in names})

    def __sub__(self, before: WholesaleLegs) -> WholesaleLegs:
        """Return what each leg rose by."""
        names = self.__slots__
        return WholesaleLegs(**{n: getattr(self, n) - getattr(before, n) for n in names})

    @property
    def amount_minor(self) -> int:
        """The sum of the legs."""
        return self.seller_minor + self.host_minor + self.protocol_minor + self.tax_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class RetailLegs:
    """How a session's retail price falls to the seller and the tax, and what the discount cost."""

    seller_minor: int
    tax_minor: int
    discount_minor: int


def quantity(unit: str, counters: Counters) -> int:
    """Return how much of a tariff's unit a session has used since its start.

    A session is counted once anything was used: one that carried nothing for no time is none.
    """
    amounts = {
        "octets_in": counters.octets_in,
        "octets_out": counters.octets_out,
        "octets_total": counters.octets_in + counters.octets_out,
        "duration_s": counters.session_time_s,
        "sessions": int(counters != ZERO),
    }
    return amounts[unit]


def fits(price: Price, amount: int, discount_ppm: int = 0) -> bool:
    """Say whether the formula holds for a quantity: gross < 2^63 nano and price < 9.2e12 minor."""
    if not 0 <= amount <= QUANTITY_MAX or not 0 <= discount_ppm <= PPM:
        return False
    gross_nano = _gross_nano(price, amount)
    return gross_nano <= INT64_MAX and _net_minor(gross_nano, discount_ppm) < CHARGE_MAX_MINOR


def cumulative(price: Price, amount: int, discount_ppm: int = 0) -> int:
    """Return the price of a quantity in minor units, before any tax that comes on top.

    Each begun step counts whole; the sum is taken in nano-units, less the discount, and rounded
    half up once; it is at least the minimum, and nothing for nothing.
    """
    assert fits(price, amount, discount_ppm), "a quantity is beyond the guards of the formula"
    if amount == 0:
        return 0
    return max(price.minimum_minor, _net_minor(_gross_nano(price, amount), discount_ppm))


def tax(price: Price, price_minor: int) -> int:
    """Return the tax on a price, rounded half up: within it or on top, as the terms say."""
    return _tax(price.tax_ppm, included=price.tax_included, price_minor=price_minor)


def wholesale_legs(tariff: Tariff, protocol_ppm: int, counters: Counters) -> WholesaleLegs:
    """Return what a session so far owes to the visited operator, host, protocol and tax."""
    return fall(
        cumulative(tariff, quantity(tariff.unit, counters)),
        tax_ppm=tariff.tax_ppm,
        tax_included=tariff.tax_included,
        host_ppm=tariff.host_ppm,
        protocol_ppm=protocol_ppm,
    )


def fall(
    price_minor: int, *, tax_ppm: int, tax_included: bool, host_ppm: int, protocol_ppm: int
) -> WholesaleLegs:
    """Return how a price falls to its legs.

    The host has its share of the price without tax, rounded down. The protocol has its ppm of
    the same price, taken from what the host left and rounded down, so that no leg ever falls as
    the session grows. The visited operator keeps every remainder.
    """
    tax_minor = _tax(tax_ppm, included=tax_included, price_minor=price_minor)
    untaxed_minor = price_minor - tax_minor if tax_included else price_minor
    host_minor = divide_floor(untaxed_minor * host_ppm, PPM)
    left_minor, left_ppm = untaxed_minor - host_minor, PPM - host_ppm
    protocol_minor = divide_floor(left_minor * protocol_ppm, left_ppm) if left_ppm else 0
    return WholesaleLegs(
        seller_minor=left_minor - protocol_minor,
        host_minor=host_minor,
        protocol_minor=protocol_minor,
        tax_minor=tax_minor,
    )


def retail_legs(price: Price, discount_ppm: int, counters: Counters) -> RetailLegs:
    """Return what a session so far owes the seller and the tax, and its discount.

    The discount is what it takes off the seller's income without tax, rounded down; it comes
    from the seller's budget and is no part of what the subscriber pays.
    """
    amount = quantity(price.unit, counters)
    price_minor = cumulative(price, amount, discount_ppm)
    tax_minor = tax(price, price_minor)
    return RetailLegs(
        seller_minor=price_minor - tax_minor if price.tax_included else price_minor,
        tax_minor=tax_minor,
        discount_minor=_discount_minor(price, amount, discount_ppm),
    )


def _tax(tax_ppm: int, *, included: bool, price_minor: int) -> int:
    return divide_half_up(price_minor * tax_ppm, PPM + tax_ppm if included else PPM)


def _gross_nano(price: Price, amount: int) -> int:
    return divide_ceiling(amount, price.step) * price.price_nano


def _net_minor(gross_nano: int, discount_ppm: int) -> int:
    """Round half up gross x (1e6 - discount) / 1e9, split so that no product leaves 64 bits."""
    keep_ppm = PPM - discount_ppm
    whole, part = divmod(gross_nano, NANO)
    return whole * keep_ppm + divide_half_up(part * keep_ppm, NANO)


def _discount_minor(price: Price, amount: int, discount_ppm: int) -> int:
    if amount == 0:
        return 0
    minimum = price.minimum_minor * NANO
    gross_nano = _gross_nano(price, amount)
    full = max(minimum, gross_nano * PPM)
    reduced = max(minimum, gross_nano * (PPM - discount_ppm))
    base_ppm = PPM + price.tax_ppm if price.tax_included else PPM
    return divide_floor((full - reduced) * PPM, base_ppm * NANO)
