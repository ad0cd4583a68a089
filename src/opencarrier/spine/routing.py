"""What passes between those who advertise access and those who choose: an advert, a choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id, derive
from opencarrier.spine.parties import PartyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Advert:
    """An operator's offer to serve at a place: its price and the quality it stands for.

    The price is in nano-units of `currency` per 1,024 octets, the quality in millionths of
    faultless. A later `sequence` of the same seller and place replaces an earlier one.
    """

    seller: PartyId
    place: str
    currency: str
    price_nano: int
    quality_ppm: int
    valid_from_us: int
    valid_until_us: int
    sequence: int

    def terms(self) -> dict[str, Value]:
        """Return the fields as the hash and the JSON form have them."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def hash(self) -> Id:
        """Name the advert by its content: what its seller signs."""
        return derive("advert", self.terms())


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Who could have served, at what price and quality, and the least its host serves for.

    `quality_ppm` is what the seller stands for, but no more than was measured of it.
    """

    seller: PartyId
    advert_hash: bytes
    currency: str
    price_nano: int
    quality_ppm: int
    floor_nano: int

    def terms(self) -> list[Value]:
        """Return the fields in order, as the choice's content has them."""
        return [getattr(self, name) for name in self.__slots__]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What whoever pays wants: no more than a ceiling, no less than a quality.

    `margin_ppm` is by how much better another must be before it is worth moving there.
    """

    currency: str
    ceiling_nano: int
    quality_min_ppm: int
    margin_ppm: int

    def terms(self) -> list[Value]:
        """Return the fields in order, as the choice's content has them."""
        return [getattr(self, name) for name in self.__slots__]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who served, of whom: everything the rule read, so that anybody chooses again.

    `refusals` counts how often the session was sent to a better one before it was served here.
    """

    place: str
    taken: PartyId
    demand: Demand
    candidates: tuple[Candidate, ...]
    refusals: int

    def terms(self) -> Mapping[str, Value]:
        """Return the content that a usage's record commits to."""
        return {
            "place": self.place,
            "taken": self.taken,
            "demand": self.demand.terms(),
            "candidates": [item.terms() for item in self.candidates],
            "refusals": self.refusals,
        }
