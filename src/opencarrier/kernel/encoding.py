"""The canonical encoding: deterministic CBOR (RFC 8949 section 4.2.1) of a small, strict subset.

Allowed are integers (beyond 64 bits as bignums, tags 2 and 3), byte strings, text, booleans, null,
arrays and maps with text keys. Floats, indefinite lengths and other tags are refused, so two
implementations cannot encode the same facts differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = bool | int | bytes | str | Sequence["Value"] | Mapping[str, "Value"] | None

DEPTH_MAX = 16
"""Nesting allowed in one value; records are flat, so deeper input is an error."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)


class EncodingError(ValueError):
    """The value has no canonical encoding (a float, a foreign type, too deep)."""


def encode(value: Value) -> bytes:
    """Encode a value in the one canonical way.

    Raises `EncodingError` for anything outside the subset. Source: RFC 8949 section 4.2.1.
    """
    parts: list[bytes] = []
    _append(parts, value, 0)
    return b"".join(parts)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major << 5 | argument,))
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            return bytes((major << 5 | code,)) + argument.to_bytes(size, "big")
    raise EncodingError("length beyond 64 bits")


def _integer(value: int) -> bytes:
    major, argument = (_UNSIGNED, value) if value >= 0 else (_NEGATIVE, -1 - value)
    if argument < 1 << 64:
        return _head(major, argument)
    digits = argument.to_bytes((argument.bit_length() + 7) // 8, "big")
    return _head(_TAG, 2 if value >= 0 else 3) + _head(_BYTES, len(digits)) + digits


def _append(parts: list[bytes], value: Value, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise EncodingError(f"nested deeper than {DEPTH_MAX}")
    if value is None:
        parts.append(b"\xf6")
    elif value is True or value is False:
        parts.append(b"\xf5" if value else b"\xf4")
    elif isinstance(value, int):
        parts.append(_integer(value))
    elif isinstance(value, bytes):
        parts += (_head(_BYTES, len(value)), value)
    elif isinstance(value, str):
        text = value.encode()
        parts += (_head(_TEXT, len(text)), text)
    elif isinstance(value, Mapping):
        _append_map(parts, value, depth)
    elif isinstance(value, Sequence):
        parts.append(_head(_ARRAY, len(value)))
        for item in value:
            _append(parts, item, depth + 1)
    else:
        raise EncodingError(f"{type(value).__name__} has no canonical encoding")


def _append_map(parts: list[bytes], value: Mapping[str, Value], depth: int) -> None:
    for key in value:
        if not isinstance(key, str):
            raise EncodingError("map keys are text")
    parts.append(_head(_MAP, len(value)))
    for key_bytes, key in sorted((encode(key), key) for key in value):
        parts.append(key_bytes)
        _append(parts, value[key], depth + 1)
