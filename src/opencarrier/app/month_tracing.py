"""Where is my money in a month on disk: what each step of it left, joined into one timeline each.

An id is looked up in this order: 0x and 64 hex digits as a usage, a session, a file; 0x and 32 as a
pseudonym; any other text as a node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from opencarrier.app.timelines import (
    ID_MAX,
    LIMIT,
    Cursor,
    Item,
    Page,
    begin,
    told,
    unknown,
)
from opencarrier.clearing.cleared_stages import ClearedStages
from opencarrier.kernel.ids import ID_OCTETS, Id, from_hex, to_hex
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.rating.rated_stages import RatedStages
from opencarrier.spine.ports import Stages
from opencarrier.spine.stages import Step
from opencarrier.usage import dataset_stages
from opencarrier.usage.dataset_stages import DatasetStages, Wanted
from opencarrier.usage.record import SUBJECT_OCTETS

MEMORY_MIB: Final = 400
THREADS: Final = 2

RECORDS, MATCHED, RATED, CLEARED = "records", "matched", "rated", "cleared"
BOOK, ADJUSTED = "book.jsonl", "adjusted*.jsonl"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an id means: its kind, the records to look for, the file it is and what became of it."""

    kind: str
    wanted: Wanted
    file: Id | None = None
    report: Mapping[str, Any] | None = None

    @property
    def is_partial(self) -> bool:
        """Whether more was refused of the file than is listed."""
        if self.report is None:
            return False
        counts: Mapping[str, int] = self.report["refused_counts"]
        return sum(counts.values()) > len(self.report["refused"])


class MonthTracing:
    """Traces in a month's folder; what a step has not left yet is not told.

    `PeerError` where the folder holds no records, or what was left contradicts itself.
    """

    def __init__(self, month: Path) -> None:
        records = month / RECORDS
        if not records.is_dir():
            raise PeerError("month", f"{month} holds no {RECORDS}")
        book = month / BOOK
        self._dataset = DatasetStages(records, month / MATCHED)
        rated = RatedStages(
            records,
            month / RATED,
            adjusted=sorted(month.glob(ADJUSTED)),
            book=book if book.exists() else None,
        )
        self._rooms: tuple[Stages[duckdb.DuckDBPyConnection], ...] = (
            self._dataset,
            rated,
            ClearedStages(month / CLEARED),
        )

    def trace(self, text: str, *, after: str = "", limit: int = LIMIT) -> dict[str, Any] | Refusal:
        """Tell one page of an id's timelines, as `Tracing.trace` does and with its refusals."""
        cursor = begin(after, limit)
        if isinstance(cursor, Refusal):
            return cursor
        with _engine() as unit:
            known = self._known(unit, text, cursor, limit)
            if known is None:
                return unknown(text)
            subject, found = known
            page = self._page(unit, subject, found, cursor, limit)
        return told(text, subject.kind, page, is_partial=subject.is_partial)

    def _known(
        self, unit: duckdb.DuckDBPyConnection, text: str, cursor: Cursor, limit: int
    ) -> tuple[Subject, list[Id]] | None:
        """Return the first meaning of an id that the month knows, and the usages of its page.

        Whether a month knows an id takes a look at every file: what was seen is not sought again.
        """
        for subject in self._meanings(text):
            found: list[Id] = []
            if cursor.phase == "usage":
                after = cursor.usage_id
                found = self._dataset.page(unit, subject.wanted, after=after, limit=limit)
            goes_on = bool(cursor.after) and not found
            is_known = found or subject.report is not None
            if is_known or (
                goes_on and self._dataset.page(unit, subject.wanted, after=b"", limit=1)
            ):
                return subject, found
        return None

    def _meanings(self, text: str) -> Iterator[Subject]:
        if len(text) > ID_MAX or not text:
            return
        octets = _octets(text)
        if octets is None:
            yield Subject("node", dataset_stages.of_node(text))
        elif len(octets) == SUBJECT_OCTETS:
            yield Subject("subscriber", dataset_stages.of_subject(octets))
        else:
            yield Subject("usage", dataset_stages.of_usage(octets))
            yield Subject("session", dataset_stages.of_session(octets))
            report = self._dataset.file(octets)
            yield Subject("file", dataset_stages.of_file(octets), octets, report)

    def _page(
        self,
        unit: duckdb.DuckDBPyConnection,
        subject: Subject,
        found: list[Id],
        cursor: Cursor,
        limit: int,
    ) -> Page:
        items = self._usages(unit, found)
        if len(items) == limit:
            return Page(items, Cursor("usage", to_hex(found[-1])))
        start = cursor if cursor.phase == "refused" else Cursor("refused")
        if subject.file is None:
            return Page(items, None)
        room = limit - len(items)
        refused = self._dataset.refused(subject.file, after=start.place, limit=room)
        items += [Item("record", None, [step]) for _, step in refused]
        is_full = len(refused) == room
        return Page(items, Cursor("refused", str(refused[-1][0])) if is_full else None)

    def _usages(self, unit: duckdb.DuckDBPyConnection, found: list[Id]) -> list[Item]:
        steps: dict[Id, list[Step]] = {usage_id: [] for usage_id in found}
        for room in self._rooms if found else ():
            for step in room.steps(unit, found):
                assert step.about is not None, "a room tells of what it was asked about"
                steps[step.about].append(step)
        return [
            Item("usage", usage_id, sorted(steps[usage_id], key=lambda step: step.stage))
            for usage_id in found
        ]


def _octets(text: str) -> Id | None:
    """Return what an id or a pseudonym says in hex digits, None for any other text."""
    for octets in (ID_OCTETS, SUBJECT_OCTETS):
        try:
            return from_hex(text, octets=octets)
        except ValueError:
            continue
    return None


@contextmanager
def _engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the engine with its memory bounded."""
    with duckdb.connect() as database:
        database.execute(f"set threads = {THREADS}")
        database.execute(f"set memory_limit = '{MEMORY_MIB}MiB'")
        yield database
