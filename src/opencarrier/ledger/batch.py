"""The fast path: a batch of transfers against the few accounts it touches, in memory.

It answers as `rules` does, transfer by transfer (the tests run both on the same input), but
mutates rows that were read once and are written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger.model import (
    AccountFlags,
    Balance,
    HoldState,
    Transfer,
    TransferFlags,
    TransferReason,
    account_id,
)

LINKED: Final = int(TransferFlags.LINKED)
PENDING: Final = int(TransferFlags.PENDING)
POST: Final = int(TransferFlags.POST_PENDING)
VOID: Final = int(TransferFlags.VOID_PENDING)
EXPIRE: Final = int(TransferFlags.EXPIRE_PENDING)
BALANCING: Final = int(TransferFlags.BALANCING_DEBIT)
RESOLVING: Final = POST | VOID | EXPIRE
_DEBITS_LIMITED: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
_CREDITS_LIMITED: Final = int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_LAWFUL: Final = frozenset((0, PENDING, BALANCING, PENDING | BALANCING, POST, VOID, EXPIRE))
_RESOLVED: Final = {
    int(HoldState.POSTED): TransferReason.HOLD_ALREADY_POSTED,
    int(HoldState.VOIDED): TransferReason.HOLD_ALREADY_VOIDED,
    int(HoldState.EXPIRED): TransferReason.HOLD_EXPIRED,
}
_COMPARED: Final = (
    ("flags", TransferReason.EXISTS_WITH_DIFFERENT_FLAGS),
    ("hold_id", TransferReason.EXISTS_WITH_DIFFERENT_HOLD_ID),
    ("expires_us", TransferReason.EXISTS_WITH_DIFFERENT_EXPIRES_US),
    ("asset", TransferReason.EXISTS_WITH_DIFFERENT_ASSET),
    ("debit", TransferReason.EXISTS_WITH_DIFFERENT_DEBIT),
    ("credit", TransferReason.EXISTS_WITH_DIFFERENT_CREDIT),
    ("amount_minor", TransferReason.EXISTS_WITH_DIFFERENT_AMOUNT_MINOR),
    ("code", TransferReason.EXISTS_WITH_DIFFERENT_CODE),
    ("reference", TransferReason.EXISTS_WITH_DIFFERENT_REFERENCE),
)


@dataclass(slots=True)
class AccountRow:
    """An account as a batch works on it."""

    account_id: Id
    flags: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int

    @property
    def balance(self) -> Balance:
        """What stands on it."""
        return Balance(
            debits_pending=self.debits_pending,
            debits_posted=self.debits_posted,
            credits_pending=self.credits_pending,
            credits_posted=self.credits_posted,
        )


@dataclass(slots=True)
class HoldRow:
    """A hold as a batch works on it; `moved_minor` is what it reserves."""

    hold_id: Id
    debit_id: Id
    credit_id: Id
    moved_minor: int
    expires_us: int | None
    state: int
    resolved_by: Id | None


@dataclass(slots=True)
class Entry:
    """A transfer the batch booked, with its account ids and what it moved or reserved."""

    transfer: Transfer
    debit_id: Id
    credit_id: Id
    moved_minor: int


class Batch:
    """Books transfers one after the other; what a broken chain did is undone.

    `accounts`, `holds` and `known` hold everything in the store that the transfers name.
    Afterwards `entries` are to be inserted, `opened` and `resolved` say which holds are new and
    which changed, `touched` which accounts did.
    """

    def __init__(
        self,
        *,
        at_us: int,
        accounts: dict[Id, AccountRow],
        holds: dict[Id, HoldRow],
        known: dict[Id, Transfer],
    ) -> None:
        self._at_us = at_us
        self._accounts = accounts
        self._holds = holds
        self._known = known
        self._opened: dict[Id, HoldRow] = {}
        self._resolved: dict[Id, HoldRow] = {}
        self.entries: list[Entry] = []

    @property
    def opened(self) -> list[HoldRow]:
        """The holds this batch opened."""
        return list(self._opened.values())

    @property
    def resolved(self) -> list[HoldRow]:
        """The holds from before this batch that it resolved."""
        return list(self._resolved.values())

    @property
    def touched(self) -> list[AccountRow]:
        """The accounts whose balances this batch changed."""
        ids = {entry.debit_id for entry in self.entries}
        ids.update(entry.credit_id for entry in self.entries)
        return [self._accounts[key] for key in sorted(ids)]

    def run(self, transfers: Sequence[Transfer]) -> list[Refusal | None]:
        """Book what can be booked; None stands for booked, now or before."""
        outcomes: list[Refusal | None] = []
        while len(outcomes) < len(transfers):
            start = len(outcomes)
            if transfers[start].flags & LINKED:
                outcomes += self._chain(_chain_at(transfers, start))
            else:
                outcomes.append(self._book(transfers[start]))
        return outcomes

    def _chain(self, chain: Sequence[Transfer]) -> list[Refusal | None]:
        if chain[-1].flags & LINKED:
            return _broken(len(chain), len(chain) - 1, Refusal(TransferReason.LINKED_CHAIN_OPEN))
        booked_before = len(self.entries)
        for index, transfer in enumerate(chain):
            refusal = self._book(transfer)
            if refusal is not None:
                while len(self.entries) > booked_before:
                    self._undo(self.entries.pop())
                return _broken(len(chain), index, refusal)
        return [None] * len(chain)

    def _book(self, transfer: Transfer) -> Refusal | None:
        known = self._known.get(transfer.transfer_id)
        if known is not None:
            return _difference(known, transfer)
        flags = int(transfer.flags) & ~LINKED
        reason = _malformed(transfer, flags)
        if reason is not None:
            return Refusal(reason)
        debit = self._accounts.get(account_id(transfer.asset, transfer.debit))
        if debit is None:
            return Refusal(TransferReason.DEBIT_ACCOUNT_NOT_FOUND, transfer.debit)
        credit = self._accounts.get(account_id(transfer.asset, transfer.credit))
        if credit is None:
            return Refusal(TransferReason.CREDIT_ACCOUNT_NOT_FOUND, transfer.credit)
        if flags & RESOLVING:
            return self._resolve(transfer, flags, debit, credit)
        return self._move(transfer, flags, debit, credit)

    def _move(
        self, transfer: Transfer, flags: int, debit: AccountRow, credit: AccountRow
    ) -> Refusal | None:
        moved = transfer.amount_minor
        expires_us = transfer.expires_us
        if expires_us is not None and expires_us <= self._at_us:
            return Refusal(TransferReason.EXPIRES_US_HAS_PASSED)
        debits = debit.debits_pending + debit.debits_posted
        if flags & BALANCING:
            moved = max(0, min(moved, debit.credits_posted - debits))
        credits_ = credit.credits_pending + credit.credits_posted
        if debits + moved > INT64_MAX:
            return Refusal(TransferReason.OVERFLOWS_DEBITS, transfer.debit)
        if credits_ + moved > INT64_MAX:
            return Refusal(TransferReason.OVERFLOWS_CREDITS, transfer.credit)
        if debit.flags & _DEBITS_LIMITED and debits + moved > debit.credits_posted:
            free = debit.credits_posted - debits
            return Refusal(
                TransferReason.EXCEEDS_CREDITS, f"{transfer.debit} has {free} free, not {moved}"
            )
        if credit.flags & _CREDITS_LIMITED and credits_ + moved > credit.debits_posted:
            free = credit.debits_posted - credits_
            return Refusal(
                TransferReason.EXCEEDS_DEBITS, f"{transfer.credit} has {free} free, not {moved}"
            )
        if flags & PENDING:
            debit.debits_pending += moved
            credit.credits_pending += moved
            hold_id = transfer.transfer_id
            hold = HoldRow(
                hold_id,
                debit.account_id,
                credit.account_id,
                moved,
                expires_us,
                int(HoldState.PENDING),
                None,
            )
            self._holds[hold_id] = self._opened[hold_id] = hold
        else:
            debit.debits_posted += moved
            credit.credits_posted += moved
        self._enter(Entry(transfer, debit.account_id, credit.account_id, moved))
        return None

    def _resolve(
        self, transfer: Transfer, flags: int, debit: AccountRow, credit: AccountRow
    ) -> Refusal | None:
        assert transfer.hold_id is not None
        hold = self._holds.get(transfer.hold_id)
        if hold is None:
            return Refusal(TransferReason.HOLD_NOT_FOUND)
        if hold.debit_id != debit.account_id:
            return Refusal(TransferReason.HOLD_HAS_DIFFERENT_DEBIT, transfer.debit)
        if hold.credit_id != credit.account_id:
            return Refusal(TransferReason.HOLD_HAS_DIFFERENT_CREDIT, transfer.credit)
        if transfer.amount_minor > hold.moved_minor:
            return Refusal(
                TransferReason.EXCEEDS_HOLD, f"{hold.moved_minor} held, not {transfer.amount_minor}"
            )
        if hold.state != HoldState.PENDING:
            return Refusal(_RESOLVED[hold.state])
        due = hold.expires_us is not None and hold.expires_us <= self._at_us
        if due and not flags & EXPIRE:
            return Refusal(TransferReason.HOLD_EXPIRED)
        if flags & EXPIRE and not due:
            return Refusal(TransferReason.HOLD_NOT_YET_EXPIRED)
        moved = transfer.amount_minor
        debit.debits_pending -= hold.moved_minor
        credit.credits_pending -= hold.moved_minor
        debit.debits_posted += moved
        credit.credits_posted += moved
        assert debit.debits_pending >= 0
        assert credit.credits_pending >= 0
        hold.state = int(_STATE_AFTER[flags])
        hold.resolved_by = transfer.transfer_id
        if hold.hold_id not in self._opened:
            self._resolved[hold.hold_id] = hold
        self._enter(Entry(transfer, debit.account_id, credit.account_id, moved))
        return None

    def _enter(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._known[entry.transfer.transfer_id] = entry.transfer

    def _undo(self, entry: Entry) -> None:
        """Take back the newest entry; nothing after it still stands."""
        transfer, moved = entry.transfer, entry.moved_minor
        debit, credit = self._accounts[entry.debit_id], self._accounts[entry.credit_id]
        del self._known[transfer.transfer_id]
        if transfer.flags & PENDING:
            debit.debits_pending -= moved
            credit.credits_pending -= moved
            del self._holds[transfer.transfer_id], self._opened[transfer.transfer_id]
            return
        debit.debits_posted -= moved
        credit.credits_posted -= moved
        if transfer.hold_id is not None:
            hold = self._holds[transfer.hold_id]
            debit.debits_pending += hold.moved_minor
            credit.credits_pending += hold.moved_minor
            hold.state, hold.resolved_by = int(HoldState.PENDING), None
            self._resolved.pop(hold.hold_id, None)


_STATE_AFTER: Final = {
    POST: HoldState.POSTED,
    VOID: HoldState.VOIDED,
    EXPIRE: HoldState.EXPIRED,
}


def _chain_at(transfers: Sequence[Transfer], start: int) -> Sequence[Transfer]:
    """Return the chain that begins at `start`; its last member is not linked, or it is open."""
    end = start
    while end < len(transfers) - 1 and transfers[end].flags & LINKED:
        end += 1
    return transfers[start : end + 1]


def _broken(size: int, breaker: int, refusal: Refusal) -> list[Refusal | None]:
    outcomes: list[Refusal | None] = [Refusal(TransferReason.LINKED_EVENT_FAILED)] * size
    outcomes[breaker] = refusal
    return outcomes


def _difference(known: Transfer, transfer: Transfer) -> Refusal | None:
    if known == transfer:
        return None
    for field, reason in _COMPARED:
        if getattr(known, field) != getattr(transfer, field):
            return Refusal(reason)
    raise AssertionError("two transfers differ in a field that is not compared")


def _malformed(transfer: Transfer, flags: int) -> TransferReason | None:
    """Judge a transfer by itself."""
    if flags not in _LAWFUL:
        return TransferReason.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if not 0 <= transfer.amount_minor <= INT64_MAX:
        return TransferReason.AMOUNT_OUT_OF_RANGE
    if flags & (VOID | EXPIRE) and transfer.amount_minor:
        return TransferReason.AMOUNT_MUST_BE_ZERO
    if transfer.expires_us is not None:
        if not flags & PENDING:
            return TransferReason.EXPIRES_US_RESERVED_FOR_HOLDS
        if not 0 < transfer.expires_us <= INT64_MAX:
            return TransferReason.EXPIRES_US_OUT_OF_RANGE
    if flags & RESOLVING:
        if transfer.hold_id is None:
            return TransferReason.HOLD_ID_MISSING
    elif transfer.hold_id is not None:
        return TransferReason.HOLD_ID_RESERVED_FOR_RESOLUTION
    if transfer.debit == transfer.credit:
        return TransferReason.ACCOUNTS_MUST_DIFFER
    return None
