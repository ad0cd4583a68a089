"""Receipts that somebody changed: each field, path and signature; and what is no receipt."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any, TypeAlias

from opencarrier.receipts import form

OTHER = "0x" + "ab" * 32
Path: TypeAlias = tuple[Any, ...]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value of a document that holds no others, and its place."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def changed(value: Any) -> list[Any]:
    """Other values of the same kind, so that no type check alone can catch them."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, max(0, value - 1)] if value else [1]
    if value is None:
        return ["other"]
    if isinstance(value, list):
        return [[OTHER]]
    if value.startswith("0x") and len(value) > 2:
        return [value[:-1] + ("0" if value[-1] != "0" else "1")]
    return [value + "x", "other"]


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a document with another value at a place."""
    made = copy.deepcopy(document)
    place = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return made


def every_field(text: str) -> Iterator[str]:
    """A receipt with each field changed, one at a time, and spelt properly again."""
    document = json.loads(text)
    for path, value in leaves(document):
        for other in changed(value):
            if other != value:
                yield form.write(put(document, path, other))


def moved(text: str, other: str) -> Iterator[str]:
    """A receipt with a part, the path, the signatures or the settlement of another one."""
    document, foreign = json.loads(text), json.loads(other)
    for key in document:
        if document[key] != foreign[key]:
            yield form.write(put(document, (key,), foreign[key]))
    for name in ("agreement_signatures", "statement_signatures"):
        held = document[name]
        for less in ([], held[:1], held[1:], [*held[:1], *held[:1]], held[::-1]):
            if less != held:
                yield form.write(put(document, (name,), less))
    for name in ("record", "position", "domain"):
        for siblings in ([OTHER], [OTHER] * 64, [OTHER] * 65):
            yield form.write(put(document, ("path", name, "siblings"), siblings))


def no_receipts(text: str) -> Iterator[bytes]:
    """Octets that are no receipt, or are not spelt as one."""
    octets, half = text.encode(), len(text) // 2
    yield from (b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{" * 5_000, b" " * ((1 << 20) + 1))
    yield from (octets[:half], octets[:-1], octets + b"\n", b"\xef\xbb\xbf" + octets)
    yield from (octets.replace(b"\n", b"\r\n"), json.dumps(json.loads(text)).encode())
    yield octets.replace(b'"amount_minor": ', b'"amount_minor": 1.5e0, "amount_minor": ', 1)
    yield octets.replace(b'"sequence": ', b'"sequence": ' + b"9" * 5_000, 1)
    yield octets.replace(b'"format"', b'"\\ud800": 1, "format"', 1)
    for at in range(0, len(octets), 97):
        yield octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]


ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**63 - 1, 2**63, 2**64, -(2**64), 10**4299, "", "0", "1", "0x",
    "0x00", OTHER, "text:", "text:0x", "text:text:0x", [], {}, [0], [[]], {"a": 1},
    {"commitment": OTHER}, {"salt": OTHER, "content": {}},
)  # fmt: skip
ODD_SIGNS = (
    "\x00", "\n", "\x7f", "\u00a0", "\u0660", "\u0430", "\u202e", "\uff11", "\ufeff", "e\u0301",
    "\ud800", "\udc00", "\U0001f4b6", "\ue000",
)  # fmt: skip
"""Half characters, signs of other scripts, what is not seen, what is beyond 16 bits."""


def drawn(text: str, random: Random, count: int) -> list[str]:
    """So many changed receipts, in one way or another each, all drawn at random."""
    document = json.loads(text)
    spots = list(places(document))
    ways = (_changed, _retyped, _spelt_oddly, _renamed, _without_one, _reordered)
    found = []
    while len(found) < count:
        if random.randrange(len(ways) + 1):
            other = form.write(random.choice(ways)(document, random.choice(spots), random))
        else:
            other = _respelt(text, random)
        if other != text:
            found.append(other)
    return found


def _changed(document: Any, path: Path, random: Random) -> Any:
    """Another value of the same kind."""
    value = at(document, path)
    is_leaf = not isinstance(value, dict | list)
    return put(document, path, random.choice(changed(value))) if is_leaf else document


def _retyped(document: Any, path: Path, random: Random) -> Any:
    """A value of any other kind, also in place of objects and lists."""
    return put(document, path, random.choice(ODD_VALUES))


def _spelt_oddly(document: Any, path: Path, random: Random) -> Any:
    """A text mixed with signs that are easily mistaken; a number as such a text."""
    value, sign = at(document, path), random.choice(ODD_SIGNS)
    if isinstance(value, dict | list):
        return document
    return put(document, path, random.choice((f"{value}{sign}", f"{sign}{value}", f"text:{value}")))


def _renamed(document: Any, path: Path, random: Random) -> Any:
    """A key spelt otherwise, or such a key beside it."""
    if not isinstance(path[-1], str):
        return document
    sign = random.choice((*ODD_SIGNS, "_"))
    more = put(document, (*path[:-1], path[-1] + sign), at(document, path))
    return _without(more, path) if random.randrange(2) else more


def _without_one(document: Any, path: Path, random: Random) -> Any:
    """A key or an item less."""
    return _without(document, path)


def _reordered(document: Any, path: Path, random: Random) -> Any:
    """A list turned around, turned on, or with its first item twice."""
    held = at(document, path)
    if not isinstance(held, list):
        return document
    ways = (held[::-1], held[1:] + held[:1], held + held[:1])
    return put(document, path, random.choice(ways))


def _respelt(text: str, random: Random) -> str:
    """The same values written otherwise: numbers, escapes, blanks, the order, a key twice."""
    lines = text.splitlines(keepends=True)
    number = random.randrange(1, len(lines) - 1)
    if not random.randrange(8):
        lines[number], lines[number + 1] = lines[number + 1], lines[number]
    else:
        lines[number] = random.choice(list(_lines(lines[number])))
    return "".join(lines)


def _lines(line: str) -> Iterator[str]:
    start, separator, value = line.rpartition(" ")
    if value[:1].isdigit():
        for sign in ("+", "-", "0", "0x", "1e0", "\u0661"):
            yield start + separator + sign + value
        digits = value.rstrip(",\n")
        for end in (".0", "e0", "E0", "n", "_0", "\u0660"):
            yield start + separator + digits + end + value.removeprefix(digits)
    yield from (line + line, " " + line, line.replace(": ", ":"), line.replace(" ", "\t"))
    for sign in "ax0:":
        yield line.replace(sign, f"\\u{ord(sign):04x}", 1)
    yield from (line.replace('"0x', '"0X'), line.replace("\n", "\r\n"), line.upper())


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where anything stands in a document, leaves and what holds them."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def at(document: Any, path: Path) -> Any:
    """What stands at a place."""
    for key in path:
        document = document[key]
    return document


def _without(document: Any, path: Path) -> Any:
    made = copy.deepcopy(document)
    del at(made, path[:-1])[path[-1]]
    return made
