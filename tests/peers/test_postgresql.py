"""The store on PostgreSQL: the rooms' tests, one story on both, a move, a killed server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.app.scene import START_US, scene
from tests.app.test_erasing import CALLED, IMSI, NAME, erase, proofs, subscribe, use
from tests.app.test_referring import World
from tests.postgresql import Server, program, server

from opencarrier.app import moving, schema
from opencarrier.app.bootstrap import Installation, load_settings, open_installation
from opencarrier.app.config import Settings, settle_on
from opencarrier.app.errands import ErrandRefusal
from opencarrier.app.folder import Folder
from opencarrier.app.keeping import back_up, restore_from
from opencarrier.app.store import POOL_SIZE, Store, StoreError
from opencarrier.kernel.clock import FixedClock
from opencarrier.ledger import service as ledger
from opencarrier.ledger.export import export_beancount
from opencarrier.rating.engine.dialects import prove

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SUITES = (
    *("tests/ledger/test_service.py", "tests/ledger/test_precedence.py"),
    *("tests/ledger/test_export.py", "tests/usage/test_cut.py", "tests/usage/test_tallies.py"),
    "tests/rating/test_rating.py",
    *("tests/rating/test_discounts.py", "tests/clearing/test_service.py", "tests/settlement"),
    *("tests/rewards/test_rewards.py", "tests/identity", "tests/staking/test_history.py"),
    *("tests/chain/test_relayer.py",),
    *("tests/chain/test_logs.py", "tests/chain/test_spending.py"),
)
"""Tests of each room's store and service: every line of them is SQLite's too."""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is missing (apt: postgresql)")
    with server() as made:
        yield made


@pytest.fixture
def store(postgresql) -> Iterator[Store]:
    made = Store(postgresql.database())
    yield made
    made.close()


def ledger_of(store: Store) -> list[str]:
    with store.read() as unit:
        assert ledger.check(unit).findings == ()
        return list(export_beancount(unit))


def test_the_rooms_hold_what_they_promise_on_postgresql(postgresql):
    """The tests of the rooms' stores run unchanged, on a server in the place of SQLite."""
    files = [file for file in SUITES if (ROOT / file).exists()]
    assert files == list(SUITES)
    options = ["-q", "-x", "-n0", "-p", "tests.on_postgresql", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-m", "not (deep or peer or crash)", *files],
        env=os.environ | {"OPENCARRIER_TEST_DATABASE": postgresql.database()},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4_000:]
    assert "[100%]" in done.stdout


def test_the_migrations_make_what_the_rooms_declare(store):
    with store.write() as unit:
        schema.upgrade(unit)
        assert schema.differences(unit) == []


def test_one_story_has_the_same_ids_roots_and_books_on_both(postgresql, tmp_path):
    told = []
    for name, database in (("file", ""), ("server", postgresql.database())):
        with scene(tmp_path / name, database=database) as made:
            made.use("a", octets=5_000_000, grant=made.authorise())
            made.use("b", octets=7_000_000, grant=None)
            for _ in range(3):
                made.settle()
            base = made.place.base
            with base.store.read() as unit:
                head = ledger.head(unit)
            told.append((made.closed, head, ledger_of(base.store)))
    assert told[0] == told[1]


def test_a_database_is_moved_while_it_serves(postgresql, tmp_path):
    """A writer goes on all the while; nothing it was promised is lost, and nothing it was not."""
    with scene(tmp_path / "old") as made:
        made.use("before", octets=5_000_000, grant=made.authorise())
        base = made.place.base
        target = Store(postgresql.database())
        kept: list[str] = []
        told: list[str] = []
        ended = threading.Event()

        def write() -> None:
            for number in range(100_000):
                try:
                    made.use(f"s{number}", octets=1_000 + number, grant=None)
                except DBAPIError as error:
                    told.append(str(error))
                    break
                kept.append(f"s{number}")
            ended.set()

        writer = threading.Thread(target=write)
        writer.start()
        moved = moving.move(base.store, target)
        assert ended.wait(30)
        writer.join()
        assert "this database was moved" in told[0]
        assert moved.changed_meanwhile > 0
        with target.read() as unit:
            rows = unit.execute(text("SELECT acct_session_id FROM usage_observation")).scalars()
            assert sorted(rows) == sorted(["before", *kept])
        with base.store.read() as unit:
            assert moving.moved_to(unit) == str(target)
        target.close()
    with pytest.raises(StoreError, match="moved to postgresql"):
        _opened(tmp_path / "old")
    place = _opened(tmp_path / "old", database=str(target.url))
    assert ledger_of(place.store)
    place.close()


def test_a_target_with_tables_is_refused(store, tmp_path):
    old = Store(tmp_path / "old.sqlite")
    for each in (old, store):
        with each.write() as unit:
            schema.upgrade(unit)
    with pytest.raises(StoreError, match="the target holds tables"):
        moving.move(old, store)
    with old.write() as unit:
        assert moving.moved_to(unit) is None
    old.close()


@pytest.mark.crash
def test_a_killed_server_loses_nothing_that_was_acknowledged(postgresql, tmp_path):
    """Every unit that was committed is there after the server's power is taken, and no half one."""
    with scene(tmp_path, database=postgresql.database()) as made:
        kept, failed = [], threading.Event()

        def write() -> None:
            for number in range(100_000):
                try:
                    made.use(f"s{number}", octets=1_000 + number, grant=None)
                except DBAPIError:
                    failed.set()
                    return
                kept.append(f"s{number}")

        writer = threading.Thread(target=write)
        writer.start()
        while len(kept) < 200:
            threading.Event().wait(0.01)
        postgresql.kill()
        assert failed.wait(30)
        writer.join()
        postgresql.start()
        base = made.place.base
        with base.store.read() as unit:
            query = text("SELECT acct_session_id FROM usage_observation")
            stored = set(unit.execute(query).scalars())
        assert set(kept) <= stored
        assert len(stored) <= len(kept) + 1
        made.settle()
        made.settle()
        assert made.closed is not None
        assert made.closed.cleared.records == len(stored)
        ledger_of(base.store)


def test_one_writer_at_a_time_and_readers_see_one_state(store):
    with store.write() as unit:
        unit.execute(text("CREATE TABLE counter (n BIGINT)"))
        unit.execute(text("INSERT INTO counter VALUES (0)"))

    def count() -> None:
        for _ in range(50):
            with store.write() as unit:
                n = unit.execute(text("SELECT n FROM counter")).scalar_one()
                unit.execute(text(f"UPDATE counter SET n = {n + 1}"))

    threads = [threading.Thread(target=count) for _ in range(POOL_SIZE - 2)]
    with store.read() as reader:
        before = reader.execute(text("SELECT n FROM counter")).scalar_one()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert reader.execute(text("SELECT n FROM counter")).scalar_one() == before == 0
    with store.read() as reader:
        assert reader.execute(text("SELECT n FROM counter")).scalar_one() == 50 * len(threads)


def test_a_reader_cannot_write(store):
    with pytest.raises(DBAPIError, match="read-only"), store.read() as unit:
        unit.execute(text("CREATE TABLE t (n INTEGER)"))


def test_a_line_that_the_server_ended_is_not_used(store):
    with store.write() as unit:
        pid = unit.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = Store(str(store.url))
    with other.read() as unit:
        unit.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
    other.close()
    with store.write() as unit:
        assert unit.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid


columns = {
    "bigint": st.integers(-(1 << 63), (1 << 63) - 1),
    "bytea": st.binary(max_size=40),
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
    "boolean": st.booleans(),
}


@pytest.mark.parametrize("kind", columns)
def test_a_column_comes_back_as_it_was_written(store, kind):
    """Those we write ourselves, and one that is left to the driver."""

    @settings(max_examples=60, deadline=None)
    @given(column=st.lists(st.none() | columns[kind], min_size=1))
    def check(column):
        with store.read() as unit:
            assert unit.exec_driver_sql(f"SELECT %b::{kind}[]", (column,)).scalar_one() == column

    check()


def test_a_number_beyond_63_bits_is_still_written(store):
    with store.read() as unit:
        query = "SELECT %b::numeric[]::text[]"
        assert unit.exec_driver_sql(query, ([1 << 64],)).scalar_one() == [str(1 << 64)]


def test_one_process_serves_a_database(postgresql):
    url = postgresql.database()
    one, other = Store(url), Store(url)
    refused = pytest.raises(StoreError, match="served by another process")
    with one.owned(), refused, other.owned():
        pass
    with other.owned():
        pass
    one.close()
    other.close()


def test_a_database_that_is_not_unicode_is_refused(postgresql):
    store = Store(postgresql.database(ENCODING="LATIN1"))
    with pytest.raises(StoreError, match="the database is LATIN1"), store.read():
        pass
    store.close()


def test_a_backup_of_a_served_database_is_a_folder_like_any_other(postgresql, tmp_path):
    with scene(tmp_path / "new", database=postgresql.database()) as made:
        made.use("a", octets=5_000_000, grant=made.authorise())
        made.settle()
        base = made.place.base
        settle_on(base.folder.config, "database", base.settings.database)
        told = back_up(base.folder, tmp_path / "kept", base.settings)
        lines = ledger_of(base.store)
    assert told["books_agree"]
    restored = restore_from(tmp_path / "kept", Folder(tmp_path / "again"))
    assert restored["equal"] == restored["tables"]
    assert load_settings(Folder(tmp_path / "again"), {}).settings.database == ""
    restored = Store(tmp_path / "again" / "opencarrier.sqlite")
    assert ledger_of(restored) == lines
    restored.close()


def _opened(folder: Path, **settings: object) -> Installation:
    return open_installation(
        Folder(folder), Settings(cycle_s=0, **settings), clock=FixedClock(START_US)
    )


def test_the_rating_statement_is_exact_on_postgresql(postgresql):
    """Another engine than the one it was written for rates every edge case to the unit."""
    with psycopg.connect(postgresql.url("postgres")) as connection:
        prove(lambda query: connection.execute(query).fetchall(), "postgres")


def test_of_an_erased_subscriber_no_octet_is_left_in_the_tables_files(postgresql, tmp_path):
    """The write-ahead log is the server's to recycle; the tables' own files hold live rows only."""
    url = postgresql.database()
    with scene(tmp_path, database=url, one_sided_window_s=0) as made:
        subscribe(made, NAME, IMSI)
        use(made, NAME, CALLED)
        made.settle()
        before = proofs(made)
        assert NAME.encode() in tables_files(postgresql, url)
        assert erase(made, NAME).files_clean
        kept = tables_files(postgresql, url)
        assert not any(word.encode() in kept for word in (NAME, IMSI, CALLED))
        after = proofs(made)
    assert (after.positions, after.sums) == (before.positions, before.sums)
    assert after.host_receipts == before.host_receipts


def tables_files(postgresql: Server, url: str) -> bytes:
    """Return everything that one database's files hold."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        query = "SELECT oid FROM pg_database WHERE datname = current_database()"
        (oid,) = connection.execute(query).fetchone()
    folder = postgresql.folder / "data" / "base" / str(oid)
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_what_a_reference_was_used_for_before_an_upgrade_is_found_by_its_call(tmp_path, postgresql):
    with scene(tmp_path, database=postgresql.database()) as made:
        world = World(made)
        for kind in ("payout", "fund", "stake"):
            first = world.ask_before(kind, 2, "old")
            assert world.ask(kind, 2, "old") == first
            assert world.ask(kind, 3, "old").reason is ErrandRefusal.REFERENCE_OF_ANOTHER
            assert world.ask(kind, 3, "new") != first
