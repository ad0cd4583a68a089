"""Derived ids: the same content is the same id, on every side and after every retry."""

from __future__ import annotations

from hashlib import sha256
from typing import NewType

from opencarrier.kernel.encoding import Value, encode

Id = NewType("Id", bytes)
"""32 octets. Written as `0x` and 64 lower-case hex digits wherever people or JSON meet it."""

ID_OCTETS = 32


def derive(tag: str, *fields: Value) -> Id:
    """Return SHA-256 over the canonical encoding of `["opencarrier/" + tag, *fields]`.

    The tag separates domains: no session id can ever equal a usage id of other content.
    """
    return Id(sha256(encode([f"opencarrier/{tag}", *fields])).digest())


def to_hex(identifier: bytes) -> str:
    """Write octets as `0x` and lower-case hex digits."""
    return "0x" + identifier.hex()


def from_hex(text: str, *, octets: int = ID_OCTETS) -> Id:
    """Read an id; `ValueError` unless it is `0x` and exactly `octets` octets in lower-case hex."""
    if not text.startswith("0x") or text != text.lower():
        raise ValueError("an id is written as 0x and lower-case hex digits")
    value = bytes.fromhex(text[2:])
    if len(value) != octets or len(text) != 2 + 2 * octets:
        raise ValueError(f"an id has {octets} octets, this one has {len(value)}")
    return Id(value)
