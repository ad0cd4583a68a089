"""A strict walk through a parsed document: every key known, every key there, every value in bounds.

What is wrong is a `DocumentError` that names its place, so that its line can be told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeVar

from opencarrier.rating.agreements.places import lines_of, shown
from opencarrier.rating.terms import DocumentError, Place

E = TypeVar("E", bound=IntEnum)

_PAGE: Final = "see docs/reference/agreement.md"


@dataclass(frozen=True, slots=True)
class _Twice:
    """What the parser leaves of an object that has a key twice."""

    key: str


@dataclass(frozen=True, slots=True)
class _Fraction:
    """What the parser leaves of a number that is not whole."""

    written: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value of a document and the place it stands at."""

    value: Any
    place: Place = ()

    def keys(self, *known: str) -> dict[str, Cursor]:
        """Return the fields of an object that has exactly the known keys."""
        value = self.mapping()
        missing = [key for key in known if key not in value]
        unknown = sorted(set(value) - set(known))
        if unknown:
            place = (*self.place, unknown[0])
            what = f"{shown(self.place)} has an unknown key {_brief(unknown[0])}"
            raise DocumentError(what, f"known are {', '.join(known)}", place)
        if missing:
            raise self.wrong(f"has no {missing[0]!r}", "every field is given, none is implied")
        return {key: Cursor(value[key], (*self.place, key)) for key in known}

    def mapping(self) -> dict[str, Any]:
        """Return an object none of whose keys stands twice."""
        if isinstance(self.value, _Twice):
            twice = (*self.place, self.value.key)
            raise DocumentError(f"{shown(twice)} stands twice", "leave one of them", twice)
        if not isinstance(self.value, dict):
            raise self.wrong("is not an object", _PAGE)
        return self.value

    def items(self, least: int, most: int) -> list[Cursor]:
        """Return the items of a list of so many."""
        if not isinstance(self.value, list) or not least <= len(self.value) <= most:
            raise self.wrong(f"is not a list of {least} to {most}", _PAGE)
        return [Cursor(item, (*self.place, at)) for at, item in enumerate(self.value)]

    def integer(self, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        value = self.value
        if isinstance(value, _Fraction):
            raise self.wrong(f"is {value.written}, not whole", "money and quantities are integers")
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(f"is {_brief(value)}", f"give a whole number from {least} to {most}")
        return value

    def text(self, pattern: re.Pattern[str], hint: str) -> str:
        """Return a text of a form."""
        if not isinstance(self.value, str) or not pattern.fullmatch(self.value):
            raise self.wrong(f"is {_brief(self.value)}", hint)
        return self.value

    def boolean(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            raise self.wrong(f"is {_brief(self.value)}", "give true or false")
        return self.value

    def one_of(self, words: Sequence[str]) -> str:
        """Return one of some words."""
        if not isinstance(self.value, str) or self.value not in words:
            raise self.wrong(f"is {_brief(self.value)}", f"give one of {', '.join(words)}")
        return self.value

    def words(self, known: Mapping[str, E]) -> tuple[E, ...]:
        """Return a list of distinct words as their numbers, which ascend."""
        found = [known[item.one_of(tuple(known))] for item in self.items(1, len(known))]
        if found != sorted(set(found)):
            order = ", ".join(known)
            raise self.wrong("names a word twice or out of order", f"keep the order {order}")
        return tuple(found)

    def wrong(self, what: str, hint: str) -> DocumentError:
        """Make the error that says what is wrong here."""
        return DocumentError(f"{shown(self.place)} {what}", hint, self.place)


def words_of(enumeration: type[E], *left_out: E) -> dict[str, E]:
    """Return the words of an enum as documents write them."""
    return {item.name.lower(): item for item in enumeration if item not in left_out}


def parse(source: str, *, octets_max: int, brackets_max: int) -> Cursor:
    """Parse a document; what is no JSON, too long or too nested is refused.

    Brackets are counted first: where a library has raised the recursion limit, deep nesting
    would exhaust the parser's stack and end the process.
    """
    if len(source) > octets_max:
        raise DocumentError("it is too long", f"a document has at most {octets_max} characters")
    if source.count("[") + source.count("{") > brackets_max:
        raise DocumentError("it has too many lists and objects", f"at most {brackets_max}")
    try:
        value = json.loads(
            source, object_pairs_hook=_object, parse_float=_Fraction, parse_constant=_Fraction
        )
    except (ValueError, RecursionError) as error:
        wrong = DocumentError(f"it is not JSON ({error})", "check it with a JSON tool")
        wrong.offset = error.pos if isinstance(error, json.JSONDecodeError) else None
        raise wrong from None
    return Cursor(value)


def located(error: DocumentError, source: str, *, name: str, first_line: int = 1) -> DocumentError:
    """Return an error with the file and the line of each place it names in front of the words."""
    if error.offset is not None:
        lines = [source.count("\n", 0, error.offset) + 1]
    else:
        known = lines_of(source) if error.places else {}
        places = dict.fromkeys(error.places or ((),))
        lines = [line for place in places for line in known.get(place, [1])]
    where = ", ".join(f"{name}:{line + first_line - 1}" for line in lines)
    return DocumentError(f"{where}: {error.what}", error.hint, *error.places)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Twice:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            return _Twice(key)
        out[key] = value
    return out


def _brief(value: Any) -> str:
    """Show a value in a message, never more than a glance of it."""
    if isinstance(value, _Fraction):
        return value.written
    if isinstance(value, dict | list | _Twice):
        return "a list" if isinstance(value, list) else "an object"
    words = repr(value)
    return words if len(words) <= 80 else words[:77] + "..."
