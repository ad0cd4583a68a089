"""Messages of EAP-AKA and EAP-AKA': attributes, AT_MAC and what travels encrypted.

Sources: RFC 4187 section 8 to 10, RFC 9048 section 3 and 4.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from opencarrier.access.wire.aka_profile import Profile
from opencarrier.access.wire.eap import EapCode, encode_eap
from opencarrier.kernel.refusals import PeerError

MAC_OCTETS = 16
NONCE_S_OCTETS = 16
BLOCK_OCTETS = 16
EAP_TYPE_OCTETS = 5
MESSAGE_HEADER_OCTETS = 3
SKIPPABLE_FROM = 128


class Subtype(IntEnum):
    """What a message is (RFC 4187 section 11)."""

    CHALLENGE = 1
    AUTHENTICATION_REJECT = 2
    SYNCHRONISATION_FAILURE = 4
    IDENTITY = 5
    NOTIFICATION = 12
    REAUTHENTICATION = 13
    CLIENT_ERROR = 14


_SUBTYPES: Final = {int(subtype): subtype for subtype in Subtype}


class At(IntEnum):
    """Attribute types (RFC 4187 section 11, RFC 9048 section 3 and 4)."""

    RAND = 1
    AUTN = 2
    RES = 3
    AUTS = 4
    PADDING = 6
    PERMANENT_ID_REQ = 10
    MAC = 11
    NOTIFICATION = 12
    ANY_ID_REQ = 13
    IDENTITY = 14
    FULLAUTH_ID_REQ = 17
    COUNTER = 19
    COUNTER_TOO_SMALL = 20
    NONCE_S = 21
    CLIENT_ERROR_CODE = 22
    KDF_INPUT = 23
    KDF = 24
    IV = 129
    ENCR_DATA = 130
    NEXT_PSEUDONYM = 132
    NEXT_REAUTH_ID = 133
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
    At.IDENTITY: range(1, 256),
    At.FULLAUTH_ID_REQ: range(1, 2),
    At.CLIENT_ERROR_CODE: range(1, 2),
    At.KDF_INPUT: range(1, 66),
    At.KDF: range(1, 2),
    At.IV: range(5, 6),
    At.ENCR_DATA: range(5, 256),
    At.CHECKCODE: range(1, 10),
    At.RESULT_IND: range(1, 2),
    At.BIDDING: range(1, 2),
}
"""How many 4-octet words each attribute takes, its two octets of header included."""

_WORDS_ENCRYPTED: Final[dict[int, range]] = {
    At.PADDING: range(1, 4),
    At.COUNTER: range(1, 2),
    At.COUNTER_TOO_SMALL: range(1, 2),
    At.NONCE_S: range(5, 6),
    At.NEXT_PSEUDONYM: range(1, 66),
    At.NEXT_REAUTH_ID: range(1, 66),
}
"""The same for attributes that are valid inside AT_ENCR_DATA only."""

AkaAttribute = tuple[int, bytes]
"""(type, value); the value is what follows the type and length octets."""


@dataclass(frozen=True, slots=True)
class AkaMessage:
    """One parsed message, or what its AT_ENCR_DATA holds."""

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
    subtype = _SUBTYPES.get(data[0])
    if subtype is None:
        raise PeerError("aka_subtype", f"subtype {data[0]}")
    return AkaMessage(subtype, _attributes(data, MESSAGE_HEADER_OCTETS, _WORDS))


def _attributes(data: bytes, offset: int, allowed: Mapping[int, range]) -> tuple[AkaAttribute, ...]:
    attributes: list[AkaAttribute] = []
    seen: set[int] = set()
    while offset < len(data):
        kind, words = data[offset], data[offset + 1] if offset + 1 < len(data) else 0
        after = offset + 4 * words
        if not words or after > len(data):
            raise PeerError("aka_attribute_length", offset=offset)
        if _is_known(kind, words, allowed):
            if kind in seen and kind != At.KDF:
                raise PeerError("aka_attribute_repeated", f"type {kind}")
            seen.add(kind)
            attributes.append((kind, data[offset + 2 : after]))
        offset = after
    return tuple(attributes)


def _is_known(kind: int, words: int, allowed: Mapping[int, range]) -> bool:
    """Whether an attribute is to be read, not skipped; `PeerError` where it is neither."""
    sizes = allowed.get(kind)
    if sizes is None:
        if kind < SKIPPABLE_FROM:
            raise PeerError("aka_attribute_unknown", f"type {kind}")
        return False
    if words not in sizes:
        raise PeerError("aka_attribute_size", f"type {kind}")
    return True


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


_UNSIGNED: Final = attribute(At.MAC, bytes(2 + MAC_OCTETS))


def message(
    profile: Profile,
    code: EapCode,
    identifier: int,
    subtype: Subtype,
    attributes: Iterable[bytes] = (),
) -> bytes:
    """Write a whole EAP packet without AT_MAC."""
    data = bytes((subtype, 0, 0)) + b"".join(attributes)
    return encode_eap(code, identifier, profile.kind, data)


def signed_message(
    profile: Profile,
    code: EapCode,
    identifier: int,
    subtype: Subtype,
    attributes: Iterable[bytes] = (),
    *,
    k_aut: bytes,
    nonce_s: bytes = b"",
) -> bytes:
    """Write a whole EAP packet with AT_MAC last (RFC 4187 section 10.15, RFC 9048 section 3.4.2).

    In the answer to a fast re-authentication NONCE_S is covered too.
    """
    unsigned = message(profile, code, identifier, subtype, [*attributes, _UNSIGNED])
    mac = hmac.digest(k_aut, unsigned + nonce_s, profile.digest)[:MAC_OCTETS]
    return unsigned[:-MAC_OCTETS] + mac


def mac_is_right(profile: Profile, octets: bytes, k_aut: bytes, nonce_s: bytes = b"") -> bool:
    """Say whether a parsed packet's AT_MAC covers it, wherever in the packet it stands."""
    offset = EAP_TYPE_OCTETS + MESSAGE_HEADER_OCTETS
    while offset < len(octets):
        if octets[offset] == At.MAC:
            start = offset + 4
            end = start + MAC_OCTETS
            zeroed = octets[:start] + bytes(MAC_OCTETS) + octets[end:] + nonce_s
            expected = hmac.digest(k_aut, zeroed, profile.digest)[:MAC_OCTETS]
            return hmac.compare_digest(expected, octets[start:end])
        offset += 4 * octets[offset + 1]
    return False


def encrypted(attributes: Iterable[bytes], *, k_encr: bytes, iv: bytes) -> list[bytes]:
    """Write AT_IV and the AT_ENCR_DATA that hides attributes: AES-128-CBC (RFC 4187 10.12)."""
    clear = b"".join(attributes)
    missing = -len(clear) % BLOCK_OCTETS
    if missing:
        clear += attribute(At.PADDING, bytes(missing - 2))
    encryptor = Cipher(algorithms.AES(k_encr), modes.CBC(iv)).encryptor()
    return [
        attribute(At.IV, bytes(2) + iv),
        attribute(At.ENCR_DATA, bytes(2) + encryptor.update(clear)),
    ]


def opened(parsed: AkaMessage, k_encr: bytes) -> AkaMessage:
    """Read what a message's AT_ENCR_DATA hides; `PeerError` where there is none or it is junk.

    The caller has seen that AT_MAC is right.
    """
    iv, data = parsed.get(At.IV), parsed.get(At.ENCR_DATA)
    if iv is None or data is None:
        raise PeerError("aka_encrypted_data_missing")
    if len(data) < 2 + BLOCK_OCTETS or (len(data) - 2) % BLOCK_OCTETS:
        raise PeerError("aka_encrypted_data_size")
    decryptor = Cipher(algorithms.AES(k_encr), modes.CBC(iv[2:])).decryptor()
    return AkaMessage(parsed.subtype, _attributes(decryptor.update(data[2:]), 0, _WORDS_ENCRYPTED))
