"""What a roaming agreement says, bit by bit as both operators sign it.

One document holds both directions. A line prices one record; a deal adjusts what a whole
period's records come to. Amounts are millionths (`_minor`), prices billionths (`_nano`) of the
unit of the currency they are in; an exchange rate leads to the asset that is settled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from opencarrier.kernel.clock import Window
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.rating.agreements.plans import Plan
from opencarrier.rating.rules.v2 import Terms
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Qos, RcoiClass, Service

LINES_MAX: Final = 1_000
RATES_MAX: Final = 400
PERIODS_MAX: Final = 120
DEALS_MAX: Final = 100
PRICINGS_MAX: Final = 100
DECIMALS_MAX: Final = 12
RATE_MAX: Final = 10**15
COMMITMENT_MAX_MINOR: Final = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """An operator that signs, with which key, and who collects the tax on what it serves."""

    party: PartyId
    address: Address
    tax_party: PartyId

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {"party": self.party, "address": self.address, "tax_party": self.tax_party}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Terms):
    """What one record costs: of which direction, services and classes, when, and how much."""

    line: str
    home: PartyId
    visited: PartyId
    window: Window
    services: tuple[Service, ...]
    qos: tuple[Qos, ...]
    rcoi: tuple[RcoiClass, ...]

    def __post_init__(self) -> None:
        Terms.__post_init__(self)
        assert self.window.start_us < self.window.end_us
        assert self.services
        assert self.qos
        assert self.rcoi

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {
            "line": self.line,
            "home": self.home,
            "visited": self.visited,
            "valid_from_us": self.window.start_us,
            "valid_until_us": self.window.end_us,
            "services": [item.name.lower() for item in self.services],
            "qos": [item.name.lower() for item in self.qos],
            "rcoi": [item.name.lower() for item in self.rcoi],
            **{name: getattr(self, name) for name in Terms.__slots__},
        }

    @property
    def hash(self) -> Id:
        """Name the line by its content."""
        return _line_hash(self)

    def __str__(self) -> str:
        """Say the line and when it holds, for messages."""
        return f"{self.line} [{self.window.start_us}, {self.window.end_us})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRate:
    """What a unit of a currency is worth in the asset for a while: rate / 10^decimals (as TAP)."""

    currency: str
    window: Window
    rate: int
    decimals: int

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {
            "currency": self.currency,
            "valid_from_us": self.window.start_us,
            "valid_until_us": self.window.end_us,
            "rate": self.rate,
            "decimals": self.decimals,
        }

    @property
    def hash(self) -> Id:
        """Name the rate by its content."""
        return derive("roaming-rate", self.terms())


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What a deal must come to over its period, and what follows where it does not.

    `basis` is what is counted: `contract`, what the records were charged; `deal`, what the deal's
    pricings come to. `shortfall`: `none`, nothing follows; `no_deal`, the records' charges stand;
    `send_or_pay`, the difference is owed, with tax at `tax_ppm`.
    """

    basis: str
    amount_minor: int
    with_tax: bool
    shortfall: str
    tax_ppm: int

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """A plan on the totals of some lines: of what they count, or of the subscribers they saw.

    With `measure` `usage` it takes the place of what the records were charged; with `subscribers`
    it comes beside it. `reverse_lines` are the other direction's, for a balanced plan.
    """

    lines: tuple[str, ...]
    reverse_lines: tuple[str, ...]
    measure: str
    plan: Plan
    tax_ppm: int
    tax_included: bool
    in_commitment: bool

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {
            "lines": list(self.lines),
            "reverse_lines": list(self.reverse_lines),
            "measure": self.measure,
            "plan": self.plan.terms(),
            "tax_ppm": self.tax_ppm,
            "tax_included": self.tax_included,
            "in_commitment": self.in_commitment,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """What one direction's use of a period comes to, beyond what each record was charged.

    `per` is what is summed: each `period` of the agreement or its whole `term`. Without a
    commitment it is unconditional.
    """

    deal: str
    home: PartyId
    visited: PartyId
    per: str
    currency: str
    commitment: Commitment | None
    pricings: tuple[Pricing, ...]

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {
            "deal": self.deal,
            "home": self.home,
            "visited": self.visited,
            "per": self.per,
            "currency": self.currency,
            "commitment": None if self.commitment is None else self.commitment.terms(),
            "pricings": [pricing.terms() for pricing in self.pricings],
        }

    @property
    def hash(self) -> Id:
        """Name the deal by its content."""
        return _deal_hash(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoamingHead:
    """What an agreement says besides its lines, rates and deals, which it names by their hashes.

    Whoever is shown the head and one line can check that line against what was signed.
    """

    parties: tuple[Signatory, ...]
    asset: AssetId
    currency: str
    protocol_party: PartyId
    protocol_ppm: int
    periods_us: tuple[int, ...]
    line_hashes: tuple[Id, ...]
    rate_hashes: tuple[Id, ...]
    deal_hashes: tuple[Id, ...]

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {
            "parties": [item.terms() for item in self.parties],
            "asset": self.asset,
            "currency": self.currency,
            "protocol_party": self.protocol_party,
            "protocol_ppm": self.protocol_ppm,
            "periods_us": list(self.periods_us),
        }

    @property
    def hash(self) -> Id:
        """Name the agreement: what both operators sign."""
        lists = (self.line_hashes, self.rate_hashes, self.deal_hashes)
        return derive("roaming-agreement", self.terms(), *(list(item) for item in lists))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoamingAgreement:
    """What two operators (or one with itself) owe each other for their subscribers' use.

    `currency` is what the asset is worth one of; other currencies need dated exchange rates.
    `periods_us` are the ends of the periods that deals sum over; the first and last are the term.
    """

    parties: tuple[Signatory, ...]
    asset: AssetId
    currency: str
    protocol_party: PartyId
    protocol_ppm: int
    periods_us: tuple[int, ...]
    lines: tuple[Line, ...]
    rates: tuple[ExchangeRate, ...]
    deals: tuple[Deal, ...]

    @property
    def term(self) -> Window:
        """The time the agreement is for."""
        return Window(self.periods_us[0], self.periods_us[-1])

    @property
    def head(self) -> RoamingHead:
        """The agreement with its lines, rates and deals named by hash."""
        return RoamingHead(
            parties=self.parties,
            asset=self.asset,
            currency=self.currency,
            protocol_party=self.protocol_party,
            protocol_ppm=self.protocol_ppm,
            periods_us=self.periods_us,
            line_hashes=tuple(item.hash for item in self.lines),
            rate_hashes=tuple(item.hash for item in self.rates),
            deal_hashes=tuple(item.hash for item in self.deals),
        )

    @property
    def hash(self) -> Id:
        """Name the agreement: what both operators sign."""
        return self.head.hash

    def signatory(self, party: PartyId) -> Signatory:
        """Return one of the parties by its id."""
        return next(item for item in self.parties if item.party == party)


@lru_cache(maxsize=4_096)
def _line_hash(line: Line) -> Id:
    return derive("roaming-line", line.terms())


@lru_cache(maxsize=1_024)
def _deal_hash(deal: Deal) -> Id:
    return derive("roaming-deal", deal.terms())
