"""Where a node stands, as RADIUS says it: Location-Information and Location-Data (RFC 5580)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import ATTRIBUTE_VALUE_OCTETS_MAX, Attribute

METHOD: Final = b"Manual"
"""How the location was found (IANA location methods): somebody wrote it into the settings."""

CIVIC: Final = 0
GEOSPATIAL: Final = 1
ENTITY_NAS: Final = 1
TIMESTAMP_OCTETS = 8
NTP_EPOCH_S: Final = 2_208_988_800
FOREVER_S: Final = 10 * 365 * 86_400
MICRODEGREE: Final = 1_000_000
RESOLUTION_BITS: Final = 34
DATUM_WGS84: Final = 1
CIVIC_TYPES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "province": 1,
        "county": 2,
        "city": 3,
        "district": 4,
        "house_number": 19,
        "name": 23,
        "postal_code": 24,
        "building": 25,
        "floor": 27,
        "street": 34,
    }
)
"""Civic address types by the names settings have for them (RFC 4776 section 3.4, RFC 5139)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A civic address by type name, or a place on the map, or both.

    `country` is ISO 3166-1 alpha-2. Latitude (north) and longitude (east) are millionths of a
    degree.
    """

    country: str = ""
    civic: Mapping[str, str] = field(default_factory=dict)
    latitude_microdegrees: int | None = None
    longitude_microdegrees: int | None = None


def location_attributes(location: Location, *, since_s: int) -> list[Attribute]:
    """Return both attributes for each way the location is known, by index.

    `since_s` is when it was written down, in seconds since 1970.
    """
    ways: list[tuple[int, bytes]] = []
    if location.country:
        ways.append((CIVIC, _civic(location)))
    if location.latitude_microdegrees is not None and location.longitude_microdegrees is not None:
        ways.append((GEOSPATIAL, _geospatial(location)))
    out: list[Attribute] = []
    for index, (code, data) in enumerate(ways, start=1):
        head = index.to_bytes(2, "big")
        told = bytes((code, ENTITY_NAS)) + _ntp(since_s) + _ntp(since_s + FOREVER_S) + METHOD
        out += [
            (int(Type.LOCATION_INFORMATION), head + told),
            (int(Type.LOCATION_DATA), head + data),
        ]
    return out


def _ntp(at_s: int) -> bytes:
    """Write an instant as RFC 5905 does: 32 bits of seconds, 32 of their fraction."""
    return ((at_s + NTP_EPOCH_S) % (1 << 32)).to_bytes(4, "big") + bytes(4)


def _civic(location: Location) -> bytes:
    """Write the country and its civic elements (RFC 4776 section 3.1, from the country on)."""
    out = location.country.encode("ascii")
    for name, value in sorted(location.civic.items(), key=lambda item: CIVIC_TYPES[item[0]]):
        octets = value.encode()
        out += bytes((CIVIC_TYPES[name], len(octets))) + octets
    assert len(out) <= ATTRIBUTE_VALUE_OCTETS_MAX - 2, "a civic location fits one attribute"
    return out


def _geospatial(location: Location) -> bytes:
    """Write latitude, longitude and no altitude at full resolution (RFC 6225 section 2.1)."""
    assert location.latitude_microdegrees is not None
    assert location.longitude_microdegrees is not None
    value = 0
    for microdegrees in (location.latitude_microdegrees, location.longitude_microdegrees):
        fixed = _fixed(microdegrees)
        value = value << 40 | RESOLUTION_BITS << 34 | fixed
    altitude = 0  # type 0: not known
    value = value << 40 | altitude
    return (value << 8 | DATUM_WGS84).to_bytes(16, "big")


def _fixed(microdegrees: int) -> int:
    """Return degrees in two's complement with 9 bits before and 25 after the point."""
    scaled = (abs(microdegrees) * (1 << 25) + MICRODEGREE // 2) // MICRODEGREE
    return (scaled if microdegrees >= 0 else -scaled) % (1 << 34)
