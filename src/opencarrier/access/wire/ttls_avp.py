"""The attribute-value pairs inside an EAP-TTLS tunnel: a total, strict codec (RFC 5281 section 10).

Diameter's layout: code, flags, a length of three octets, a vendor where the V flag says so, the
data, and zeros up to the next multiple of four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from opencarrier.kernel.refusals import PeerError

MICROSOFT = 311
AVPS_MAX = 32
AVP_OCTETS_MAX = 4_096
"""Of everything in one flight; a user name, a challenge and a response need about 150."""

_HEADER_OCTETS = 8
_VENDOR_OCTETS = 4
_VENDOR_FLAG, _MANDATORY_FLAG, _RESERVED_FLAGS = 0x80, 0x40, 0x3F


class Avp(IntEnum):
    """RADIUS attributes as AVPs without a vendor (RFC 5281 section 11.2)."""

    USER_NAME = 1
    USER_PASSWORD = 2
    EAP_MESSAGE = 79


class MicrosoftAvp(IntEnum):
    """AVPs of vendor 311 (RFC 2548)."""

    MS_CHAP_ERROR = 2
    MS_CHAP_CHALLENGE = 11
    MS_CHAP2_RESPONSE = 25
    MS_CHAP2_SUCCESS = 26


@dataclass(frozen=True, slots=True)
class Pair:
    """One AVP; `vendor` is 0 where there is none."""

    code: int
    data: bytes
    vendor: int = 0
    mandatory: bool = True


def parse_avps(octets: bytes) -> list[Pair]:
    """Read a sequence of AVPs, or raise `PeerError`; padding must be there and be zero."""
    if not 0 < len(octets) <= AVP_OCTETS_MAX:
        raise PeerError("avp_size", f"{len(octets)} octets")
    pairs: list[Pair] = []
    offset = 0
    while offset < len(octets):
        if len(pairs) == AVPS_MAX:
            raise PeerError("avp_count", offset=offset)
        pair, offset = _parse_one(octets, offset)
        pairs.append(pair)
    return pairs


def _parse_one(octets: bytes, offset: int) -> tuple[Pair, int]:
    head = octets[offset : offset + _HEADER_OCTETS]
    if len(head) < _HEADER_OCTETS:
        raise PeerError("avp_header", offset=offset)
    code, flags = int.from_bytes(head[:4], "big"), head[4]
    length = int.from_bytes(head[5:8], "big")
    if flags & _RESERVED_FLAGS:
        raise PeerError("avp_flags", offset=offset + 4)
    begin = offset + _HEADER_OCTETS + (_VENDOR_OCTETS if flags & _VENDOR_FLAG else 0)
    end = offset + length
    following = offset + (length + 3) // 4 * 4
    if end < begin or following > len(octets):
        raise PeerError("avp_length", offset=offset + 5)
    if any(octets[end:following]):
        raise PeerError("avp_padding", offset=end)
    vendor = int.from_bytes(octets[offset + _HEADER_OCTETS : begin], "big")
    if flags & _VENDOR_FLAG and vendor == 0:
        raise PeerError("avp_vendor", offset=offset + _HEADER_OCTETS)
    return Pair(code, octets[begin:end], vendor, bool(flags & _MANDATORY_FLAG)), following


def encode_avps(pairs: Sequence[Pair]) -> bytes:
    """Write a sequence of AVPs."""
    return b"".join(_encode_one(pair) for pair in pairs)


def _encode_one(pair: Pair) -> bytes:
    vendor = pair.vendor.to_bytes(_VENDOR_OCTETS, "big") if pair.vendor else b""
    flags = (_VENDOR_FLAG if vendor else 0) | (_MANDATORY_FLAG if pair.mandatory else 0)
    length = _HEADER_OCTETS + len(vendor) + len(pair.data)
    head = pair.code.to_bytes(4, "big") + bytes((flags,)) + length.to_bytes(3, "big")
    return head + vendor + pair.data + bytes(-length % 4)
