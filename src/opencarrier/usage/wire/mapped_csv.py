"""Rows of a CSV as usage records, by a mapping file; a bad row is refused by line and offset."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.buffer import Buffer
from opencarrier.usage.wire.csv_mapping import (
    OCTETS,
    SECONDS,
    Column,
    CsvMapping,
    scaled,
    time_us,
)
from opencarrier.usage.wire.origin import Origin, session_id, usage_id
from opencarrier.usage.wire.records import Refused, Severity

DECODER: Final = "csv/1"
ROW_OCTETS_MAX = 65_536
COLUMNS_MAX = 1_024

_BOM: Final = b"\xef\xbb\xbf"


class CsvRecordReader:
    """Reads a CSV piece by piece; a row may span lines where its fields are quoted.

    A header that lacks a mapped column is fatal. A row beyond `ROW_OCTETS_MAX` is refused and the
    next line read.
    """

    def __init__(self, origin: Origin, mapping: CsvMapping) -> None:
        self._origin = origin
        self._mapping = mapping
        self._buffer = Buffer()
        self._row = b""
        self._row_at = self._row_line = self._quotes = 0
        self._quote = mapping.quote.encode()
        self._line = 0
        self._skips = self._ended = False
        self._places: Mapping[str, int] | None = None
        if not mapping.has_header:
            self._places = _places(mapping, [])

    def feed(self, octets: bytes) -> Iterator[UsageRecord | Refused]:
        """Take the next octets and yield what they complete."""
        if self._ended:
            return
        self._buffer.feed(octets)
        while not self._ended and (size := self._buffer.find(b"\n")) >= 0:
            at = self._buffer.offset
            yield from self._taken(at, self._buffer.take(size + 1))
        if len(self._buffer) > ROW_OCTETS_MAX:
            yield from self._too_long()

    def finish(self) -> Iterator[UsageRecord | Refused]:
        """Say that the file ends here; yield its last row, or the refusal of what it cut."""
        if len(self._buffer) and not self._ended:
            at = self._buffer.offset
            yield from self._taken(at, self._buffer.take(len(self._buffer)))
        if self._row and not self._ended:
            yield self._refused("cut")
        if not self._ended and self._places is None:
            yield Refused(self._buffer.offset, "header", Severity.FATAL, "the file has none")

    def _taken(self, at: int, line: bytes) -> Iterator[UsageRecord | Refused]:
        """Take a line: the end of a row, or a part of one whose quotes are still open."""
        self._line += 1
        if self._skips:
            self._skips = False
            return
        if not self._row:
            self._row_at, self._row_line = at, self._line
            self._quotes = 0
        self._row += line
        self._quotes += line.count(self._quote)
        if len(self._row) > ROW_OCTETS_MAX:
            yield self._refused("row_size")
        elif self._quotes % 2 == 0:
            row, self._row = self._row, b""
            yield from self._fields(row)

    def _too_long(self) -> Iterator[Refused]:
        if not self._skips:
            if not self._row:
                self._row_at, self._row_line = self._buffer.offset, self._line + 1
            yield self._refused("row_size")
            self._skips = True
        self._buffer.clear()

    def _refused(self, reason: str, detail: str = "") -> Refused:
        self._row = b""
        line = f"line {self._row_line}"
        return Refused(self._row_at, reason, detail=f"{line}: {detail}" if detail else line)

    def _fields(self, row: bytes) -> Iterator[UsageRecord | Refused]:
        if self._row_at == 0:
            row = row.removeprefix(_BOM)
        if not row.strip():
            return
        try:
            fields = self._split(row)
            if self._places is None:
                self._places = _places(self._mapping, fields)
                return
            yield self._record(fields, self._places)
        except PeerError as error:
            yield self._refused(error.reason, error.detail)
            if self._places is None:
                self._ended = True
                yield Refused(self._row_at, "header", Severity.FATAL, error.detail)

    def _split(self, row: bytes) -> list[str]:
        mapping = self._mapping
        try:
            text = row.decode(mapping.encoding)
            rows = csv.reader(
                [text], delimiter=mapping.delimiter, quotechar=mapping.quote, strict=True
            )
            fields = next(rows)
        except UnicodeDecodeError as error:
            raise PeerError("encoding") from error
        except csv.Error as error:
            raise PeerError("quotes") from error
        if len(fields) > COLUMNS_MAX:
            raise PeerError("columns")
        return fields

    def _record(self, fields: list[str], places: Mapping[str, int]) -> UsageRecord:
        row = _Row(self._mapping, fields, places)
        origin = self._origin
        visited = self._party(row.text("visited"), origin.visited)
        home = self._party(row.text("home"), origin.home)
        if visited is None:
            raise PeerError("visited_unknown", row.text("visited")[:40])
        if row.text("home") and home is None:
            raise PeerError("home_unknown", row.text("home")[:40])
        subscriber = row.text("subject")
        if not subscriber:
            raise PeerError("subscriber")
        start_us, offset = row.time("start")
        end_us, duration_s = _span(row, start_us)
        service = row.service()
        amounts = row.octets("octets_in"), row.octets("octets_out"), duration_s, row.units(service)
        charged, currency, decimals = row.charged()
        subject = origin.subject_of(subscriber)
        named = row.text("session")
        key = (named,) if named else (home, subject, int(service), start_us)
        session = session_id("csv", visited, *key)
        reporter = origin.reporter or visited
        return UsageRecord(
            usage_id=usage_id(session, start_us, *amounts),
            session_id=session,
            reporter=reporter,
            side=Side.VISITED if reporter == visited else Side.HOME,
            home=home,
            visited=visited,
            subject=subject,
            node=row.text("node")[:80] or None,
            jurisdiction_home=origin.jurisdiction_of(home) if home is not None else None,
            jurisdiction_visited=origin.jurisdiction_of(visited),
            service=service,
            start_us=start_us,
            end_us=end_us,
            utc_offset_min=offset,
            octets_in=amounts[0],
            octets_out=amounts[1],
            duration_s=duration_s,
            units=amounts[3],
            charged_minor=charged,
            charged_currency=currency,
            charged_decimals=decimals,
            source_digest=origin.source_digest,
            source_offset=self._row_at,
            ingested_us=origin.ingested_us,
            decoder=DECODER,
        )

    def _party(self, name: str, otherwise: PartyId | None) -> PartyId | None:
        return self._origin.party_of(name) if name else otherwise


def _span(row: _Row, start_us: int) -> tuple[int, int]:
    if not row.has("end"):
        duration_s = row.seconds()
        return start_us + duration_s * SECOND_US, duration_s
    end_us = row.time("end")[0]
    if end_us < start_us:
        raise PeerError("ends_before_it_starts")
    return end_us, (end_us - start_us) // SECOND_US


def _places(mapping: CsvMapping, header: list[str]) -> dict[str, int]:
    """Find each mapped column; raises `PeerError`: `column`, the detail naming it."""
    names = [name.strip() for name in header]
    found = {}
    for field, column in mapping.columns.items():
        if isinstance(column.source, int):
            found[field] = column.source - 1
        elif column.source is not None:
            if names.count(column.source) != 1:
                raise PeerError("column", f"{column.source!r} is not one of the file's")
            found[field] = names.index(column.source)
    return found


class _Row:
    """One row, read by the mapping; every method raises `PeerError` with the field as detail."""

    def __init__(self, mapping: CsvMapping, fields: list[str], places: Mapping[str, int]) -> None:
        self._mapping, self._fields, self._places = mapping, fields, places

    def has(self, field: str) -> bool:
        return field in self._mapping.columns

    def text(self, field: str) -> str:
        column = self._mapping.columns.get(field)
        if column is None:
            return ""
        if column.value is not None:
            return column.value
        place = self._places[field]
        if place >= len(self._fields):
            raise PeerError("column_missing", field)
        return self._fields[place].strip()

    def service(self) -> Service:
        told, words = self.text("service"), self._column("service").words
        name = told if words is None else words.get(told, "")
        try:
            return Service[name.upper()]
        except KeyError as error:
            raise PeerError("service", told[:40]) from error

    def time(self, field: str) -> tuple[int, int]:
        try:
            return time_us(self._column(field), self.text(field))
        except PeerError as error:
            raise PeerError(error.reason, field) from error

    def octets(self, field: str) -> int:
        return self._scaled(field, OCTETS[self._column(field).unit]) if self.has(field) else 0

    def seconds(self) -> int:
        if not self.has("duration"):
            return 0
        return self._scaled("duration", *SECONDS[self._column("duration").unit])

    def units(self, service: Service) -> int:
        if self.has("units"):
            return self._scaled("units", 1)
        return int(service in (Service.MESSAGE, Service.EVENT))

    def charged(self) -> tuple[int | None, str | None, int | None]:
        if not self.has("charged") or not self.text("charged"):
            return None, None, None
        decimals, currency = self._column("charged").decimals, self.text("currency")
        if len(currency) != 3 or not (currency.isascii() and currency.isupper()):
            raise PeerError("currency", currency[:10])
        return self._exact("charged", 10**decimals), currency, decimals

    def _column(self, field: str) -> Column:
        return self._mapping.columns[field]

    def _scaled(self, field: str, factor: int, divisor: int = 1) -> int:
        told = self.text(field)
        try:
            return scaled(*self._mapping.number(told), factor, divisor) if told else 0
        except PeerError as error:
            raise PeerError(error.reason, field) from error

    def _exact(self, field: str, factor: int) -> int:
        """Read money: more decimals than the mapping keeps are refused, never rounded away."""
        found = self._scaled(field, factor)
        digits, decimals = self._mapping.number(self.text(field))
        if found * 10**decimals != digits * factor:
            raise PeerError("decimals", field)
        return found
