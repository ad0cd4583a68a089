"""EAP-AKA' messages: subtypes, attributes, their framing and AT_MAC (RFC 4187, RFC 9048)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from opencarrier.access.wire.eap import EapCode, EapType, encode_eap
from opencarrier.kernel.refusals import PeerError

MAC_OCTETS = 16
EAP_TYPE_OCTETS = 5
MESSAGE_HEADER_OCTETS = 3
SKIPPABLE_FROM = 128


class Subtype(IntEnum):
    """What an EAP-AKA' message is (RFC 4187 section 11)."""

    CHALLENGE = 1
    AUTHENTICATION_REJECT = 2
    SYNCHRONISATION_FAILURE = 4
    IDENTITY = 5
    NOTIFICATION = 12
    REAUTHENTICATION = 13
    CLIENT_ERROR = 14


class At(IntEnum):
    """Attribute types (RFC 4187 section 11, RFC 9048 section 3 and 4)."""

    RAND = 1
    AUTN = 2
    RES = 3
    AUTS = 4
    PERMANENT_ID_REQ = 10
    MAC = 11
    NOTIFICATION = 12
    ANY_ID_REQ = 13
    IDENTITY = 14
    FULLAUTH_ID_REQ = 17
    CLIENT_ERROR_CODE = 22
    KDF_INPUT = 23
    KDF = 24
    IV = 129
    ENCR_DATA = 130
    CHECKCODE = 134
    RESULT_IND = 135
    BIDDING = 136


class Notification(IntEnum):
    """AT_NOTIFICATION codes; bit 15 says success, bit 14 before authentication (RFC 4187 10.19)."""

    GENERAL_FAILURE_AFTER = 0
    TEMPORARILY_DENIED = 1026
    NOT_SUBSCRIBED = 1031
    GENERAL_FAILURE_BEFORE = 16384
    SUCCESS = 32768


_WORDS: Final[dict[int, range]] = {
    At.RAND: range(5, 6),
    At.AUTN: range(5, 6),
    At.RES: range(2, 6),
    At.AUTS: range(4, 5),
    At.PERMANENT_ID_REQ: range(1, 2),
    At.MAC: range(5, 6),
    At.NOTIFICATION: range(1, 2),
    At.ANY_ID_REQ: range(1, 2),
    At.IDENTITY: range(1, 66),
    At.FULLAUTH_ID_REQ: range(1, 2),
    At.CLIENT_ERROR_CODE: range(1, 2),
    At.KDF_INPUT: range(1, 66),
    At.KDF: range(1, 2),
    At.CHECKCODE: range(1, 10),
    At.RESULT_IND: range(1, 2),
    At.BIDDING: range(1, 2),
}
"""How many 4-octet words each attribute takes, its two octets of header included."""

_KNOWN_UNUSED: Final = frozenset({At.IV, At.ENCR_DATA})

AkaAttribute = tuple[int, bytes]
"""(type, value); the value is what follows the type and length octets."""


@dataclass(frozen=True, slots=True)
class AkaMessage:
    """One parsed EAP-AKA' message."""

    subtype: Subtype
    attributes: tuple[AkaAttribute, ...]

    def get(self, at: At) -> bytes | None:
        """The value of an attribute, or None."""
        for kind, value in self.attributes:
            if kind == at:
                return value
        return None

    def kdfs(self) -> tuple[int, ...]:
        """The key derivation functions named, in order."""
        return tuple(int.from_bytes(v, "big") for kind, v in self.attributes if kind == At.KDF)


def parse_message(data: bytes) -> AkaMessage:
    """Read what follows the EAP type octet, or raise `PeerError` (RFC 4187 section 8.1).

    An unknown attribute below 128 is an error, one above is skipped; none but AT_KDF repeats.
    """
    if len(data) < MESSAGE_HEADER_OCTETS:
        raise PeerError("aka_short")
    try:
        subtype = Subtype(data[0])
    except ValueError as error:
        raise PeerError("aka_subtype", f"subtype {data[0]}") from error
    attributes: list[AkaAttribute] = []
    offset = MESSAGE_HEADER_OCTETS
    while offset < len(data):
        size = 4 * data[offset + 1] if offset + 1 < len(data) else 0
        if not size or offset + size > len(data):
            raise PeerError("aka_attribute_length", offset=offset)
        _take(attributes, data[offset], data[offset + 2 : offset + size])
        offset += size
    return AkaMessage(subtype, tuple(attributes))


def _take(attributes: list[AkaAttribute], kind: int, value: bytes) -> None:
    words = _WORDS.get(kind)
    if words is None:
        if kind < SKIPPABLE_FROM:
            raise PeerError("aka_attribute_unknown", f"type {kind}")
        if kind in _KNOWN_UNUSED:
            attributes.append((kind, value))
        return
    if (len(value) + 2) // 4 not in words:
        raise PeerError("aka_attribute_size", f"type {kind}")
    if kind != At.KDF and any(kind == other for other, _ in attributes):
        raise PeerError("aka_attribute_repeated", f"type {kind}")
    attributes.append((kind, value))


def sized(value: bytes, what: str) -> bytes:
    """The octets of an attribute that starts with their count (AT_IDENTITY, AT_KDF_INPUT)."""
    count = int.from_bytes(value[:2], "big")
    if count > len(value) - 2 or len(value) - 2 - count > 3:
        raise PeerError("aka_attribute_length", what)
    return value[2 : 2 + count]


def response_of(value: bytes) -> bytes:
    """The RES inside AT_RES, whose length is counted in bits; whole octets only."""
    bits = int.from_bytes(value[:2], "big")
    octets = bits // 8
    if bits % 8 or not 4 <= octets <= 16 or not 0 <= len(value) - 2 - octets <= 3:
        raise PeerError("aka_res_length", f"{bits} bits")
    return value[2 : 2 + octets]


def attribute(at: At, value: bytes = b"\x00\x00") -> bytes:
    """Write an attribute; the value is padded with zeros to whole words."""
    padded = value + bytes(-(len(value) + 2) % 4)
    words = (len(padded) + 2) // 4
    assert words <= 255
    return bytes((at, words)) + padded


def counted(at: At, value: bytes, *, bits: bool = False) -> bytes:
    """Write an attribute that starts with the count of its octets, or bits (AT_RES)."""
    count = len(value) * 8 if bits else len(value)
    return attribute(at, count.to_bytes(2, "big") + value)


def message(code: EapCode, identifier: int, subtype: Subtype, attributes: Iterable[bytes]) -> bytes:
    """Write a whole EAP packet with an EAP-AKA' message and no AT_MAC."""
    data = bytes((subtype, 0, 0)) + b"".join(attributes)
    return encode_eap(code, identifier, EapType.AKA_PRIME, data)


def sign(unsigned: bytes, k_aut: bytes) -> bytes:
    """Fill the AT_MAC that stands last and empty: HMAC-SHA-256-128 (RFC 9048 section 3.4.2)."""
    mac = hmac.digest(k_aut, unsigned, "sha256")[:MAC_OCTETS]
    return unsigned[:-MAC_OCTETS] + mac


def signed_message(
    code: EapCode,
    identifier: int,
    subtype: Subtype,
    attributes: Iterable[bytes],
    *,
    k_aut: bytes,
) -> bytes:
    """Write a whole EAP packet with AT_MAC last."""
    empty = attribute(At.MAC, bytes(2 + MAC_OCTETS))
    return sign(message(code, identifier, subtype, [*attributes, empty]), k_aut)


def mac_is_right(octets: bytes, k_aut: bytes) -> bool:
    """Say whether a parsed packet's AT_MAC covers it, wherever in the packet it stands."""
    offset = EAP_TYPE_OCTETS + MESSAGE_HEADER_OCTETS
    while offset < len(octets):
        if octets[offset] == At.MAC:
            start = offset + 4
            end = start + MAC_OCTETS
            zeroed = octets[:start] + bytes(MAC_OCTETS) + octets[end:]
            expected = hmac.digest(k_aut, zeroed, "sha256")[:MAC_OCTETS]
            return hmac.compare_digest(expected, octets[start:end])
        offset += 4 * octets[offset + 1]
    return False
