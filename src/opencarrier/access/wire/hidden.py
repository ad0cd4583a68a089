"""Attributes hidden under a hop's secret, hidden again for the next hop.

User-Password (RFC 2865 section 5.2), Tunnel-Password (RFC 2868 section 3.5) and the MS-MPPE keys
(RFC 2548 section 2.4) are hidden with the shared secret and the request's authenticator. Whoever
passes a packet on opens them with one hop's and hides them with the other's; no other attribute
changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import md5
from typing import Final

from opencarrier.access.wire.dictionary import (
    MICROSOFT,
    MS_MPPE_RECV_KEY,
    MS_MPPE_SEND_KEY,
    Type,
)
from opencarrier.access.wire.radius import Attribute
from opencarrier.kernel.refusals import PeerError

TUNNEL_PASSWORD: Final = 69
BLOCK_OCTETS = 16
PASSWORD_OCTETS_MAX = 128
SALT_OCTETS = 2
VENDOR_HEAD_OCTETS = 6
_KEYS = (MS_MPPE_SEND_KEY, MS_MPPE_RECV_KEY)


@dataclass(frozen=True, slots=True)
class Hop:
    """What hides attributes between two neighbours: their secret, and a request's authenticator."""

    secret: bytes = field(repr=False)
    authenticator: bytes


def onward(attributes: Iterable[Attribute], before: Hop, after: Hop) -> list[Attribute]:
    """Hide a request's User-Password for the next hop; `PeerError` where its size is wrong."""
    return [
        (kind, _again(value, before, after, b"")) if kind == Type.USER_PASSWORD else (kind, value)
        for kind, value in attributes
    ]


def backward(attributes: Iterable[Attribute], before: Hop, after: Hop) -> list[Attribute]:
    """Hide a reply's keys and tunnel passwords for the neighbour that asked.

    `before` is the hop the reply came over, `after` the one it goes back on. Salts stay, as they
    need to differ within a packet only. `PeerError` where a size is wrong.
    """
    return [(kind, _reply_value(kind, value, before, after)) for kind, value in attributes]


def _reply_value(kind: int, value: bytes, before: Hop, after: Hop) -> bytes:
    if kind == TUNNEL_PASSWORD:
        return value[:1] + _salted(value[1:], before, after)
    if kind != Type.VENDOR_SPECIFIC or int.from_bytes(value[:4], "big") != MICROSOFT:
        return value
    if len(value) < VENDOR_HEAD_OCTETS or value[5] != len(value) - 4:
        return value
    if value[4] not in _KEYS:
        return value
    head = value[:VENDOR_HEAD_OCTETS]
    return head + _salted(value[VENDOR_HEAD_OCTETS:], before, after)


def _salted(value: bytes, before: Hop, after: Hop) -> bytes:
    salt, sealed = value[:SALT_OCTETS], value[SALT_OCTETS:]
    if len(salt) < SALT_OCTETS:
        raise PeerError("hidden_size", f"{len(value)} octets")
    return salt + _again(sealed, before, after, salt)


def _again(value: bytes, before: Hop, after: Hop, salt: bytes) -> bytes:
    """Take one hop's stream off and put the other's on, block by block of what is hidden."""
    if not value or len(value) % BLOCK_OCTETS or len(value) > _most(salt):
        raise PeerError("hidden_size", f"{len(value)} octets")
    left, right = before.authenticator + salt, after.authenticator + salt
    out = []
    for start in range(0, len(value), BLOCK_OCTETS):
        block = value[start : start + BLOCK_OCTETS]
        clear = _xor(block, _stream(before.secret, left))
        hidden = _xor(clear, _stream(after.secret, right))
        out.append(hidden)
        left, right = block, hidden
    return b"".join(out)


def _most(salt: bytes) -> int:
    return PASSWORD_OCTETS_MAX if not salt else 240


def _stream(secret: bytes, chain: bytes) -> bytes:
    return md5(secret + chain, usedforsecurity=False).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(16, "big")
