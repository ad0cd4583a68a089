"""Places, parts of the map and what stands in them; all in millionths of a degree (WGS 84)."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.spine.parties import PartyId

DEGREE_UDEG = 1_000_000
LATITUDE_MAX_UDEG, LONGITUDE_MAX_UDEG = 90 * DEGREE_UDEG, 180 * DEGREE_UDEG

COARSEST_UDEG = 16 * DEGREE_UDEG
LEVELS = 10
"""Cells of 16 degrees, then halved at each level: the last has 3.5 km, more than a place's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node is and who says so: within `precision_m` of the point."""

    latitude_udeg: int
    longitude_udeg: int
    precision_m: int
    attester: PartyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of the map; with `west` above `east` it crosses the date line."""

    west_udeg: int
    south_udeg: int
    east_udeg: int
    north_udeg: int


EARTH = Box(
    west_udeg=-LONGITUDE_MAX_UDEG,
    south_udeg=-LATITUDE_MAX_UDEG,
    east_udeg=LONGITUDE_MAX_UDEG,
    north_udeg=LATITUDE_MAX_UDEG,
)


@dataclass(frozen=True, slots=True)
class Cell:
    """How many nodes are near a point: the middle of them."""

    latitude_udeg: int
    longitude_udeg: int
    nodes: int
