"""Checking the whole ledger: the journal's hashes, and every balance from its transfers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from opencarrier.kernel.encoding import EncodingError
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import store
from opencarrier.ledger.batch import AccountRow, Batch, HoldRow
from opencarrier.ledger.journal import BEFORE_FIRST, next_head
from opencarrier.ledger.model import Audit, Head, Transfer, TransferFlags, account_id
from opencarrier.ledger.store import AnyRow

FINDINGS_MAX = 100
"""Findings kept; what is broken beyond that is broken enough."""

_NOBODY = (AssetId("?"), "?")


def check(unit: Connection, *, known: Head | None = None) -> Audit:
    """Replay the ledger from its first entry and compare everything it stores.

    Checks that each entry's hash covers its content and the former hash; that each transfer
    was lawful when it was booked and moved what it says; that balances, holds and sums agree
    with the replay. `known` is a head kept elsewhere: the journal must still pass through it.
    """
    replay = _Replay(known)
    try:
        replay.run(unit)
    except DBAPIError as error:
        replay.found(f"the store does not read: {error.orig}")
    return Audit(
        accounts=len(replay.names),
        transfers=replay.head.sequence,
        entries=replay.head.entry,
        findings=tuple(replay.findings),
    )


class _Replay:
    def __init__(self, known: Head | None) -> None:
        self.known = known
        self.head = BEFORE_FIRST
        self.trusted = True
        self.names: dict[Id, tuple[AssetId, str]] = {}
        self.accounts: dict[Id, AccountRow] = {}
        self.holds: dict[Id, HoldRow] = {}
        self.findings: list[str] = []

    def found(self, what: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(what)

    def run(self, unit: Connection) -> None:
        if self.known is not None and self.known.entry == 0:
            self._expect(self.known == BEFORE_FIRST, "the known head is no journal's beginning")
        opened = _Groups(store.every(unit, store.accounts, store.accounts.c.entry))
        booked = _Groups(store.every(unit, store.transfers, store.transfers.c.sequence))
        for row in store.every(unit, store.journal, store.journal.c.entry):
            self._entry(row, opened.take(row.entry), booked.take(row.entry))
        self._expect(opened.finished, "an account belongs to no journal entry")
        self._expect(booked.finished, "a transfer belongs to no journal entry")
        passed = self.known is None or self.known.entry <= self.head.entry
        self._expect(passed, "the journal ends before the known head")
        if self.trusted:
            self._compare_accounts(unit)
            self._compare_holds(unit)

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.found(otherwise)

    def _entry(self, row: AnyRow, opened: Sequence[AnyRow], booked: Sequence[AnyRow]) -> None:
        """Verify an entry's hash; replay it while nothing before it was broken."""
        if not self._chained(row, opened, booked):
            self.found(f"entry {row.entry}: its content does not match its hash")
            self.trusted = False
        first = self.head.sequence + 1
        in_turn = [item.sequence for item in booked] == list(range(first, first + len(booked)))
        self._expect(in_turn, f"entry {row.entry}: its transfers are not numbered in turn")
        self.head = _head(row)
        if self.known is not None and self.known.entry == row.entry and self.known != self.head:
            self.found(f"entry {row.entry}: not the known head")
        if self.trusted:
            self._open(opened)
            self._replay(row, booked)

    def _chained(self, row: AnyRow, opened: Sequence[AnyRow], booked: Sequence[AnyRow]) -> bool:
        try:
            head = next_head(
                self.head,
                at_us=row.at_us,
                openings=[item._mapping for item in opened],
                transfers=[item._mapping for item in booked],
            )
        except (EncodingError, TypeError):
            return False
        return head == _head(row)

    def _open(self, opened: Sequence[AnyRow]) -> None:
        for row in opened:
            named = row.account_id == account_id(row.asset, row.name)
            self._expect(named, f"account {row.name}: its id is another account's")
            self.names[row.account_id] = (row.asset, row.name)
            self.accounts[row.account_id] = AccountRow(row.account_id, row.flags, 0, 0, 0, 0)

    def _replay(self, row: AnyRow, booked: Sequence[AnyRow]) -> None:
        batch = Batch(at_us=row.at_us or 0, accounts=self.accounts, holds=self.holds, known={})
        outcomes = batch.run([self._transfer(item) for item in booked])
        for item, refusal in zip(booked, outcomes, strict=True):
            self._expect(refusal is None, f"transfer {item.sequence}: booked against {refusal}")
        if all(refusal is None for refusal in outcomes):
            for item, entry in zip(booked, batch.entries, strict=True):
                moved = item.moved_minor == entry.moved_minor
                self._expect(moved, f"transfer {item.sequence}: moved {entry.moved_minor}")

    def _transfer(self, row: AnyRow) -> Transfer:
        asset, debit = self.names.get(row.debit_id, _NOBODY)
        _, credit = self.names.get(row.credit_id, _NOBODY)
        return Transfer(
            transfer_id=row.transfer_id,
            asset=asset,
            debit=debit,
            credit=credit,
            amount_minor=row.amount_minor,
            code=row.code,
            flags=TransferFlags(row.flags),
            hold_id=row.hold_id,
            expires_us=row.expires_us,
            reference=row.reference,
        )

    def _compare_accounts(self, unit: Connection) -> None:
        for row in store.every(unit, store.accounts, store.accounts.c.account_id):
            stored = AccountRow(
                row.account_id,
                row.flags,
                row.debits_pending,
                row.debits_posted,
                row.credits_pending,
                row.credits_posted,
            )
            agrees = stored == self.accounts.get(row.account_id)
            self._expect(agrees, f"account {row.name}: its balance is not its transfers' sum")
        for column in ("posted", "pending"):
            for asset, difference in self._sums(column).items():
                self._expect(difference == 0, f"{asset}: {column} sums differ by {difference}")

    def _sums(self, column: str) -> dict[AssetId, int]:
        sums: dict[AssetId, int] = {}
        for key, row in self.accounts.items():
            asset, _ = self.names[key]
            difference = getattr(row, f"debits_{column}") - getattr(row, f"credits_{column}")
            sums[asset] = sums.get(asset, 0) + difference
        return sums

    def _compare_holds(self, unit: Connection) -> None:
        stored = 0
        for row in store.every(unit, store.holds, store.holds.c.hold_id):
            hold = self.holds.get(row.hold_id)
            facts = (row.state, row.expires_us, row.resolved_by)
            agrees = hold is not None and facts == (hold.state, hold.expires_us, hold.resolved_by)
            self._expect(agrees, f"hold {to_hex(row.hold_id)}: its state is not what happened")
            stored += 1
        self._expect(stored == len(self.holds), "a hold is missing")


def _head(row: AnyRow) -> Head:
    return Head(entry=row.entry, sequence=row.sequence, entry_hash=row.entry_hash)


class _Groups:
    """Rows that come in order of their journal entry, taken entry by entry."""

    def __init__(self, rows: Iterator[AnyRow]) -> None:
        self._groups = groupby(rows, key=lambda row: row.entry)
        self._waiting = self._next()

    def _next(self) -> tuple[int, list[AnyRow]] | None:
        for entry, rows in self._groups:
            return entry, list(rows)
        return None

    @property
    def finished(self) -> bool:
        return self._waiting is None

    def take(self, entry: int) -> list[AnyRow]:
        if self._waiting is None or self._waiting[0] != entry:
            return []
        rows = self._waiting[1]
        self._waiting = self._next()
        return rows
