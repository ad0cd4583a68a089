"""Keeps the catalogues of the console's languages to the texts that the sources say.

Usage: python tools/catalogues.py [--update | --form]. Without a flag each catalogue has to hold
every text of templates, modules and glossary, translated, with its placeholders and plural forms.
`--update` writes new texts into the catalogues, empty, and takes out those nobody says any more.
`--form` looks only at what is translated. How to translate: CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import BinaryIO

from babel.messages import Catalog, Message
from babel.messages.pofile import normalize, read_po
from jinja2 import Environment
from jinja2.ext import babel_extract

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "opencarrier"
CONSOLE = SOURCE / "app" / "console"
TEMPLATES = CONSOLE / "templates"
LOCALE = CONSOLE / "locale"
LANGUAGES = ("fr", "sw", "ar")

PYTHON_CALLS = {
    "N_": 1, "gettext": 1, "told": 1, "sentence": 1, "ngettext": 2, "told_of": 2, "forms": 2,
}  # fmt: skip
"""What is called with a text, and with how many."""

TEMPLATE_CALLS = ("_", "gettext", "ngettext", "forms")
OPTIONS = {"trim_blocks": "true", "lstrip_blocks": "true", "newstyle_gettext": "true"}
TITLE_PLACE = 3
"""Where a section's own `page(request, name, view, title)` has it."""

PLACEHOLDER = re.compile(r"%\((\w+)\)s")
LITERAL = re.compile(r"`[^`]+`")
NUMBERS = {"num", "n", "count"}
"""What the number of a plural form is called."""

FOREIGN_MARKS = {
    "fr": re.compile(r" [:;?!»]|« |'| …$"),
    "ar": re.compile(r"[,;?](?=\s|$)| …$"),
}
"""Punctuation that a language has otherwise: locale/README.md says how."""

FEW = 3
"""Plural forms whose texts may do without the number: none, one, two."""

Text = tuple[str, ...]
"""A text, or its singular and plural."""


def main(arguments: list[str]) -> int:
    """Check or update; the exit code is 1 with findings."""
    said = texts()
    if arguments == ["--update"]:
        for language in LANGUAGES:
            update(path_of(language), said)
    findings = [*unmarked(), *broken(said)]
    for language in LANGUAGES:
        findings += check(language, said, whole=arguments != ["--form"])
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"catalogues: {len(said)} texts, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


def path_of(language: str) -> Path:
    """Return where a language's catalogue is."""
    return LOCALE / language / "LC_MESSAGES" / "console.po"


def texts() -> Mapping[Text, list[str]]:
    """Return every text of the sources with the files that say it, in alphabetical order."""
    found: dict[Text, list[str]] = {}
    for path in sources():
        for text in _of(path):
            said_in = found.setdefault(text, [])
            name = path.relative_to(SOURCE).as_posix()
            if name not in said_in:
                said_in.append(name)
    return dict(sorted(found.items(), key=lambda item: (item[0][0].casefold(), item[0])))


def sources() -> list[Path]:
    """Return the files that may say something to people."""
    modules = (path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
    return [*sorted(TEMPLATES.rglob("*.html")), *sorted(modules), CONSOLE / "glossary.toml"]


def _of(path: Path) -> Iterator[Text]:
    if path.suffix == ".toml":
        for term in tomllib.loads(path.read_text()).values():
            yield (term["name"],)
            yield (term["says"],)
    elif path.suffix == ".html":
        with path.open("rb") as file:
            yield from _of_template(file)
    else:
        yield from _of_module(path)


def _of_template(file: BinaryIO) -> Iterator[Text]:
    for _, call, message, _ in babel_extract(file, TEMPLATE_CALLS, (), OPTIONS):
        parts = message if isinstance(message, tuple) else (message,)
        wanted = PYTHON_CALLS.get(str(call), 1)
        text = tuple(part for part in parts[:wanted] if isinstance(part, str))
        if len(text) == wanted:
            yield text


def _of_module(path: Path) -> Iterator[Text]:
    for call in _calls(path):
        text = _texts_of(call)
        if text and all(isinstance(part, ast.Constant) for part in text):
            yield tuple(str(part.value) for part in text if isinstance(part, ast.Constant))


def _calls(path: Path) -> Iterator[ast.Call]:
    source = path.read_text()
    if any(f"{name}(" in source for name in (*PYTHON_CALLS, ".page")):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                yield node


def _texts_of(call: ast.Call) -> list[ast.expr]:
    """Return the texts a call is given: those of gettext's family, and the title of a page."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "page":
        titles = [one.value for one in call.keywords if one.arg == "title"]
        titles += call.args[TITLE_PLACE : TITLE_PLACE + 1]
        return [one for one in titles if _is_text(one)]
    texts = call.args[: PYTHON_CALLS.get(name, 0)]
    return texts if texts and all(_is_text(one) for one in texts) else []


def _is_text(one: ast.expr) -> bool:
    return isinstance(one, ast.JoinedStr) or (
        isinstance(one, ast.Constant) and isinstance(one.value, str)
    )


def _has_bare_percent(text: str) -> bool:
    return "%" in PLACEHOLDER.sub("", text).replace("%%", "")


def broken(said: Mapping[Text, list[str]]) -> Iterator[str]:
    """Yield f-strings where a text is wanted, as nobody could find what they say; a lone %."""
    for text, files in said.items():
        if any(map(_has_bare_percent, text)):
            yield f"{files[0]}: {text[0]!r}: a % is written %%, for values are put in by it"
    for path in sources():
        for call in _calls(path) if path.suffix == ".py" else ():
            if any(isinstance(part, ast.JoinedStr) for part in _texts_of(call)):
                where = f"{path.relative_to(ROOT)}:{call.lineno}"
                yield f"{where}: an f-string cannot be translated: use %(name)s and name=…"


class _Words(HTMLParser):
    """Collects what a template says outside of `_()`."""

    SILENT = frozenset(("code", "script", "style", "svg"))
    SPOKEN = frozenset(("title", "aria-label", "placeholder", "alt"))

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Look at the attributes that are read out."""
        self._silent += tag in self.SILENT
        self.found += [value or "" for name, value in attributes if name in self.SPOKEN]

    def handle_endtag(self, tag: str) -> None:
        """Listen again."""
        self._silent -= tag in self.SILENT

    def handle_data(self, text: str) -> None:
        """Look at a text."""
        if not self._silent:
            self.found.append(text)


def unmarked() -> Iterator[str]:
    """Yield the words of templates that no `_()` is around."""
    lexer = Environment(autoescape=True)
    for path in sorted(TEMPLATES.rglob("*.html")):
        words = _Words()
        words.feed(_without_calls(lexer, path.read_text()))
        for text in words.found:
            if re.search(r"[A-Za-z]{2}", text) and text.strip() not in NAMES:
                yield f"{path.relative_to(ROOT)}: not in _(): {text.strip()!r}"


NAMES = frozenset(("opencarrier", "· opencarrier", "/"))
"""What is called the same in every language."""


def _without_calls(lexer: Environment, source: str) -> str:
    """Return what a template says by itself: neither a call nor between `trans` and `endtrans`."""
    translated, kept, before = False, [], ""
    for _, kind, text in lexer.lex(source):
        if kind == "name" and before == "block_begin" and text in ("trans", "endtrans"):
            translated = text == "trans"
        elif kind == "data" and not translated:
            kept.append(text)
        before = before if kind == "whitespace" else kind
    return "".join(kept)


def check(language: str, said: Mapping[Text, list[str]], *, whole: bool) -> Iterator[str]:
    """Yield what is wrong with a catalogue; `whole` wants every text, and no other."""
    path = path_of(language)
    catalogue = _read(path)
    kept = {_text(message): message for message in catalogue if message.id}
    where = path.relative_to(ROOT)
    missing = [text for text in said if text not in kept or not _is_translated(kept[text])]
    if whole and missing:
        yield (
            f"{where}: {len(missing)} texts without a translation, the first is {missing[0][0]!r}:"
            " run `python tools/catalogues.py --update`, then write their msgstr into this file"
        )
    unsaid = [text for text in kept if text not in said]
    if whole and unsaid:
        yield (
            f"{where}: nobody says {unsaid[0][0]!r} ({len(unsaid)} such):"
            " run `python tools/catalogues.py --update`"
        )
    for text, message in kept.items():
        if _is_translated(message):
            found = faults(message, catalogue.num_plurals)
            for wrong in (*found, *foreign(language, message)):
                yield f"{where}: {text[0]!r}: {wrong}"


def faults(message: Message, plurals: int) -> Iterator[str]:
    """Yield how a translation breaks what it translates."""
    if message.fuzzy:
        yield "is marked fuzzy: look at it, and take the mark away"
    ids, strings = _text(message), _strings(message)
    if len(ids) > 1 and len(strings) != plurals:
        yield f"has {len(strings)} plural forms, not {plurals}"
    names = set(PLACEHOLDER.findall(" ".join(ids)))
    for form, string in enumerate(strings):
        found = set(PLACEHOLDER.findall(string))
        may_lack = NUMBERS if len(ids) > 1 and form < FEW else set()
        if found - names or names - found - may_lack:
            yield f"has the placeholders {sorted(found)}, not {sorted(names)}"
        if _has_bare_percent(string):
            yield "has a % that is neither a placeholder nor doubled"
        if set(re.findall(r'[<>&"]', string)) - set("".join(ids)):
            yield "has a sign of HTML"
        if set(LITERAL.findall(string)) != set(LITERAL.findall(ids[0])):
            yield "changes what stands between backticks"
        if string.strip() != string and ids[0].strip() == ids[0]:
            yield "begins or ends with a space"


def foreign(language: str, message: Message) -> Iterator[str]:
    """Yield the punctuation of a translation that its language has otherwise."""
    if marks := FOREIGN_MARKS.get(language):
        for string in _strings(message):
            if found := marks.search(LITERAL.sub("", string)):
                yield f"has {found[0]!r}, which this language writes otherwise"


def update(path: Path, said: Mapping[Text, list[str]]) -> None:
    """Write a catalogue anew: its head, then every text with what is translated of it."""
    catalogue = _read(path)
    head, _, _ = path.read_text().partition("\n\n")
    entries = [head.rstrip()]
    for text, files in said.items():
        message = catalogue.get(text if len(text) > 1 else text[0])
        strings = _strings(message) if message else ("",) * (catalogue.num_plurals or 1)
        entries.append(_entry(text, files, strings if len(text) > 1 else strings[:1]))
    path.write_text("\n\n".join(entries) + "\n")


def _entry(text: Text, files: list[str], strings: Text) -> str:
    lines = [f"#: {name}" for name in sorted(files)]
    lines.append(f"msgid {normalize(text[0])}")
    if len(text) == 1:
        return "\n".join([*lines, f"msgstr {normalize(strings[0])}"])
    lines.append(f"msgid_plural {normalize(text[1])}")
    return "\n".join([*lines, *(f"msgstr[{n}] {normalize(one)}" for n, one in enumerate(strings))])


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parents[1].name, abort_invalid=True)


def _text(message: Message) -> Text:
    return (message.id,) if isinstance(message.id, str) else tuple(message.id)


def _strings(message: Message) -> Text:
    strings = message.string or ""
    return (strings,) if isinstance(strings, str) else tuple(strings)


def _is_translated(message: Message) -> bool:
    return all(_strings(message))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
