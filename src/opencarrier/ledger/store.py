"""The ledger's tables, and the few statements that read and write them.

Transfers and journal entries are only ever inserted. Account balances and hold states are
projections that `audit` computes again from the transfers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
)

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.ledger.batch import AccountRow, HoldRow
from opencarrier.ledger.journal import BEFORE_FIRST
from opencarrier.ledger.model import (
    Account,
    AccountFlags,
    Balance,
    Booked,
    Head,
    Hold,
    HoldState,
    Transfer,
    TransferFlags,
)
from opencarrier.rowsets import Change, Insertion, Lookup

metadata = MetaData()
AnyRow: TypeAlias = Row[*tuple[Any, ...]]
_Number = BigInteger().with_variant(Integer(), "sqlite")
"""A primary key SQLite stores as its row number, 64 bits everywhere."""

accounts = Table(
    "ledger_accounts",
    metadata,
    Column("account_id", LargeBinary(32), primary_key=True),
    Column("asset", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("entry", BigInteger, nullable=False, index=True),
    Column("debits_pending", BigInteger, nullable=False),
    Column("debits_posted", BigInteger, nullable=False),
    Column("credits_pending", BigInteger, nullable=False),
    Column("credits_posted", BigInteger, nullable=False),
    UniqueConstraint("asset", "name"),
)

transfers = Table(
    "ledger_transfers",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("transfer_id", LargeBinary(32), nullable=False, unique=True),
    Column("debit_id", LargeBinary(32), nullable=False),
    Column("credit_id", LargeBinary(32), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("moved_minor", BigInteger, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("hold_id", LargeBinary(32)),
    Column("expires_us", BigInteger),
    Column("code", Text, nullable=False),
    Column("reference", LargeBinary(32)),
    Column("entry", BigInteger, nullable=False),
    Index("ledger_transfers_debit", "debit_id", "sequence"),
    Index("ledger_transfers_credit", "credit_id", "sequence"),
)

holds = Table(
    "ledger_holds",
    metadata,
    Column("hold_id", LargeBinary(32), primary_key=True),
    Column("state", Integer, nullable=False),
    Column("expires_us", BigInteger),
    Column("resolved_by", LargeBinary(32)),
)
Index(
    "ledger_holds_due",
    holds.c.expires_us,
    sqlite_where=holds.c.state == int(HoldState.PENDING),
    postgresql_where=holds.c.state == int(HoldState.PENDING),
)

journal = Table(
    "ledger_journal",
    metadata,
    Column("entry", _Number, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger),
    Column("sequence", BigInteger, nullable=False),
    Column("entry_hash", LargeBinary(32), nullable=False),
)

_CHUNK: Final = 2_000
"""Rows in memory at once."""

_newest = select(journal).order_by(journal.c.entry.desc()).limit(1)
_BALANCE = (
    accounts.c.debits_pending,
    accounts.c.debits_posted,
    accounts.c.credits_pending,
    accounts.c.credits_posted,
)
_insert_entry = Insertion(journal)
_insert_transfers = Insertion(transfers)
_insert_holds = Insertion(holds)
_change_balances = Change(accounts, ["account_id"], [column.name for column in _BALANCE])
_resolve_holds = Change(holds, ["hold_id"], ["state", "resolved_by"])
_transfer_row: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*transfers.c.keys())
_MOVES = transfers.c.flags.bitwise_and(int(TransferFlags.PENDING)) == 0
_debit = accounts.alias("debit")
_credit = accounts.alias("credit")
_booked = (
    select(
        transfers,
        journal.c.at_us,
        _debit.c.asset,
        _debit.c.name.label("debit"),
        _credit.c.name.label("credit"),
    )
    .join(journal, journal.c.entry == transfers.c.entry)
    .join(_debit, _debit.c.account_id == transfers.c.debit_id)
    .join(_credit, _credit.c.account_id == transfers.c.credit_id)
)


def head(unit: Connection) -> Head:
    """Return the newest journal entry."""
    row = unit.execute(_newest).first()
    if row is None:
        return BEFORE_FIRST
    return Head(entry=row.entry, sequence=row.sequence, entry_hash=row.entry_hash)


def account_rows(unit: Connection, ids: Iterable[Id]) -> dict[Id, AccountRow]:
    """Return the accounts among `ids` that are open."""
    return {row[0]: AccountRow(*row) for row in _accounts_by_id(unit, ids)}


def hold_rows(unit: Connection, ids: Iterable[Id]) -> dict[Id, HoldRow]:
    """Return the holds among `ids` that were ever opened."""
    return {row[0]: HoldRow(*row) for row in _holds_by_id(unit, ids)}


def booked(unit: Connection, ids: Iterable[Id]) -> dict[Id, Booked]:
    """Return the transfers among `ids` that are booked."""
    found = (to_booked(row) for row in _booked_by_id(unit, ids))
    return {item.transfer.transfer_id: item for item in found}


_accounts_by_id = Lookup(
    select(accounts.c.account_id, accounts.c.flags, *_BALANCE), accounts.c.account_id
)
_holds_by_id = Lookup(
    select(
        holds.c.hold_id,
        transfers.c.debit_id,
        transfers.c.credit_id,
        transfers.c.moved_minor,
        holds.c.expires_us,
        holds.c.state,
        holds.c.resolved_by,
    ).join(transfers, transfers.c.transfer_id == holds.c.hold_id),
    holds.c.hold_id,
)
_booked_by_id = Lookup(_booked, transfers.c.transfer_id)


def to_booked(row: AnyRow) -> Booked:
    """Read a row of the `booked` query."""
    transfer = Transfer(
        transfer_id=row.transfer_id,
        asset=row.asset,
        debit=row.debit,
        credit=row.credit,
        amount_minor=row.amount_minor,
        code=row.code,
        flags=TransferFlags(row.flags),
        hold_id=row.hold_id,
        expires_us=row.expires_us,
        reference=row.reference,
    )
    return Booked(
        transfer=transfer, moved_minor=row.moved_minor, at_us=row.at_us, sequence=row.sequence
    )


def hold(unit: Connection, hold_id: Id) -> Hold | None:
    """Return a hold and where it stands."""
    resolution = transfers.alias("resolution")
    query = (
        select(holds.c.state, resolution.c.moved_minor)
        .outerjoin(resolution, resolution.c.transfer_id == holds.c.resolved_by)
        .where(holds.c.hold_id == hold_id)
    )
    row = unit.execute(query).first()
    if row is None:
        return None
    opened = booked(unit, [hold_id])[hold_id]
    return Hold(booked=opened, state=HoldState(row.state), posted_minor=row.moved_minor or 0)


def due_holds(unit: Connection, *, now_us: int, limit: int) -> list[Transfer]:
    """Return pending holds whose time is over, the oldest first."""
    query = (
        _booked.join(holds, holds.c.hold_id == transfers.c.transfer_id)
        .where(holds.c.state == int(HoldState.PENDING), holds.c.expires_us <= now_us)
        .order_by(holds.c.expires_us, holds.c.hold_id)
        .limit(limit)
    )
    return [to_booked(row).transfer for row in unit.execute(query)]


_account = select(accounts).where(accounts.c.account_id == bindparam("key"))


def account(unit: Connection, key: Id) -> Account | None:
    """Return an account."""
    row = unit.execute(_account, {"key": key}).first()
    return None if row is None else to_account(row)


def accounts_of(unit: Connection, asset: AssetId | None, prefix: str) -> Iterator[Account]:
    """Return accounts whose name begins with `prefix`, ascending by asset and name."""
    query = select(accounts).order_by(accounts.c.asset, accounts.c.name)
    if asset is not None:
        query = query.where(accounts.c.asset == asset)
    if prefix:
        query = query.where(accounts.c.name >= prefix, accounts.c.name < prefix + "\x7f")
    return (to_account(row) for row in unit.execute(query))


def accounts_after(
    unit: Connection, asset: AssetId, prefix: str, after: str, *, limit: int
) -> list[Account]:
    """Return accounts whose name begins with `prefix` and follows another, ascending by name."""
    names = accounts.c.name
    chosen = (accounts.c.asset == asset) & (names > after) & (names < prefix + "\x7f")
    query = select(accounts).where(chosen).order_by(names).limit(limit)
    return [to_account(row) for row in unit.execute(query)]


def accounts_named(unit: Connection, name: str) -> list[Account]:
    """Return the accounts of one name in every asset, ascending by asset."""
    query = select(accounts).where(accounts.c.name == name).order_by(accounts.c.asset)
    return [to_account(row) for row in unit.execute(query)]


def last_us(unit: Connection, key: Id) -> int:
    """Return when an account was last booked on, zero where it never was."""
    query = (
        select(func.max(journal.c.at_us))
        .join(transfers, transfers.c.entry == journal.c.entry)
        .where(or_(transfers.c.debit_id == key, transfers.c.credit_id == key))
    )
    return unit.execute(query).scalar() or 0


def credits_since(unit: Connection, key: Id, since_us: int, *, limit: int) -> int:
    """Count the newest credits of an account that were booked after an instant, up to a limit."""
    newest = (
        select(transfers.c.entry)
        .where(transfers.c.credit_id == key)
        .order_by(transfers.c.sequence.desc())
        .limit(limit)
        .subquery()
    )
    query = (
        select(func.count()).select_from(newest).join(journal, journal.c.entry == newest.c.entry)
    )
    return unit.execute(query.where(journal.c.at_us > since_us)).scalar_one()


def amounts(unit: Connection, key: Id, code: str, *, credited: bool) -> list[int]:
    """Return by which amounts, each once, an account was credited under a code, or debited."""
    side = transfers.c.credit_id if credited else transfers.c.debit_id
    chosen = (side == key) & (transfers.c.code == code)
    return list(unit.scalars(select(transfers.c.amount_minor).distinct().where(chosen)))


def to_account(row: AnyRow) -> Account:
    """Read a row of `accounts`."""
    balance = Balance(
        debits_pending=row.debits_pending,
        debits_posted=row.debits_posted,
        credits_pending=row.credits_pending,
        credits_posted=row.credits_posted,
    )
    return Account(
        account_id=row.account_id,
        asset=row.asset,
        name=row.name,
        flags=AccountFlags(row.flags),
        balance=balance,
    )


def sums(unit: Connection) -> dict[AssetId, int]:
    """Return debits less credits posted, per asset; exact beyond 64 bits."""
    halves = _halves(accounts.c.debits_posted - accounts.c.credits_posted)
    query = select(accounts.c.asset, *halves).group_by(accounts.c.asset)
    return {asset: _whole(high, low) for asset, high, low in unit.execute(query)}


def held_by(unit: Connection, asset: AssetId, prefix: str) -> tuple[int, int]:
    """Return how many accounts of a prefix have more credits than debits, and by how much."""
    column = accounts.c.credits_posted - accounts.c.debits_posted
    query = select(func.count(), *_halves(column)).where(
        accounts.c.asset == asset,
        accounts.c.name >= prefix,
        accounts.c.name < prefix + "\x7f",
        column > 0,
    )
    number, high, low = unit.execute(query).one()
    return number, _whole(high, low)


def _halves(column: ColumnElement[int]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Sum the upper and the lower 32 bits apart: a sum may not fit in 64."""
    high = column.bitwise_rshift(literal(32, Integer))
    return func.sum(high), func.sum(column.bitwise_and(0xFFFF_FFFF))


def _whole(high: int | None, low: int | None) -> int:
    return (int(high or 0) << 32) + int(low or 0)


def posted_before(unit: Connection, key: Id, after: int) -> int:
    """Return what was posted on an account by transfers numbered up to `after`, credit positive."""

    def total(side: Column[Any]) -> int:
        query = select(func.sum(transfers.c.moved_minor)).where(
            side == key, transfers.c.sequence <= after, _MOVES
        )
        return int(unit.execute(query).scalar_one() or 0)

    return total(transfers.c.credit_id) - total(transfers.c.debit_id)


def lines(unit: Connection, key: Id, *, after: int, limit: int) -> list[tuple[Booked, int]]:
    """Return an account's transfers after a sequence number, each with what it took off a hold."""
    released = transfers.alias("released")
    query = (
        _booked.add_columns(released.c.moved_minor.label("released_minor"))
        .outerjoin(released, released.c.transfer_id == transfers.c.hold_id)
        .where(or_(transfers.c.debit_id == key, transfers.c.credit_id == key))
        .where(transfers.c.sequence > after)
        .order_by(transfers.c.sequence)
        .limit(limit)
    )
    return [(to_booked(row), row.released_minor or 0) for row in unit.execute(query)]


def moves(unit: Connection) -> Iterator[Booked]:
    """Return every transfer that moved money, by time."""
    query = _booked.where(_MOVES, transfers.c.moved_minor > 0)
    ordered = query.order_by(journal.c.at_us, transfers.c.sequence)
    return (to_booked(row) for row in unit.execute(ordered).yield_per(_CHUNK))


def moves_on(unit: Connection, prefix: str, *, after: int, until: int) -> Iterator[Booked]:
    """Return what moved money on accounts whose name begins with `prefix`, by number."""
    named = or_(
        *(and_(side.c.name >= prefix, side.c.name < prefix + "\x7f") for side in (_debit, _credit))
    )
    query = (
        _booked.where(transfers.c.sequence > after, transfers.c.sequence <= until)
        .where(_MOVES, transfers.c.moved_minor > 0, named)
        .order_by(transfers.c.sequence)
    )
    return (to_booked(row) for row in unit.execute(query).yield_per(_CHUNK))


def span_us(unit: Connection) -> tuple[int, int]:
    """Return the first and the last time in the journal, zeros where nothing is booked."""
    first, last = unit.execute(select(func.min(journal.c.at_us), func.max(journal.c.at_us))).one()
    return first or 0, last or 0


def every(unit: Connection, table: Table, *order: Column[Any]) -> Iterator[AnyRow]:
    """Return a table's rows in an order, a bounded number in memory at once."""
    return iter(unit.execute(select(table).order_by(*order)).yield_per(_CHUNK))


def insert_accounts(unit: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert accounts with nothing on them."""
    zero = dict.fromkeys((column.name for column in _BALANCE), 0)
    unit.execute(accounts.insert(), [{**row, **zero} for row in rows])


def insert_transfers(unit: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert booked transfers."""
    _insert_transfers(unit, [_transfer_row(row) for row in rows])


def insert_entry(unit: Connection, new: Head, at_us: int | None) -> None:
    """Append to the journal; a concurrent writer of the same entry fails here."""
    _insert_entry(unit, [(new.entry, at_us, new.sequence, new.entry_hash)])


def write_balances(unit: Connection, rows: Iterable[AccountRow]) -> None:
    """Write what a batch left on accounts."""
    changed = [
        (
            row.account_id,
            row.debits_pending,
            row.debits_posted,
            row.credits_pending,
            row.credits_posted,
        )
        for row in rows
    ]
    found = _change_balances(unit, changed)
    assert found == len(changed), "an account is gone"


def write_holds(
    unit: Connection, *, opened: Sequence[HoldRow], resolved: Sequence[HoldRow]
) -> None:
    """Write the holds a batch opened and those it resolved."""
    _insert_holds(
        unit, [(row.hold_id, row.state, row.expires_us, row.resolved_by) for row in opened]
    )
    _resolve_holds(unit, [(row.hold_id, row.state, row.resolved_by) for row in resolved])
