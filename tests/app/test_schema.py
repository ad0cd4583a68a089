from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from opencarrier.app import moving, schema
from opencarrier.app.store import Store, StoreError, check_text, open_engine
from opencarrier.bans.store import steps, undecided_cases
from opencarrier.chain.contracts import Stage
from opencarrier.identity.accounts.store import accounts, keys
from opencarrier.ledger import service as ledger
from opencarrier.settlement.store import rows

OLD_ACCOUNTS = (
    ("entitled/host_1", "credits_posted", True),
    ("entitled/host_1", "credits_pending", True),
    ("accrued/host_1", "credits_posted", False),
)


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


def test_each_migration_has_a_number_of_its_own(store):
    """Two that were numbered alike on two branches meet without a conflict, and one never runs."""
    with store.write() as unit:
        folder = Path(ScriptDirectory.from_config(schema.alembic_config(unit)).versions)
    numbers = [path.name[:4] for path in folder.glob("[0-9]*.py")]
    assert len(set(numbers)) == len(numbers) > 18


def test_each_beneficiary_has_a_row_in_a_settlement(store):
    """An address is part of a row's key, as it is declared; what was settled before is kept."""
    kept = {"cycle_id": bytes(32), "number": 1, "is_host": True, "party": "host_1"}
    kept |= {"address": "0x1", "amount_minor": 5, "signature_kid": "0x2", "signature": b"s"}
    with store.write() as unit:
        command.upgrade(schema.alembic_config(unit), "0011")
        unit.execute(insert(rows).values(kept))
        schema.upgrade(unit)
        assert unit.execute(select(rows)).mappings().all() == [kept]
        made = inspect(unit).get_pk_constraint("settlement_row")["constrained_columns"]
        assert made == [column.name for column in rows.primary_key]
        assert schema.differences(unit) == []


def test_bans_that_were_undecided_before_are_found(store):
    """Of each the last step it took; what was upheld or lifted is none."""
    taken = {1: (Stage.OPEN,), 2: (Stage.OPEN, Stage.APPEALED), 3: (Stage.OPEN, Stage.UPHELD)}
    with store.write() as unit:
        command.upgrade(schema.alembic_config(unit), "0068")
        for number, stages in taken.items():
            for stage in stages:
                row = {"ban_id": bytes([number]) * 32, "stage": stage, "due_s": 10 * stage}
                row |= {"grounds_hash": bytes(32), "block_number": 1}
                unit.execute(insert(steps).values(row))
        schema.upgrade(unit)
        found = unit.execute(select(undecided_cases).order_by(undecided_cases.c.due_s)).all()
        assert [(row.ban_id[0], row.stage, row.due_s) for row in found] == [(1, 1, 10), (2, 2, 20)]


def test_people_keep_their_keys_where_names_may_be_the_same(store):
    """The table of accounts is made anew under those that refer to it; two may have one name."""
    kept = {"account": "acct_1", "name": "Ada", "made_us": 5}
    key = {"key": "k", "account": "acct_1", "kind": "wallet", "name": "n", "credential": b"c"}
    key |= {"public_key": b"", "sign_count": 0, "made_us": 5, "used_us": None}
    with store.write() as unit:
        command.upgrade(schema.alembic_config(unit), "0044")
        unit.execute(insert(accounts).values(kept))
        unit.execute(insert(keys).values(key))
    with store.write() as unit:
        schema.upgrade(unit)
    with store.write() as unit:
        unit.execute(insert(accounts).values({**kept, "account": "acct_2"}))
        assert unit.execute(
            select(accounts).where(accounts.c.account == "acct_1")
        ).mappings().all() == [kept]
        assert unit.execute(select(keys)).mappings().all() == [key]
        assert schema.differences(unit) == []
    with pytest.raises(IntegrityError), store.write() as unit:
        unit.execute(
            insert(keys).values({**key, "key": "l", "account": "acct_3", "credential": b"d"})
        )


@pytest.mark.parametrize(("name", "column", "is_owed"), OLD_ACCOUNTS)
def test_money_under_a_former_name_is_claimed_first(store, name, column, is_owed):
    """A host's account without its address is not carried over while anything is on it."""
    with store.write() as unit:
        command.upgrade(schema.alembic_config(unit), "0011")
        ledger.ensure(unit, "x/EUR", [name])
        unit.execute(text(f"UPDATE ledger_accounts SET {column} = 7"))
    refused = pytest.raises(schema.SchemaError, match="claim") if is_owed else nullcontext()
    with refused, store.write() as unit:
        schema.upgrade(unit)


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


@pytest.mark.parametrize(
    ("encoding", "collation"), [("UTF8", "en_US.utf8"), ("UTF8", "C.UTF-16"), ("LATIN1", "C")]
)
def test_a_server_that_sorts_text_otherwise_is_refused(encoding, collation):
    """Ids are made in the order of text; both engines must have one."""
    check_text("UTF8", "C")
    with pytest.raises(StoreError, match=collation):
        check_text(encoding, collation)


@pytest.mark.parametrize("url", ["mysql://u@h/n", "nonsense", ""])
def test_a_database_of_another_kind_is_refused(url):
    with pytest.raises(StoreError) as told:
        open_engine(url)
    assert "postgresql://" in told.value.hint


def test_only_a_file_is_moved(tmp_path):
    """What watches for changes is SQLite's; a server has tools of its own."""
    store = Store("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreError, match="not a file"):
        moving.move(store, Store(tmp_path / "new.sqlite"))


def test_a_move_that_was_killed_is_begun_again(store, tmp_path):
    """Its triggers are left behind; they are taken away and nothing was moved."""
    with store.write() as unit:
        schema.upgrade(unit)
        ledger.ensure(unit, "x/EUR", ["accrued/a"])
    moving.watch(store)
    with store.write() as unit:
        ledger.ensure(unit, "x/EUR", ["accrued/b"])
    target = Store(tmp_path / "new.sqlite")
    moved = moving.move(store, target)
    assert (moved.changed_meanwhile, moved.rows > 0) == (0, True)
    with target.read() as unit:
        assert ledger.check(unit).accounts == 2
    with store.read() as unit:
        assert moving.moved_to(unit) == str(target)
    target.close()


def test_an_error_names_nobody(store):
    """Errors are logged with their stack: what a statement was given is not in them."""
    imsi = "001010000000001"
    with pytest.raises(OperationalError) as raised, store.write() as unit:
        unit.execute(text("SELECT * FROM nowhere WHERE imsi = :imsi"), {"imsi": imsi})
    assert "nowhere" in str(raised.value)
    assert imsi not in str(raised.value)
