"""What a dataset's files held besides its records: copies of them, and what was refused.

    set-aside/files/DIGEST.json    what became of a file, by the SHA-256 of its octets
    set-aside/copies/day=.../      whose record a copy is, and where it was read

A copy from the place its record was read from is none, however often a file is imported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

COPIES_MAX: Final = 8
"""Copies kept of one record: who sends it again and again fills nothing."""

MEMORY_MIB: Final = 400
_ASIDE: Final = "set-aside"
_COPIES_END: Final = ".copies"
"""Parquet by another name: whoever reads every `.parquet` of a dataset reads records."""


def note_file(dataset: Path, digest: bytes, told: dict[str, Any]) -> None:
    """Keep what became of a file; that it was kept once is not forgotten when it is sent again."""
    earlier = file_told(dataset, digest)
    if earlier is not None and earlier["kept"] and not told["kept"]:
        return
    path = _file_path(dataset, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    unready = path.with_suffix(".unready")
    unready.write_text(json.dumps(told) + "\n")
    unready.replace(path)


def file_told(dataset: Path, digest: bytes) -> dict[str, Any] | None:
    """Return what became of a file, None where none with this digest came."""
    path = _file_path(dataset, digest)
    if not path.exists():
        return None
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def note_copies(dataset: Path, day: str, arrived: pa.Table, kept: Sequence[Path]) -> int:
    """Keep where copies among a partition's new rows were read, and count them.

    `kept` are the partition's files with the new records in place.
    """
    folder = dataset.joinpath(_ASIDE, "copies", f"day={day}")
    with duckdb.connect() as database:
        database.execute(f"set memory_limit = '{MEMORY_MIB}MiB'")
        database.register("arrived", arrived.select(list(_COLUMNS)))
        database.execute("set variable kept = ?", [[str(path) for path in kept]])
        noted = [str(path) for path in sorted(folder.glob(f"*{_COPIES_END}"))]
        database.execute(_NOTED if noted else _NOTHING, [noted] if noted else [])
        fresh = database.sql(_COPIES, params=[COPIES_MAX]).to_arrow_table()
    if fresh.num_rows:
        _write(fresh, folder)
    return int(fresh.num_rows)


def copy_files(dataset: Path) -> list[str]:
    """Return the files that name copies."""
    return [
        str(path) for path in sorted(dataset.joinpath(_ASIDE).glob(f"copies/day=*/*{_COPIES_END}"))
    ]


_COLUMNS: Final = ("usage_id", "reporter", "side", "source_digest", "source_offset")
_NOTED: Final = "create table noted as select * from read_parquet(?, hive_partitioning = false)"
_NOTHING: Final = """
create table noted (
    usage_id blob, reporter varchar, side tinyint, source_digest blob, source_offset bigint
)
"""
_COPIES: Final = """
with seen as (
    select usage_id, reporter, side, source_digest, source_offset
    from read_parquet(getvariable('kept'), hive_partitioning = false)
    union all
    from noted
),
fresh as (
    select distinct * from arrived
    anti join seen using (usage_id, reporter, side, source_digest, source_offset)
),
earlier as (
    select usage_id, reporter, side, count(*) as copies from noted group by all
),
placed as (
    select
        fresh.*,
        coalesce(copies, 0) + row_number() over (
            partition by usage_id, reporter, side order by source_digest, source_offset
        ) as place
    from fresh left join earlier using (usage_id, reporter, side)
)
select * exclude place from placed where place <= ? order by all
"""


def _file_path(dataset: Path, digest: bytes) -> Path:
    return dataset.joinpath(_ASIDE, "files", f"{digest.hex()}.json")


def _write(rows: pa.Table, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = sha256(json.dumps(rows.to_pylist(), default=bytes.hex).encode()).hexdigest()[:32]
    unready = folder / f".{name}.unready"
    pq.write_table(rows, unready, compression="zstd")
    unready.replace(folder / f"{name}{_COPIES_END}")
