"""A language made up for tests: every text of ours wears accents in it, so others are seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lxml import html

from opencarrier.app.console import locales
from opencarrier.app.console.locales import ISOLATE, ISOLATE_END, Words
from opencarrier.app.console.shell import Shell

NAME = "en-XA"
PLAIN = "aceginouyACEGINOUYbdfhjklmpqrstvwxzBDFHJKLMPQRSTVWXZ"
WORN = "àçéğîñôûýÀÇÉĞÎÑÔÛÝƀđƒĥĵķłɱþɋřšţṽŵẋžßĐƑĤĴĶŁṀÞɊŘŠŢṼŴẊŽ"
ACCENTS = str.maketrans(PLAIN, WORN)
PLACEHOLDER = re.compile(r"(%\(\w+\)s)")
ISOLATED = re.compile(f"{ISOLATE}[^{ISOLATE_END}]*{ISOLATE_END}")
AMOUNT = re.compile(r"[0-9.,]+\s[A-Z]+")
BARE = re.compile(r"[A-Za-z]{2}")
SPOKEN = ("title", "aria-label", "placeholder", "alt", "data-label")
SILENT = ("script", "style", "code", "data", "time", "bdi", "svg")
BRAND = "opencarrier"


class Pseudo(Words):
    """English that nobody speaks."""

    def __init__(self) -> None:
        super().__init__("en")
        self.name = NAME

    def gettext(self, text: str) -> str:
        return dressed(text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        return dressed(one if number == 1 else many)

    def isolated(self, text: str) -> str:
        return f"{ISOLATE}{text}{ISOLATE_END}"

    def country(self, code: str) -> str:
        return dressed(super().country(code))

    def month(self, at: int | str) -> str:
        return dressed(super().month(at))

    def duration(self, length_s: int) -> str:
        return dressed(super().duration(length_s))


def dressed(text: str) -> str:
    """Put accents on whatever is no placeholder."""
    parts = PLACEHOLDER.split(text)
    return "".join(
        part if place % 2 else part.translate(ACCENTS) for place, part in enumerate(parts)
    )


def bare(page: str) -> list[str]:
    """Return the texts of a page that passed no catalogue and are no name, id or figure."""
    return [text.strip() for text in _texts(html.fromstring(page)) if _is_bare(text)]


def _is_bare(text: str) -> bool:
    return bool(BARE.search(AMOUNT.sub("", ISOLATED.sub("", text)).replace(BRAND, "")))


def _texts(element: Any) -> Iterator[str]:
    if not isinstance(element.tag, str):
        return
    silent = element.tag in SILENT or element.get("translate") == "no"
    if not silent:
        yield element.text or ""
        yield from (element.get(name, "") for name in SPOKEN)
        for child in element:
            yield from _texts(child)
            yield child.tail or ""


@contextmanager
def spoken(shell: Shell) -> Iterator[None]:
    """Let every page speak it to everybody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locales, "Words", lambda _: Pseudo())
        patch.setattr(shell, "_environments", {})
        locales.words.cache_clear()
        yield
    locales.words.cache_clear()
