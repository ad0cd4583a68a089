"""The usage record that every reader yields and every engine rates: its fields, what is refused.

One row is one usage as one reporter saw it, a correction of one, or a void. Nothing is changed in
place: what a correction or a void names no longer counts. The reference page and the JSON Schema in
it are made from `FIELDS` (docs/reference/usage-record.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final, NamedTuple

from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Evidence, Qos, Rat, RcoiClass, RecordKind, Service, Side

SUBJECT_OCTETS: Final = 16
TEXT_MAX: Final = 160
SEQUENCE_MAX: Final = (1 << 31) - 1
OFFSET_MAX_MIN: Final = 14 * 60
"""A local time is at most 14 hours from UTC."""

CHARGED_DECIMALS_MAX: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """What was used, who says so, and from which octet of which file it was read.

    Amounts are what this usage adds; `from_` amounts are what its session had used before, so that
    a session rated in pieces costs what it costs in one. `tariff_at_us` is the instant whose tariff
    applies where that is not `start_us`: the grant's, or the beginning of the session.
    """

    usage_id: Id
    session_id: Id
    kind: RecordKind = RecordKind.USAGE
    corrects: Id | None = None
    sequence: int = 0
    is_final: bool = True
    reporter: PartyId
    side: Side = Side.VISITED
    home: PartyId | None
    visited: PartyId
    broker: PartyId | None = None
    subject: bytes
    node: str | None = None
    jurisdiction_home: str | None = None
    jurisdiction_visited: str | None = None
    service: Service
    rat: Rat = Rat.UNKNOWN
    rcoi: RcoiClass = RcoiClass.NONE
    qos: Qos = Qos.NONE
    start_us: int
    end_us: int
    tariff_at_us: int | None = None
    utc_offset_min: int = 0
    octets_in: int = 0
    octets_out: int = 0
    duration_s: int = 0
    units: int = 0
    from_octets_in: int = 0
    from_octets_out: int = 0
    from_duration_s: int = 0
    from_units: int = 0
    quoted_currency: str | None = None
    quoted_nano_per_kib: int | None = None
    charged_minor: int | None = None
    charged_currency: str | None = None
    charged_decimals: int | None = None
    evidence: Evidence = Evidence.NONE
    evidence_digest: bytes | None = None
    source_digest: bytes
    source_offset: int
    ingested_us: int
    decoder: str


class Field(NamedTuple):
    """A column: its type in Arrow's words, whether it may be empty, its bounds, its meaning."""

    name: str
    type: str
    nullable: bool
    least: int
    greatest: int
    meaning: str


def _id(name: str, meaning: str, *, nullable: bool = False, octets: int = ID_OCTETS) -> Field:
    return Field(name, "binary", nullable, octets, octets, meaning)


def _party(name: str, meaning: str, *, nullable: bool = False) -> Field:
    return Field(name, "party", nullable, 1, 80, meaning)


def _text(name: str, meaning: str, *, nullable: bool = True, most: int = TEXT_MAX) -> Field:
    return Field(name, "text", nullable, 1, most, meaning)


def _letters(name: str, count: int, meaning: str) -> Field:
    return Field(name, "letters", True, count, count, meaning)


def _code(name: str, words: type[IntEnum], meaning: str) -> Field:
    codes = ", ".join(f"{word.value} {word.name.lower()}" for word in words)
    return Field(name, "int8", False, min(words), max(words), f"{meaning}: {codes}")


def _whole(name: str, meaning: str, *, nullable: bool = False) -> Field:
    return Field(name, "int64", nullable, 0, INT64_MAX, meaning)


FIELDS: Final = (
    _id("usage_id", "names the usage by its content; a copy has the same"),
    _id("session_id", "the session it is a part of"),
    _code("kind", RecordKind, "what the record says"),
    _id("corrects", "the record a correction or a void takes the place of", nullable=True),
    Field("sequence", "int32", False, 0, SEQUENCE_MAX, "the reporter's count within the session"),
    Field("is_final", "bool", False, 0, 1, "whether the session ended with it"),
    _party("reporter", "who says so"),
    _code("side", Side, "whose meter"),
    _party("home", "the operator the subscriber belongs to", nullable=True),
    _party("visited", "the operator whose network was used"),
    _party("broker", "who stands between them", nullable=True),
    _id("subject", "a pseudonym, never an IMSI or MAC address", octets=SUBJECT_OCTETS),
    _text("node", "the access point or cell", most=80),
    _letters("jurisdiction_home", 2, "ISO 3166-1 alpha-2"),
    _letters("jurisdiction_visited", 2, "ISO 3166-1 alpha-2"),
    _code("service", Service, "what was used"),
    _code("rat", Rat, "3GPP-RAT-Type"),
    _code("rcoi", RcoiClass, "the roaming consortium's class"),
    _code("qos", Qos, "what was offered"),
    _whole("start_us", "when it began, UTC microseconds"),
    _whole("end_us", "when it ended, not before it began"),
    _whole("tariff_at_us", "the instant whose tariff applies; empty: start_us", nullable=True),
    Field("utc_offset_min", "int16", False, -OFFSET_MAX_MIN, OFFSET_MAX_MIN, "local time less UTC"),
    _whole("octets_in", "octets from the device"),
    _whole("octets_out", "octets to the device"),
    _whole("duration_s", "seconds of session time"),
    _whole("units", "messages or events"),
    _whole("from_octets_in", "octets from the device in the session before"),
    _whole("from_octets_out", "octets to the device in the session before"),
    _whole("from_duration_s", "seconds of the session before"),
    _whole("from_units", "messages or events of the session before"),
    _letters("quoted_currency", 3, "ISO 4217, as offered in band"),
    _whole("quoted_nano_per_kib", "1e-9 of the currency per 1,024 octets, offered", nullable=True),
    _whole("charged_minor", "what the file says it costs", nullable=True),
    _letters("charged_currency", 3, "ISO 4217"),
    Field("charged_decimals", "int8", True, 0, CHARGED_DECIMALS_MAX, "decimals of charged_minor"),
    Field(
        "evidence",
        "int8",
        False,
        0,
        31,
        "sum of: 1 peer authenticated, 2 own Class, 4 co-signed, 8 acknowledged, 16 node signed",
    ),
    _id("evidence_digest", "SHA-256 of what was signed", nullable=True),
    _id("source_digest", "SHA-256 of the file it was read from"),
    _whole("source_offset", "where in the file it starts"),
    _whole("ingested_us", "when it was taken in, UTC microseconds"),
    _text("decoder", "which reader made it, and its version", nullable=False, most=80),
)
"""Every column, in the order they are written."""

_NAMES = tuple(field.name for field in fields(UsageRecord))
assert tuple(field.name for field in FIELDS) == _NAMES, "the record and its columns are one list"

_PATTERNS: Final = {
    "party": re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*"),
    "text": re.compile(r"[!-~](?:[ -~]*[!-~])?"),
    "letters": re.compile(r"[A-Z]+"),
}

_TOGETHER: Final = (
    ("quoted_currency", "quoted_nano_per_kib"),
    ("charged_minor", "charged_currency", "charged_decimals"),
)
_METERED: Final = ("octets_in", "octets_out", "duration_s", "units")


class RecordReason(Reason):
    """Why a record is not taken; of several, the first is given."""

    MISSING = 1
    WRONG_TYPE = 2
    OUT_OF_BOUNDS = 3
    NOT_WELL_FORMED = 4
    ENDS_BEFORE_IT_STARTS = 5
    CORRECTS_NOTHING = 6
    INCOMPLETE_PRICE = 7
    COUNTER_RANGE = 8


def check(record: UsageRecord) -> Refusal | None:
    """Say why a record must not be kept, or nothing; the detail names the field."""
    for field in FIELDS:
        refusal = _check_field(field, getattr(record, field.name))
        if refusal is not None:
            return refusal
    return _check_whole(record)


def _check_field(field: Field, value: Any) -> Refusal | None:
    if value is None:
        return None if field.nullable else Refusal(RecordReason.MISSING, field.name)
    kind = _KINDS.get(field.type, int)
    taken = isinstance(value, kind)
    if not taken or (isinstance(value, bool) is not (field.type == "bool")):
        return Refusal(RecordReason.WRONG_TYPE, field.name)
    size = value if isinstance(value, int) else len(value)
    if not field.least <= size <= field.greatest:
        return Refusal(RecordReason.OUT_OF_BOUNDS, field.name)
    pattern = _PATTERNS.get(field.type)
    if pattern is not None and not pattern.fullmatch(value):
        return Refusal(RecordReason.NOT_WELL_FORMED, field.name)
    return None


_KINDS: Final[dict[str, type]] = {
    "binary": bytes,
    "party": str,
    "text": str,
    "letters": str,
    "bool": bool,
}


def _check_whole(record: UsageRecord) -> Refusal | None:
    """Judge what only several fields together can get wrong."""
    if record.end_us < record.start_us:
        return Refusal(RecordReason.ENDS_BEFORE_IT_STARTS, "end_us")
    if (record.kind == RecordKind.USAGE) is not (record.corrects is None):
        return Refusal(RecordReason.CORRECTS_NOTHING, "corrects")
    for names in _TOGETHER:
        if len({getattr(record, name) is None for name in names}) > 1:
            return Refusal(RecordReason.INCOMPLETE_PRICE, names[0])
    for name in _METERED:
        if getattr(record, name) + getattr(record, f"from_{name}") > INT64_MAX:
            return Refusal(RecordReason.COUNTER_RANGE, name)
    return None
