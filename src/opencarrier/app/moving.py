"""Move an installation's database to another engine while it goes on serving.

1. Triggers note every row that changes from now on; then everything is copied from one snapshot.
2. What changed meanwhile is copied after it, in rounds, until little is left.
3. The writer's turn is taken: the rest is copied, every table and the ledger's export are compared,
   and only then is the old database closed to writing for good.

The copy is one transaction. Until it is committed nothing has happened; from then on the old
database refuses every write, so the two never go on side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.sql.dml import Insert

from opencarrier.app import schema
from opencarrier.app.store import Store, StoreError
from opencarrier.app.tables import METADATA
from opencarrier.kernel.encoding import encode
from opencarrier.ledger.export import export_beancount

PAGE = 1_000
FEW = 500
"""So many changed rows are left to the moment in which nobody else may write."""

ROUNDS_MAX = 20

_WATCH, _CLOSED = "moving_", "moved_"

TABLES: tuple[Table, ...] = tuple(table for room in METADATA for table in room.sorted_tables)
"""Every room's tables, each after those it refers to."""

_OURS = MetaData()
CHANGED: Mapping[Table, Table] = {
    table: Table(
        f"{_WATCH}{table.name}", _OURS, *(Column(c.name, c.type) for c in table.primary_key)
    )
    for table in TABLES
}
"""Where the keys of each table's changed rows are noted while it moves."""

_MOVED = Table("moved", MetaData(), Column("url", Text, nullable=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a move carried over; both sides' ledgers export to the same `ledger_digest`."""

    tables: int
    rows: int
    changed_meanwhile: int
    ledger_digest: str


def move(source: Store, target: Store) -> Moved:
    """Move everything from a SQLite store to an empty one; `StoreError` where that cannot be.

    Killed at any instant it leaves the source as it was, or closed with the target complete.
    """
    if not source.embedded:
        raise StoreError(f"{source} is not a file of a data folder", "use the server's own tools")
    watch(source)
    with target.write() as copy:
        prepare(copy)
        with source.read() as unit:
            rows = copy_rows(unit, copy)
        changed = _follow(source, copy)
        with source.write() as unit:
            changed += _catch_up(unit, copy)
            digest = compare(unit, copy)
            copy.commit()
            _close_for_good(unit, str(target))
    return Moved(tables=len(TABLES), rows=rows, changed_meanwhile=changed, ledger_digest=digest)


def copy_rows(source: Connection, target: Connection) -> int:
    """Copy every room's rows to empty tables; return how many."""
    copied = 0
    for table in TABLES:
        for page in _pages(source, table):
            target.execute(insert(table), page)
            copied += len(page)
    _continue_numbers(target)
    return copied


def compare(one: Connection, other: Connection) -> str:
    """Return the digest of both ledgers' exports; `StoreError` names what is not the same."""
    for table in TABLES:
        if digest_of(one, table) != digest_of(other, table):
            raise StoreError(f"{table.name} differs after the copy", "nothing was moved: report it")
    ledgers = {_ledger_digest(unit) for unit in (one, other)}
    if len(ledgers) != 1:
        raise StoreError("the ledgers' exports differ", "nothing was moved: report it")
    return ledgers.pop()


def digest_of(unit: Connection, table: Table) -> bytes:
    """Hash a table's rows in the order of its key, the same on any engine."""
    digest = sha256()
    for page in _pages(unit, table):
        for row in page:
            digest.update(encode([row[column.name] for column in table.c]))
    return digest.digest()


# What changes meanwhile


def watch(source: Store) -> None:
    """Note the key of every row that changes from now on."""
    with source.write() as unit:
        unwatch(unit)
        for table, keys in CHANGED.items():
            keys.create(unit)
            for statement in _triggers(table, keys):
                unit.execute(text(statement))


def unwatch(unit: Connection) -> None:
    """Take away what `watch` made; a move that was killed leaves it behind."""
    for name in _triggers_named(unit, _WATCH):
        unit.execute(text(f"DROP TRIGGER {name}"))
    for keys in CHANGED.values():
        keys.drop(unit, checkfirst=True)


def _triggers(table: Table, keys: Table) -> Iterator[str]:
    names = [column.name for column in keys.c]
    noted = {
        side: f"INSERT INTO {keys.name} VALUES ({', '.join(f'{side}.{n}' for n in names)});"  # noqa: S608
        for side in ("OLD", "NEW")
    }
    does = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}
    for event, sides in does.items():
        body = " ".join(noted[side] for side in sides)
        yield (
            f"CREATE TRIGGER {_WATCH}{table.name}_{event} AFTER {event} ON {table.name}"
            f" BEGIN {body} END"
        )


def _follow(source: Store, target: Connection) -> int:
    """Copy what changed, until so little is left that others may wait for it."""
    followed = 0
    for _ in range(ROUNDS_MAX):
        with source.write() as unit:
            copied = _catch_up(unit, target, limit=PAGE)
        followed += copied
        if copied < FEW:
            break
    return followed


def _catch_up(source: Connection, target: Connection, limit: int | None = None) -> int:
    """Bring the rows of noted keys to what they are now, and forget the keys; return how many."""
    noted = {table: _taken(source, keys, limit) for table, keys in CHANGED.items()}
    now = {table: list(_rows_of(source, table, keys)) for table, keys in noted.items() if keys}
    for table in reversed(TABLES):
        stay = {_key(table, row) for row in now.get(table, ())}
        gone = [key for key in noted[table] if key not in stay]
        for key in gone:
            target.execute(delete(table).where(_is(table, key)))
    for table, rows in now.items():
        if rows:
            target.execute(_put(table), rows)
    _continue_numbers(target)
    return sum(len(keys) for keys in noted.values())


def _taken(unit: Connection, keys: Table, limit: int | None) -> list[tuple[Any, ...]]:
    taken = [tuple(row) for row in unit.execute(select(keys).distinct().limit(limit))]
    for key in taken:
        unit.execute(delete(keys).where(_is(keys, key)))
    return taken


def _rows_of(
    unit: Connection, table: Table, keys: Sequence[tuple[Any, ...]]
) -> Iterator[dict[str, Any]]:
    for key in keys:
        for row in unit.execute(select(table).where(_is(table, key))).mappings():
            yield dict(row)


def _put(table: Table) -> Insert:
    from sqlalchemy.dialects import postgresql

    statement = postgresql.insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
    if not rest:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


# What is left behind


def moved_to(unit: Connection) -> str | None:
    """Return where a database was moved, None while it is in use."""
    if unit.dialect.name != "sqlite" or not inspect(unit).has_table(_MOVED.name):
        return None
    return unit.execute(select(_MOVED.c.url)).scalar()


def see_where_it_is(store: Store) -> None:
    """Raise `StoreError` for a database that was moved away."""
    with store.read() as unit:
        url = moved_to(unit)
    if url is not None:
        raise StoreError(
            f"this installation's database was moved to {url}",
            "set `database` to it in config.toml, or OPENCARRIER_DATABASE, and start again",
        )


def _close_for_good(unit: Connection, url: str) -> None:
    unwatch(unit)
    _MOVED.create(unit)
    unit.execute(insert(_MOVED), {"url": url})
    for table in TABLES:
        for event in ("insert", "update", "delete"):
            unit.execute(
                text(
                    f"CREATE TRIGGER {_CLOSED}{table.name}_{event} BEFORE {event} ON {table.name}"
                    " BEGIN SELECT RAISE(ABORT, 'this database was moved'); END"
                )
            )


# Small things


def prepare(unit: Connection) -> None:
    """Make the tables in a target that holds none."""
    if schema.version(unit) is not None:
        raise StoreError("the target holds tables", "name an empty database: createdb NAME")
    schema.upgrade(unit)


def _pages(unit: Connection, table: Table) -> Iterator[Sequence[dict[str, Any]]]:
    query = select(table).order_by(*table.primary_key)
    result = unit.execute(query, execution_options={"yield_per": PAGE})
    for page in result.mappings().partitions():
        yield [dict(row) for row in page]


def _continue_numbers(unit: Connection) -> None:
    """Let PostgreSQL's generated numbers go on after the copied ones, as SQLite's do."""
    if unit.dialect.name != "postgresql":
        return
    for table in TABLES:
        column = table.autoincrement_column
        if column is not None:
            newest = unit.execute(select(func.max(column))).scalar()
            name = func.pg_get_serial_sequence(table.name, column.name)
            unit.execute(select(func.setval(name, newest or 1, newest is not None)))


def _is(table: Table, key: tuple[Any, ...]) -> ColumnElement[bool]:
    names = [column.name for column in table.primary_key] or [column.name for column in table.c]
    return and_(*(table.c[name] == part for name, part in zip(names, key, strict=True)))


def _key(table: Table, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def _triggers_named(unit: Connection, prefix: str) -> Sequence[str]:
    query = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    return [name for name in unit.execute(query).scalars() if name.startswith(prefix)]


def _ledger_digest(unit: Connection) -> str:
    digest = sha256()
    for line in export_beancount(unit):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
