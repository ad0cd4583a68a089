"""Diameter messages and their attributes (RFC 6733 sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError

HEADER_OCTETS = 20
MESSAGE_OCTETS_MAX = 65_536
AVPS_MAX = 1_024
DEPTH_MAX = 8

VENDOR_3GPP: Final = 10_415
CREDIT_CONTROL: Final = 272
CREDIT_CONTROL_APPLICATION: Final = 4

_REQUEST, _VENDOR = 0x80, 0x80
_TIME_EPOCH_S: Final = 2_208_988_800
"""From 1900, where Diameter's Time begins, to 1970 (RFC 6733 section 4.3.1)."""

_TIME_WRAPS_S: Final = 1 << 32

Code = tuple[int, int]
"""An attribute's vendor, 0 for the IETF's, and its number."""


class Message(NamedTuple):
    """A message: its command and application, and its attributes, unread."""

    command: int
    is_request: bool
    application: int
    end_to_end: int
    avps: bytes


class Avp(NamedTuple):
    """An attribute and its value."""

    code: Code
    value: bytes


def length_of(octets: bytes) -> int | None:
    """Return how long the message that begins here is, None where four octets are not there yet.

    Raises `PeerError`: `diameter_header` where no message can begin so.
    """
    if len(octets) < 4:
        return None
    length = int.from_bytes(octets[1:4], "big")
    if octets[0] != 1 or length % 4 or not HEADER_OCTETS <= length <= MESSAGE_OCTETS_MAX:
        raise PeerError("diameter_header")
    return length


def parse(octets: bytes) -> Message:
    """Read a whole message; raises `PeerError`: `diameter_header`."""
    if length_of(octets) != len(octets):
        raise PeerError("diameter_header")
    return Message(
        command=int.from_bytes(octets[5:8], "big"),
        is_request=bool(octets[4] & _REQUEST),
        application=int.from_bytes(octets[8:12], "big"),
        end_to_end=int.from_bytes(octets[16:20], "big"),
        avps=octets[HEADER_OCTETS:],
    )


def avps(octets: bytes) -> Iterator[Avp]:
    """Yield the attributes of a message or of a group; raises `PeerError`: `avp_length`, `avps`."""
    at = 0
    for _ in range(AVPS_MAX):
        if at >= len(octets):
            return
        head = octets[at : at + 8]
        length = int.from_bytes(head[5:8], "big")
        size = 12 if len(head) == 8 and head[4] & _VENDOR else 8
        if len(head) < 8 or length < size or at + length > len(octets):
            raise PeerError("avp_length")
        vendor = int.from_bytes(octets[at + 8 : at + 12], "big") if size == 12 else 0
        yield Avp((vendor, int.from_bytes(head[:4], "big")), octets[at + size : at + length])
        at += length + -length % 4
    raise PeerError("avps")


def unsigned(value: bytes, size: int) -> int:
    """Read an Unsigned32 or Unsigned64; raises `PeerError`: `avp_value`."""
    if len(value) != size:
        raise PeerError("avp_value")
    return int.from_bytes(value, "big")


def text(value: bytes) -> str:
    """Read a UTF8String or DiameterIdentity; raises `PeerError`: `avp_value`."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PeerError("avp_value") from error


def time_us(value: bytes) -> int:
    """Read a Time as UTC microseconds; below its sign bit it counts from 2036 (RFC 4330)."""
    seconds = unsigned(value, 4)
    if seconds < 1 << 31:
        seconds += _TIME_WRAPS_S
    return (seconds - _TIME_EPOCH_S) * SECOND_US
