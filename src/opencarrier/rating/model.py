"""The two contracts a usage is rated under: the agreement between operators, the retail plan.

Every document has one canonical encoding, built from exactly the fields its JSON form shows, so
that a third party can hash it again (README.md, "Hashes").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from opencarrier.kernel.clock import Window
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import INT64_MAX, PPM, AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import PartyId

TARIFF_UNITS: Final = ("octets_total", "octets_in", "octets_out", "duration_s", "sessions")
"""What a tariff may count; a session keeps its unit for life."""

STEP_MAX: Final = 1 << 32
CHARGE_MAX_MINOR: Final = 9_200_000_000_000
"""No charge reaches this, so that a charge times parts per million stays within 64 bits."""

TARIFFS_MAX: Final = 1_000
SESSION_S_MAX: Final = 7 * 24 * 3600
INTERIM_FLOOR_S: Final = 60
"""Acct-Interim-Interval is at least 60 seconds (RFC 2869 section 5.16)."""

BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "valid_from_us": (0, INT64_MAX),
    "valid_until_us": (0, INT64_MAX),
    "step": (1, STEP_MAX),
    "price_nano": (0, INT64_MAX),
    "minimum_minor": (0, CHARGE_MAX_MINOR - 1),
    "tax_ppm": (0, PPM),
    "host_ppm": (0, PPM),
    "protocol_ppm": (0, PPM),
    "rate_cap_octets_per_s": (1, 1 << 40),
    "session_s_max": (INTERIM_FLOOR_S, SESSION_S_MAX),
    "interim_s": (INTERIM_FLOOR_S, SESSION_S_MAX),
}
"""Least and greatest value of every number in a document."""

PARTY_PATTERN: Final = re.compile(r"(?=.{1,80}\Z)[a-z0-9]+(?:[_-][a-z0-9]+)*")
"""Party ids stand in account names, so they have the shape of one segment of those."""

ADDRESS_PATTERN: Final = re.compile(r"0x[0-9a-f]{40}")
ASSET_PATTERN: Final = re.compile(r"[!-~]{1,160}")
PLAN_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Linear terms in force for a window: so much per begun step, at least a minimum, and tax.

    `price_nano` is in 1e-9 of the currency unit per step, `minimum_minor` in the asset's minor
    units. `tax_included` says the price holds the tax; otherwise it comes on top.
    """

    window: Window
    unit: str
    step: int
    price_nano: int
    minimum_minor: int
    tax_ppm: int
    tax_included: bool

    def __post_init__(self) -> None:
        assert self.unit in TARIFF_UNITS, f"{self.unit} is no tariff unit"
        assert self.window.start_us < self.window.end_us, "a tariff is in force for some time"
        _assert_bounds(self.terms())

    def terms(self) -> dict[str, Value]:
        """Return the fields as the canonical encoding and the JSON form have them."""
        return {
            "valid_from_us": self.window.start_us,
            "valid_until_us": self.window.end_us,
            "unit": self.unit,
            "step": self.step,
            "price_nano": self.price_nano,
            "minimum_minor": self.minimum_minor,
            "tax_ppm": self.tax_ppm,
            "tax_included": self.tax_included,
        }

    @property
    def hash(self) -> Id:
        """Name the terms by their content."""
        return _price_hash(self)

    def __str__(self) -> str:
        """Say the price and when it holds, for messages."""
        span = f"[{self.window.start_us}, {self.window.end_us})"
        return f"{self.price_nano} nano per {self.step} {self.unit} in {span}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff(Price):
    """Wholesale terms: a price, and the host's share of it (tax aside), rounded down."""

    host_ppm: int

    def terms(self) -> dict[str, Value]:
        """Return the fields as the canonical encoding and the JSON form have them."""
        return {**Price.terms(self), "host_ppm": self.host_ppm}

    @property
    def hash(self) -> Id:
        """Name the terms by their content."""
        return _tariff_hash(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementHead:
    """What an agreement says besides its tariffs, which it names by their hashes.

    A receipt shows the head and one tariff: enough to recompute the hash both operators signed,
    and, because the head names their keys, to say who signed with no directory at hand.
    """

    home: PartyId
    home_address: Address
    visited: PartyId
    visited_address: Address
    asset: AssetId
    protocol_party: PartyId
    protocol_ppm: int
    tax_party: PartyId
    tariff_hashes: tuple[Id, ...]

    def __post_init__(self) -> None:
        assert 0 < len(self.tariff_hashes) <= TARIFFS_MAX
        assert ASSET_PATTERN.fullmatch(self.asset), self.asset
        for party in (self.home, self.visited, self.protocol_party, self.tax_party):
            assert PARTY_PATTERN.fullmatch(party), party
        for address in (self.home_address, self.visited_address):
            assert ADDRESS_PATTERN.fullmatch(address), address
        _assert_bounds(self.terms())

    def terms(self) -> dict[str, Value]:
        """Return the fields as the canonical encoding and the JSON form have them."""
        return {
            "home": self.home,
            "home_address": self.home_address,
            "visited": self.visited,
            "visited_address": self.visited_address,
            "asset": self.asset,
            "protocol_party": self.protocol_party,
            "protocol_ppm": self.protocol_ppm,
            "tax_party": self.tax_party,
        }

    @property
    def hash(self) -> Id:
        """Name the agreement: what both operators sign."""
        return _agreement_hash(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What the home operator owes the visited one for its subscribers' use, tariff by tariff.

    Home and visited may be one operator: then only hosts, protocol and tax are paid. Windows of
    the tariffs do not overlap; use that starts in a gap between them waits in suspense.
    """

    home: PartyId
    home_address: Address
    visited: PartyId
    visited_address: Address
    asset: AssetId
    protocol_party: PartyId
    protocol_ppm: int
    tax_party: PartyId
    tariffs: tuple[Tariff, ...]

    def __post_init__(self) -> None:
        assert overlap(self.tariffs) is None, "two tariffs are in force at once"
        assert all(tariff.host_ppm + self.protocol_ppm <= PPM for tariff in self.tariffs)
        assert self.head.tariff_hashes

    @property
    def head(self) -> AgreementHead:
        """The agreement with its tariffs named by hash."""
        return AgreementHead(
            home=self.home,
            home_address=self.home_address,
            visited=self.visited,
            visited_address=self.visited_address,
            asset=self.asset,
            protocol_party=self.protocol_party,
            protocol_ppm=self.protocol_ppm,
            tax_party=self.tax_party,
            tariff_hashes=tuple(tariff.hash for tariff in self.tariffs),
        )

    @property
    def hash(self) -> Id:
        """Name the agreement: what both operators sign."""
        return self.head.hash

    def tariff_at(self, at_us: int) -> Tariff | None:
        """Return the tariff in force at an instant, or None in a gap."""
        return next((tariff for tariff in self.tariffs if tariff.window.holds(at_us)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetailPlan:
    """What a home operator sells its subscribers, and how far it trusts them in one session.

    `rate_cap_octets_per_s` bounds what a session can use in a second; with it and the session
    timeout the hold covers what can be used before the access point asks again.
    """

    plan_id: str
    home: PartyId
    asset: AssetId
    price: Price
    rate_cap_octets_per_s: int
    session_s_max: int
    interim_s: int

    def __post_init__(self) -> None:
        assert PLAN_PATTERN.fullmatch(self.plan_id), self.plan_id
        assert PARTY_PATTERN.fullmatch(self.home), self.home
        assert ASSET_PATTERN.fullmatch(self.asset), self.asset
        _assert_bounds(self.terms())

    def terms(self) -> dict[str, Value]:
        """Return the fields as the canonical encoding and the JSON form have them."""
        return {
            "plan_id": self.plan_id,
            "home": self.home,
            "asset": self.asset,
            "price": self.price.terms(),
            "rate_cap_octets_per_s": self.rate_cap_octets_per_s,
            "session_s_max": self.session_s_max,
            "interim_s": self.interim_s,
        }

    @property
    def hash(self) -> Id:
        """Name the plan by its content."""
        return _plan_hash(self)


def overlap(prices: Sequence[Price]) -> tuple[int, int] | None:
    """Return the places of two prices that are in force at once, or None where none are."""
    order = sorted(range(len(prices)), key=lambda place: prices[place].window.start_us)
    for first, second in pairwise(order):
        if prices[first].window.overlaps(prices[second].window):
            return min(first, second), max(first, second)
    return None


@lru_cache(maxsize=4_096)
def _price_hash(price: Price) -> Id:
    return derive("retail-tariff", price.terms())


@lru_cache(maxsize=4_096)
def _tariff_hash(tariff: Tariff) -> Id:
    return derive("tariff", tariff.terms())


@lru_cache(maxsize=4_096)
def _agreement_hash(head: AgreementHead) -> Id:
    return derive("agreement", head.terms(), list(head.tariff_hashes))


@lru_cache(maxsize=4_096)
def _plan_hash(plan: RetailPlan) -> Id:
    return derive("retail-plan", plan.terms())


def _assert_bounds(terms: Mapping[str, Value]) -> None:
    for name, value in terms.items():
        if name in BOUNDS:
            least, greatest = BOUNDS[name]
            assert isinstance(value, int), name
            assert least <= value <= greatest, f"{name} is {value}"
