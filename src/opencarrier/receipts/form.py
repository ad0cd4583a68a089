"""A receipt's written form: JSON with one spelling, so that any flipped byte shows.

Canonical values map to JSON without loss: octets become `0x` and hex digits, and a text that
would read like that (an address) is marked `text:`. A verifier maps back and encodes again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from opencarrier.kernel.encoding import Value
from opencarrier.kernel.refusals import PeerError

RECEIPT_OCTETS_MAX: Final = 1 << 20
DEPTH_MAX: Final = 16
BRACKETS_MAX: Final = 4_096
"""Opening brackets in a text: bounds how deep JSON nests before it is parsed.

A library may have raised the interpreter's recursion limit; then deep nesting ends the process.
"""
_MARK: Final = "text:"
_OCTETS: Final = re.compile(r"0x(?:[0-9a-f]{2})*")


def to_json(value: Value) -> Any:
    """Map a canonical value to JSON."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str):
        return _MARK + value if value.startswith(("0x", _MARK)) else value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    return [to_json(item) for item in value]


def from_json(value: Any, depth: int = 0) -> Value:
    """Map JSON back to a canonical value; `PeerError` for what `to_json` would not write."""
    if depth > DEPTH_MAX:
        raise PeerError("form", f"nested deeper than {DEPTH_MAX}")
    if isinstance(value, str):
        return _text_or_octets(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, dict):
        return {key: from_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item, depth + 1) for item in value]
    raise PeerError("form", f"{type(value).__name__} is not part of a receipt")


def _text_or_octets(value: str) -> str | bytes:
    if value.startswith(_MARK):
        return value[len(_MARK) :]
    if not value.startswith("0x"):
        return value
    if _OCTETS.fullmatch(value) is None:
        raise PeerError("form", "not lower-case hex digits in pairs")
    return bytes.fromhex(value[2:])


def write(document: Mapping[str, Any]) -> str:
    """Write a document in its one spelling: sorted keys, one space of indent, a final newline."""
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True) + "\n"


def read(text: str) -> dict[str, Any]:
    """Read a document; `PeerError` unless its text is exactly how `write` spells it."""
    if len(text) > RECEIPT_OCTETS_MAX:
        raise PeerError("form", f"more than {RECEIPT_OCTETS_MAX} octets")
    check_nesting(text)
    try:
        document = json.loads(text, parse_float=_no_float, parse_constant=_no_float)
        spelt = write(document)
    except (ValueError, RecursionError) as error:
        raise PeerError("form", f"not JSON: {error}") from None
    if not isinstance(document, dict) or spelt != text:
        raise PeerError("form", "the text is not in its one spelling; it was changed")
    return document


def check_nesting(text: str) -> None:
    """Refuse a text that opens more brackets than any document of ours; `PeerError`."""
    if text.count("[") + text.count("{") > BRACKETS_MAX:
        raise PeerError("form", f"more than {BRACKETS_MAX} opening brackets")


def keys(value: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    """Return an object with exactly the known keys; `PeerError` otherwise."""
    if not isinstance(value, dict):
        raise PeerError("form", f"{where} is not an object")
    odd = sorted(set(value) ^ set(known))
    if odd:
        raise PeerError("form", f"{where} has an unknown or a missing key: {odd[0]!r}")
    return value


def octets(value: Any, size: int, where: str) -> bytes:
    """Return octets of a given size; `PeerError` otherwise."""
    read_back = from_json(value) if isinstance(value, str) else value
    if not isinstance(read_back, bytes) or len(read_back) != size:
        raise PeerError("form", f"{where} is not {size} octets in hex")
    return read_back


def number(value: Any, where: str) -> int:
    """Return a non-negative whole number; `PeerError` otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise PeerError("form", f"{where} is not a whole number")
    return value


def words(value: Any, where: str) -> str:
    """Return a text; `PeerError` otherwise."""
    if not isinstance(value, str):
        raise PeerError("form", f"{where} is not a text")
    read_back = from_json(value)
    if not isinstance(read_back, str):
        raise PeerError("form", f"{where} is octets, not a text")
    return read_back


def _no_float(spelt: str) -> NoReturn:
    raise PeerError("form", f"{spelt} is not a whole number")
