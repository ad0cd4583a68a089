"""Databases in memory over one engine: a worker compiles each statement once, not once a world."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, MetaData
from sqlalchemy.pool import NullPool

from opencarrier.app.store import open_engine

ENGINE = open_engine("sqlite://", poolclass=NullPool)
"""Every connection to it is a database of its own."""


class Memory:
    """One database with the tables of some rooms; `begin` opens a unit of work in it."""

    def __init__(self, *rooms: MetaData) -> None:
        self.connection = ENGINE.connect()
        with self.begin() as unit:
            for room in rooms:
                room.create_all(unit, checkfirst=False)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self.connection.begin():
            yield self.connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Lend the connection itself; what is not committed in the end is undone."""
        try:
            yield self.connection
        finally:
            self.connection.rollback()

    def dispose(self) -> None:
        self.connection.close()
