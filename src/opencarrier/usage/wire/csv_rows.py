"""Rows of any CSV, by a mapping file; a bad row is refused by line and offset, the rest read."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.buffer import Buffer
from opencarrier.usage.wire.csv_mapping import (
    OCTETS,
    SECONDS,
    Column,
    CsvMapping,
    scaled,
    time_us,
)
from opencarrier.usage.wire.records import Refused, Severity

ROW_OCTETS_MAX: Final = 65_536
COLUMNS_MAX: Final = 1_024

_BOM: Final = b"\xef\xbb\xbf"

T = TypeVar("T")


class CsvReader(Generic[T]):
    """Reads a CSV piece by piece; a row may span lines where its fields are quoted.

    `take` makes of a row what it tells, or raises `PeerError`; a `Row` knows where it stands.

    A header that lacks a mapped column is fatal. A row beyond `ROW_OCTETS_MAX` is refused and the
    next line read.
    """

    def __init__(self, mapping: CsvMapping, take: Callable[[Row], T]) -> None:
        self._mapping, self._take = mapping, take
        self._buffer = Buffer()
        self._row = b""
        self._row_at = self._row_line = self._quotes = 0
        self._quote = mapping.quote.encode()
        self._line = 0
        self._skips = self._ended = False
        self._places: Mapping[str, int] | None = None
        if not mapping.has_header:
            self._places = _places(mapping, [])

    def feed(self, octets: bytes) -> Iterator[T | Refused]:
        """Take the next octets and yield what they complete."""
        if self._ended:
            return
        self._buffer.feed(octets)
        while not self._ended and (size := self._buffer.find(b"\n")) >= 0:
            at = self._buffer.offset
            yield from self._taken(at, self._buffer.take(size + 1))
        if len(self._buffer) > ROW_OCTETS_MAX:
            yield from self._too_long()

    def finish(self) -> Iterator[T | Refused]:
        """Say that the file ends here; yield its last row, or the refusal of what it cut."""
        if len(self._buffer) and not self._ended:
            at = self._buffer.offset
            yield from self._taken(at, self._buffer.take(len(self._buffer)))
        if self._row and not self._ended:
            yield self._refused("cut")
        if not self._ended and self._places is None:
            yield Refused(self._buffer.offset, "header", Severity.FATAL, "the file has none")

    def _taken(self, at: int, line: bytes) -> Iterator[T | Refused]:
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

    def _fields(self, row: bytes) -> Iterator[T | Refused]:
        if self._row_at == 0:
            row = row.removeprefix(_BOM)
        if not row.strip():
            return
        try:
            fields = self._split(row)
            if self._places is None:
                self._places = _places(self._mapping, fields)
                return
            at = self._row_at, self._row_line
            yield self._take(Row(self._mapping, fields, self._places, at))
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


class Row:
    """One row, read by the mapping; every method raises `PeerError` with the field as detail."""

    def __init__(
        self,
        mapping: CsvMapping,
        fields: list[str],
        places: Mapping[str, int],
        at: tuple[int, int],
    ) -> None:
        self._mapping, self._fields, self._places = mapping, fields, places
        self.offset, self.line = at

    def has(self, field: str) -> bool:
        """Tell whether the mapping has a field."""
        return field in self._mapping.columns

    def column(self, field: str) -> Column:
        """Return where a field comes from; the mapping has it."""
        return self._mapping.columns[field]

    def text(self, field: str) -> str:
        """Read a field as it is, without blanks around it; nothing where it is not mapped."""
        column = self._mapping.columns.get(field)
        if column is None:
            return ""
        if column.value is not None:
            return column.value
        place = self._places[field]
        if place >= len(self._fields):
            raise PeerError("column_missing", field)
        return self._fields[place].strip()

    def word(self, field: str) -> str:
        """Read a field whose words the mapping may put into ours."""
        told, words = self.text(field), self.column(field).words
        return told if words is None else words.get(told, "")

    def time(self, field: str) -> tuple[int, int]:
        """Read a time: UTC microseconds, and its offset in minutes."""
        try:
            return time_us(self.column(field), self.text(field))
        except PeerError as error:
            raise PeerError(error.reason, field) from error

    def octets(self, field: str) -> int:
        """Read a volume; none is zero."""
        return self.scaled(field, OCTETS[self.column(field).unit]) if self.has(field) else 0

    def seconds(self) -> int:
        """Read the duration; none is zero."""
        if not self.has("duration"):
            return 0
        return self.scaled("duration", *SECONDS[self.column("duration").unit])

    def scaled(self, field: str, factor: int, divisor: int = 1) -> int:
        """Read a number times a factor, rounded half up; an empty one is zero."""
        told = self.text(field)
        try:
            return scaled(*self._mapping.number(told), factor, divisor) if told else 0
        except PeerError as error:
            raise PeerError(error.reason, field) from error

    def exact(self, field: str, decimals: int, *, signed: bool = False) -> int:
        """Read money: more decimals than it may have are refused, never rounded away."""
        told = self.text(field)
        is_negative = signed and told.startswith("-")
        try:
            digits, has = self._mapping.number(told[1:] if is_negative else told)
        except PeerError as error:
            raise PeerError(error.reason, field) from error
        scale, unit = int(10**decimals), int(10**has)
        found, rest = divmod(digits * scale, unit)
        if rest:
            raise PeerError("decimals", field)
        if found > INT64_MAX:
            raise PeerError("range", field)
        return -found if is_negative else found
