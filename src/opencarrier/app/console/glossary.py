"""Every term that a page explains: one source, asked for by its key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from unicodedata import normalize

KEY = re.compile(r"[a-z][a-z-]*")


@dataclass(frozen=True, slots=True)
class Term:
    """What people call something, and what it is in two sentences at most."""

    key: str
    name: str
    says: str


def in_order(terms: Iterable[Term], called: Callable[[str], str]) -> list[Term]:
    """Return terms in the alphabetical order of what a language calls them, accents aside."""
    return sorted(terms, key=lambda term: normalize("NFKD", called(term.name)).casefold())


@cache
def glossary() -> Mapping[str, Term]:
    """Return all terms by key, in alphabetical order of their names."""
    text = files("opencarrier.app.console").joinpath("glossary.toml").read_text()
    terms = [Term(key, entry["name"], entry["says"]) for key, entry in tomllib.loads(text).items()]
    assert all(KEY.fullmatch(term.key) for term in terms), "keys are small letters and hyphens"
    return {term.key: term for term in sorted(terms, key=lambda term: term.name.lower())}
