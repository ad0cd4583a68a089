"""The price of one record by a line of a roaming agreement, as a difference of two cumulatives.

Where the first step is the next one and nothing is fixed, it is version 1 to the unit. Every value
fits signed 64-bit integers within the guards, so the same formula runs unchanged in SQL engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.kernel.money import INT64_MAX, NANO, PPM, divide_ceiling, divide_half_up
from opencarrier.rating.model import CHARGE_MAX_MINOR, STEP_MAX, TARIFF_UNITS
from opencarrier.rating.reasons import DisputeReason
from opencarrier.rating.rules import v1
from opencarrier.spine.access import Quote
from opencarrier.spine.records import RcoiClass

VERSION: Final = "rating/v2"
KIB: Final = 1_024
UNITS: Final = (*TARIFF_UNITS, "units")
"""What a line may count; `units` are messages or events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What prices a record: a line of an agreement, or a row of the table made of it.

    Use is counted in steps of `next_step`, the first of them as long as `first_step`, a multiple
    of it (60 and 1: a minute whole, then seconds). `price_nano` is for `next_step`, `fixed_minor`
    for a session, and a session costs at least `minimum_minor`. `in_band`: the price a record
    was quoted per KiB counts where it is not above `price_nano`.
    """

    unit: str
    first_step: int
    next_step: int
    price_nano: int
    fixed_minor: int
    minimum_minor: int
    currency: str
    tax_ppm: int
    tax_included: bool
    host_ppm: int
    in_band: bool

    def __post_init__(self) -> None:
        assert self.unit in UNITS
        assert 0 < self.next_step <= self.first_step <= STEP_MAX
        assert self.first_step % self.next_step == 0
        assert not self.in_band or (self.next_step == KIB and self.unit.startswith("octets"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What a session used up to some moment of it."""

    octets_in: int = 0
    octets_out: int = 0
    duration_s: int = 0
    units: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        """Add what was used after it."""
        names = self.__slots__
        return Amounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


NOTHING: Final = Amounts()


@dataclass(frozen=True, slots=True)
class Rated:
    """What a record adds to each leg, and why what its reporter quoted was set aside."""

    legs: v1.WholesaleLegs
    dispute: DisputeReason | None


def quantity(unit: str, amounts: Amounts) -> int:
    """Return how much of a unit was used; a session is counted once anything was."""
    if unit == "octets_total":
        return amounts.octets_in + amounts.octets_out
    if unit == "sessions":
        return int(amounts != NOTHING)
    return int(getattr(amounts, unit))


def price_of(terms: Terms, quote: Quote | None) -> tuple[int, DisputeReason | None]:
    """Return the price of a step: the quote where it equals or beats what was agreed.

    A dearer quote, or one in another currency, is set aside with a reason, and the agreed price
    is undisputed. What was not quoted has the agreed price.
    """
    if not terms.in_band or quote is None:
        return terms.price_nano, None
    if quote.currency != terms.currency:
        return terms.price_nano, DisputeReason.QUOTE_IN_OTHER_CURRENCY
    if quote.nano_per_kib > terms.price_nano:
        return terms.price_nano, DisputeReason.QUOTE_ABOVE_AGREEMENT
    return quote.nano_per_kib, None


def fits(terms: Terms, amount: int, price_nano: int, discount_ppm: int = 0) -> bool:
    """Say whether the formula holds: quantity <= 2^62, gross < 2^63 nano, price < 9.2e12 minor."""
    if not 0 <= amount <= v1.QUANTITY_MAX or not 0 <= discount_ppm <= PPM:
        return False
    gross_nano = steps(terms, amount) * price_nano
    return gross_nano <= INT64_MAX and _net(terms, gross_nano, discount_ppm) < CHARGE_MAX_MINOR


def cumulative(terms: Terms, amount: int, price_nano: int, discount_ppm: int = 0) -> int:
    """Return the price of a quantity in minor units, before any tax that comes on top.

    The first step counts whole, so does each begun next one; the sum is rounded half up once, the
    amount per session added, and it is at least the minimum. Nothing costs nothing.
    """
    assert fits(terms, amount, price_nano, discount_ppm), "beyond the guards of the formula"
    if amount == 0:
        return 0
    return max(terms.minimum_minor, _net(terms, steps(terms, amount) * price_nano, discount_ppm))


def steps(terms: Terms, amount: int) -> int:
    """Return how many next steps a quantity counts as; the first step is a multiple of them."""
    if amount == 0:
        return 0
    return max(terms.first_step // terms.next_step, divide_ceiling(amount, terms.next_step))


def beyond(terms: Terms, after: Amounts, quote: Quote | None = None, discount_ppm: int = 0) -> bool:
    """Say whether a session's use lies beyond the guards, so that it must wait."""
    return not fits(terms, quantity(terms.unit, after), price_of(terms, quote)[0], discount_ppm)


def rate(
    terms: Terms,
    protocol_ppm: int,
    *,
    before: Amounts,
    used: Amounts,
    rcoi: RcoiClass = RcoiClass.NONE,
    quote: Quote | None = None,
    discount_ppm: int = 0,
) -> Rated:
    """Price what a record used, after what its session had used `before`.

    Records of one session sum to what the whole would cost, leg by leg, and no leg is negative.
    What is settlement-free costs nothing, whatever the agreement.
    """
    if rcoi is RcoiClass.SETTLEMENT_FREE:
        return Rated(_fall(terms, protocol_ppm, 0), None)
    price_nano, dispute = price_of(terms, quote)
    first, last = (
        cumulative(terms, quantity(terms.unit, amounts), price_nano, discount_ppm)
        for amounts in (before, before + used)
    )
    legs = _fall(terms, protocol_ppm, last) - _fall(terms, protocol_ppm, first)
    return Rated(legs, dispute)


def _fall(terms: Terms, protocol_ppm: int, price_minor: int) -> v1.WholesaleLegs:
    return v1.fall(
        price_minor,
        tax_ppm=terms.tax_ppm,
        tax_included=terms.tax_included,
        host_ppm=terms.host_ppm,
        protocol_ppm=protocol_ppm,
    )


def _net(terms: Terms, gross_nano: int, discount_ppm: int) -> int:
    """Round half up gross x (1e6 - discount) / 1e9 in parts that stay within 64 bits."""
    keep_ppm = PPM - discount_ppm
    whole, part = divmod(gross_nano, NANO)
    net_minor = whole * keep_ppm + divide_half_up(part * keep_ppm, NANO)
    return terms.fixed_minor + net_minor
