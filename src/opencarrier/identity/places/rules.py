"""How a place is read, and which cells it is in: pure functions over integers."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

from opencarrier.identity.model import IdentityReason
from opencarrier.identity.places.model import (
    COARSEST_UDEG,
    DEGREE_UDEG,
    LATITUDE_MAX_UDEG,
    LEVELS,
    LONGITUDE_MAX_UDEG,
    Box,
    Place,
)
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId

STEP = Decimal("0.01")
PRECISION_M = 800
"""How far a node may be from its place: half a hundredth of a degree each way, on the equator."""

_NUMBER = r"([+-]?[0-9]{1,3}(?:\.[0-9]{1,9})?)"
_PLACE = re.compile(rf"{_NUMBER}\s*,\s*{_NUMBER}")


def read_place(text: str, attester: PartyId) -> Place | Refusal:
    """Read LATITUDE,LONGITUDE in degrees, rounded to a hundredth: a house is nobody's business."""
    found = _PLACE.fullmatch(text.strip())
    if found is None:
        return Refusal(IdentityReason.INVALID_PLACE, f"{text!r} is not LATITUDE,LONGITUDE")
    latitude, longitude = (_coarse(degrees) for degrees in found.groups())
    if abs(latitude) > LATITUDE_MAX_UDEG or abs(longitude) > LONGITUDE_MAX_UDEG:
        return Refusal(IdentityReason.INVALID_PLACE, f"{text!r} is not on earth")
    return Place(
        latitude_udeg=latitude,
        longitude_udeg=longitude,
        precision_m=PRECISION_M,
        attester=attester,
    )


def size_udeg(level: int) -> int:
    """Return how long a cell's sides are at a level."""
    assert 0 <= level < LEVELS
    return COARSEST_UDEG >> level


def cell_of(latitude_udeg: int, longitude_udeg: int, level: int) -> tuple[int, int]:
    """Return which cell a point is in: rows from the south pole, columns from the date line."""
    size = size_udeg(level)
    return (latitude_udeg + LATITUDE_MAX_UDEG) // size, (
        longitude_udeg + LONGITUDE_MAX_UDEG
    ) // size


def rows(box: Box, level: int) -> tuple[int, int]:
    """Return the first and last row of cells that a part of the map touches."""
    south, _ = cell_of(box.south_udeg, 0, level)
    north, _ = cell_of(box.north_udeg, 0, level)
    return south, north


def columns(box: Box, level: int) -> tuple[tuple[int, int], ...]:
    """Return the spans of columns that a part of the map touches: two across the date line."""
    _, west = cell_of(0, box.west_udeg, level)
    _, east = cell_of(0, box.east_udeg, level)
    if box.west_udeg <= box.east_udeg:
        return ((west, east),)
    _, last = cell_of(0, LONGITUDE_MAX_UDEG, level)
    return ((west, last), (0, east))


def possible(box: Box, level: int) -> int:
    """Return how many cells a part of the map has, whether anything is in them or not."""
    south, north = rows(box, level)
    wide = sum(last - first + 1 for first, last in columns(box, level))
    return wide * (north - south + 1)


def _coarse(degrees: str) -> int:
    return int(Decimal(degrees).quantize(STEP, ROUND_HALF_EVEN) * DEGREE_UDEG)
