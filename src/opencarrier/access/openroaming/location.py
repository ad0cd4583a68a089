"""Where an access point is: Location-Information and Location-Data (RFC 5580), or legacy WISPr.

Numbers stay as the wire has them: a coordinate is a whole number of 2^-25 degrees (RFC 6225), so
that nothing is rounded on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from opencarrier.access.wire.dictionary import WBA, WISPR_LOCATION_ID, Type
from opencarrier.access.wire.radius import ATTRIBUTE_VALUE_OCTETS_MAX, Attribute, Packet
from opencarrier.kernel.refusals import PeerError

INFORMATION_OCTETS_MIN: Final = 20
INDEX_OCTETS: Final = 2
COUNTRY_OCTETS: Final = 2
POINT_OCTETS: Final = 16
DEGREE: Final = 1 << 25
"""One degree, in the unit of a coordinate."""
WGS84: Final = 1
METRES: Final = 1
_NTP_EPOCH_S: Final = 2_208_988_800


class Profile(IntEnum):
    """How a location is told (RFC 5580 section 4.2)."""

    CIVIC = 0
    GEOSPATIAL = 1


class Entity(IntEnum):
    """Whose location it is (RFC 5580 section 4.2)."""

    DEVICE = 0
    CLIENT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place on WGS 84: degrees in 2^-25, and how many bits of them are to be believed.

    Altitude is in metres of 2^-8; None where it is not told.
    """

    latitude: int
    longitude: int
    bits: int = 34
    altitude: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place: its country (ISO 3166-1 alpha-2) and civic elements by CAtype, or a point."""

    country: str | None = None
    civic: Mapping[int, str] | None = None
    point: Point | None = None
    entity: Entity = Entity.CLIENT


def location_of(packet: Packet) -> Location | None:
    """Return where a packet says its access point is, None where it does not.

    The first location that is told whole counts. `PeerError` where the attributes are malformed.
    """
    told = [_information(value) for value in packet.all(Type.LOCATION_INFORMATION)]
    data = {_index(value): value[INDEX_OCTETS:] for value in packet.all(Type.LOCATION_DATA)}
    for index, profile, entity in told:
        if index in data:
            return _location(profile, entity, data[index])
    legacy = dict(packet.vendor(WBA)).get(WISPR_LOCATION_ID)
    return None if legacy is None else _wispr(legacy)


def location_attributes(location: Location, *, sighted_s: int, index: int = 1) -> list[Attribute]:
    """Return the pair of attributes that tell a location; `sighted_s` is since 1970.

    The time to live is the sighting: it is told anew with each request.
    """
    is_point = location.point is not None
    data = _point_octets(location.point) if location.point else _civic_octets(location)
    when = (sighted_s + _NTP_EPOCH_S).to_bytes(4, "big") + bytes(4)
    profile = Profile.GEOSPATIAL if is_point else Profile.CIVIC
    information = index.to_bytes(2, "big") + bytes((profile, location.entity)) + when + when
    method = b"Manual"
    assert len(data) + INDEX_OCTETS <= ATTRIBUTE_VALUE_OCTETS_MAX, "a location fits one attribute"
    return [
        (int(Type.LOCATION_INFORMATION), information + method),
        (int(Type.LOCATION_DATA), index.to_bytes(2, "big") + data),
    ]


def _index(value: bytes) -> int:
    if len(value) <= INDEX_OCTETS:
        raise PeerError("location_short", f"{len(value)} octets")
    return int.from_bytes(value[:INDEX_OCTETS], "big")


def _information(value: bytes) -> tuple[int, Profile, Entity]:
    if len(value) < INFORMATION_OCTETS_MIN:
        raise PeerError("location_short", f"{len(value)} octets")
    try:
        return _index(value), Profile(value[2]), Entity(value[3])
    except ValueError as error:
        raise PeerError("location_profile", f"{value[2]}, {value[3]}") from error


def _location(profile: Profile, entity: Entity, data: bytes) -> Location:
    if profile is Profile.GEOSPATIAL:
        return Location(point=_point(data), entity=entity)
    return Location(country=_country(data[:COUNTRY_OCTETS]), civic=_civic(data), entity=entity)


def _country(octets: bytes) -> str:
    letters = octets.decode("ascii", "replace")
    if len(letters) != COUNTRY_OCTETS or not (letters.isascii() and letters.isalpha()):
        raise PeerError("location_country", octets.hex())
    return letters.upper()


def _civic(data: bytes) -> dict[int, str]:
    """Read `type | length | text` after the country (RFC 4776 section 3.1)."""
    found: dict[int, str] = {}
    offset = COUNTRY_OCTETS
    while offset < len(data):
        end = offset + 2 + (data[offset + 1] if offset + 1 < len(data) else len(data))
        if end > len(data):
            raise PeerError("location_civic", f"element at {offset}")
        found[data[offset]] = data[offset + 2 : end].decode("utf-8", "replace")
        offset = end
    return found


def _civic_octets(location: Location) -> bytes:
    assert location.country is not None, "a civic location has a country"
    elements = (
        bytes((kind, len(text.encode()))) + text.encode()
        for kind, text in sorted((location.civic or {}).items())
    )
    return location.country.encode() + b"".join(elements)


def _point(data: bytes) -> Point:
    """Read 128 bits: resolution and value of latitude, longitude, altitude; datum (RFC 6225)."""
    if len(data) != POINT_OCTETS:
        raise PeerError("location_point", f"{len(data)} octets")
    bits = int.from_bytes(data, "big")
    datum, altitude = bits & 0xFF, _signed(bits >> 8 & (1 << 30) - 1, 30)
    unit = bits >> 44 & 0xF
    point = Point(
        latitude=_signed(bits >> 88 & (1 << 34) - 1, 34),
        longitude=_signed(bits >> 48 & (1 << 34) - 1, 34),
        bits=bits >> 122,
        altitude=altitude if unit == METRES else None,
    )
    on_earth = abs(point.latitude) <= 90 * DEGREE and abs(point.longitude) <= 180 * DEGREE
    if datum & 7 != WGS84 or not on_earth or point.bits > 34:
        raise PeerError("location_point", data.hex())
    return point


def _point_octets(point: Point) -> bytes:
    unit = 0 if point.altitude is None else METRES
    bits = point.bits
    for width, value in (
        (34, point.latitude),
        (6, point.bits),
        (34, point.longitude),
        (4, unit),
        (6, 30 if unit else 0),
        (30, point.altitude or 0),
        (8, WGS84),
    ):
        bits = bits << width | value & (1 << width) - 1
    return bits.to_bytes(POINT_OCTETS, "big")


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> width - 1 else value


def _wispr(value: bytes) -> Location | None:
    """Read `isocc=us,cc=1,ac=408,network=ACME`: its country is what it has in common with ours.

    Access points have all sorts of text there: what names no country tells no place.
    """
    parts = (part.partition(b"=") for part in value.split(b","))
    fields = {key.strip().lower(): text.strip() for key, _, text in parts}
    try:
        return Location(country=_country(fields.get(b"isocc", b"")))
    except PeerError:
        return None
