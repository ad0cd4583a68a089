"""Where a value stands in the text of a JSON document: its line, for messages people act on."""

from __future__ import annotations

import re
from typing import Final

from opencarrier.rating.terms import Place

DEPTH_MAX: Final = 12
"""No document of ours is deeper; what somebody nested beyond it is passed over."""

_UNKNOWN: Final = "\0"
"""Stands for a key still to come; no key holds it unescaped."""

_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def lines_of(source: str) -> dict[Place, list[int]]:
    """Return the lines each value begins on, counted from 1: several where a key stands twice.

    The text is JSON that a parser has taken; of anything else some lines are missing.
    """
    found: dict[Place, list[int]] = {}
    path: list[str | int] = []
    line, seen, key = 1, 0, ""
    for match in _PIECE.finditer(source):
        piece = match.group()
        line += source.count("\n", seen, match.start())
        seen = match.start()
        if piece in "]}":
            del path[-1:]
        elif piece == ",":
            _advance(path)
        elif piece == ":":
            path[-1:] = [_unquoted(key)]
        elif path and path[-1] == _UNKNOWN:
            key = piece
        else:
            if len(path) <= DEPTH_MAX:
                found.setdefault(tuple(path), []).append(line)
            if piece in "[{":
                path.append(0 if piece == "[" else _UNKNOWN)
    return found


def shown(place: Place) -> str:
    """Write a place as people read it: `lines[0].price_nano`."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{_named(step)}" for step in place]
    return "".join(parts).removeprefix(".") or "the document"


def _advance(path: list[str | int]) -> None:
    """Go on to the next item: one further in a list, an unknown key in an object."""
    last = path[-1] if path else _UNKNOWN
    path[-1:] = [last + 1 if isinstance(last, int) else _UNKNOWN]


def _named(key: str) -> str:
    """Show a key; one that no document of ours has is quoted and cut."""
    return key if key.isidentifier() and len(key) <= 40 else repr(key)[:40]


def _unquoted(key: str) -> str:
    """Return a key without its quotes; the keys asked for hold no escapes."""
    return key[1:-1]
