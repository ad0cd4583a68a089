"""Results as people read them on a terminal: what a key's unit says, aligned, and never too wide.

Nothing is shortened: an id that does not fit beside the rest stands on a line of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from textwrap import wrap
from typing import Any, Final

WIDTH_LEAST: Final = 40
INDENT: Final = "  "
GAP: Final = 2
INSTANT_US, INSTANT_S = 10**14, 10**9
"""From here on a number of microseconds or seconds is an instant and no span."""

OCTET_UNITS: Final = ("octets", "kB", "MB", "GB", "TB", "PB")
SPANS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
NUMBERS: Final = ("_id", "pid", "port", "number", "block", "sequence", "status", "line")
"""Ends of keys whose figures name something, and are not grouped by thousands."""

_UNITS: Final = re.compile(r"_(minor|us|s|ppm|nano|wei|hash|id)$")
_IDS: Final = re.compile(r"(op|host|sub)_[0-9a-f]{32}")
_CALLED: Final = {"tx_hash": "transaction", "acct_session_id": "Acct-Session-Id"}


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How what stands in results is called here: the asset of amounts, and parties by their ids."""

    asset: str = ""
    code: Callable[[], str] = str
    names: Mapping[str, str] = field(default_factory=dict)

    def currency(self, asset: str) -> str:
        """Return how amounts of an asset are called; nothing where nobody knows."""
        if asset in ("", self.asset):
            return self.code()
        return "" if asset.startswith("eip155:") else asset.rpartition("/")[2]

    def within(self, value: Mapping[str, Any]) -> Lexicon:
        """Return what holds below a value that names the asset or currency of its amounts."""
        asset = value.get("asset") or value.get("currency") or ""
        if not isinstance(asset, str) or asset in ("", self.asset):
            return self
        code = self.currency(asset)
        return replace(self, asset=asset, code=lambda: code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What is written on: how wide it is, how headings stand out, and whether keys have units."""

    width: int = 80
    strong: Callable[[str], str] = str
    lexicon: Lexicon = Lexicon()
    plain: bool = False

    def narrower(self) -> Sheet:
        """Return the sheet within an indent."""
        return replace(self, width=max(self.width - len(INDENT), WIDTH_LEAST))

    def within(self, value: Mapping[str, Any]) -> Sheet:
        """Return the sheet for what a value holds."""
        return replace(self, lexicon=self.lexicon.within(value))


def block(value: Mapping[str, Any], sheet: Sheet) -> Iterator[str]:
    """Write an object: its plain values aligned, then what is nested, each under its heading."""
    sheet = sheet.within(value)
    flat = {key: said(key, item, sheet) for key, item in value.items()}
    nested = {key: item for key, item in value.items() if _stands_below(item, flat[key], sheet)}
    flat = {key: text for key, text in flat.items() if key not in nested}
    labels = _apart({key: label(key, sheet) for key in flat})
    margin = max((cells(text) for text in labels.values()), default=0) + GAP
    for key, text in flat.items():
        yield from _line(labels[key], text or "", margin, sheet.width)
    for place, (key, item) in enumerate(nested.items()):
        if flat or place:
            yield ""
        yield sheet.strong(_heading(label(key, sheet)))
        for line in below(key, item, sheet.narrower()):
            yield (INDENT + line).rstrip()


def below(key: str, value: Any, sheet: Sheet) -> Iterator[str]:
    """Write what stands below a heading: an object, a table, or a line for each."""
    if isinstance(value, Mapping):
        if value and all(isinstance(one, Mapping) for one in value.values()):
            rows = [{"": name, **one} for name, one in value.items()]
            yield from table(rows, sheet)
        else:
            unit = "_minor" if key.endswith("_minor") else ""
            yield from block({name + unit: one for name, one in value.items()}, sheet)
    elif value and all(isinstance(one, Mapping) for one in value):
        yield from table(value, sheet)
    else:
        for one in value:
            parts = one if isinstance(one, list) else [one]
            yield INDENT.join(_one(key, part, sheet) for part in parts)


def table(rows: Sequence[Mapping[str, Any]], sheet: Sheet) -> Iterator[str]:
    """Write rows under their heads; what is too wide or not in every row stands below its row."""
    keys = [key for key in rows[0] if all(key in row for row in rows)]
    texts = [{key: said(key, row[key], sheet.within(row)) for key in keys} for row in rows]
    keys = [key for key in keys if all(text[key] is not None for text in texts)]
    keys = [key for key in keys if any(row[key] is not None for row in rows)]
    widths = {
        key: max(cells(label(key, sheet)), *(cells(_dash(text[key])) for text in texts))
        for key in keys
    }
    while len(widths) > 1 and sum(widths.values()) + GAP * (len(widths) - 1) > sheet.width:
        del widths[max(widths, key=lambda key: widths[key])]
    right = {key for key in widths if all(_is_figure(row[key]) for row in rows)}
    if len(rows) > 1 or len(widths) > 1:
        heads = {key: label(key, sheet) for key in widths}
        yield sheet.strong(_row(heads, widths, right).rstrip())
    for row, text in zip(rows, texts, strict=True):
        yield _row({key: _dash(text[key]) for key in widths}, widths, right).rstrip()
        rest = {key: item for key, item in row.items() if key not in widths}
        for line in _flowed(rest, sheet.within(row).narrower()):
            yield INDENT + line


def flow_of(key: str, value: Any, sheet: Sheet) -> Iterator[str]:
    """Tell a value in a few words, one that is nested in as many as it has parts."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from flow_of(f"{key}_{name}" if key else name, one, sheet)
    elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        for one in value:
            yield from flow_of(key, one, sheet)
    elif key == "asset" and sheet.lexicon.currency(value):
        yield f"in {sheet.lexicon.currency(value)}"
    elif value not in (None, "", []):
        yield f"{label(key, sheet)} {said(key, value, sheet)}".strip()


def said(key: str, value: Any, sheet: Sheet) -> str | None:
    """Say a plain value as its key's unit asks; None for one that is nested."""
    if value is None:
        return "none"
    if isinstance(value, list):
        if any(isinstance(one, Mapping | list) for one in value):
            return None
        return ", ".join(_one(key, one, sheet) for one in value) or "none"
    if isinstance(value, Mapping):
        return None if value else "none"
    return _one(key, value, sheet)


def label(key: str, sheet: Sheet) -> str:
    """Name a key in words; its unit stands with the value."""
    if sheet.plain:
        return clean(key)
    if "/" in key:
        return sheet.lexicon.currency(_asset(key)) or clean(key)
    named = _CALLED.get(key) or sheet.lexicon.names.get(key)
    if named is None:
        key = key.removesuffix("_ids") + "s" if key.endswith("_ids") else _UNITS.sub("", key) or key
        named = key if _IDS.fullmatch(key) else key.replace("_", " ")
    return clean(named)


def clean(text: str) -> str:
    """Return a text that cannot move the cursor or colour the screen, whoever wrote it."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def cells(text: str) -> int:
    """Return how many columns a text takes (UAX 11); marks stand on what is before them."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) != 0 for one in text)


def amount(minor: int, code: str) -> str:
    """Write an amount exactly, with all six decimals so that columns stand below each other."""
    whole, rest = divmod(abs(minor), 10**6)
    return f"{'-' if minor < 0 else ''}{whole:,}.{rest:06} {code}".rstrip()


def instant(at_us: int) -> str:
    """Write an instant in UTC, to the second."""
    return f"{datetime.fromtimestamp(at_us // 10**6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(length_s: int) -> str:
    """Write a span of time in its two largest units."""
    parts: list[str] = []
    for unit, size in SPANS:
        number, length_s = divmod(length_s, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def octets(number: int) -> str:
    """Write an amount of data in decimal units, as access points count."""
    value, unit = Decimal(number), 0
    while abs(value) >= 1000 and unit + 1 < len(OCTET_UNITS):
        value, unit = value / 1000, unit + 1
    return f"{value:,.{0 if unit == 0 or abs(value) >= 100 else 1}f} {OCTET_UNITS[unit]}"


def coins(wei: int) -> str:
    """Write what gas is paid with."""
    return f"{_trimmed(Decimal(wei).scaleb(-18))} of the chain's coin"


def _one(key: str, value: Any, sheet: Sheet) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if sheet.plain:
        return clean(str(value))
    figure = _figure(key, value)
    if figure is not None:
        return _measured(key, figure, sheet.lexicon)
    if isinstance(value, str):
        return clean(sheet.lexicon.names.get(value, value))
    return clean(str(value))


def _figure(key: str, value: Any) -> int | None:
    """Return a whole number, also one that JSON carries as text; None for anything else."""
    if isinstance(value, int):
        return value
    is_text = isinstance(value, str) and re.fullmatch("-?[0-9]{1,40}", value)
    return int(value) if is_text and key.endswith(("_minor", "_wei")) else None


def _measured(key: str, number: int, lexicon: Lexicon) -> str:
    match key.rpartition("_")[2]:
        case "minor":
            return amount(number, lexicon.currency(_asset(key)))
        case "us" if number >= INSTANT_US:
            return instant(number)
        case "us" if number >= 0:
            return span(number // 10**6)
        case "s" if number >= INSTANT_S:
            return instant(number * 10**6)
        case "s" if number >= 0:
            return span(number)
        case "ppm":
            return f"{_trimmed(Decimal(number).scaleb(-4))} %"
        case "nano":
            return f"{_trimmed(Decimal(number).scaleb(-9))} {lexicon.code()}".rstrip()
        case "wei":
            return coins(number)
    if "octets" in key.split("_"):
        return octets(number)
    return str(number) if key.endswith(NUMBERS) else f"{number:,}"


def _asset(key: str) -> str:
    """Return the asset that a key names, where amounts stand by asset."""
    return key.removesuffix("_minor") if "/" in key else ""


def _trimmed(number: Decimal) -> str:
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _is_figure(value: Any) -> bool:
    figure = isinstance(value, int) and not isinstance(value, bool)
    return figure or value is None or (isinstance(value, str) and value.isdigit())


def _stands_below(value: Any, text: str | None, sheet: Sheet) -> bool:
    """Whether a value needs a heading: what is nested does, and a list too long for a line."""
    return text is None or (isinstance(value, list) and cells(text) > sheet.width // 2)


def _line(name: str, text: str, margin: int, width: int) -> Iterator[str]:
    """Write a label and its value; what does not fit goes on below the value, or whole below."""
    head = name + " " * (margin - cells(name))
    room = max(width - margin, WIDTH_LEAST // 2)
    lines = _broken(text, room) or [""]
    if len(lines) == 1 and cells(lines[0]) > room:
        yield name
        yield INDENT + lines[0]
        return
    yield (head + lines[0]).rstrip()
    for line in lines[1:]:
        yield " " * margin + line


def _flowed(rest: Mapping[str, Any], sheet: Sheet) -> Iterator[str]:
    """Write what stands below a row: as much a line as it takes, ids on lines of their own."""
    line = ""
    for key, value in rest.items():
        for piece in flow_of(key, value, sheet):
            joined = f"{line}; {piece}" if line else piece
            if line and cells(joined) > sheet.width:
                yield from _broken(line, sheet.width)
                joined = piece
            line = joined
    yield from _broken(line, sheet.width)


def _broken(text: str, width: int) -> list[str]:
    return wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _apart(labels: dict[str, str]) -> dict[str, str]:
    """Keep the whole key where two of them would be called the same."""
    called = list(labels.values())
    return {
        key: key.replace("_", " ") if called.count(text) > 1 else text
        for key, text in labels.items()
    }


def _row(texts: Mapping[str, str], widths: Mapping[str, int], right: set[str]) -> str:
    parts: list[str] = []
    for key, width in widths.items():
        room = " " * (width - cells(texts[key]))
        parts.append(room + texts[key] if key in right else texts[key] + room)
    return (" " * GAP).join(parts)


def _dash(text: str | None) -> str:
    return "-" if text in (None, "", "none") else str(text)


def _heading(text: str) -> str:
    return text[:1].upper() + text[1:]
