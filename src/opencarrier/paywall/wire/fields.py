"""The three headers' form: base64 of JSON, read strictly, bounded before anything is parsed."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address

VERSION = 2
HEADER_CHARACTERS_MAX = 8_192
BRACKETS_MAX = 64
"""Opening brackets in a header: bounds how deep JSON can nest before it is parsed."""

WORDS_MAX = 400
WORD_MAX = (1 << 256) - 1

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,77}")


def write_header(value: Mapping[str, Any]) -> str:
    """Write a header's JSON object as base64."""
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def read_header(text: str) -> dict[str, Any]:
    """Read base64 JSON: bounded before anything is parsed, no key twice, no fractions."""
    if len(text) > HEADER_CHARACTERS_MAX:
        raise PeerError("header_too_long", f"more than {HEADER_CHARACTERS_MAX} characters")
    try:
        raw = base64.b64decode(text.encode(), validate=True)
        if raw.count(b"[") + raw.count(b"{") > BRACKETS_MAX:
            wrong(f"more than {BRACKETS_MAX} opening brackets")
        read = json.loads(raw, object_pairs_hook=_once, parse_float=wrong, parse_constant=wrong)
    except (binascii.Error, ValueError) as error:
        raise PeerError("header_form", f"not base64 of JSON: {error}") from None
    if not isinstance(read, dict) or read.get("x402Version", VERSION) != VERSION:
        wrong(f"x402Version is not {VERSION}")
    return read


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        wrong("a key is given twice")
    return found


def child(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the object at a key; `PeerError` where there is none."""
    found = value.get(key)
    if not isinstance(found, dict):
        wrong(key)
    return found


def words(value: Mapping[str, Any], key: str) -> str:
    """Return the short text at a key, empty where there is none."""
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > WORDS_MAX:
        wrong(key)
    return found


def address(value: Mapping[str, Any], key: str) -> Address:
    """Return the address at a key, in lower case."""
    found = value.get(key)
    if not isinstance(found, str) or _ADDRESS.fullmatch(found) is None:
        wrong(key)
    return Address(found.lower())


def number(value: Mapping[str, Any], key: str) -> int:
    """Return the number at a key: a decimal string of at most 256 bits."""
    found = value.get(key)
    if not isinstance(found, str) or _NUMBER.fullmatch(found) is None or int(found) > WORD_MAX:
        wrong(key)
    return int(found)


def octets(value: Mapping[str, Any], key: str, size: int) -> bytes:
    """Return `size` octets at a key, `0x` and hex."""
    found = value.get(key)
    if not isinstance(found, str) or _HEX.fullmatch(found) is None or len(found) != 2 + 2 * size:
        wrong(key)
    return bytes.fromhex(found[2:])


def wrong(what: str) -> NoReturn:
    """Refuse a header."""
    raise PeerError("header_form", what)
