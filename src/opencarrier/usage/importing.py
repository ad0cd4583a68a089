"""Files of others into a dataset: each is read once, kept whole or not at all, and reported."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from opencarrier.spine.parties import PartyId
from opencarrier.usage.dataset import DatasetWriter
from opencarrier.usage.dataset_aside import note_file
from opencarrier.usage.formats import CSV, HEAD_OCTETS, TAP, format_of, reader_of
from opencarrier.usage.record import SUBJECT_OCTETS, UsageRecord, check
from opencarrier.usage.wire.csv_mapping import CsvMapping
from opencarrier.usage.wire.origin import Origin
from opencarrier.usage.wire.records import Reader, Refused, Severity
from opencarrier.usage.wire.tap.records import TapRecordReader
from opencarrier.usage.wire.tap.returns import Sequences

READ_OCTETS = 65_536
REFUSED_MAX = 1_000
"""Refusals of a file listed one by one; beyond, they are counted."""

SEQUENCES: Final = "tap-sequences.json"
"""The numbers of the transfer files that came, kept beside the records."""

_UNKNOWN: Final = Refused(0, "format_unknown", Severity.FATAL, "a CSV needs a mapping")

OriginOf = Callable[[bytes], Origin]
"""Makes the origin of a file of its digest."""


@dataclass(slots=True, kw_only=True)
class FileReport:
    """What became of one file; `kept` is false where something fatal, or nobody, reads it."""

    file: str
    format: str | None
    octets: int
    kept: bool = False
    records: int = 0
    duplicates: int = 0
    octets_in: int = 0
    octets_out: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    returned: dict[str, Any] | None = None

    def refuse(self, refused: Refused) -> None:
        """Note a refusal."""
        self.counts[refused.severity.name.lower()] += 1
        if len(self.refused) < REFUSED_MAX:
            told = refused._asdict() | {"severity": refused.severity.name.lower()}
            self.refused.append(told)

    def as_mapping(self) -> dict[str, Any]:
        """Return the report with stable keys, for JSON."""
        named = ("file", "format", "octets", "kept", "records", "duplicates", "octets_in")
        told = {name: getattr(self, name) for name in (*named, "octets_out", "refused")}
        counts = {
            severity.name.lower(): self.counts[severity.name.lower()] for severity in Severity
        }
        return told | {"refused_counts": counts, "return": self.returned}


class Importer:
    """Adds files to a dataset; the same files again add nothing."""

    def __init__(self, dataset: Path, origin_of: OriginOf, mapping: CsvMapping | None) -> None:
        self._dataset = dataset
        self._origin_of = origin_of
        self._mapping = mapping
        self._known = dataset.joinpath(SEQUENCES)
        self._sequences = self._read_sequences()

    def run(self, paths: Sequence[Path]) -> dict[str, Any]:
        """Import files one after the other; `OSError` for one that cannot be read."""
        reports = [self.add(path).as_mapping() for path in paths]
        missing = [
            {"sender": gap.series.sender, "recipient": gap.series.recipient}
            | {"first": gap.first, "last": gap.last}
            for gap in self._sequences.missing()
        ]
        return {"files": reports, "missing": missing}

    def add(self, path: Path) -> FileReport:
        """Import one file."""
        digest, octets, head = _look(path)
        name = format_of(head) or (CSV if self._mapping is not None else None)
        report = FileReport(file=str(path), format=name, octets=octets)
        if name is None:
            report.refuse(_UNKNOWN)
            note_file(self._dataset, digest, report.as_mapping())
            return report
        before = self._sequences.as_rows()
        reader = self._reader(name, self._origin_of(digest))
        self._keep(_items(path, octets, reader), report)
        if isinstance(reader, TapRecordReader):
            report.returned = reader.returned.report()
            if not report.kept:
                self._sequences = Sequences.of_rows(before)
            self._write_sequences()
        note_file(self._dataset, digest, report.as_mapping())
        return report

    def _reader(self, name: str, origin: Origin) -> Reader[UsageRecord]:
        if name == TAP:
            return TapRecordReader(origin, self._sequences)
        return reader_of(name, origin, self._mapping)

    def _keep(self, items: Iterator[UsageRecord | Refused], report: FileReport) -> None:
        writer = DatasetWriter(self._dataset)
        for item in items:
            if isinstance(item, Refused):
                report.refuse(item)
                continue
            refusal = writer.add(item)
            if refusal is not None:
                report.refuse(Refused(item.source_offset, refusal.code, detail=refusal.detail))
            else:
                report.octets_in += item.octets_in
                report.octets_out += item.octets_out
        if report.counts["fatal"]:
            writer.abandon()
            report.octets_in = report.octets_out = 0
            return
        told = writer.close()
        report.kept, report.records, report.duplicates = True, told.records, told.duplicates

    def _read_sequences(self) -> Sequences:
        rows = json.loads(self._known.read_text()) if self._known.exists() else []
        return Sequences.of_rows(rows)

    def _write_sequences(self) -> None:
        rows = self._sequences.as_rows()
        if not rows:
            return
        self._dataset.mkdir(parents=True, exist_ok=True)
        unready = self._known.with_suffix(".unready")
        unready.write_text(json.dumps(rows))
        unready.replace(self._known)


def check_file(path: Path, mapping: CsvMapping | None) -> FileReport:
    """Read a file as an import would and keep nothing; every operator it names is somebody.

    `kept` tells whether an import would keep it.
    """
    digest, octets, head = _look(path)
    name = format_of(head) or (CSV if mapping is not None else None)
    report = FileReport(file=str(path), format=name, octets=octets)
    if name is None:
        report.refuse(_UNKNOWN)
        return report
    reader = reader_of(name, _anybody(digest), mapping)
    for item in _items(path, octets, reader):
        refusal = check(item) if isinstance(item, UsageRecord) else None
        if isinstance(item, Refused):
            report.refuse(item)
        elif refusal is not None:
            report.refuse(Refused(item.source_offset, refusal.code, detail=refusal.detail))
        else:
            report.records += 1
            report.octets_in += item.octets_in
            report.octets_out += item.octets_out
    report.kept = not report.counts["fatal"]
    if isinstance(reader, TapRecordReader):
        report.returned = reader.returned.report()
    return report


def _anybody(digest: bytes) -> Origin:
    def party_of(name: str) -> PartyId:
        return PartyId(f"op_{sha256(name.encode()).hexdigest()[:32]}")

    return Origin(
        source_digest=digest,
        ingested_us=0,
        party_of=party_of,
        subject_of=lambda name: sha256(name.encode()).digest()[:SUBJECT_OCTETS],
        jurisdiction_of=lambda party: None,
        home=party_of("home"),
        visited=party_of("visited"),
    )


def _look(path: Path) -> tuple[bytes, int, bytes]:
    """Return a file's digest, its size and its first octets."""
    digest, octets, head = sha256(), 0, b""
    with path.open("rb") as stream:
        while chunk := stream.read(READ_OCTETS):
            head = head or chunk[:HEAD_OCTETS]
            digest.update(chunk)
            octets += len(chunk)
    return digest.digest(), octets, head


def _items(path: Path, octets: int, reader: Reader[UsageRecord]) -> Iterator[UsageRecord | Refused]:
    """Read as much of a file as was looked through, though it may have grown since."""
    with path.open("rb") as stream:
        while octets and (chunk := stream.read(min(READ_OCTETS, octets))):
            octets -= len(chunk)
            yield from reader.feed(chunk)
    yield from reader.finish()
