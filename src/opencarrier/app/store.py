"""The one database: SQLite here, PostgreSQL beyond, a transaction from receive to book."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

BUSY_MS = 10_000


class Store:
    """Opens units of work: `write` takes the writer's turn at once, `read` sees one snapshot.

    SQLite runs with `synchronous=FULL`: what was acknowledged survives a power cut, at about
    0.2 ms a commit, shared by everything a group commit holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _engine(path)
        self._reader = self._engine.execution_options(opencarrier_read=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a unit that commits as a whole when the block ends, or not at all."""
        with self._engine.begin() as unit:
            yield unit

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a unit that sees one consistent state and writes nothing."""
        with self._reader.connect() as unit:
            yield unit

    def backup(self, target: Path) -> None:
        """Copy the database as of one instant, while others go on writing."""
        with (
            closing(sqlite3.connect(self.path)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", pool_size=8, max_overflow=0)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours: the driver would begin too late
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_MS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("opencarrier_read", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
