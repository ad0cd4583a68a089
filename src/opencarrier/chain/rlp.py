"""Recursive length prefix, the one way Ethereum writes lists of octets (yellow paper, B)."""

from __future__ import annotations

from collections.abc import Sequence

Item = bytes | int | Sequence["Item"]


def encode(item: Item) -> bytes:
    """Encode octets, a non-negative integer (big endian, no leading zero) or a list of such."""
    if isinstance(item, int):
        assert item >= 0, "RLP has no negative numbers"
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return length_prefix(len(item), 0x80) + item
    payload = b"".join(encode(part) for part in item)
    return length_prefix(len(payload), 0xC0) + payload


def length_prefix(length: int, offset: int) -> bytes:
    """Return what stands before `length` octets: offset 0x80 for a string, 0xc0 for a list."""
    if length < 56:
        return bytes((offset + length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(octets),)) + octets
