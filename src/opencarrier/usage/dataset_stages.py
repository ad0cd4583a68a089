"""What a dataset knows of where money stands: received, copied, refused, matched, replaced.

A look-up reads the row groups whose Bloom filters may hold an id, or the one column that is looked
for; what is told of a page is read from the folders of its visited operators alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from opencarrier.kernel.ids import Id, to_hex
from opencarrier.spine.records import RecordKind, Side
from opencarrier.spine.stages import Stage, StageReason, Step
from opencarrier.usage.dataset import files_of
from opencarrier.usage.dataset_aside import copy_files, file_told
from opencarrier.usage.matched import match_files
from opencarrier.usage.matching import Outcome

SOURCES_MAX: Final = 8
"""Sources of copies that one step names; all are counted."""


ROWS_OF_PAGE = 400
"""Records looked through for a page at a time, in the order of their usages."""


class Wanted(NamedTuple):
    """What is looked for: the records that a condition takes, by a value; copies too."""

    condition: str
    value: bytes | str
    with_copies: bool = False


def of_usage(usage_id: Id) -> Wanted:
    """Look for one usage."""
    return Wanted("usage_id = ?", usage_id)


def of_session(session_id: Id) -> Wanted:
    """Look for a session."""
    return Wanted("session_id = ?", session_id)


def of_file(digest: Id) -> Wanted:
    """Look for what a file told, first or again."""
    return Wanted("source_digest = ?", digest, with_copies=True)


def of_node(node: str) -> Wanted:
    """Look for what was used at a node."""
    return Wanted("node = ?", node)


def of_subject(subject: bytes) -> Wanted:
    """Look for whom records call by a pseudonym; in Parquet it is a UUID."""
    return Wanted("subject = ?::uuid", subject.hex())


class DatasetStages:
    """Answers the port `Stages` for usages of a dataset, and finds what a trace is about.

    `matched` is the folder of `match`, if the dataset was matched.
    """

    def __init__(self, records: Path, matched: Path) -> None:
        self._records, self._match_run = records, matched
        self._files = [str(path) for path in files_of(records)]
        self._copies = copy_files(records)
        self._visited: dict[Id, set[str]] = {}

    def page(
        self, unit: duckdb.DuckDBPyConnection, wanted: Wanted, *, after: bytes, limit: int
    ) -> list[Id]:
        """Return the ids of usages that are looked for, ascending, above `after`."""
        found = self._page(unit, wanted, after, limit)
        if wanted.with_copies:
            found |= self._copied(unit, wanted, after, limit)
        return sorted(found)[:limit]

    def file(self, digest: bytes) -> dict[str, Any] | None:
        """Return what became of a file, None where none with this digest came."""
        return file_told(self._records, digest)

    def refused(self, digest: bytes, *, after: int, limit: int) -> list[tuple[int, Step]]:
        """Return what was refused of a file, each with its place among them."""
        told = self.file(digest)
        refusals = [] if told is None else told["refused"]
        return [
            (place, _refused(digest, item)) for place, item in enumerate(refusals) if place > after
        ][:limit]

    def steps(self, unit: duckdb.DuckDBPyConnection, about: Sequence[Id]) -> Sequence[Step]:
        """Return how usages were reported, copied, matched, and what took their place."""
        files = self._files_of(about)
        rows = _rows(unit, _RECORDS, files, [list(about)])
        return [
            *map(_received, rows),
            *self._duplicates(unit, about),
            *self._matched(unit, rows),
            *_replaced(rows, _rows(unit, _NAMING, files, [_named(rows)])),
        ]

    def _page(
        self, unit: duckdb.DuckDBPyConnection, wanted: Wanted, after: bytes, limit: int
    ) -> set[Id]:
        """Return a page's ids and learn where they are; a usage may have several records."""
        query = _PAGE.format(condition=wanted.condition)
        found: set[Id] = set()
        while len(found) < limit:
            rows = _rows(unit, query, self._files, [wanted.value, after, ROWS_OF_PAGE])
            for row in rows:
                usage_id = Id(row["usage_id"])
                self._visited.setdefault(usage_id, set()).add(row["visited"])
                found.add(usage_id)
            if len(rows) < ROWS_OF_PAGE:
                break
            after = rows[-1]["usage_id"]
        return found

    def _copied(
        self, unit: duckdb.DuckDBPyConnection, wanted: Wanted, after: bytes, limit: int
    ) -> set[Id]:
        rows = _rows(unit, _COPIED, self._copies, [wanted.value, after, limit])
        return {Id(row["usage_id"]) for row in rows}

    def _files_of(self, about: Sequence[Id]) -> list[str]:
        """Return the files that tell of some usages: all of whose place no page told."""
        if not all(usage_id in self._visited for usage_id in about):
            return self._files
        visited = {name for usage_id in about for name in self._visited[usage_id]}
        folders = {f"visited={name}" for name in visited}
        return [path for path in self._files if Path(path).parent.name in folders]

    def _duplicates(self, unit: duckdb.DuckDBPyConnection, about: Sequence[Id]) -> Iterator[Step]:
        for row in _rows(unit, _DUPLICATES, self._copies, [list(about)]):
            yield Step(
                stage=Stage.DUPLICATE,
                reason=StageReason.SEEN_BEFORE.name.lower(),
                about=Id(row["usage_id"]),
                facts={
                    "copies": row["copies"],
                    "sources": " ".join(row["sources"][:SOURCES_MAX]),
                },
            )

    def _matched(
        self, unit: duckdb.DuckDBPyConnection, rows: Sequence[dict[str, Any]]
    ) -> Iterator[Step]:
        """Tell each usage the outcome of its session; a usage of two reporters has one."""
        files = [str(path) for path in match_files(self._match_run)]
        wanted = [sorted({row[name] for row in rows}) for name in ("session_id", "visited")]
        outcomes = {_session(row): row for row in _rows(unit, _OUTCOMES, files, wanted)}
        usages = {(Id(row["usage_id"]), _session(row)) for row in rows}
        for usage_id, session in sorted(usages, key=lambda item: item[0]):
            if session in outcomes:
                yield _outcome(usage_id, outcomes[session])


_RECORDS: Final = """
select
    usage_id, session_id, kind, corrects, sequence, reporter, side, home, visited, service, node,
    start_us, end_us, octets_in, octets_out, duration_s, units, source_digest, source_offset,
    ingested_us, decoder
from read_parquet(getvariable('files'), hive_partitioning = false)
where usage_id in (select unnest(?::blob[]))
order by usage_id, side, reporter
"""
_NAMING: Final = """
select corrects, usage_id, sequence, kind
from read_parquet(getvariable('files'), hive_partitioning = false)
where side = 1 and corrects in (select unnest(?::blob[]))
order by corrects, sequence, usage_id
"""
_PAGE: Final = """
select usage_id, visited
from read_parquet(getvariable('files'), hive_partitioning = false)
where {condition} and usage_id > ?
order by usage_id limit ?
"""
_COPIED: Final = """
select distinct usage_id
from read_parquet(getvariable('files'), hive_partitioning = false)
where source_digest = ? and usage_id > ?
order by usage_id limit ?
"""
_DUPLICATES: Final = """
select
    usage_id, count(*) as copies,
    list('0x' || lower(hex(source_digest)) || '@' || source_offset order by all) as sources
from read_parquet(getvariable('files'), hive_partitioning = false)
where usage_id in (select unnest(?::blob[]))
group by usage_id order by usage_id
"""
_OUTCOMES: Final = """
select * from read_parquet(getvariable('files'))
where session_id in (select unnest(?::blob[])) and visited in (select unnest(?::varchar[]))
"""


def _rows(
    unit: duckdb.DuckDBPyConnection, query: str, files: Sequence[str], values: Sequence[Any]
) -> list[dict[str, Any]]:
    """Read some files; without files there is nothing."""
    if not files:
        return []
    unit.execute("set variable files = ?", [list(files)])
    found = unit.execute(query, values)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _session(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["visited"], row["home"], row["session_id"], row["service"]


def _received(row: dict[str, Any]) -> Step:
    corrects = row["corrects"]
    same = ("reporter", "visited", "home", "node", "start_us", "end_us")
    amounts = ("octets_in", "octets_out", "duration_s", "units")
    return Step(
        stage=Stage.RECEIVED,
        reason=StageReason.REPORTED.name.lower(),
        about=Id(row["usage_id"]),
        at_us=row["ingested_us"],
        facts={
            "session_id": to_hex(row["session_id"]),
            "kind": RecordKind(row["kind"]).name.lower(),
            "corrects": None if corrects is None else to_hex(corrects),
            "side": Side(row["side"]).name.lower(),
            **{name: row[name] for name in (*same, *amounts)},
            "file": to_hex(row["source_digest"]),
            "offset": row["source_offset"],
            "decoder": row["decoder"],
        },
    )


def _refused(digest: bytes, item: dict[str, Any]) -> Step:
    return Step(
        stage=Stage.REFUSED,
        reason=item["reason"],
        about=None,
        facts={
            "file": to_hex(digest),
            "offset": item["offset"],
            "severity": item["severity"],
            "detail": item["detail"],
        },
    )


def _outcome(usage_id: Id, row: dict[str, Any]) -> Step:
    states = ("claimed", "other", "paid", "disputed")
    amounts = ("octets_in", "octets_out", "duration_s", "units")
    counterpart = row["counterpart"]
    return Step(
        stage=Stage.MATCHED,
        reason=Outcome(row["outcome"]).name.lower(),
        about=usage_id,
        facts={
            "counterpart": Side(counterpart).name.lower() if counterpart else None,
            **{f"{s}_{name}": int(row[f"{s}_{name}"]) for s in states for name in amounts},
        },
    )


def _named(rows: Iterable[dict[str, Any]]) -> list[bytes]:
    """Return what corrections may name: the usages, and what they themselves correct."""
    names = {row["usage_id"] for row in rows} | {row["corrects"] for row in rows}
    return sorted(names - {None})


def _replaced(rows: Iterable[dict[str, Any]], naming: Sequence[dict[str, Any]]) -> Iterator[Step]:
    """Tell which of the visited operators' records count no longer, as rating takes them.

    A record gives way to what names it, a correction to the last that names the same.
    """
    last = {row["corrects"]: row for row in naming}
    for row in rows:
        if row["side"] != Side.VISITED:
            continue
        by = last.get(row["usage_id"]) or last.get(row["corrects"])
        if by is None or by["usage_id"] == row["usage_id"]:
            continue
        is_void = by["kind"] == RecordKind.VOID
        reason = StageReason.BY_VOID if is_void else StageReason.BY_CORRECTION
        yield Step(
            stage=Stage.REPLACED,
            reason=reason.name.lower(),
            about=Id(row["usage_id"]),
            facts={"by": to_hex(by["usage_id"])},
        )
