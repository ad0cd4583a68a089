"""Receipts that somebody changed: each field, path and signature; and what is no receipt."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from opencarrier.receipts import form

OTHER = "0x" + "ab" * 32


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
