"""Keep a data folder: a consistent copy of it, and a copy put back and checked.

Who the subscribers are is a file of its own, `people.jsonl`, so that one can keep its newest alone.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy.exc import DBAPIError

from opencarrier.app import backup_proof
from opencarrier.app.config import Settings, settle_on
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.moving import compare, copy_rows, prepare
from opencarrier.app.schema import version
from opencarrier.app.store import Store
from opencarrier.identity import apart
from opencarrier.identity.accounts import people as accounts
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.refusals import PeerError
from opencarrier.ledger import service as ledger

FILES = ("seal.key", "venue.json", "config.toml")
PEOPLE = "people.jsonl"
OF_PEOPLE = frozenset(table.name for table in (*apart.TABLES, *accounts.TABLES))
"""Tables that a copy leaves its people out of; all others are equal once restored."""

Tables: TypeAlias = Mapping[str, tuple[int, str]]
_ROOM = "see that there is room for twice the data, and that the folder may be written to"
NOBODY_MAX = 1_000
"""Ids without a person that `restore` names; all are counted."""


def back_up(
    folder: Folder, target: Path, settings: Settings, people: Path | None = None
) -> dict[str, Any]:
    """Copy a folder as of one instant per database, the state before the chain.

    The people go to a file, in the copy or where `people` says, in the place of a former one.

    So a restored chain may be ahead of the state, which then reads the rest, and never behind it.
    State that a server holds becomes a file of the copy, which stands alone. The copy gets its name
    when it is whole: one that was broken off is begun anew by the next.
    """
    if target.exists():
        raise FolderError(f"{target} exists", "name a folder that does not exist yet")
    if not folder.begun:
        raise FolderError(f"{folder.root} is no data folder", "name one with --data")
    target.parent.mkdir(parents=True, exist_ok=True)
    if people is not None:
        _see_that_it_is_ours(people)
    with _unfinished(target) as copy:
        tables = _copy(folder, copy, settings)
        crashpoint("keeping.copied")
        fresh = _take_out_people(copy, people or copy.root / PEOPLE)
        told = _examined(copy)
        if people is not None:
            fresh.replace(people)
        crashpoint("keeping.people")
        _prove(copy, tables, told["sum_minor"])
        crashpoint("keeping.proved")
    kept = people or target / PEOPLE
    return {"backup": str(target), "people": str(kept), **told, **_counted(tables)}


def restore_from(source: Path, folder: Folder, people: Path | None = None) -> dict[str, Any]:
    """Put a backup in place as a new data folder, equal to what was copied table by table.

    `FolderError` where it is incomplete or damaged; the folder is there when it is whole, or not at
    all. Subscribers whom the file of people does not name stay ids that are nobody's.
    """
    proof = backup_proof.read(source)
    if folder.root.exists() and (not folder.root.is_dir() or any(folder.root.iterdir())):
        raise FolderError(f"{folder.root} is not empty", "name a new folder with --data")
    if people is not None:
        _see_that_it_is_ours(people, exists=True)
    elif _is_other_people(source / PEOPLE, proof.people):
        raise FolderError(f"{source / PEOPLE} is damaged", "name another with --people")
    backup_proof.see_that_it_is_whole(source, proof)
    with _unfinished(folder.root) as fresh:
        for name in proof.files:
            shutil.copy2(source / name, fresh.root / name)
        crashpoint("restoring.copied")
        known = _put_people_back(fresh, people or source / PEOPLE)
        told = _examined(fresh)
        tables = backup_proof.tables_of(fresh.database)
        other = backup_proof.compare(proof, tables, but=OF_PEOPLE)
        crashpoint("restoring.compared")
    return {
        "data": str(folder.root),
        "people": known.people,
        "nobody": list(known.nobody[:NOBODY_MAX]),
        "nobody_count": len(known.nobody),
        **told,
        **_counted(tables),
        "equal": len(tables) - len(other),
        "of_people": other,
    }


def _is_other_people(file: Path, known: str) -> bool:
    """Say whether a backup's own file of people is not the one it was made with."""
    return bool(known) and file.exists() and backup_proof.hash_of(file) != known


def _counted(tables: Tables) -> dict[str, int]:
    return {"tables": len(tables), "rows": sum(rows for rows, _ in tables.values())}


@contextmanager
def _unfinished(target: Path) -> Iterator[Folder]:
    """Lend a folder beside a target that gets the target's name at the end, or goes.

    Whoever is killed leaves it behind, and the next one clears it away.
    """
    whole = Path(os.path.abspath(target))
    made = Folder(whole.with_name(f".{whole.name}.unfinished"))
    with made.lock():
        try:
            _clear(made)
            yield made
            (made.root / "lock").unlink()
            made.root.replace(whole)
        except BaseException as error:
            shutil.rmtree(made.root, ignore_errors=True)
            if isinstance(error, OSError | sqlite3.Error | DBAPIError):
                reason = error.orig if isinstance(error, DBAPIError) else error
                raise FolderError(f"{target} was not made: {reason}", _ROOM) from error
            raise


def _clear(made: Folder) -> None:
    """Empty a folder that an earlier one left behind."""
    for path in made.root.iterdir():
        if path.name != "lock":
            path.unlink()


def _copy(folder: Folder, copy: Folder, settings: Settings) -> Tables:
    """Copy databases and files; return the digests of the original's tables."""
    if settings.database:
        _copy_state(settings.database, copy.database)
    else:
        _copy_database(folder.database, copy.database)
    tables = backup_proof.tables_of(copy.database)
    if folder.chain.exists():
        _copy_database(folder.chain, copy.chain)
    for name in FILES:
        if (folder.root / name).exists():
            shutil.copy2(folder.root / name, copy.root / name)
    if settings.database and copy.config.exists():
        settle_on(copy.config, "database", "")
    return tables


def _prove(copy: Folder, tables: Tables, sum_minor: Mapping[str, int]) -> None:
    files = {
        name: backup_proof.hash_of(copy.root / name)
        for name in (copy.database.name, copy.chain.name, *FILES)
        if (copy.root / name).exists()
    }
    people = copy.root / PEOPLE
    held = backup_proof.hash_of(people) if people.exists() else ""
    proof = backup_proof.Proof(files=files, people=held, tables=tables, sum_minor=sum_minor)
    backup_proof.write(copy.root, proof)


def _see_that_it_is_ours(people: Path, *, exists: bool = False) -> None:
    """Refuse to write over, or to read, a file that holds something else."""
    if not people.parent.is_dir():
        raise FolderError(f"there is no folder {people.parent}", "make it, or name another file")
    if not people.exists() and not exists:
        return
    try:
        with people.open() as file:
            apart.check_head(file.readline())
    except (OSError, ValueError, PeerError):
        raise FolderError(f"{people} holds no people", "name a file that backup made") from None


def _take_out_people(copy: Folder, people: Path) -> Path:
    """Move who the subscribers are out of a copy; return the file to take the former's place."""
    fresh = people if people.parent == copy.root else people.with_name(people.name + ".new")
    store = Store(copy.database)
    try:
        with store.write() as unit:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.writelines(line + "\n" for line in apart.lines(unit))
                file.flush()
                os.fsync(file.fileno())
            apart.take_out(unit)
            accounts.take_out(unit)
        clean = store.wipe()
        assert clean, "nobody else reads a copy that is being made"
    finally:
        store.close()
    return fresh


def _put_people_back(folder: Folder, people: Path) -> apart.Known:
    """Say who they are again; a copy made before people stood apart has them still."""
    store = Store(folder.database)
    try:
        with store.write() as unit:
            if people.exists():
                with people.open() as file:
                    apart.put_back(unit, file)
            return apart.known(unit)
    finally:
        store.close()


def _examined(folder: Folder) -> dict[str, Any]:
    """Check every book and the journal of a copy."""
    store = Store(folder.database)
    try:
        with store.read() as unit:
            audit = ledger.check(unit)
            return {
                "schema": version(unit),
                "journal_entries": audit.entries,
                "books_agree": not audit.findings,
                "sum_minor": {str(a): total for a, total in ledger.sum_minor(unit).items()},
            }
    finally:
        store.close()


def _copy_state(url: str, target: Path) -> None:
    source, copy = Store(url), Store(target)
    try:
        with source.read() as unit, copy.write() as fresh:
            prepare(fresh)
            copy_rows(unit, fresh)
            compare(unit, fresh)
    finally:
        source.close()
        copy.close()


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as origin, closing(sqlite3.connect(target)) as copy:
        origin.backup(copy)
