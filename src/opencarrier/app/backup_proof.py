"""What a backup says of itself (`backup.json`): its files by hash, the original's tables by digest.

A copy without it was broken off. Digests are of the original at the instant of the copy, so that
what is put back is compared with what was there, not with the copy alone.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from opencarrier.app.folder import FolderError

NAME: Final = "backup.json"
FORM: Final = "opencarrier/backup/1"
OCTETS_MAX: Final = 1 << 20
"""A `backup.json` is no larger: a line for each of about a hundred tables."""

_PAGE: Final = 1_000
_SPACE: Final = 1 << 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Files of a backup by SHA-256; rows and digest of each table of the original; its money.

    `people` is the hash of the file of people within the backup, empty where it stands elsewhere.
    """

    files: Mapping[str, str]
    people: str
    tables: Mapping[str, tuple[int, str]]
    sum_minor: Mapping[str, int]


def tables_of(database: Path) -> dict[str, tuple[int, str]]:
    """Count and digest each table of a database: the order of its rows decides nothing."""
    with closing(sqlite3.connect(database)) as unit:
        named = unit.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        names = [name for (name,) in named if not name.startswith("sqlite_")]
        return {name: _digest(unit, name) for name in names}


def _digest(unit: sqlite3.Connection, table: str) -> tuple[int, str]:
    """Sum the hashes of a table's rows: read as they lie, never sorted."""
    rows, total = 0, 0
    found = unit.execute(f'SELECT * FROM "{table}"')  # noqa: S608 # a name the database gave
    while page := found.fetchmany(_PAGE):
        rows += len(page)
        total += sum(int.from_bytes(sha256(repr(row).encode()).digest()) for row in page)
    return rows, f"{total % _SPACE:064x}"


def hash_of(file: Path) -> str:
    """Return a file's SHA-256 in hex."""
    digest = sha256()
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def write(folder: Path, proof: Proof) -> None:
    """Write what a backup says of itself, last of all, and see that the whole of it is durable."""
    told = {"form": FORM, **asdict(proof)}
    (folder / NAME).write_text(json.dumps({**told, "sha256": _hash_of(told)}, indent=1) + "\n")
    for name in (*proof.files, NAME):
        _flush(folder / name)
    _flush(folder)


def _hash_of(told: Mapping[str, Any]) -> str:
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(source: Path) -> Proof:
    """Read what a backup says of itself; `FolderError` where there is none."""
    file = source / NAME
    if not file.exists():
        raise FolderError(f"{source} is no backup: it has no {NAME}", "name one that backup made")
    try:
        _see_that_it_is_small(file)
        told = json.loads(file.read_bytes())
        return _proof(told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise FolderError(f"{file} is damaged", _ANOTHER) from None


def _see_that_it_is_small(file: Path) -> None:
    """Raise `ValueError` for a file that is larger than any of ours."""
    if file.stat().st_size > OCTETS_MAX:
        raise ValueError("too large")


def _proof(told: dict[str, Any]) -> Proof:
    if told.pop("sha256") != _hash_of(told) or told["form"] != FORM:
        raise ValueError("another form")
    if not {*told["files"]} >= {"opencarrier.sqlite", "seal.key"}:
        raise ValueError("not all files")
    if any(Path(name).name != name for name in told["files"]):
        raise ValueError("a file elsewhere")
    return Proof(
        files=dict(told["files"]),
        people=str(told["people"]),
        tables={name: (int(rows), str(digest)) for name, (rows, digest) in told["tables"].items()},
        sum_minor={name: int(total) for name, total in told["sum_minor"].items()},
    )


def see_that_it_is_whole(source: Path, proof: Proof) -> None:
    """Compare every file of a backup with its hash; `FolderError` names those that are damaged."""
    damaged = [
        name for name, known in sorted(proof.files.items()) if _is_other(source, name, known)
    ]
    if damaged:
        raise FolderError(f"{source} is damaged: {', '.join(damaged)}", _ANOTHER)


def _is_other(source: Path, name: str, known: str) -> bool:
    return not (source / name).is_file() or hash_of(source / name) != known


def compare(
    proof: Proof, restored: Mapping[str, tuple[int, str]], *, but: Iterable[str]
) -> list[str]:
    """Return which tables are not as the original's; only those of `but` may be."""
    names = {*proof.tables, *restored}
    other = sorted(name for name in names if proof.tables.get(name) != restored.get(name))
    lost = [name for name in other if name not in set(but)]
    if lost:
        raise FolderError(f"what was put back is not what was copied: {', '.join(lost)}", _ANOTHER)
    return other


_ANOTHER = "use another backup, or another copy of this one; nothing was put in place"
