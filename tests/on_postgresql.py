"""A pytest plug-in: the rooms' own tests, unchanged, on PostgreSQL instead of SQLite in memory.

    OPENCARRIER_TEST_DATABASE=postgresql://... pytest -p on_postgresql tests/ledger

Every connection to a database in memory is one of its own; so is every connection here: it gets a
new schema, which is dropped with it. Files stay what they are.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, SingletonThreadPool, event

from opencarrier.app import store

URL = os.environ["OPENCARRIER_TEST_DATABASE"]
_create_engine, _open_engine = sqlalchemy.create_engine, store.open_engine
_numbers = itertools.count()


def _elsewhere(url: Any, **options: Any) -> Engine:
    if str(url) != "sqlite://":
        return _create_engine(url, **options)
    engine = _open_engine(URL, poolclass=options.get("poolclass", SingletonThreadPool))

    @event.listens_for(engine, "connect")
    def begin(connection: Any, _: Any) -> None:
        connection.opencarrier_schema = f"test_{os.getpid()}_{next(_numbers)}"
        connection.execute(f"CREATE SCHEMA {connection.opencarrier_schema}")
        connection.execute(f"SET search_path TO {connection.opencarrier_schema}")
        connection.commit()

    @event.listens_for(engine, "close")
    def end(connection: Any, _: Any) -> None:
        connection.rollback()
        connection.execute(f"DROP SCHEMA {connection.opencarrier_schema} CASCADE")
        connection.commit()

    return engine


sqlalchemy.create_engine = store.open_engine = _elsewhere
