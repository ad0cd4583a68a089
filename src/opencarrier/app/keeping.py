"""Keep a data folder: a consistent copy of it, and a copy put back and checked.

Who the subscribers are is a file of its own, `people.jsonl`, so that one can keep its newest alone.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.moving import compare, copy_rows, prepare
from opencarrier.app.schema import version
from opencarrier.app.store import Store
from opencarrier.identity import apart
from opencarrier.identity.accounts import people as accounts
from opencarrier.kernel.refusals import PeerError
from opencarrier.ledger import service as ledger

FILES = ("seal.key", "venue.json", "config.toml")
PEOPLE = "people.jsonl"
NOBODY_MAX = 1_000
"""Ids without a person that `restore` names; all are counted."""


def back_up(
    folder: Folder, target: Path, settings: Settings, people: Path | None = None
) -> dict[str, Any]:
    """Copy a folder as of one instant per database, the state before the chain.

    The people go to a file, in the copy or where `people` says, in the place of a former one.

    So a restored chain may be ahead of the state, which then reads the rest, and never behind it.
    State that a server holds becomes a file of the copy, which stands alone.
    """
    if target.exists():
        raise FolderError(f"{target} exists", "name a folder that does not exist yet")
    if not folder.begun:
        raise FolderError(f"{folder.root} is no data folder", "name one with --data")
    people = people or target / PEOPLE
    _see_that_it_is_ours(people)
    copy = Folder(target)
    copy.make()
    if settings.database:
        _copy_state(settings.database, copy.database)
    else:
        _copy_database(folder.database, copy.database)
    if folder.chain.exists():
        _copy_database(folder.chain, copy.chain)
    for name in FILES:
        if (folder.root / name).exists():
            shutil.copy2(folder.root / name, target / name)
    fresh = _take_out_people(copy, people)
    told = {"backup": str(target), "people": str(people), **_examined(copy)}
    fresh.replace(people)
    return told


def restore_from(source: Path, folder: Folder, people: Path | None = None) -> dict[str, Any]:
    """Copy a backup to a new data folder; `FolderError` where it is incomplete or damaged.

    Subscribers whom the file of people does not name stay ids that are nobody's.
    """
    kept = Folder(source)
    if not kept.database.exists() or not kept.seal_key.exists():
        raise FolderError(f"{source} is no backup", "name a folder that backup made")
    if folder.database.exists():
        raise FolderError(f"{folder.root} holds data", "name a new folder with --data")
    if people is not None:
        _see_that_it_is_ours(people, exists=True)
    folder.make()
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in ("lock", "run.json", PEOPLE):
            shutil.copy2(path, folder.root / path.name)
    known = _put_people_back(folder, people or source / PEOPLE)
    return {
        "data": str(folder.root),
        "people": known.people,
        "nobody": list(known.nobody[:NOBODY_MAX]),
        "nobody_count": len(known.nobody),
        **_examined(folder),
    }


def _see_that_it_is_ours(people: Path, *, exists: bool = False) -> None:
    """Refuse to write over, or to read, a file that holds something else."""
    if not people.exists() and not exists:
        return
    try:
        with people.open() as file:
            apart.check_head(file.readline())
    except (OSError, ValueError, PeerError):
        raise FolderError(f"{people} holds no people", "name a file that backup made") from None


def _take_out_people(copy: Folder, people: Path) -> Path:
    """Move who the subscribers are out of a copy; return the file to take the former's place."""
    fresh = people.with_name(people.name + ".new")
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
