"""The types of the room: what the rule says of each candidate, and why something is refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Reason
from opencarrier.kernel.signatures import Signature
from opencarrier.spine.parties import PartyId
from opencarrier.spine.routing import Advert

RULE: Final = "value/v1"
PLACE_MAX: Final = 64
ADVERT_DAYS_MAX: Final = 31
CANDIDATES_MAX: Final = 16
"""Candidates that a choice lists: whom the session took, and the best of the others."""

ADVERTS_PER_SELLER_MAX: Final = 10_000
DAY_US: Final = 86_400 * SECOND_US


class Verdict(StrEnum):
    """What the rule says of a candidate, the first that applies."""

    OTHER_CURRENCY = "other_currency"
    BELOW_FLOOR = "below_floor"
    ABOVE_CEILING = "above_ceiling"
    LOW_QUALITY = "low_quality"
    SERVES = "serves"


class AdvertReason(Reason):
    """Why an advert is not taken, in the order the checks are made."""

    UNKNOWN_SELLER = 1
    NOT_SIGNED = 2
    EXPIRED = 3
    TOO_LONG = 4
    REPLAYED = 5
    TOO_MANY = 6


class SteeringReason(Reason):
    """Why a session is not served here."""

    BELOW_FLOOR = 1
    ABOVE_CEILING = 2
    BETTER_NEAR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAdvert:
    """An advert and its seller's signature over the advert's hash."""

    advert: Advert
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """How a home moves its subscribers to what is better.

    With a `margin_ppm` of zero nobody is refused, and the choice is only recorded. A session is
    refused `refusals_max` times within `window_s`, then served where it is: nobody is stranded.
    """

    margin_ppm: int = 0
    refusals_max: int = 2
    window_s: int = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What a home pays for a plan's subscribers at most, and the least quality they are owed."""

    home: PartyId
    plan_id: str
    currency: str
    ceiling_nano: int
    quality_min_ppm: int
