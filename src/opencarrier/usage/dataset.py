"""Records in Parquet: a folder by day and visited operator, written whole or not at all.

`day=YYYY-MM-DD/visited=PARTY/NAME.parquet`. What is added is staged beside the dataset and put in
place when the writer closes: one file a partition, its rows in one order, its name of its content.
So the same records in any order give the same files, and a run that died is run again. Rows are
never changed: corrections and voids are rows too.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.usage.columns import WORDS, arrow_schema, plain_schema, to_records, to_table
from opencarrier.usage.dataset_aside import note_copies
from opencarrier.usage.record import FIELDS, UsageRecord, check

ROWS_MAX: Final = 1 << 17
"""Records in memory before they are staged on disk."""

PARTITIONS_MAX: Final = 100_000
PARTITION_ROWS_MAX: Final = 4_000_000
ROW_GROUP_ROWS: Final = 1 << 17
BATCH_ROWS: Final = 1 << 16

SORTED_BY: Final = ("home", "service", "node", "start_us", "usage_id", "reporter", "side")
"""The order of a partition's rows: what is rated alike lies together."""

REPEATED: Final = tuple(
    field.name for field in FIELDS if field.type in WORDS or field.name == "source_digest"
)
"""Columns whose values come again and again; the others gain nothing by a dictionary."""

LOOKED_UP: Final = ("usage_id", "session_id")
"""Columns with a Bloom filter a row group: who looks for one value reads where it may be alone."""

KEY: Final = ("usage_id", "reporter", "side")
"""What makes two records copies: the same usage by the same reporter about the same meter."""

PLACE: Final = ("source_digest", "source_offset", "sequence", "service", "kind", "reporter", "side")
"""Where a record was read: one that stands in the dataset came from there already."""

DAY_US: Final = 86_400 * SECOND_US
START_MAX_US: Final = 253_370_764_800 * SECOND_US
"""The year 9999 has the last days that have a name."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STAGING: Final = ".staging"


class DatasetReason(Reason):
    """Why a good record cannot be kept here."""

    TOO_MANY_PARTITIONS = 1
    PARTITION_FULL = 2
    DAY_RANGE = 3


class Partition(NamedTuple):
    """A day of one visited operator."""

    day: str
    visited: PartyId

    @property
    def folder(self) -> Path:
        """Where it is within the dataset."""
        return Path(f"day={self.day}") / f"visited={self.visited}"


@dataclass(slots=True, kw_only=True)
class WriteReport:
    """What became of what was added: kept, a copy of what is kept, or refused by reason."""

    records: int = 0
    duplicates: int = 0
    files: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def as_mapping(self) -> dict[str, Any]:
        """Return the report with stable keys, for JSON."""
        return {**asdict(self), "refused": dict(sorted(self.refused.items()))}


def partition_of(record: UsageRecord) -> Partition:
    """Return where a record lies: the UTC day it began, and the visited operator."""
    day = _EPOCH + timedelta(days=record.start_us // DAY_US)
    return Partition(day.strftime("%Y-%m-%d"), record.visited)


class DatasetWriter:
    """Adds records to a dataset; nothing is there before `close`, everything after it.

    Memory is bounded by `rows_max` records and by one partition. One writer at a time.
    """

    def __init__(self, folder: Path, *, rows_max: int = ROWS_MAX) -> None:
        self._folder, self._rows_max = folder, rows_max
        self._rows: defaultdict[Partition, list[UsageRecord]] = defaultdict(list)
        self._counts: Counter[Partition] = Counter()
        self._waiting = self._spills = 0
        self.report = WriteReport()
        shutil.rmtree(self._staging, ignore_errors=True)

    def add(self, record: UsageRecord) -> Refusal | None:
        """Take a record, or say why not; copies are told apart when the writer closes."""
        refusal = check(record) or self._room_for(record)
        if refusal is not None:
            self.report.refused[refusal.code] += 1
            return refusal
        partition = partition_of(record)
        self._rows[partition].append(record)
        self._counts[partition] += 1
        self._waiting += 1
        if self._waiting >= self._rows_max:
            self._stage()
        return None

    def abandon(self) -> None:
        """Forget everything that was added."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._rows.clear()
        self._counts.clear()

    def close(self) -> WriteReport:
        """Move everything into place, partition by partition; the same again changes nothing."""
        for partition in sorted(self._counts):
            self._finish(partition)
        self.abandon()
        return self.report

    @property
    def _staging(self) -> Path:
        return self._folder / _STAGING

    def _room_for(self, record: UsageRecord) -> Refusal | None:
        if record.start_us >= START_MAX_US:
            return Refusal(DatasetReason.DAY_RANGE, "start_us")
        partition = partition_of(record)
        if partition not in self._counts and len(self._counts) >= PARTITIONS_MAX:
            return Refusal(DatasetReason.TOO_MANY_PARTITIONS, str(partition.folder))
        if self._counts[partition] >= PARTITION_ROWS_MAX:
            return Refusal(DatasetReason.PARTITION_FULL, str(partition.folder))
        return None

    def _stage(self) -> None:
        for partition, rows in self._rows.items():
            folder = self._staging / partition.folder
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(to_table(rows), folder / f"{self._spills}.parquet", compression="zstd")
        self._rows.clear()
        self._waiting = 0
        self._spills += 1

    def _finish(self, partition: Partition) -> None:
        staged = sorted((self._staging / partition.folder).glob("*.parquet"))
        tables = [pq.read_table(path, schema=plain_schema(), partitioning=None) for path in staged]
        tables.append(to_table(self._rows.pop(partition, [])))
        target = self._folder / partition.folder
        known, arrived = _known(target), pa.concat_tables(tables)
        fresh = _without_copies(arrived, known)
        renamed = _renamed(fresh, known)
        if len(renamed):
            fresh, arrived = _except(fresh, renamed), _except(arrived, renamed)
        self.report.records += fresh.num_rows
        if fresh.num_rows:
            write_file(fresh, target)
            self.report.files += 1
        duplicates = self._counts[partition] - fresh.num_rows
        if duplicates:
            self.report.duplicates += duplicates
            note_copies(self._folder, partition.day, arrived, sorted(target.glob("*.parquet")))


def write_file(rows: pa.Table, folder: Path) -> Path:
    """Write sorted rows as one file named by its content, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_name(rows)}.parquet"
    unready = folder / f".{path.name}.unready"
    options: dict[str, Any] = {
        "compression": "zstd",
        "row_group_size": ROW_GROUP_ROWS,
        "use_dictionary": list(REPEATED),
        "bloom_filter_options": {
            name: {"ndv": min(rows.num_rows, ROW_GROUP_ROWS)} for name in LOOKED_UP
        },
    }
    pq.write_table(rows.cast(arrow_schema()), unready, **options)
    with unready.open("rb+") as stream:
        os.fsync(stream.fileno())
    unready.replace(path)
    return path


def files_of(folder: Path) -> list[Path]:
    """Return the files of a dataset in the order of their partitions."""
    return sorted(folder.glob("day=*/visited=*/*.parquet"))


def read_batches(folder: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a dataset, a bounded batch at a time."""
    for path in files_of(folder):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)


def read_records(folder: Path) -> Iterator[UsageRecord]:
    """Yield the records of a dataset."""
    for batch in read_batches(folder):
        yield from to_records(batch)


def _known(target: Path) -> pa.Table | None:
    """Return the keys and places of what a partition holds already."""
    files = sorted(target.glob("*.parquet"))
    if not files:
        return None
    names = list(dict.fromkeys((*KEY, *PLACE)))
    tables = [pq.read_table(path, columns=names, partitioning=None) for path in files]
    schema = pa.schema([plain_schema().field(name) for name in names])
    return pa.concat_tables([table.cast(schema) for table in tables])


def _renamed(fresh: pa.Table, known: pa.Table | None) -> pa.Array:
    """Return the ids of new rows that were read before from the same place of the same file.

    They have other ids because their subscriber was erased meanwhile.
    """
    if known is None:
        return fresh.column("usage_id").combine_chunks()[:0]
    keyed = fresh.select(list(dict.fromkeys(("usage_id", *PLACE))))
    again = keyed.join(known.select(list(PLACE)), keys=list(PLACE), join_type="left semi")
    return again.column("usage_id").combine_chunks()


def _except(rows: pa.Table, usage_ids: pa.Array) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows.column("usage_id"), value_set=usage_ids)))


def _without_copies(rows: pa.Table, known: pa.Table | None) -> pa.Table:
    """Return the rows that are new, in order; of copies the first by that order stays."""
    rows = rows.sort_by([(name, "ascending") for name in (*SORTED_BY, *_TIES)])
    place = pa.array(range(rows.num_rows), pa.int64())
    keyed = rows.select(list(KEY)).append_column("place", place)
    first = keyed.group_by(list(KEY)).aggregate([("place", "min")])
    if known is not None:
        first = first.join(known.select(list(KEY)), keys=list(KEY), join_type="left anti")
    places = first.column("place_min")
    return rows.take(places.take(pc.sort_indices(places)))


_TIES: Final = ("source_digest", "source_offset", "ingested_us", "decoder", "sequence")
"""What copies of one record may differ in."""


def _name(rows: pa.Table) -> str:
    digest = sha256()
    for column in (rows.column(name) for name in KEY):
        for value in column.to_pylist():
            digest.update(str(value).encode() if not isinstance(value, bytes) else value)
    return digest.hexdigest()[:32]
