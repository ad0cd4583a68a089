"""Keep a data folder: a consistent copy of it, and a copy put back and checked."""

from __future__ import annotations

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
from opencarrier.ledger import service as ledger

FILES = ("seal.key", "venue.json", "config.toml")


def back_up(folder: Folder, target: Path, settings: Settings) -> dict[str, Any]:
    """Copy a folder as of one instant per database, the state before the chain.

    So a restored chain may be ahead of the state, which then reads the rest, and never behind it.
    State that a server holds becomes a file of the copy, which stands alone.
    """
    if target.exists():
        raise FolderError(f"{target} exists", "name a folder that does not exist yet")
    if not folder.begun:
        raise FolderError(f"{folder.root} is no data folder", "name one with --data")
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
    return {"backup": str(target), **_examined(copy)}


def restore_from(source: Path, folder: Folder) -> dict[str, Any]:
    """Copy a backup to a new data folder; `FolderError` where it is incomplete or damaged."""
    kept = Folder(source)
    if not kept.database.exists() or not kept.seal_key.exists():
        raise FolderError(f"{source} is no backup", "name a folder that backup made")
    if folder.database.exists():
        raise FolderError(f"{folder.root} holds data", "name a new folder with --data")
    folder.make()
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in ("lock", "run.json"):
            shutil.copy2(path, folder.root / path.name)
    return {"data": str(folder.root), **_examined(folder)}


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
