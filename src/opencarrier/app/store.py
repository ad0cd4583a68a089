"""The one database: SQLite here, PostgreSQL beyond, a transaction from receive to book.

Both keep the same promise: one writer at a time, who sees all that was committed before; a reader
sees one state; what was committed survives a power cut. On PostgreSQL those who only add share
their turn with each other, never with a writer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError

from opencarrier.spine.spans import step

BUSY_MS = 10_000
POOL_SIZE = 8

WRITER, OWNER = 0x0C0C_0001, 0x0C0C_0002
"""Advisory locks of a PostgreSQL schema: the writer's turn, and the process that serves it."""


beside: ContextVar[Callable[[Connection], None] | None] = ContextVar("beside", default=None)
"""What each unit that writes does besides before it commits, for whoever runs in this context."""


class StoreError(Exception):
    """The database cannot be used; `hint` says what to do (exit code 3)."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Store:
    """Opens units of work: `write` takes the writer's turn at once, `read` sees one snapshot.

    SQLite runs with `synchronous=FULL`: what was acknowledged survives a power cut, at about
    0.2 ms a commit, shared by everything a group commit holds. PostgreSQL runs with
    `synchronous_commit=on` and one advisory lock for the writer's turn, which `append` shares.
    """

    def __init__(self, where: Path | str) -> None:
        self.url = URL.create("sqlite", database=str(where)) if isinstance(where, Path) else where
        self._engine = open_engine(self.url)
        self._reader = self._engine.execution_options(opencarrier_turn=_READS)
        self._appender = self._engine.execution_options(opencarrier_turn=_APPENDS)

    @property
    def embedded(self) -> bool:
        """Whether it is a file of the data folder."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a unit that commits as a whole when the block ends, or not at all."""
        with step("database write"), self._engine.begin() as unit:
            yield unit
            note = beside.get()
            if note is not None:
                note(unit)

    @property
    def shares_turns(self) -> bool:
        """Whether units that append run beside each other."""
        return not self.embedded

    @contextmanager
    def append(self) -> Iterator[Connection]:
        """Open a unit that only adds; it ends as a whole, too.

        Where turns are shared others of its kind run beside it, and no writer: whoever writes sees
        each of them whole or not at all, and no number of a row that is yet to come.
        """
        with step("database append"), self._appender.begin() as unit:
            yield unit

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a unit that sees one consistent state and writes nothing."""
        with step("database read"), self._reader.connect() as unit:
            yield unit

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Be the one process that serves this database; `StoreError` where another does.

        A SQLite file is guarded by its folder's lock.
        """
        if self.embedded:
            yield
            return
        with self._reader.connect() as unit:
            query = f"SELECT pg_try_advisory_lock({OWNER}, {_SCHEMA})"
            taken = unit.exec_driver_sql(query).scalar()
            unit.commit()
            try:
                if not taken:
                    raise StoreError(
                        f"{self} is served by another process", "stop it, or name another database"
                    )
                yield
            finally:
                unit.invalidate()  # the lock is the session's: it ends with it

    def wipe(self) -> bool:
        """Leave nothing of deleted rows in the files; False where others were in the way.

        Deleted rows stay in free parts of pages, and `secure_delete` misses what the splitting of
        a page left behind (measured: 2 of 1,500), so the files are written anew. It takes the
        time of a copy and the room of one. What PostgreSQL's write-ahead log still holds goes
        when the server recycles it.
        """
        raw = self._engine.raw_connection()
        try:
            connection: Any = raw.driver_connection
            if self.embedded:
                connection.execute("VACUUM")
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy
            connection.autocommit = True
            connection.execute("VACUUM FULL")
        except self._engine.dialect.loaded_dbapi.OperationalError:
            return False
        else:
            return True
        finally:
            raw.invalidate()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __str__(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)


def open_engine(url: URL | str, **options: Any) -> Engine:
    """Return an engine whose units keep this module's promise; `StoreError` for a bad URL.

    `options` choose another pool. What a statement was given stands in no error, as errors are
    logged: it names people.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError("the database is not named by a URL", _HINT) from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, options)
        case "postgresql":
            return _postgresql(parsed.set(drivername="postgresql+psycopg"), options)
    raise StoreError(f"there is no store on {parsed.get_backend_name()}", _HINT)


def check_text(encoding: str, collation: str) -> None:
    """See that text sorts by its octets, as SQLite's does: ids are made in that order."""
    if encoding != "UTF8" or collation not in _BY_OCTETS:
        raise StoreError(
            f"the database is {encoding} and sorts as {collation}",
            "createdb --encoding=UTF8 --locale=C --template=template0 NAME",
        )


_HINT = "give postgresql://USER@HOST/DATABASE, the password in PGPASSFILE; or nothing for SQLite"


def _sqlite(url: URL, options: dict[str, Any]) -> Engine:
    pool = options or {"pool_size": POOL_SIZE, "max_overflow": 0}
    engine = create_engine(url, hide_parameters=True, **pool)

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
        reads = _turn(connection) == _READS
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, options: dict[str, Any]) -> Engine:
    pool = options or {"pool_size": POOL_SIZE, "max_overflow": 0}
    try:
        engine = create_engine(url, hide_parameters=True, **pool)
    except ModuleNotFoundError:
        raise StoreError("the driver is missing", "pip install 'opencarrier[postgresql]'") from None
    from opencarrier.app import postgresql

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        postgresql.prepare(connection)
        with connection.cursor() as cursor:
            cursor.execute(_SETTINGS)
            cursor.execute(_TEXT)
            encoding, collation = cursor.fetchone()
        check_text(encoding, collation)

    @event.listens_for(engine, "checkout")
    def see_that_it_lives(connection: Any, _: Any, __: Any) -> None:
        if not postgresql.lives(connection):
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(_BEGIN[_turn(connection)])

    return engine


_SCHEMA = "hashtext(current_schema())"
_READS, _APPENDS, _WRITES = "reads", "appends", "writes"
_BEGIN_HERE = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Whatever the server's default is: one snapshot of the whole unit would be from before the turn
came, and a cut would leave out for good what was committed while it waited."""

_BEGIN = {
    _READS: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    _APPENDS: f"{_BEGIN_HERE}; SELECT pg_advisory_xact_lock_shared({WRITER}, {_SCHEMA})",
    _WRITES: f"{_BEGIN_HERE}; SELECT pg_advisory_xact_lock({WRITER}, {_SCHEMA})",
}
_SETTINGS = f"SET synchronous_commit = on; SET lock_timeout = {BUSY_MS}"
_TEXT = """
    SELECT current_setting('server_encoding'), datcollate FROM pg_database
    WHERE datname = current_database()
"""
_BY_OCTETS = ("C", "POSIX", "C.UTF-8", "C.utf8")


def _turn(connection: Connection) -> str:
    turn: str = connection.get_execution_options().get("opencarrier_turn", _WRITES)
    return turn
