from __future__ import annotations

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from opencarrier.app import schema
from opencarrier.app.store import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "db.sqlite")
    yield made
    made.close()


def test_the_migrations_make_what_the_rooms_declare(store):
    """A database brought up from nothing has exactly the rooms' tables."""
    with store.write() as unit:
        assert schema.version(unit) is None
        schema.upgrade(unit)
        assert schema.version(unit) == schema.HEAD
        assert schema.differences(unit) == []


def test_the_head_is_the_newest_migration(store):
    """The program's version is the newest in the folder of versions, in one line."""
    with store.write() as unit:
        script = ScriptDirectory.from_config(schema.alembic_config(unit))
        assert script.get_heads() == [schema.HEAD]


def test_a_newer_database_is_refused(store):
    """What a newer program wrote is not touched."""
    with store.write() as unit:
        schema.upgrade(unit)
        unit.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(schema.SchemaError, match="9999"), store.write() as unit:
        schema.upgrade(unit)


def test_a_failed_unit_leaves_nothing(store):
    """Schema and all: a unit that fails is as if it had never been."""

    def fail() -> None:
        with store.write() as unit:
            schema.upgrade(unit)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.read() as unit:
        assert schema.version(unit) is None


def test_durability_is_full(store):
    """Acknowledged work survives a power cut: SQLite syncs at every commit."""
    with store.read() as unit:
        assert unit.execute(text("PRAGMA synchronous")).scalar() == 2
        assert unit.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert unit.execute(text("PRAGMA foreign_keys")).scalar() == 1
