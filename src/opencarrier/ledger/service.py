"""What other rooms may ask of the ledger; `unit` is the caller's open transaction.

Everything happens inside the unit: if the caller rolls back, nothing was booked. The journal's
head is read before anything else and its next entry written before anything else, so of two
units that read the same state one fails on the entry's key, whatever the isolation level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import audit, chart, export, store
from opencarrier.ledger.appending import append_openings, append_transfers
from opencarrier.ledger.batch import LINKED, Batch
from opencarrier.ledger.model import (
    AT_US_MAX,
    BATCH_MAX,
    Account,
    AccountFlags,
    AccountReason,
    Audit,
    Balance,
    Booked,
    Head,
    Hold,
    Line,
    Opening,
    Transfer,
    TransferFlags,
    account_id,
    expire_hold,
)

STATEMENT_MAX = 10_000
"""Lines in one page of a statement."""

EXPIRE_MAX = 1_000
"""Holds that one call expires; the caller comes again while it returns as many."""


def open_account(
    unit: Connection, asset: AssetId, name: str, flags: AccountFlags
) -> Refusal | None:
    """Open an account; None also when it is open already with these flags."""
    return open_accounts(unit, [Opening(asset=asset, name=name, flags=flags)])[0]


def open_accounts(unit: Connection, openings: Sequence[Opening]) -> list[Refusal | None]:
    """Open accounts; None for each that is now open with the flags asked for."""
    assert len(openings) <= BATCH_MAX, "too many accounts in one opening"
    former = store.head(unit)
    ids = [account_id(item.asset, item.name) for item in openings]
    flags = {key: row.flags for key, row in store.account_rows(unit, ids).items()}
    fresh: list[Opening] = []
    outcomes: list[Refusal | None] = []
    for key, item in zip(ids, openings, strict=True):
        if key not in flags:
            flags[key] = int(item.flags)
            fresh.append(item)
        same = flags[key] == item.flags
        reason = AccountReason.EXISTS_WITH_DIFFERENT_FLAGS
        outcomes.append(None if same else Refusal(reason, item.name))
    if fresh:
        append_openings(unit, former, fresh)
    return outcomes


def ensure(unit: Connection, asset: AssetId, names: Iterable[str]) -> None:
    """Open those of the named accounts that are missing, with the limits of the chart."""
    openings = [chart.opening(asset, name) for name in sorted(set(names))]
    refused = [item for item in open_accounts(unit, openings) if item is not None]
    assert not refused, f"the chart changed under an open account: {refused[0]}"


def apply(unit: Connection, transfers: Sequence[Transfer], at_us: int) -> list[Refusal | None]:
    """Book transfers in order; for each, None once it is booked, else why it is not.

    None is also the answer to a retry: the ledger holds this very transfer. Linked transfers
    are booked together or not at all: the one that stopped its chain gives its reason, the
    others `LINKED_EVENT_FAILED`. A refused transfer leaves no trace and may be sent again.
    At most `BATCH_MAX` at once; `in_batches` cuts longer lists between chains.
    """
    assert len(transfers) <= BATCH_MAX, "too many transfers in one batch"
    assert 0 <= at_us <= AT_US_MAX
    former = store.head(unit)
    batch = _load(unit, transfers, at_us)
    outcomes = batch.run(transfers)
    assert len(outcomes) == len(transfers)
    if batch.entries:
        append_transfers(unit, former, batch, at_us)
    return outcomes


def in_batches(transfers: Iterable[Transfer]) -> Iterator[list[Transfer]]:
    """Cut a long list into batches that `apply` takes; a chain is never cut."""
    batch: list[Transfer] = []
    chain: list[Transfer] = []
    for transfer in transfers:
        chain.append(transfer)
        assert len(chain) <= BATCH_MAX, "a chain is longer than a batch"
        if transfer.flags & LINKED:
            continue
        if len(batch) + len(chain) > BATCH_MAX:
            yield batch
            batch = []
        batch += chain
        chain = []
    assert not chain, "the last chain is open"
    if batch:
        yield batch


def expire(unit: Connection, now_us: int, *, limit: int = EXPIRE_MAX) -> list[Id]:
    """Release holds whose time is over, oldest first, at most `limit`; return their ids.

    A hold is over at `expires_us` whether or not this ran: it can no longer be posted. This
    gives what it held back to its account.
    """
    assert 0 < limit <= BATCH_MAX
    due = store.due_holds(unit, now_us=now_us, limit=limit)
    outcomes = apply(unit, [expire_hold(hold) for hold in due], now_us)
    assert outcomes == [None] * len(due), "a due hold does not expire"
    return [hold.transfer_id for hold in due]


def balance(unit: Connection, asset: AssetId, name: str) -> Balance:
    """Return what stands on an account; nothing where it is not open."""
    found = account(unit, asset, name)
    return Balance() if found is None else found.balance


def balances(unit: Connection, asset: AssetId, names: Iterable[str]) -> dict[str, Balance]:
    """Return what stands on some accounts, by name; nothing where one is not open."""
    ids = {account_id(asset, name): name for name in names}
    rows = store.account_rows(unit, ids)
    return {name: rows[key].balance if key in rows else Balance() for key, name in ids.items()}


def account(unit: Connection, asset: AssetId, name: str) -> Account | None:
    """Return an account with its flags and balance, or None where it is not open."""
    return store.account(unit, account_id(asset, name))


def accounts(unit: Connection, asset: AssetId, *, prefix: str = "") -> list[Account]:
    """Return an asset's accounts whose names begin with `prefix`, ascending by name."""
    return list(store.accounts_of(unit, asset, prefix))


def accounts_after(
    unit: Connection, asset: AssetId, prefix: str, after: str, *, limit: int
) -> list[Account]:
    """Return an asset's accounts whose names begin with `prefix` and follow a name, ascending."""
    return store.accounts_after(unit, asset, prefix, after, limit=limit)


def held_by(unit: Connection, asset: AssetId, *, prefix: str) -> tuple[int, int]:
    """Return how many of an asset's accounts of a prefix hold something, and how much, minor."""
    return store.held_by(unit, asset, prefix)


def accounts_named(unit: Connection, name: str) -> list[Account]:
    """Return the accounts of one name in every asset, ascending by asset."""
    return store.accounts_named(unit, name)


def last_us(unit: Connection, asset: AssetId, name: str) -> int:
    """Return when an account was last booked on, zero where it never was."""
    return store.last_us(unit, account_id(asset, name))


def credits_since(unit: Connection, asset: AssetId, name: str, since_us: int, *, limit: int) -> int:
    """Return how often an account was credited after an instant, counting `limit` at most."""
    return store.credits_since(unit, account_id(asset, name), since_us, limit=limit)


def amounts(
    unit: Connection, asset: AssetId, name: str, code: str, *, credited: bool
) -> Sequence[int]:
    """Return by which amounts, each once, an account was credited under a code, or debited."""
    return store.amounts(unit, account_id(asset, name), code, credited=credited)


def booked(unit: Connection, transfer_ids: Iterable[Id]) -> dict[Id, Booked]:
    """Return the booked among some transfers, by id: what each moved, and when."""
    return store.booked(unit, transfer_ids)


def hold(unit: Connection, hold_id: Id) -> Hold | None:
    """Return a hold and where it stands, or None where there never was one."""
    return store.hold(unit, hold_id)


def statement(
    unit: Connection, asset: AssetId, name: str, *, after: int = 0, limit: int = STATEMENT_MAX
) -> list[Line]:
    """Return an account's transfers numbered above `after`, oldest first, at most `limit`.

    Each line carries the balance after it, so a page can be read alone; the next page starts
    after the last line's `sequence`.
    """
    assert 0 < limit <= STATEMENT_MAX
    key = account_id(asset, name)
    balance_minor = store.posted_before(unit, key, after)
    page: list[Line] = []
    for item, released_minor in store.lines(unit, key, after=after, limit=limit):
        line = _line(item, name, released_minor=released_minor, balance_minor=balance_minor)
        balance_minor = line.balance_minor
        page.append(line)
    return page


def moves_on(unit: Connection, prefix: str, *, after: int, limit: int) -> tuple[list[Booked], int]:
    """Return what moved on accounts whose names begin with `prefix`, and how far was looked.

    Looked at are the `limit` transfers numbered above `after`, so a follower that goes on from the
    number returned reads each once.
    """
    assert 0 < limit <= STATEMENT_MAX
    until = min(after + limit, store.head(unit).sequence)
    return list(store.moves_on(unit, prefix, after=after, until=until)), until


def sum_minor(unit: Connection) -> dict[AssetId, int]:
    """Return posted debits less posted credits per asset: zero each, or the ledger is broken."""
    return store.sums(unit)


def head(unit: Connection) -> Head:
    """Return the newest journal entry; keep it elsewhere and `check` finds a cut-off tail."""
    return store.head(unit)


def check(unit: Connection, *, known: Head | None = None) -> Audit:
    """Replay the whole ledger and compare; `known` is a head that was kept elsewhere."""
    return audit.check(unit, known=known)


def export_beancount(unit: Connection) -> Iterator[str]:
    """Give the whole ledger line by line in beancount's language."""
    return export.export_beancount(unit)


def _line(item: Booked, name: str, *, released_minor: int, balance_minor: int) -> Line:
    transfer = item.transfer
    sign = 1 if transfer.credit == name else -1
    opens = TransferFlags.PENDING in transfer.flags
    posted_minor = 0 if opens else sign * item.moved_minor
    return Line(
        sequence=item.sequence,
        at_us=item.at_us,
        transfer_id=transfer.transfer_id,
        code=transfer.code,
        counterpart=transfer.debit if sign > 0 else transfer.credit,
        posted_minor=posted_minor,
        held_minor=sign * ((item.moved_minor if opens else 0) - released_minor),
        balance_minor=balance_minor + posted_minor,
        reference=transfer.reference,
    )


def _load(unit: Connection, transfers: Sequence[Transfer], at_us: int) -> Batch:
    named = {account_id(item.asset, item.debit) for item in transfers}
    named.update(account_id(item.asset, item.credit) for item in transfers)
    holds = {item.hold_id for item in transfers if item.hold_id is not None}
    known = store.booked(unit, {item.transfer_id for item in transfers})
    return Batch(
        at_us=at_us,
        accounts=store.account_rows(unit, named),
        holds=store.hold_rows(unit, holds) if holds else {},
        known={key: item.transfer for key, item in known.items()},
    )
