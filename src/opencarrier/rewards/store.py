"""The tables of the rewards: cycles, and what each account earned in each of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
)

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.rewards.model import NO_ROOT, CycleRewards, Share

metadata = MetaData()

cycles = Table(
    "rewards_cycles",
    metadata,
    Column("asset", String(128), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("cycle_id", LargeBinary(32), nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("funded_minor", BigInteger, nullable=False),
    UniqueConstraint("asset", "cycle_id", name="rewards_cycle_once"),
    CheckConstraint("total_minor >= 0", name="rewards_total_not_negative"),
    CheckConstraint("funded_minor >= total_minor", name="rewards_funded_covers_total"),
)

shares = Table(
    "rewards_shares",
    metadata,
    Column("asset", String(128), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("account", String(42), primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("lifetime_minor", BigInteger, nullable=False),
    ForeignKeyConstraint(["asset", "number"], ["rewards_cycles.asset", "rewards_cycles.number"]),
    CheckConstraint("amount_minor > 0", name="rewards_share_positive"),
    CheckConstraint("lifetime_minor >= amount_minor", name="rewards_lifetime_covers_share"),
    Index("rewards_shares_by_account", "asset", "account", "number"),
)


def _day_columns() -> list[Column[Any]]:
    """Return what both sums by day say; `day` counts from 1970-01-01 in UTC."""
    return [
        Column("asset", String(128), primary_key=True),
        Column("day", Integer, primary_key=True, autoincrement=False),
        Column("reason", String(16), primary_key=True),
        Column("amount_minor", BigInteger, nullable=False),
        Column("uses", BigInteger, nullable=False),
        Column("octets", BigInteger, nullable=False),
    ]


host_days = Table(
    "rewards_host_day", metadata, Column("host", String(48), primary_key=True), *_day_columns()
)

node_days = Table(
    "rewards_node_day",
    metadata,
    Column("host", String(48), primary_key=True),
    Column("node_id", String(64), primary_key=True),
    *_day_columns(),
)

followed = Table(
    "rewards_followed",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
)
"""How far the ledger was read for the sums by day."""


def add(unit: Connection, cycle: CycleRewards, cycle_shares: Sequence[Share]) -> None:
    """Keep a cycle and its shares."""
    unit.execute(
        insert(cycles).values(
            asset=cycle.asset,
            number=cycle.number,
            cycle_id=cycle.cycle_id,
            root=cycle.root,
            total_minor=cycle.total_minor,
            funded_minor=cycle.funded_minor,
        )
    )
    rows = [
        {
            "asset": cycle.asset,
            "number": cycle.number,
            "account": share.account,
            "amount_minor": share.amount_minor,
            "lifetime_minor": share.lifetime_minor,
        }
        for share in cycle_shares
    ]
    if rows:
        unit.execute(insert(shares), rows)


def remove(unit: Connection, cycle: CycleRewards) -> None:
    """Drop a cycle and its shares."""
    for table in (shares, cycles):
        unit.execute(
            delete(table).where(table.c.asset == cycle.asset, table.c.number == cycle.number)
        )


def by_cycle(unit: Connection, asset: AssetId, cycle_id: bytes) -> CycleRewards | None:
    """Return a cycle by its id."""
    query = select(cycles).where(cycles.c.asset == asset, cycles.c.cycle_id == cycle_id)
    return _cycle(unit.execute(query).one_or_none())


def by_root(unit: Connection, asset: AssetId, root: bytes) -> CycleRewards | None:
    """Return the newest cycle that published a root."""
    assert root != NO_ROOT, "no cycle publishes the empty root"
    query = (
        select(cycles)
        .where(cycles.c.asset == asset, cycles.c.root == root)
        .order_by(cycles.c.number.desc())
        .limit(1)
    )
    return _cycle(unit.execute(query).one_or_none())


def newest(
    unit: Connection, asset: AssetId, *, with_root: bool = False, before: int | None = None
) -> CycleRewards | None:
    """Return the newest cycle (of those `before` a number), or the newest that has a root."""
    query = select(cycles).where(cycles.c.asset == asset)
    if before is not None:
        query = query.where(cycles.c.number < before)
    if with_root:
        query = query.where(cycles.c.total_minor > 0)
    query = query.order_by(cycles.c.number.desc()).limit(1)
    return _cycle(unit.execute(query).one_or_none())


def roots(unit: Connection, asset: AssetId, *, limit: int) -> list[bytes]:
    """Return the roots of the cycles in which anybody earned anything, the newest first."""
    query = (
        select(cycles.c.root)
        .where(cycles.c.asset == asset, cycles.c.total_minor > 0)
        .order_by(cycles.c.number.desc())
        .limit(limit)
    )
    return [bytes(root) for root in unit.execute(query).scalars()]


def lifetimes(unit: Connection, asset: AssetId, *, through: int) -> dict[Address, int]:
    """Return every account's lifetime amount as of a cycle; it never shrinks, so the highest."""
    query = (
        select(shares.c.account, func.max(shares.c.lifetime_minor))
        .where(shares.c.asset == asset, shares.c.number <= through)
        .group_by(shares.c.account)
    )
    return {Address(account): lifetime for account, lifetime in unit.execute(query)}


def lifetime(unit: Connection, asset: AssetId, account: Address, *, through: int) -> int:
    """Return one account's lifetime amount as of a cycle, zero where it earned nothing."""
    query = (
        select(shares.c.lifetime_minor)
        .where(shares.c.asset == asset, shares.c.account == account, shares.c.number <= through)
        .order_by(shares.c.number.desc())
        .limit(1)
    )
    return int(unit.execute(query).scalar() or 0)


def shares_of(
    unit: Connection, asset: AssetId, number: int, *, accounts: Collection[Address] | None = None
) -> list[Share]:
    """Return a cycle's shares, or those of some accounts, ascending by account."""
    query = select(shares).where(shares.c.asset == asset, shares.c.number == number)
    if accounts is not None:
        query = query.where(shares.c.account.in_(accounts))
    query = query.order_by(shares.c.account)
    return [
        Share(
            account=Address(row.account),
            amount_minor=row.amount_minor,
            lifetime_minor=row.lifetime_minor,
        )
        for row in unit.execute(query)
    ]


def _cycle(row: Row[tuple[object, ...]] | None) -> CycleRewards | None:
    if row is None:
        return None
    return CycleRewards(
        cycle_id=Id(row.cycle_id),
        asset=AssetId(row.asset),
        number=row.number,
        root=row.root,
        total_minor=row.total_minor,
        funded_minor=row.funded_minor,
    )
