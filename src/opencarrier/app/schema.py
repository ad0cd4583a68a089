"""Which version a database's schema has, and the way up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, MetaData, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0071"
"""The version this program reads and writes."""


class SchemaError(Exception):
    """The database was written by a newer version than this program."""


def version(unit: Connection) -> str | None:
    """Return the schema version, None for an empty database."""
    if not inspect(unit).has_table("alembic_version"):
        return None
    return unit.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(unit: Connection) -> None:
    """Bring the schema up to date within the caller's transaction; `SchemaError` if it is newer."""
    found = version(unit)
    if found == HEAD:
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config(unit)
    known = {item.revision for item in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(f"the data has schema {found}, this program knows up to {HEAD}")
    command.upgrade(config, HEAD)


def differences(unit: Connection) -> list[Any]:
    """Return where the database differs from what the rooms declare; empty when they agree."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from opencarrier.app.tables import METADATA

    declared = MetaData()
    for room in METADATA:
        for table in room.sorted_tables:
            table.to_metadata(declared)
    return list(compare_metadata(MigrationContext.configure(unit), declared))


def alembic_config(unit: Connection) -> Config:
    """Return Alembic's settings for a connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "opencarrier.app:migrations")
    config.attributes["connection"] = unit
    return config
