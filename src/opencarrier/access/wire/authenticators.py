"""Who sent this packet: authenticators, Message-Authenticator, protected keys.

Sources: RFC 2865 section 3, RFC 2866 section 3, RFC 2548 section 2.4, RFC 3579 section 3.2, and
the counter-measures against forged responses known as BlastRADIUS (CVE-2024-3596): a
Message-Authenticator stands first in every Access reply, is required where a request carries EAP
or a client's setting asks for it, and a Proxy-State without one is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from functools import lru_cache
from hashlib import md5

from cryptography.hazmat.primitives.hashes import MD5
from cryptography.hazmat.primitives.hmac import HMAC

from opencarrier.access.wire.dictionary import (
    MICROSOFT,
    MS_MPPE_RECV_KEY,
    MS_MPPE_SEND_KEY,
    Code,
    Type,
)
from opencarrier.access.wire.radius import (
    AUTHENTICATOR_OCTETS,
    HEADER_OCTETS,
    PACKET_OCTETS_MAX,
    Attribute,
    Packet,
    encode,
    pack,
    pack_into,
    vendor,
)
from opencarrier.kernel.refusals import PeerError

ZERO = bytes(AUTHENTICATOR_OCTETS)
MPPE_SALT_OCTETS = 2
SECRETS_MAX = 1_024
"""Of neighbours whose secrets are kept ready for signing."""

_AUTHENTICATOR = slice(HEADER_OCTETS - AUTHENTICATOR_OCTETS, HEADER_OCTETS)
_SIGNATURE = slice(HEADER_OCTETS + 2, HEADER_OCTETS + 2 + AUTHENTICATOR_OCTETS)
"""Where the value of a Message-Authenticator is that stands first."""
_MESSAGE_AUTHENTICATOR = int(Type.MESSAGE_AUTHENTICATOR)
_MESSAGE_AUTHENTICATOR_EMPTY: Attribute = (_MESSAGE_AUTHENTICATOR, ZERO)
_UNSIGNED = pack([_MESSAGE_AUTHENTICATOR_EMPTY])
_PROXY_STATE = int(Type.PROXY_STATE)
_EAP_MESSAGE = int(Type.EAP_MESSAGE)

_COMPUTED = (Code.ACCOUNTING_REQUEST, Code.DISCONNECT_REQUEST, Code.COA_REQUEST)
"""Requests whose authenticator depends on the secret; that of others is random."""

_FORGEABLE = (Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE)
"""Replies to a random authenticator: without a Message-Authenticator MD5 alone protects them."""


def _md5(octets: bytes | bytearray) -> bytes:
    return md5(octets, usedforsecurity=False).digest()


@lru_cache(maxsize=SECRETS_MAX)
def _keyed(secret: bytes) -> HMAC:
    return HMAC(secret, MD5())  # noqa: S303 - the standard's


def _signature(secret: bytes, octets: bytes | bytearray) -> bytes:
    """HMAC-MD5; a neighbour's secret is hashed once for all its packets."""
    keyed = _keyed(secret).copy()
    keyed.update(octets)
    return keyed.finalize()


def _length(datagram: bytes) -> int:
    return int.from_bytes(datagram[2:4], "big")


def check_access_request(
    datagram: bytes,
    packet: Packet,
    secret: bytes,
    *,
    required: bool,
    limit_proxy_state: bool = True,
) -> None:
    """Accept an Access-Request or Status-Server, or raise `PeerError`.

    `required` is the client's setting; EAP and Status-Server need one regardless, Proxy-State
    unless `limit_proxy_state` is off.
    """
    assert packet.code in (Code.ACCESS_REQUEST, Code.STATUS_SERVER)
    if check_message_authenticator(datagram, packet, secret, packet.authenticator):
        return
    if packet.get(_EAP_MESSAGE) is not None or packet.code == Code.STATUS_SERVER:
        raise PeerError("message_authenticator_missing")
    if limit_proxy_state and packet.get(_PROXY_STATE) is not None:
        raise PeerError("proxy_state_unprotected")
    if required:
        raise PeerError("message_authenticator_missing")


def check_accounting_request(datagram: bytes, packet: Packet, secret: bytes) -> None:
    """Accept a request whose authenticator is computed, or raise `PeerError`.

    That is accounting, Disconnect and CoA (RFC 2866 section 3, RFC 5176 section 2.3).
    """
    assert packet.code in _COMPUTED
    body = datagram[HEADER_OCTETS : _length(datagram)]
    expected = _md5(datagram[:4] + ZERO + body + secret)
    if not hmac.compare_digest(expected, packet.authenticator):
        raise PeerError("request_authenticator")
    check_message_authenticator(datagram, packet, secret, ZERO)


def check_message_authenticator(
    datagram: bytes, packet: Packet, secret: bytes, authenticator: bytes
) -> bool:
    """Say whether a Message-Authenticator is there; `PeerError` if it is wrong or repeated.

    `authenticator` is what the sender had in the header when it signed: the request's own in an
    Access-Request, the request's in a reply, zeros in an Accounting-Request.
    """
    offset, found = HEADER_OCTETS, 0
    for attribute_type, value in packet.attributes:
        if attribute_type == _MESSAGE_AUTHENTICATOR:
            if found or len(value) != AUTHENTICATOR_OCTETS:
                raise PeerError("message_authenticator_malformed", offset=offset)
            found = offset + 2
        offset += len(value) + 2
    if not found:
        return False
    signed = b"".join(
        (
            datagram[:4],
            authenticator,
            datagram[HEADER_OCTETS:found],
            ZERO,
            datagram[found + AUTHENTICATOR_OCTETS : offset],
        )
    )
    actual = datagram[found : found + AUTHENTICATOR_OCTETS]
    if not hmac.compare_digest(_signature(secret, signed), actual):
        raise PeerError("message_authenticator", offset=found)
    return True


def check_response(
    datagram: bytes,
    packet: Packet,
    secret: bytes,
    request_authenticator: bytes,
    *,
    required: bool = True,
) -> None:
    """Accept a reply to our own request, or raise `PeerError` (RFC 2865 section 3).

    An Access reply needs its Message-Authenticator too, unless TLS says who sent it.
    """
    body = datagram[HEADER_OCTETS : _length(datagram)]
    expected = _md5(datagram[:4] + request_authenticator + body + secret)
    if not hmac.compare_digest(expected, packet.authenticator):
        raise PeerError("response_authenticator")
    found = check_message_authenticator(datagram, packet, secret, request_authenticator)
    if required and not found and packet.code in _FORGEABLE:
        raise PeerError("message_authenticator_missing")


def _with_message_authenticator(datagram: bytes, secret: bytes) -> bytes:
    digest = _signature(secret, datagram)
    return datagram[: _SIGNATURE.start] + digest + datagram[_SIGNATURE.stop :]


def request(
    code: int,
    identifier: int,
    attributes: Iterable[Attribute],
    secret: bytes,
    *,
    authenticator: bytes = ZERO,
) -> bytes:
    """A request of any code, signed as its code asks; only a random authenticator is given.

    Message-Authenticator stands first, except in accounting, where servers expect none.
    """
    if code == Code.ACCOUNTING_REQUEST:
        return accounting_request(identifier, attributes, secret)
    first = [_MESSAGE_AUTHENTICATOR_EMPTY, *attributes]
    signed = _with_message_authenticator(encode(code, identifier, authenticator, first), secret)
    return _with_request_authenticator(signed, secret) if code in _COMPUTED else signed


def access_request(
    identifier: int, authenticator: bytes, attributes: Iterable[Attribute], secret: bytes
) -> bytes:
    """An Access-Request with its Message-Authenticator first; `authenticator` is random."""
    return request(Code.ACCESS_REQUEST, identifier, attributes, secret, authenticator=authenticator)


def accounting_request(identifier: int, attributes: Iterable[Attribute], secret: bytes) -> bytes:
    """An Accounting-Request; its authenticator is computed (RFC 2866 section 3)."""
    unsigned = encode(Code.ACCOUNTING_REQUEST, identifier, ZERO, attributes)
    return _with_request_authenticator(unsigned, secret)


def _with_request_authenticator(datagram: bytes, secret: bytes) -> bytes:
    digest = _md5(datagram + secret)
    return datagram[:4] + digest + datagram[HEADER_OCTETS:]


def response(code: int, request: Packet, attributes: Iterable[Attribute], secret: bytes) -> bytes:
    """A signed reply: Message-Authenticator first, then attributes, then Proxy-State in order.

    An Accounting-Response carries no Message-Authenticator, as most access points expect none.
    `PeerError` where a request's Proxy-State leaves no room.
    """
    out = bytearray((code, request.identifier, 0, 0))
    out += request.authenticator
    if code != Code.ACCOUNTING_RESPONSE:
        out += _UNSIGNED
    pack_into(out, attributes)
    for value in request.all(_PROXY_STATE):
        pack_into(out, [(_PROXY_STATE, value)])
    if len(out) > PACKET_OCTETS_MAX:
        raise PeerError("packet_full", f"{len(out)} octets")
    out[2:4] = len(out).to_bytes(2, "big")
    if code != Code.ACCOUNTING_RESPONSE:
        out[_SIGNATURE] = _signature(secret, out)
    out[_AUTHENTICATOR] = _md5(out + secret)
    return bytes(out)


def mppe_keys(
    msk: bytes, secret: bytes, request_authenticator: bytes, salts: tuple[bytes, bytes]
) -> list[Attribute]:
    """MS-MPPE-Recv-Key = MSK[0:32] and MS-MPPE-Send-Key = MSK[32:64] (RFC 2548, RFC 3748 7.10).

    Each salt is two octets; its first bit is set here and the two must differ.
    """
    assert len(msk) >= 64
    recv_salt, send_salt = (bytes((salt[0] | 0x80, salt[1])) for salt in salts)
    assert recv_salt != send_salt
    recv = recv_salt + _protect(msk[:32], secret, request_authenticator + recv_salt)
    send = send_salt + _protect(msk[32:64], secret, request_authenticator + send_salt)
    return [vendor(MICROSOFT, MS_MPPE_RECV_KEY, recv), vendor(MICROSOFT, MS_MPPE_SEND_KEY, send)]


def _protect(key: bytes, secret: bytes, chain: bytes) -> bytes:
    clear = bytes((len(key),)) + key + bytes(-(len(key) + 1) % 16)
    out = b""
    for start in range(0, len(clear), 16):
        chain = _xor16(_md5(secret + chain), clear[start : start + 16])
        out += chain
    return out


def open_mppe_key(value: bytes, secret: bytes, request_authenticator: bytes) -> bytes:
    """The key inside an MS-MPPE key attribute, or `PeerError` (RFC 2548 section 2.4.2)."""
    salt, sealed = value[:MPPE_SALT_OCTETS], value[MPPE_SALT_OCTETS:]
    if len(salt) < MPPE_SALT_OCTETS or not sealed or len(sealed) % 16:
        raise PeerError("mppe_key_size")
    clear, chain = b"", request_authenticator + salt
    for start in range(0, len(sealed), 16):
        block = sealed[start : start + 16]
        clear += _xor16(_md5(secret + chain), block)
        chain = block
    if clear[0] > len(clear) - 1:
        raise PeerError("mppe_key_length")
    return clear[1 : 1 + clear[0]]


def _xor16(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(16, "big")
