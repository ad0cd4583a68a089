"""A sheet: what one unit of work books, with the accounts it touches read once and written once.

What is booked counts on the sheet at once and is in the unit when it was written: until then
nobody else in the unit may book on these accounts.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart, store
from opencarrier.ledger.appending import append_openings, append_transfers
from opencarrier.ledger.batch import LINKED, RESOLVING, AccountRow, Batch
from opencarrier.ledger.model import AT_US_MAX, Balance, Transfer, account_id


class Sheet:
    """Books new transfers at one instant.

    The journal's head is read before anything else and its next entry written before anything
    else: of two units that read the same state one fails on the entry's key.
    """

    def __init__(self, unit: Connection, at_us: int) -> None:
        assert 0 <= at_us <= AT_US_MAX
        self._unit = unit
        self._at_us = at_us
        self._head = store.head(unit)
        self._asked: set[Id] = set()
        self._rows: dict[Id, AccountRow] = {}
        self._batch = self._fresh()

    def read(self, asset: AssetId, names: Iterable[str]) -> None:
        """Read the accounts that are not on the sheet yet."""
        fresh = _ids(asset, names) - self._asked
        if fresh:
            self._asked |= fresh
            self._rows.update(store.account_rows(self._unit, fresh))

    def balance(self, asset: AssetId, name: str) -> Balance:
        """Return what stands on an account; nothing where it is not open."""
        self.read(asset, [name])
        row = self._rows.get(account_id(asset, name))
        return Balance() if row is None else row.balance

    def book(self, transfer: Transfer) -> Refusal | None:
        """Book a transfer that stands alone and resolves no hold; None once it is booked.

        Its id is new: one the ledger holds fails on its key when the sheet is written. Accounts
        that are missing are opened, with the limits of the chart.
        """
        assert not int(transfer.flags) & (RESOLVING | LINKED)
        self._open(transfer.asset, transfer.debit, transfer.credit)
        return self._batch.run([transfer])[0]

    def write(self) -> None:
        """Put what was booked since the last time into the unit, as one journal entry."""
        if self._batch.entries:
            self._head = append_transfers(self._unit, self._head, self._batch, self._at_us)
            self._batch = self._fresh()

    def _open(self, asset: AssetId, *names: str) -> None:
        self.read(asset, names)
        missing = {name for name in names if account_id(asset, name) not in self._rows}
        if missing:
            openings = [chart.opening(asset, name) for name in sorted(missing)]
            self._head = append_openings(self._unit, self._head, openings)
            self._rows.update(store.account_rows(self._unit, _ids(asset, missing)))

    def _fresh(self) -> Batch:
        return Batch(at_us=self._at_us, accounts=self._rows, holds={}, known={})


def _ids(asset: AssetId, names: Iterable[str]) -> set[Id]:
    return {account_id(asset, name) for name in names}
