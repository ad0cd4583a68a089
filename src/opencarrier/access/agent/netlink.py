"""Netlink, as far as stations need it: pure, what the kernel says is read.

Three questions: which number a family of generic netlink has (`CTRL_CMD_GETFAMILY`), what a
wireless interface has counted for one station (`NL80211_CMD_GET_STATION`), and which neighbour has
which address (`RTM_GETNEIGH`). Numbers are the machine's own way round; lengths include their
headers; messages and attributes are padded to four octets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from opencarrier.access.agent.counters import PortReading
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError

_ORDER: Final = "little" if struct.pack("=H", 1)[0] else "big"
_HEADER: Final = struct.Struct("=IHHII")
"""Length, type, flags, sequence, port (`nlmsghdr`)."""

_GENERIC: Final = struct.Struct("=BBH")
"""Command, version, reserved (`genlmsghdr`)."""

_ATTRIBUTE: Final = struct.Struct("=HH")
"""Length and type (`nlattr`)."""

CONTROLLER: Final = 16
"""The family that tells the numbers of the others (GENL_ID_CTRL)."""

_NEIGHBOUR: Final = struct.Struct("=BBHiHBB")
"""Address family, padding, interface, state, flags, type (`ndmsg`)."""

_REQUEST: Final = 1
_DUMP: Final = 0x300
_ERROR: Final = 2
_DONE: Final = 3
_TYPE_BITS: Final = 0x3FFF
_VERSION: Final = 1

_GET_FAMILY, _NEW_FAMILY = 3, 1
_FAMILY_ID, _FAMILY_NAME = 1, 2

_GET_STATION, _NEW_STATION = 17, 19
_IFINDEX, _MAC, _STATION_INFO = 3, 6, 21
_RX_BYTES64, _TX_BYTES64, _ASSOCIATED_AT = 23, 24, 42

_NEW_NEIGHBOUR, _GET_NEIGHBOUR = 28, 30
_ADDRESS, _LINK_ADDRESS = 1, 2
_UNREACHED: Final = 0x01 | 0x20 | 0x40
"""A neighbour that is asked for, that did not answer, or that needs no asking."""

_FAMILIES: Final = {4: 2, 6: 10}
"""AF_INET and AF_INET6, by the version of addresses."""

_NO_SUCH: Final = frozenset({2, 19})
"""ENOENT and ENODEV: no such family, station or interface; no fault of anybody."""

MAC_OCTETS: Final = 6

Attributes = Mapping[int, bytes]


def family_request(name: str, sequence: int) -> bytes:
    """Ask which number a family has."""
    told = _attribute(_FAMILY_NAME, name.encode() + b"\x00")
    return _message(CONTROLLER, _GET_FAMILY, told, sequence)


def read_family(answer: bytes, sequence: int) -> int | None:
    """Read it, None where the kernel has no such family."""
    found = _read(answer, CONTROLLER, _NEW_FAMILY, sequence)
    return None if found is None else _number(found, _FAMILY_ID, 2)


def station_request(family: int, interface: int, station: bytes, sequence: int) -> bytes:
    """Ask what an interface has counted for a station."""
    assert len(station) == MAC_OCTETS
    told = _attribute(_IFINDEX, struct.pack("=I", interface)) + _attribute(_MAC, station)
    return _message(family, _GET_STATION, told, sequence)


def read_station(
    answer: bytes, family: int, interface: int, station: bytes, sequence: int
) -> PortReading | None:
    """Read it, None where the interface has no such station.

    Its counters begin when it associates; where the driver says when that was, that tells one
    association from the next. 64-bit counters only: shorter ones wrap unseen.
    """
    found = _read(answer, family, _NEW_STATION, sequence)
    if found is None:
        return None
    if found.get(_MAC) != station:
        raise PeerError("netlink_station")
    counted = _attributes(found.get(_STATION_INFO, b""))
    begun = _number(counted, _ASSOCIATED_AT, 8) if _ASSOCIATED_AT in counted else interface
    return PortReading(
        interface=begun & INT64_MAX,
        octets_in=_counter(counted, _RX_BYTES64),
        octets_out=_counter(counted, _TX_BYTES64),
    )


def neighbours_request(version: int, sequence: int) -> bytes:
    """Ask for all neighbours whose addresses are of a version of IP."""
    body = _NEIGHBOUR.pack(_FAMILIES[version], 0, 0, 0, 0, 0, 0)
    size = _HEADER.size + len(body)
    return _HEADER.pack(size, _GET_NEIGHBOUR, _REQUEST | _DUMP, sequence, 0) + body


def read_neighbours(answer: bytes, sequence: int) -> tuple[dict[bytes, bytes], bool]:
    """Read a part of the answer: MAC by IP address, and whether more is to come."""
    found: dict[bytes, bytes] = {}
    for kind, body in _messages(answer, sequence):
        if kind == _DONE:
            return found, False
        if kind == _ERROR:
            raise PeerError("netlink_error")
        if kind != _NEW_NEIGHBOUR or len(body) < _NEIGHBOUR.size:
            raise PeerError("netlink_command", str(kind))
        state = _NEIGHBOUR.unpack_from(body)[4]
        told = _attributes(body[_NEIGHBOUR.size :])
        mac = told.get(_LINK_ADDRESS, b"")
        if not state & _UNREACHED and len(mac) == MAC_OCTETS and _ADDRESS in told:
            found[told[_ADDRESS]] = mac
    return found, True


def _messages(octets: bytes, sequence: int) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(octets):
        if place + _HEADER.size > len(octets):
            raise PeerError("netlink_short", f"{len(octets)} octets")
        length, kind, _, answered, _ = _HEADER.unpack_from(octets, place)
        if not _HEADER.size <= length <= len(octets) - place or answered != sequence:
            raise PeerError("netlink_message", f"length {length}, sequence {answered}")
        yield kind, octets[place + _HEADER.size : place + length]
        place += length + -length % 4


def _message(family: int, command: int, attributes: bytes, sequence: int) -> bytes:
    body = _GENERIC.pack(command, _VERSION, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), family, _REQUEST, sequence, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _read(answer: bytes, family: int, command: int, sequence: int) -> Attributes | None:
    """Read the one message of an answer: its attributes, None where there is no such thing."""
    kind, body = next(_messages(answer, sequence), (0, b""))
    if len(body) < _GENERIC.size:
        raise PeerError("netlink_short", f"{len(answer)} octets")
    if kind == _ERROR:
        number = -int.from_bytes(body[:4], _ORDER, signed=True)
        if number in _NO_SUCH:
            return None
        raise PeerError("netlink_error", str(number))
    told, *_ = _GENERIC.unpack_from(body)
    if (kind, told) != (family, command):
        raise PeerError("netlink_command", f"{told} of {kind}")
    return _attributes(body[_GENERIC.size :])


def _attributes(octets: bytes) -> Attributes:
    found: dict[int, bytes] = {}
    place = 0
    while place < len(octets):
        if place + _ATTRIBUTE.size > len(octets):
            raise PeerError("netlink_attribute")
        length, kind = _ATTRIBUTE.unpack_from(octets, place)
        if length < _ATTRIBUTE.size or place + length > len(octets):
            raise PeerError("netlink_attribute", f"{length} octets")
        found[kind & _TYPE_BITS] = octets[place + _ATTRIBUTE.size : place + length]
        place += length + -length % 4
    return found


def _number(found: Attributes, kind: int, size: int) -> int:
    value = found.get(kind, b"")
    if len(value) != size:
        raise PeerError("netlink_number", f"attribute {kind} of {len(value)} octets")
    return int.from_bytes(value, _ORDER)


def _counter(found: Attributes, kind: int) -> int:
    value = _number(found, kind, 8)
    if value > INT64_MAX:
        raise PeerError("netlink_number", f"{value} octets")
    return value
