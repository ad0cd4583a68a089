"""The check of the whole ledger finds every change that was not a booking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Table, select

from opencarrier.kernel.ids import derive
from opencarrier.ledger import audit, service, store
from opencarrier.ledger.journal import BEFORE_FIRST, next_head
from opencarrier.ledger.model import Head, post_hold

from .books import EUR, LINKED, PENDING, XOF, transfer, transfer_id

SUB = "prepaid/sub_1"
COLUMNS = [column.name for column in store.transfers.columns]


@pytest.fixture
def book(unit: Connection) -> Connection:
    """A ledger with every kind of transfer in three entries, after one of openings."""
    hold = transfer("h", SUB, "sales", 60, flags=PENDING, expires_us=50)
    short = transfer("s", SUB, "sales", 5, flags=PENDING, expires_us=4, reference=derive("why"))
    batches = [
        [transfer("top-up", "cash", SUB, 100), hold, short],
        [
            post_hold(
                hold, transfer_id=transfer_id("p"), amount_minor=25, code="use", flags=LINKED
            ),
            transfer("x", "cash", "sales", 5, asset=XOF),
        ],
    ]
    for at_us, batch in enumerate(batches, start=2):
        assert service.apply(unit, batch, at_us) == [None] * len(batch)
    assert service.expire(unit, 9) == [short.transfer_id]
    assert service.check(unit) == audit.Audit(accounts=8, transfers=6, entries=4, findings=())
    return unit


def flips(value: Any) -> list[Any]:
    """Every way to change one octet of a stored value, and its presence."""
    if value is None:
        return [0, 1]
    if isinstance(value, int):
        return [value ^ 1 << bit for bit in range(62)]
    if isinstance(value, str):
        return [value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :] for at in range(len(value))]
    flipped = []
    for at in range(len(value)):
        octets = bytearray(value)
        octets[at] ^= 0x10
        flipped.append(bytes(octets))
    return [*flipped, value + b"\x00", value[:-1], None]


def finds(unit: Connection, change: Callable[[], object]) -> tuple[str, ...]:
    """Return what a check finds after a change that is then taken back."""
    point = unit.begin_nested()
    change()
    findings = service.check(unit).findings
    point.rollback()
    return findings


@pytest.mark.parametrize("sequence", [1, 3, 4, 6])
@pytest.mark.parametrize("column", COLUMNS)
def test_any_flipped_octet_of_a_transfer_is_found(
    book: Connection, column: str, sequence: int
) -> None:
    row = book.execute(select(store.transfers).where(store.transfers.c.sequence == sequence)).one()
    statement = f"UPDATE OR IGNORE ledger_transfers SET {column} = ? WHERE sequence = ?"
    tried = 0
    for value in flips(row._mapping[column]):
        result: list[int] = []

        def change(value: Any = value, result: list[int] = result) -> None:
            done = book.exec_driver_sql(statement, (value, sequence))
            result.append(done.rowcount)

        findings = finds(book, change)
        if result == [1]:
            assert findings, value
            tried += 1
        else:  # the table itself refused: a null, or another transfer's number
            assert result == [0]
            assert findings == ()
    assert tried or row._mapping[column] is None


TAMPERING = {
    "a transfer deleted": "DELETE FROM ledger_transfers WHERE sequence = 5",
    "the last transfer deleted": "DELETE FROM ledger_transfers WHERE sequence = 6",
    "a transfer added": "INSERT INTO ledger_transfers SELECT 7, zeroblob(32), debit_id, credit_id,"
    " 1, 1, 0, NULL, NULL, 'x', NULL, entry FROM ledger_transfers WHERE sequence = 6",
    "a transfer in no entry": "INSERT INTO ledger_transfers SELECT 7, zeroblob(32), debit_id,"
    " credit_id, 1, 1, 0, NULL, NULL, 'x', NULL, 9 FROM ledger_transfers WHERE sequence = 6",
    "a text that is not UTF-8": "UPDATE ledger_transfers SET code = CAST(x'ff' AS TEXT)",
    "a float": "UPDATE ledger_transfers SET amount_minor = 0.5 WHERE sequence = 1",
    "a balance": "UPDATE ledger_accounts SET credits_posted = credits_posted + 1"
    " WHERE name = 'cash'",
    "two balances": "UPDATE ledger_accounts SET credits_posted = 1, debits_posted = 1"
    " WHERE name = 'mirror'",
    "a limit": "UPDATE ledger_accounts SET flags = 0 WHERE name = 'prepaid/sub_1'",
    "a name": "UPDATE ledger_accounts SET name = 'other' WHERE name = 'cash'",
    "an asset": "UPDATE ledger_accounts SET asset = 'other' WHERE asset = 'op_a/EUR'",
    "an account deleted": "DELETE FROM ledger_accounts WHERE name = 'mirror'",
    "an account added": "INSERT INTO ledger_accounts VALUES (zeroblob(32), 'a', 'b', 0, 1,"
    " 0, 0, 0, 0)",
    "an account in no entry": "INSERT INTO ledger_accounts VALUES (zeroblob(32), 'a', 'b', 0, 77,"
    " 0, 0, 0, 0)",
    "a hold reopened": "UPDATE ledger_holds SET state = 1, resolved_by = NULL",
    "a hold's outcome": "UPDATE ledger_holds SET state = 3 WHERE state = 4",
    "a hold's time": "UPDATE ledger_holds SET expires_us = 51 WHERE expires_us = 50",
    "a hold deleted": "DELETE FROM ledger_holds WHERE state = 4",
    "a hold added": "INSERT INTO ledger_holds VALUES (zeroblob(32), 1, NULL, NULL)",
    "an entry's hash": "UPDATE ledger_journal SET entry_hash = zeroblob(32) WHERE entry = 2",
    "the last hash": "UPDATE ledger_journal SET entry_hash = zeroblob(32) WHERE entry = 4",
    "an entry's time": "UPDATE ledger_journal SET at_us = 1 WHERE entry = 3",
    "an entry's count": "UPDATE ledger_journal SET sequence = 7 WHERE entry = 4",
    "an entry deleted": "DELETE FROM ledger_journal WHERE entry = 3",
    "the last entry deleted": "DELETE FROM ledger_journal WHERE entry = 4",
    "an entry added": "INSERT INTO ledger_journal VALUES (5, 1, 6, zeroblob(32))",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_found(book: Connection, what: str) -> None:
    def change() -> None:
        assert book.exec_driver_sql(TAMPERING[what]).rowcount > 0

    assert finds(book, change)
    assert finds(book, lambda: None) == ()


def cut_last_entry(unit: Connection) -> None:
    """Take the last entry out without a trace: the expiry of a hold."""
    unit.exec_driver_sql("DELETE FROM ledger_journal WHERE entry = 4")
    unit.exec_driver_sql("DELETE FROM ledger_transfers WHERE entry = 4")
    unit.exec_driver_sql("UPDATE ledger_holds SET state = 1, resolved_by = NULL WHERE state = 4")
    for name, side in (("prepaid/sub_1", "debits"), ("sales", "credits")):
        unit.exec_driver_sql(
            f"UPDATE ledger_accounts SET {side}_pending = {side}_pending + 5"
            " WHERE name = ? AND asset = ?",
            (name, EUR),
        )


def test_a_tail_cut_off_cleanly_is_found_by_who_kept_the_head(book: Connection) -> None:
    head = service.head(book)
    cut_last_entry(book)
    assert service.check(book).findings == ()
    assert service.check(book, known=head).findings == ("the journal ends before the known head",)


def test_a_rewritten_history_is_found_by_who_kept_a_head(book: Connection) -> None:
    head = service.head(book)
    cut_last_entry(book)
    assert service.expire(book, 10) != []
    assert service.check(book).findings == ()
    assert service.check(book, known=head).findings == ("entry 4: not the known head",)


def test_an_older_head_and_the_beginning_are_passed_through(book: Connection) -> None:
    for row in book.execute(select(store.journal)).all():
        known = Head(entry=row.entry, sequence=row.sequence, entry_hash=row.entry_hash)
        assert service.check(book, known=known).findings == ()
    assert service.check(book, known=BEFORE_FIRST).findings == ()
    stranger = Head(entry=0, sequence=0, entry_hash=bytes(32))
    assert service.check(book, known=stranger).findings


def rechain(unit: Connection) -> None:
    """Forge the journal's hashes so that they fit whatever the tables now say."""

    def of(table: Table, entry: int, order: Any) -> list[Any]:
        query = select(table).where(table.c.entry == entry).order_by(order)
        return [row._mapping for row in unit.execute(query)]

    head = BEFORE_FIRST
    for row in unit.execute(select(store.journal).order_by(store.journal.c.entry)).all():
        head = next_head(
            head,
            at_us=row.at_us,
            openings=of(store.accounts, row.entry, store.accounts.c.account_id),
            transfers=of(store.transfers, row.entry, store.transfers.c.sequence),
        )
        unit.execute(
            store.journal.update()
            .where(store.journal.c.entry == row.entry)
            .values(entry_hash=head.entry_hash, sequence=head.sequence)
        )


UNLAWFUL = {
    "a limit broken": "UPDATE ledger_transfers SET amount_minor = 101, moved_minor = 101"
    " WHERE sequence = 2",
    "more moved than asked": "UPDATE ledger_transfers SET moved_minor = 101 WHERE sequence = 1",
    "a hold posted for more": "UPDATE ledger_transfers SET amount_minor = 61, moved_minor = 61"
    " WHERE sequence = 4",
    "a hold posted too late": "UPDATE ledger_journal SET at_us = 50 WHERE entry = 3",
    "a hold of another's": "UPDATE ledger_transfers SET hold_id = zeroblob(32) WHERE sequence = 4",
    "a chain left open": "UPDATE ledger_transfers SET flags = 1 WHERE sequence = 5",
    "an account of nobody": "UPDATE ledger_transfers SET debit_id = zeroblob(32)"
    " WHERE sequence = 1",
    "a number left out": "UPDATE ledger_transfers SET sequence = 7 WHERE sequence = 6",
    "another amount": "UPDATE ledger_transfers SET amount_minor = 6, moved_minor = 6"
    " WHERE sequence = 5",
    "another name": "UPDATE ledger_accounts SET name = 'other' WHERE name = 'mirror'",
}


@pytest.mark.parametrize("what", UNLAWFUL)
def test_a_forger_who_chains_anew_must_still_be_lawful(book: Connection, what: str) -> None:
    def change() -> None:
        assert book.exec_driver_sql(UNLAWFUL[what]).rowcount > 0
        rechain(book)

    findings = finds(book, change)
    assert findings
    assert not any("hash" in finding for finding in findings), findings
    assert finds(book, lambda: rechain(book)) == ()


def test_what_was_unlawful_is_said(book: Connection) -> None:
    def change() -> None:
        book.exec_driver_sql(UNLAWFUL["a limit broken"])
        rechain(book)

    said = "transfer 2: booked against exceeds_credits: prepaid/sub_1 has 100 free, not 101"
    assert said in finds(book, change)


def test_an_entry_hashed_anew_alone_breaks_the_chain_behind_it(book: Connection) -> None:
    def change() -> None:
        entries = {row.entry: row for row in book.execute(select(store.journal))}
        rechain(book)
        for entry in (3, 4):
            book.execute(
                store.journal.update()
                .where(store.journal.c.entry == entry)
                .values(entry_hash=entries[entry].entry_hash)
            )

    def retimed() -> None:
        book.exec_driver_sql("UPDATE ledger_journal SET at_us = 1 WHERE entry = 2")
        change()

    assert finds(book, retimed) == ("entry 3: its content does not match its hash",)
    assert finds(book, change) == ()


def test_findings_are_bounded(unit: Connection) -> None:
    names = [f"n{number}" for number in range(audit.FINDINGS_MAX + 5)]
    for name in names:
        service.open_account(unit, EUR, name, 0)
    unit.exec_driver_sql("UPDATE ledger_accounts SET credits_posted = 1")
    assert len(service.check(unit).findings) == audit.FINDINGS_MAX
