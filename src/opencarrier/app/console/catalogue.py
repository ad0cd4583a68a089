"""The texts of a language, read from its `.po` file as translators keep it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from io import BytesIO

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

SOURCE = "en"
"""The language that texts are written in: it needs no catalogue."""

LOCALES = (SOURCE, "fr", "sw", "ar")
"""Languages there are words for, the first where nobody asks for another."""


def N_(text: str) -> str:  # noqa: N802 - gettext's own name
    """Mark a text to be translated where it is drawn."""
    return text


@cache
def catalogue(name: str) -> NullTranslations:
    """Return a language's texts; its file is compiled once, so there is no second one to keep."""
    if name == SOURCE:
        return NullTranslations()
    place = files("opencarrier.app.console") / "locale" / name / "LC_MESSAGES" / "console.po"
    compiled = BytesIO()
    with place.open("rb") as source:
        write_mo(compiled, read_po(source, locale=name, abort_invalid=True))
    compiled.seek(0)
    return Translations(compiled)
