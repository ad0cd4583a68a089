"""The canonical encoding: deterministic CBOR (RFC 8949 section 4.2.1) of a small, strict subset.

Allowed are integers (beyond 64 bits as bignums, tags 2 and 3), byte strings, text, booleans, null,
arrays and maps with text keys. Floats, indefinite lengths and other tags are refused, so two
implementations cannot encode the same facts differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct, calcsize
from typing import Any, TypeAlias

Value: TypeAlias = bool | int | bytes | str | Sequence["Value"] | Mapping[str, "Value"] | None

DEPTH_MAX = 16
"""Arrays and maps inside one another; records are flat, so deeper input is an error."""

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
    """Write a type and its argument in the fewest octets (RFC 8949 section 3)."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    for code, limit, pack in _WIDTHS:
        if argument < limit:
            return pack(major << 5 | code, argument)
    raise EncodingError("length beyond 64 bits")


_WIDTHS = tuple(
    (code, 1 << 8 * calcsize(form), Struct(f">B{form}").pack)
    for code, form in ((24, "B"), (25, "H"), (26, "I"), (27, "Q"))
)


def _integer(value: int) -> bytes:
    major, argument = (_UNSIGNED, value) if value >= 0 else (_NEGATIVE, -1 - value)
    if argument < _SHORT_MAX:
        return _SHORT[major][argument]
    if argument < 1 << 64:
        return _head(major, argument)
    digits = argument.to_bytes((argument.bit_length() + 7) // 8, "big")
    return _head(_TAG, 2 if value >= 0 else 3) + _head(_BYTES, len(digits)) + digits


def _bytes(value: bytes) -> bytes:
    size = len(value)
    return (_SHORT[_BYTES][size] if size < _SHORT_MAX else _head(_BYTES, size)) + value


def _text(value: str) -> bytes:
    try:
        octets = value.encode()
    except UnicodeEncodeError as error:
        raise EncodingError("text holds half a surrogate pair") from error
    size = len(octets)
    return (_SHORT[_TEXT][size] if size < _SHORT_MAX else _head(_TEXT, size)) + octets


def _boolean(value: bool) -> bytes:
    return b"\xf5" if value else b"\xf4"


def _null(value: None) -> bytes:
    return b"\xf6"


_SHORT_MAX = 256
_SHORT = tuple(
    tuple(_head(major, argument) for argument in range(_SHORT_MAX)) for major in range(4)
)
"""Heads of small integers and of short strings, which are nearly all there are."""

_SCALARS: dict[type, Callable[[Any], bytes]] = {
    int: _integer,
    bytes: _bytes,
    str: _text,
    bool: _boolean,
    type(None): _null,
}


def _writer_of_base(value: Value) -> Callable[[Any], bytes]:
    """Return what writes a scalar of a derived type: an enum is its number or its text."""
    for base in (int, bytes, str):
        if isinstance(value, base):
            return _SCALARS[base]
    raise EncodingError(f"{type(value).__name__} has no canonical encoding")


def _append(parts: list[bytes], value: Value, depth: int) -> None:
    writer = _SCALARS.get(type(value))
    if writer is not None:
        parts.append(writer(value))
        return
    if depth >= DEPTH_MAX:
        raise EncodingError(f"nested deeper than {DEPTH_MAX}")
    if isinstance(value, (list, tuple)):
        parts.append(_head(_ARRAY, len(value)))
        for item in value:
            # As above, without a call more: most of what is encoded is a flat list.
            writer = _SCALARS.get(type(item))
            if writer is not None:
                parts.append(writer(item))
            else:
                _append(parts, item, depth + 1)
    elif isinstance(value, Mapping):
        _append_map(parts, value, depth)
    else:
        parts.append(_writer_of_base(value)(value))


def _append_map(parts: list[bytes], value: Mapping[str, Value], depth: int) -> None:
    for key in value:
        if not isinstance(key, str):
            raise EncodingError("map keys are text")
    parts.append(_head(_MAP, len(value)))
    for key_bytes, key in sorted((_text(key), key) for key in value):
        parts.append(key_bytes)
        _append(parts, value[key], depth + 1)
