"""The mapping file of a CSV: which column is what, in which unit, format and words (TOML).

All that it may say is in `docs/reference/csv.md`; what it says besides is refused, naming the key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import Service
from opencarrier.usage.wire.local_time import offset_min

ENCODINGS: Final = ("utf-8", "latin-1", "ascii")
DIGITS_MAX = 30

OCTETS: Final = {
    "octet": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
SECONDS: Final = {"s": (1, 1), "ms": (1, 1000), "min": (60, 1), "h": (3600, 1)}
EPOCHS: Final = {"unix_s": SECOND_US, "unix_ms": 1000, "unix_us": 1}
"""Times counted from 1970 instead of written out: microseconds to a unit."""

PERIODS: Final = {"month": "%Y-%m", "day": "%Y-%m-%d"}
"""What sums are of, and how that is written."""


class Shape(NamedTuple):
    """What the rows of one kind of CSV may tell: a field's own keys, by field, and what must be.

    Fields of `together` stand together, those of `apart` exclude each other; `words` are what a
    service may be.
    """

    fields: Mapping[str, frozenset[str]]
    needed: frozenset[str]
    together: tuple[tuple[str, str], ...]
    apart: tuple[tuple[str, str], ...]
    words: frozenset[str]


def fields(**keys: str) -> Mapping[str, frozenset[str]]:
    """Return fields with the keys each has beside `column` and `value`, in words."""
    return {name: frozenset(told.split()) for name, told in keys.items()}


SERVICES: Final = frozenset(service.name.lower() for service in Service)
RECORDS: Final = Shape(
    fields=fields(
        **dict.fromkeys(("session", "visited", "home", "subject", "node", "currency", "units"), ""),
        service="words",
        octets_in="unit",
        octets_out="unit",
        duration="unit",
        charged="decimals",
        start="format offset",
        end="format offset",
    ),
    needed=frozenset(("subject", "service", "start")),
    together=(("charged", "currency"),),
    apart=(("end", "duration"),),
    words=SERVICES,
)
"""Usage records: what `usage import` reads."""

_FILE_KEYS: Final = {"encoding", "delimiter", "quote", "header", "decimal", "group"}
_PLAIN: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Where a field comes from: a column by name or number from 1, or one value for all rows."""

    source: str | int | None
    value: str | None
    unit: str = ""
    format: str = ""
    offset_min: int | None = None
    decimals: int = 0
    words: Mapping[str, str] | None = None
    form: str = ""
    assets: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvMapping:
    """How a CSV is written, and where each field of a record stands in it."""

    encoding: str
    delimiter: str
    quote: str
    has_header: bool
    decimal: str
    group: str
    columns: Mapping[str, Column]

    def number(self, text: str) -> tuple[int, int]:
        """Read a number as digits and how many of them are decimals; `PeerError`: `number`."""
        plain = text.strip()
        if self.group:
            plain = plain.replace(self.group, "")
        if self.decimal != ".":
            plain = plain.replace(".", "x").replace(self.decimal, ".")
        if not _PLAIN.fullmatch(plain) or len(plain) > DIGITS_MAX:
            raise PeerError("number")
        whole, _, rest = plain.partition(".")
        return int(whole + rest), len(rest)


def parse_mapping(text: str, shape: Shape = RECORDS) -> CsvMapping:
    """Read a mapping file for rows of a shape; raises `PeerError`: `mapping`, naming the key."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(str(error)) from error
    _only(told, {"file", "fields"}, "")
    file, rules = told.get("file", {}), told.get("fields", {})
    if not isinstance(file, dict) or not isinstance(rules, dict):
        raise _wrong("file and fields are tables")
    _only(file, _FILE_KEYS, "file.")
    _only(rules, shape.fields.keys(), "fields.")
    mapping = CsvMapping(
        encoding=_one_of(file.get("encoding", "utf-8"), ENCODINGS, "file.encoding"),
        delimiter=_letter(file.get("delimiter", ","), "file.delimiter"),
        quote=_letter(file.get("quote", '"'), "file.quote"),
        has_header=file.get("header", True) is not False,
        decimal=_one_of(file.get("decimal", "."), (".", ","), "file.decimal"),
        group=_one_of(file.get("group", ""), ("", ".", ",", " ", "'"), "file.group"),
        columns={name: _column(name, rule, shape) for name, rule in rules.items()},
    )
    _check(mapping, shape)
    return mapping


def _check(mapping: CsvMapping, shape: Shape) -> None:
    columns = mapping.columns
    missing = sorted(shape.needed - columns.keys())
    if missing:
        raise _wrong(f"fields.{missing[0]} is missing")
    if mapping.group == mapping.decimal:
        raise _wrong("file.group is file.decimal")
    for one, other in shape.together:
        if (one in columns) is not (other in columns):
            raise _wrong(f"fields.{one} and fields.{other} stand together")
    for one, other in shape.apart:
        if {one, other} <= columns.keys():
            raise _wrong(f"fields.{one} and fields.{other} exclude each other")
    if not mapping.has_header and any(isinstance(c.source, str) for c in columns.values()):
        raise _wrong("without file.header columns are numbers")


def _column(name: str, rule: Any, shape: Shape) -> Column:
    key, keys = f"fields.{name}", shape.fields[name]
    if not isinstance(rule, dict):
        raise _wrong(f"{key} is a table")
    _only(rule, {"column", "value"} | keys, f"{key}.")
    source, value = rule.get("column"), rule.get("value")
    if (source is None) is (value is None):
        raise _wrong(f"{key} has a column or a value")
    named = isinstance(source, str | int) and not isinstance(source, bool)
    if source is not None and (not named or source == 0 or source == ""):
        raise _wrong(f"{key}.column is a name, or a number from 1")
    words = rule.get("words")
    if words is not None and not (isinstance(words, dict) and set(words.values()) <= shape.words):
        raise _wrong(f"{key}.words are of {', '.join(sorted(shape.words))}")
    decimals = rule.get("decimals", 2)
    if "decimals" in keys and decimals not in range(10):
        raise _wrong(f"{key}.decimals is 0 to 9")
    units = tuple(_UNITS.get(name, OCTETS))
    unit = _one_of(rule.get("unit", units[0]), units, f"{key}.unit")
    forms = _FORMS.get(name, ("",))
    if name == "period":
        rule = {"format": PERIODS[unit], "offset": "+0000"} | rule
    return Column(
        source=source,
        value=None if value is None else str(value),
        unit=unit,
        format=_format(rule, key) if "format" in keys else "",
        offset_min=_offset(rule, key) if "offset" in keys else None,
        decimals=decimals,
        words=words,
        form=_one_of(rule.get("form", forms[0]), forms, f"{key}.form"),
        assets=_texts(rule["assets"], f"{key}.assets") if "assets" in rule else None,
    )


_UNITS: Final[Mapping[str, Iterable[str]]] = {"duration": SECONDS, "period": PERIODS}
"""The units of a field that has others than octets."""

_FORMS: Final = {
    "session": ("session_id", "usage_id", "csv", "diameter"),
    "amount": ("with_tax", "without_tax"),
}
"""How a statement's field is meant."""


def _texts(told: Any, key: str) -> Mapping[str, str]:
    if not isinstance(told, dict) or not all(isinstance(text, str) for text in told.values()):
        raise _wrong(f"{key} is a table of texts")
    return told


def _format(rule: Mapping[str, Any], key: str) -> str:
    told = rule.get("format", "%Y-%m-%dT%H:%M:%S%z")
    if not isinstance(told, str) or not told:
        raise _wrong(f"{key}.format is a text")
    if told not in EPOCHS and "%z" not in told and "offset" not in rule:
        raise _wrong(f"{key}.offset is needed where the format has no %z")
    return told


def _offset(rule: Mapping[str, Any], key: str) -> int | None:
    told = rule.get("offset")
    if told is None:
        return None
    try:
        return offset_min(str(told))
    except PeerError as error:
        raise _wrong(f"{key}.offset is +hhmm or -hhmm") from error


def _only(told: Mapping[str, Any], known: Collection[str], where: str) -> None:
    unknown = sorted(told.keys() - set(known))
    if unknown:
        raise _wrong(f"{where}{unknown[0]} is not known")


def _one_of(told: Any, known: tuple[str, ...], key: str) -> str:
    if told not in known:
        raise _wrong(f"{key} is one of {', '.join(map(repr, known))}")
    return str(told)


def _letter(told: Any, key: str) -> str:
    if not isinstance(told, str) or len(told) != 1 or not told.isascii() or told in "\r\n":
        raise _wrong(f"{key} is one ASCII character")
    return told


def _wrong(detail: str) -> PeerError:
    return PeerError("mapping", detail)


def scaled(digits: int, decimals: int, factor: int, divisor: int = 1) -> int:
    """Return a number of `decimals` decimals times a factor, rounded half up to an integer.

    Raises `PeerError`: `range`.
    """
    below = 10**decimals * divisor
    found = (2 * digits * factor + below) // (2 * below)
    if found > INT64_MAX:
        raise PeerError("range")
    return int(found)


def time_us(column: Column, text: str) -> tuple[int, int]:
    """Read a time as UTC microseconds and its offset in minutes; raises `PeerError`: `time`."""
    unit = EPOCHS.get(column.format)
    if unit is not None:
        if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
            raise PeerError("time")
        return _in_range(int(text) * unit), column.offset_min or 0
    try:
        at = datetime.strptime(text, column.format)  # noqa: DTZ007
    except ValueError as error:
        raise PeerError("time") from error
    if at.tzinfo is None:
        assert column.offset_min is not None, "the mapping has an offset where the format has none"
        at = at.replace(tzinfo=timezone(timedelta(minutes=column.offset_min)))
    offset = at.utcoffset() or timedelta()
    since = at - _EPOCH
    found = (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds
    return _in_range(found), offset // timedelta(minutes=1)


def _in_range(found: int) -> int:
    if not 0 <= found <= INT64_MAX:
        raise PeerError("time")
    return found
