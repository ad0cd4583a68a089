"""What prices a session between two operators by a roaming agreement, and the charge it makes.

The price of the session so far is exchanged to the asset, rounded half up, and falls to its legs
there: so every leg only rises, as in version 1, and any cuts of a session sum to what it costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX, AssetId, divide_half_up
from opencarrier.kernel.signatures import Address
from opencarrier.rating.agreements.model import ExchangeRate, Line, RoamingHead, Signatory
from opencarrier.rating.model import CHARGE_MAX_MINOR
from opencarrier.rating.reasons import DisputeReason
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v2 import formula
from opencarrier.rating.rules.v2.formula import NOTHING, Amounts
from opencarrier.spine.access import Offered
from opencarrier.spine.money import SETTLEMENT_FREE, Allocation, Kind
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import RcoiClass
from opencarrier.spine.usage import Counters

NO_LEGS: Final = v1.WholesaleLegs(seller_minor=0, host_minor=0, protocol_minor=0, tax_minor=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTerms:
    """A line of an agreement and all that prices a session by it, as both operators signed it.

    `exchange` is None where the line is in the asset's own currency.
    """

    head: RoamingHead
    line: Line
    exchange: ExchangeRate | None
    offered: Offered

    def __post_init__(self) -> None:
        line, offered, exchange = self.line, self.offered, self.exchange
        assert line.hash in self.head.line_hashes, "the line is not the agreement's"
        assert exchange is None or exchange.hash in self.head.rate_hashes
        assert (line.currency == self.head.currency) == (exchange is None)
        assert exchange is None or exchange.currency == line.currency
        assert offered.service in line.services, "the line is for other services"
        assert offered.qos in line.qos, "the line is for other qualities"
        assert offered.rcoi in line.rcoi, "the line is for other classes"

    @property
    def home(self) -> PartyId:
        """Who pays."""
        return self.line.home

    @property
    def visited(self) -> PartyId:
        """Who is paid."""
        return self.line.visited

    @property
    def asset(self) -> AssetId:
        """What is paid in."""
        return self.head.asset

    @property
    def unit(self) -> str:
        """What is counted."""
        return self.line.unit

    @property
    def tariff_hash(self) -> Id:
        """The line by its content."""
        return self.line.hash

    @property
    def agreement_hash(self) -> Id:
        """What both operators signed."""
        return self.head.hash

    @property
    def window(self) -> Window:
        """When line and exchange rate are both in force."""
        if self.exchange is None:
            return self.line.window
        both = (self.line.window, self.exchange.window)
        return Window(max(w.start_us for w in both), min(w.end_us for w in both))

    @property
    def signers(self) -> tuple[Address, Address]:
        """The keys of home and visited operator."""
        return self._signatory(self.home).address, self._signatory(self.visited).address

    @property
    def dispute(self) -> DisputeReason | None:
        """Why what was quoted in band is set aside."""
        return formula.price_of(self.line, self.offered.quote)[1]

    def amount(self, counters: Counters) -> int:
        """Return how much of the line's unit a session has used since its start."""
        return formula.quantity(self.line.unit, amounts_of(counters))

    def fits(self, counters: Counters) -> bool:
        """Say whether a session's use lies within the guards, in the currency and in the asset."""
        if formula.beyond(self.line, amounts_of(counters), self.offered.quote):
            return False
        return self._exchanged(self._price_minor(counters)) < CHARGE_MAX_MINOR

    def legs(self, counters: Counters) -> v1.WholesaleLegs:
        """Return what a session so far owes to whom, in the asset."""
        line = self.line
        return v1.fall(
            self._exchanged(self._price_minor(counters)),
            tax_ppm=line.tax_ppm,
            tax_included=line.tax_included,
            host_ppm=line.host_ppm,
            protocol_ppm=self.head.protocol_ppm,
        )

    def legs_in_currency(self, counters: Counters) -> v1.WholesaleLegs:
        """Return what a session so far owes in the line's currency: what deals sum up."""
        rated = formula.rate(
            self.line,
            self.head.protocol_ppm,
            before=NOTHING,
            used=amounts_of(counters),
            quote=self.offered.quote,
        )
        return rated.legs

    def allocations(self, legs: v1.WholesaleLegs, host: PartyId) -> tuple[Allocation, ...]:
        """Say whose each leg is."""
        return v1.wholesale_allocations(
            legs,
            visited=self.visited,
            host=host,
            protocol_party=self.head.protocol_party,
            tax_party=self._signatory(self.visited).tax_party,
        )

    def _price_minor(self, counters: Counters) -> int:
        price_nano, _ = formula.price_of(self.line, self.offered.quote)
        return formula.cumulative(self.line, self.amount(counters), price_nano)

    def _exchanged(self, minor: int) -> int:
        if self.exchange is None:
            return minor
        return divide_half_up(minor * self.exchange.rate, 10**self.exchange.decimals)

    def _signatory(self, party: PartyId) -> Signatory:
        return next(item for item in self.head.parties if item.party == party)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeTerms:
    """Settlement-free service: it costs the home operator nothing, whatever an agreement says."""

    home: PartyId
    visited: PartyId
    asset: AssetId
    offered: Offered

    def __post_init__(self) -> None:
        assert self.offered.rcoi is RcoiClass.SETTLEMENT_FREE

    unit: ClassVar[str] = "octets_total"
    tariff_hash: ClassVar[Id] = SETTLEMENT_FREE
    agreement_hash: ClassVar[Id] = SETTLEMENT_FREE
    window: ClassVar[Window] = Window(0, INT64_MAX)

    def fits(self, counters: Counters) -> bool:
        """Nothing is beyond the guards of a price of nothing."""
        return True

    def legs(self, counters: Counters) -> v1.WholesaleLegs:
        """Nobody is owed anything."""
        return NO_LEGS

    def allocations(self, legs: v1.WholesaleLegs, host: PartyId) -> tuple[Allocation, ...]:
        """There is nothing to allocate."""
        return ()


Terms: TypeAlias = LineTerms | FreeTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class WholesaleInputs:
    """Everything rating reads for the charge between two operators; as version 1's."""

    terms: Terms
    tariff_at_us: int
    host: PartyId
    counters_from: Counters
    counters_to: Counters

    def __post_init__(self) -> None:
        assert self.terms.window.holds(self.tariff_at_us), "the line was not in force"


def rate(inputs: WholesaleInputs) -> v1.Priced:
    """Price what a usage adds to its session: every leg after it, less the leg before it."""
    terms = inputs.terms
    legs = terms.legs(inputs.counters_to) - terms.legs(inputs.counters_from)
    return v1.Priced(
        kind=Kind.WHOLESALE,
        payer=terms.home,
        seller=terms.visited,
        asset=terms.asset,
        amount_minor=legs.amount_minor,
        discount_minor=0,
        tariff_hash=terms.tariff_hash,
        agreement_hash=terms.agreement_hash,
        allocations=terms.allocations(legs, inputs.host),
    )


def amounts_of(counters: Counters) -> Amounts:
    """Return a session's counters as the formula takes them; RADIUS counts no messages."""
    return Amounts(
        octets_in=counters.octets_in,
        octets_out=counters.octets_out,
        duration_s=counters.session_time_s,
    )
