"""A book of agreements: documents of either version from one file, checked against each other.

A file holds one document, or, where its name ends in `.jsonl`, one a line. What is wrong is said as
`FILE:LINE: what`, with both lines where two contradict each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from opencarrier.kernel.clock import Window
from opencarrier.kernel.signatures import Signature
from opencarrier.rating.agreements.checks import clash
from opencarrier.rating.agreements.documents import (
    BRACKETS_MAX,
    OCTETS_MAX,
    PRICED,
    ROAMING_AGREEMENT,
    roaming_agreement,
    write_roaming_agreement,
)
from opencarrier.rating.agreements.places import lines_of
from opencarrier.rating.agreements.reading import located, parse
from opencarrier.rating.agreements.rows import ANY, AnyAgreement, Row, pairs_of, rows_of
from opencarrier.rating.documents import AGREEMENT, read_agreement, write_agreement
from opencarrier.rating.model import Agreement
from opencarrier.rating.terms import DocumentError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Qos

FILE_OCTETS_MAX: Final = 1 << 28
AGREEMENTS_MAX: Final = 200_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An agreement, its signatures, and the text it was read from with its first line's number."""

    agreement: AnyAgreement
    signatures: tuple[Signature, ...]
    source: str
    first_line: int


@dataclass(frozen=True, slots=True)
class Book:
    """Agreements of which no two price the same record."""

    entries: tuple[Entry, ...]

    def rows(self) -> Iterator[Row]:
        """Return the flat table of all of them."""
        return (row for entry in self.entries for row in rows_of(entry.agreement))


def read_book(source: str, name: str) -> Book:
    """Read the agreements of a file called `name`; `DocumentError` tells file and line."""
    if len(source) > FILE_OCTETS_MAX:
        raise DocumentError(f"{name}:1: it is too long", f"at most {FILE_OCTETS_MAX} characters")
    texts = _lines(source) if name.endswith(".jsonl") else [(1, source)]
    entries = tuple(_entry(text, name, first_line) for first_line, text in texts)
    if not 0 < len(entries) <= AGREEMENTS_MAX:
        raise DocumentError(
            f"{name}:1: it holds {len(entries)} agreements", f"1 to {AGREEMENTS_MAX}, one a line"
        )
    _check_apart(entries, name)
    return Book(entries)


def _lines(source: str) -> list[tuple[int, str]]:
    numbered = enumerate(source.split("\n"), start=1)
    return [(number, text) for number, text in numbered if text.strip()]


def _entry(source: str, name: str, first_line: int) -> Entry:
    try:
        agreement, signatures = read_any(source)
    except DocumentError as error:
        raise located(error, source, name=name, first_line=first_line) from None
    return Entry(agreement=agreement, signatures=signatures, source=source, first_line=first_line)


def read_any(source: str) -> tuple[AnyAgreement, tuple[Signature, ...]]:
    """Read an agreement of either version and the signatures it carries."""
    document = parse(source, octets_max=OCTETS_MAX, brackets_max=BRACKETS_MAX)
    kind = document.mapping().get("document")
    if kind == AGREEMENT:
        return read_agreement(source)
    if kind == ROAMING_AGREEMENT:
        return roaming_agreement(document)
    raise document.wrong(
        "is no agreement", f'its "document" is {AGREEMENT!r} or {ROAMING_AGREEMENT!r}'
    )


def write_any(agreement: AnyAgreement, signatures: tuple[Signature, ...] = ()) -> str:
    """Write an agreement of either version as JSON that `read_any` reads back equal."""
    if isinstance(agreement, Agreement):
        return write_agreement(agreement, signatures)
    return write_roaming_agreement(agreement, signatures)


def _check_apart(entries: Iterable[Entry], name: str) -> None:
    """Check that no two agreements of a pair price the same record."""
    pairs: defaultdict[tuple[PartyId, PartyId], list[Entry]] = defaultdict(list)
    for entry in entries:
        for pair in pairs_of(entry.agreement):
            pairs[pair].append(entry)
    for pair, found in pairs.items():
        if len(found) > 1:
            rows = [(entry, row) for entry in found for row in rows_of(entry.agreement)]
            _check_pair([item for item in rows if (item[1].home, item[1].visited) == pair], name)


def twice_priced(found: Iterable[tuple[Row, T]]) -> tuple[T, T] | None:
    """Return what stands with two rows of one direction that would price the same record."""
    spans: defaultdict[tuple[PartyId, PartyId, int, int, int], list[tuple[Window, T]]]
    spans = defaultdict(list)
    for row, item in found:
        for qos in Qos if row.qos == ANY else (row.qos,):
            for rcoi in PRICED.values() if row.rcoi == ANY else (row.rcoi,):
                window = Window(row.valid_from_us, row.valid_until_us)
                spans[row.home, row.visited, row.service, qos, rcoi].append((window, item))
    return next((both for items in spans.values() if (both := clash(items)) is not None), None)


def _check_pair(found: Iterable[tuple[Entry, Row]], name: str) -> None:
    both = twice_priced((item[1], item) for item in found)
    if both is not None:
        first, second = both
        where = f"{_where(first, name)}, {_where(second, name)}"
        words = f"{_list_of(first)} and {_list_of(second)} are both in force"
        pair = f"for {first[1].home} at {first[1].visited}"
        raise DocumentError(f"{where}: {words} {pair}", "end one where the other starts")


def _where(found: tuple[Entry, Row], name: str) -> str:
    entry, row = found
    place = ("tariffs" if isinstance(entry.agreement, Agreement) else "lines", row.place)
    line = lines_of(entry.source).get(place, [1])[0]
    return f"{name}:{line + entry.first_line - 1}"


def _list_of(found: tuple[Entry, Row]) -> str:
    entry, row = found
    return f"{'tariffs' if isinstance(entry.agreement, Agreement) else 'lines'}[{row.place}]"
