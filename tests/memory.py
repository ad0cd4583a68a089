"""Databases in memory over one engine: a worker compiles each statement once, not once a world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Connection, MetaData, create_mock_engine
from sqlalchemy.pool import NullPool

from opencarrier.app.store import open_engine

ENGINE = open_engine("sqlite://", poolclass=NullPool)
"""Every connection to it is a database of its own."""


def lay(unit: Connection, *rooms: MetaData) -> None:
    """Make the tables of rooms, of which the database has none."""
    for room in rooms:
        for statement in _statements(room, len(room.tables), unit.dialect.name):
            unit.exec_driver_sql(statement)


@cache
def _statements(room: MetaData, _tables: int, dialect: str) -> Sequence[str]:
    """Word them; a module that is imported later may add to a room's tables."""
    told: list[str] = []

    def tell(statement: Any, *_: object, **__: object) -> None:
        told.append(str(statement.compile(dialect=mock.dialect)))

    mock = create_mock_engine(f"{dialect}://", tell)
    room.create_all(mock, checkfirst=False)
    return told


class Memory:
    """One database with the tables of some rooms; `begin` opens a unit of work in it."""

    def __init__(self, *rooms: MetaData) -> None:
        self.connection = ENGINE.connect()
        with self.begin() as unit:
            lay(unit, *rooms)

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
