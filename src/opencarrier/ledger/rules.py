"""The ledger's rules, written to be read: what a transfer does to a state, and what forbids it.

This is the twin that `batch` is tested against. It finds every reason against a transfer and
gives the first in the order of `TransferReason`, where the fast path stops at the first it
meets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger.model import (
    Account,
    AccountFlags,
    AccountReason,
    Balance,
    HoldState,
    Opening,
    Transfer,
    TransferFlags,
    TransferReason,
    account_id,
)

_Flags, _Reason = TransferFlags, TransferReason
_RESOLVING = _Flags.POST_PENDING | _Flags.VOID_PENDING | _Flags.EXPIRE_PENDING


@dataclass(frozen=True, slots=True)
class HeldState:
    """A hold: the transfer that opened it, what it reserves, where it stands."""

    transfer: Transfer
    reserved_minor: int
    state: HoldState


@dataclass(frozen=True, slots=True)
class State:
    """Everything the ledger knows: accounts, booked transfers with what each moved, holds."""

    accounts: Mapping[Id, Account] = field(default_factory=dict)
    booked: Mapping[Id, tuple[Transfer, int]] = field(default_factory=dict)
    holds: Mapping[Id, HeldState] = field(default_factory=dict)


def open_account(state: State, opening: Opening) -> State | Refusal:
    """Open an account with nothing on it; an open one stays as it is."""
    key = account_id(opening.asset, opening.name)
    known = state.accounts.get(key)
    if known is not None:
        same = known.flags == opening.flags
        return Refusal(AccountReason.EXISTS if same else AccountReason.EXISTS_WITH_DIFFERENT_FLAGS)
    account = Account(
        account_id=key,
        asset=opening.asset,
        name=opening.name,
        flags=opening.flags,
        balance=Balance(),
    )
    return replace(state, accounts={**state.accounts, key: account})


def apply_transfer(state: State, transfer: Transfer, at_us: int) -> State | Refusal:
    """Book one transfer, or say the first reason why not."""
    reason = min(_reasons(state, transfer, at_us), default=None)
    if reason is not None:
        return Refusal(reason)
    moved_minor = _moved_minor(state, transfer)
    balanced = _move(state, transfer, moved_minor)
    booked = {**state.booked, transfer.transfer_id: (transfer, moved_minor)}
    return replace(balanced, booked=booked, holds=_holds_after(state, transfer, moved_minor))


def apply(
    state: State, transfers: Sequence[Transfer], at_us: int
) -> tuple[State, list[Refusal | None]]:
    """Book transfers in order, each chain of linked ones whole or not at all.

    A transfer the ledger holds already counts as booked.
    """
    outcomes: list[Refusal | None] = []
    for chain in chains(transfers):
        after, refusals = _apply_chain(state, chain, at_us)
        outcomes += refusals
        state = after
    return state, outcomes


def chains(transfers: Sequence[Transfer]) -> Iterator[list[Transfer]]:
    """Cut a batch after every transfer that is not linked to the next."""
    chain: list[Transfer] = []
    for transfer in transfers:
        chain.append(transfer)
        if _Flags.LINKED not in transfer.flags:
            yield chain
            chain = []
    if chain:
        yield chain


def _apply_chain(
    state: State, chain: Sequence[Transfer], at_us: int
) -> tuple[State, list[Refusal | None]]:
    failed: list[Refusal | None] = [Refusal(_Reason.LINKED_EVENT_FAILED) for _ in chain]
    if _Flags.LINKED in chain[-1].flags:
        return state, [*failed[:-1], Refusal(_Reason.LINKED_CHAIN_OPEN)]
    after = state
    for index, transfer in enumerate(chain):
        result = apply_transfer(after, transfer, at_us)
        if isinstance(result, State):
            after = result
        elif result.reason is not _Reason.EXISTS:
            return state, [*failed[:index], result, *failed[index + 1 :]]
    return after, [None for _ in chain]


def _reasons(state: State, transfer: Transfer, at_us: int) -> Iterator[TransferReason]:
    """Find every reason against a transfer, in no particular order."""
    yield from _reasons_of_existence(state, transfer)
    yield from _reasons_of_form(transfer)
    yield from _reasons_of_hold(state, transfer, at_us)
    yield from _reasons_of_accounts(state, transfer)


def _reasons_of_existence(state: State, transfer: Transfer) -> Iterator[TransferReason]:
    if transfer.transfer_id not in state.booked:
        return
    known, _ = state.booked[transfer.transfer_id]
    yield _Reason.EXISTS
    for item in fields(Transfer):
        if getattr(known, item.name) != getattr(transfer, item.name):
            yield _Reason[f"EXISTS_WITH_DIFFERENT_{item.name.upper()}"]


def _reasons_of_form(transfer: Transfer) -> Iterator[TransferReason]:
    """A transfer judged by itself."""
    flags = transfer.flags
    purposes = (_Flags.PENDING, _Flags.POST_PENDING, _Flags.VOID_PENDING, _Flags.EXPIRE_PENDING)
    resolves = bool(flags & _RESOLVING)
    if sum(purpose in flags for purpose in purposes) > 1:
        yield _Reason.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if resolves and _Flags.BALANCING_DEBIT in flags:
        yield _Reason.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if not 0 <= transfer.amount_minor <= INT64_MAX:
        yield _Reason.AMOUNT_OUT_OF_RANGE
    if flags & (_Flags.VOID_PENDING | _Flags.EXPIRE_PENDING) and transfer.amount_minor != 0:
        yield _Reason.AMOUNT_MUST_BE_ZERO
    if transfer.expires_us is not None and _Flags.PENDING not in flags:
        yield _Reason.EXPIRES_US_RESERVED_FOR_HOLDS
    if transfer.expires_us is not None and not 0 < transfer.expires_us <= INT64_MAX:
        yield _Reason.EXPIRES_US_OUT_OF_RANGE
    if resolves and transfer.hold_id is None:
        yield _Reason.HOLD_ID_MISSING
    if not resolves and transfer.hold_id is not None:
        yield _Reason.HOLD_ID_RESERVED_FOR_RESOLUTION
    if transfer.debit == transfer.credit:
        yield _Reason.ACCOUNTS_MUST_DIFFER


def _reasons_of_hold(state: State, transfer: Transfer, at_us: int) -> Iterator[TransferReason]:
    """What the hold it resolves, or opens, has against it."""
    flags = transfer.flags
    if _Flags.PENDING in flags and _is_over(transfer, at_us):
        yield _Reason.EXPIRES_US_HAS_PASSED
    if not flags & _RESOLVING:
        return
    hold = None if transfer.hold_id is None else state.holds.get(transfer.hold_id)
    if hold is None:
        yield _Reason.HOLD_NOT_FOUND
        return
    if (hold.transfer.asset, hold.transfer.debit) != (transfer.asset, transfer.debit):
        yield _Reason.HOLD_HAS_DIFFERENT_DEBIT
    if (hold.transfer.asset, hold.transfer.credit) != (transfer.asset, transfer.credit):
        yield _Reason.HOLD_HAS_DIFFERENT_CREDIT
    if transfer.amount_minor > hold.reserved_minor:
        yield _Reason.EXCEEDS_HOLD
    match hold.state:
        case HoldState.POSTED:
            yield _Reason.HOLD_ALREADY_POSTED
        case HoldState.VOIDED:
            yield _Reason.HOLD_ALREADY_VOIDED
        case HoldState.EXPIRED:
            yield _Reason.HOLD_EXPIRED
        case HoldState.PENDING if _Flags.EXPIRE_PENDING in flags:
            if not _is_over(hold.transfer, at_us):
                yield _Reason.HOLD_NOT_YET_EXPIRED
        case HoldState.PENDING:
            if _is_over(hold.transfer, at_us):
                yield _Reason.HOLD_EXPIRED


def _reasons_of_accounts(state: State, transfer: Transfer) -> Iterator[TransferReason]:
    """What its accounts have against it: a limit, or the end of 64 bits."""
    debit, credit = _accounts(state, transfer)
    if debit is None:
        yield _Reason.DEBIT_ACCOUNT_NOT_FOUND
    if credit is None:
        yield _Reason.CREDIT_ACCOUNT_NOT_FOUND
    if debit is None or credit is None or transfer.flags & _RESOLVING:
        return
    moved_minor = _moved_minor(state, transfer)
    debits_minor = debit.balance.debits_pending + debit.balance.debits_posted + moved_minor
    credits_minor = credit.balance.credits_pending + credit.balance.credits_posted + moved_minor
    if debits_minor > INT64_MAX:
        yield _Reason.OVERFLOWS_DEBITS
    if credits_minor > INT64_MAX:
        yield _Reason.OVERFLOWS_CREDITS
    if AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS in debit.flags:  # noqa: SIM102
        if debits_minor > debit.balance.credits_posted:
            yield _Reason.EXCEEDS_CREDITS
    if AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS in credit.flags:  # noqa: SIM102
        if credits_minor > credit.balance.debits_posted:
            yield _Reason.EXCEEDS_DEBITS


def _is_over(hold: Transfer, at_us: int) -> bool:
    return hold.expires_us is not None and hold.expires_us <= at_us


def _accounts(state: State, transfer: Transfer) -> tuple[Account | None, Account | None]:
    asset = transfer.asset
    return (
        state.accounts.get(account_id(asset, transfer.debit)),
        state.accounts.get(account_id(asset, transfer.credit)),
    )


def _moved_minor(state: State, transfer: Transfer) -> int:
    """Return what a transfer moves: its amount, or what is free if that is less and it asks."""
    debit, _ = _accounts(state, transfer)
    if _Flags.BALANCING_DEBIT not in transfer.flags or debit is None:
        return transfer.amount_minor
    return max(0, min(transfer.amount_minor, debit.balance.free_minor))


def _move(state: State, transfer: Transfer, moved_minor: int) -> State:
    """Change both balances: reserve, move, or move out of what was reserved."""
    pending_minor, posted_minor = 0, moved_minor
    if _Flags.PENDING in transfer.flags:
        pending_minor, posted_minor = moved_minor, 0
    if transfer.hold_id is not None:
        pending_minor = -state.holds[transfer.hold_id].reserved_minor
    debit, credit = _accounts(state, transfer)
    assert debit is not None
    assert credit is not None
    debited = replace(
        debit.balance,
        debits_pending=debit.balance.debits_pending + pending_minor,
        debits_posted=debit.balance.debits_posted + posted_minor,
    )
    credited = replace(
        credit.balance,
        credits_pending=credit.balance.credits_pending + pending_minor,
        credits_posted=credit.balance.credits_posted + posted_minor,
    )
    changed = {
        debit.account_id: replace(debit, balance=debited),
        credit.account_id: replace(credit, balance=credited),
    }
    return replace(state, accounts={**state.accounts, **changed})


def _holds_after(state: State, transfer: Transfer, moved_minor: int) -> Mapping[Id, HeldState]:
    if _Flags.PENDING in transfer.flags:
        opened = HeldState(transfer, moved_minor, HoldState.PENDING)
        return {**state.holds, transfer.transfer_id: opened}
    if transfer.hold_id is None:
        return state.holds
    outcome = {
        _Flags.POST_PENDING: HoldState.POSTED,
        _Flags.VOID_PENDING: HoldState.VOIDED,
        _Flags.EXPIRE_PENDING: HoldState.EXPIRED,
    }[transfer.flags & _RESOLVING]
    resolved = replace(state.holds[transfer.hold_id], state=outcome)
    return {**state.holds, transfer.hold_id: resolved}
