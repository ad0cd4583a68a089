"""The tables of staking. Amounts are decimal text: the contract's go beyond 64 bits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    bindparam,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from opencarrier.chain.contracts import Tier
from opencarrier.kernel.signatures import Address
from opencarrier.rowsets import Lookup
from opencarrier.spine.parties import PartyId
from opencarrier.staking.model import Binding, Commitment, StakeContract

metadata = MetaData()

contracts = Table(
    "staking_contracts",
    metadata,
    Column("address", String(42), primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset", String(160), nullable=False),
    Column("cap_ppm", BigInteger, nullable=False),
    Column("followed_s", BigInteger, nullable=False),
)

tiers = Table(
    "staking_tiers",
    metadata,
    Column("contract", String(42), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("min_amount", String(49), nullable=False),
    Column("min_lock_s", BigInteger, nullable=False),
    Column("discount_ppm", Integer, nullable=False),
)

commitments = Table(
    "staking_commitments",
    metadata,
    Column("contract", String(42), primary_key=True),
    Column("account", String(42), primary_key=True),
    Column("at_s", BigInteger, primary_key=True),
    Column("amount", String(49), nullable=False),
    Column("lock_s", BigInteger, nullable=False),
    Column("began_s", BigInteger, nullable=False),
)

bindings = Table(
    "staking_bindings",
    metadata,
    Column("contract", String(42), primary_key=True),
    Column("home", String(48), primary_key=True),
    Column("account", String(42), primary_key=True),
    Column("subscriber", String(48), nullable=False),
    Column("bound_us", BigInteger, nullable=False),
    Column("free_us", BigInteger, nullable=True),
    Index("staking_bindings_subscriber", "subscriber"),
)


def put_contract(unit: Connection, item: StakeContract) -> None:
    """Keep a contract that begins to be followed; one that is known stays as it is."""
    row = {
        "address": item.address,
        "chain_id": item.chain_id,
        "asset": item.asset,
        "cap_ppm": item.cap_ppm,
        "followed_s": item.followed_s,
    }
    unit.execute(insert(contracts).on_conflict_do_nothing(), row)


def contract(unit: Connection, address: Address) -> StakeContract | None:
    """Return a contract as far as it was followed."""
    row = unit.execute(select(contracts).where(contracts.c.address == address)).one_or_none()
    if row is None:
        return None
    query = select(tiers).where(tiers.c.contract == address).order_by(tiers.c.place)
    return StakeContract(
        address=row.address,
        chain_id=row.chain_id,
        asset=row.asset,
        cap_ppm=row.cap_ppm,
        tiers=tuple(_tier(tier) for tier in unit.execute(query)),
        followed_s=row.followed_s,
    )


def addresses(unit: Connection) -> list[Address]:
    """Return the contracts that are followed, ascending."""
    query = select(contracts.c.address).order_by(contracts.c.address)
    return [Address(address) for address in unit.execute(query).scalars()]


def add_tier(unit: Connection, address: Address, place: int, tier: Tier) -> None:
    """Keep a contract's next tier."""
    row = {
        "contract": address,
        "place": place,
        "min_amount": str(tier.min_amount),
        "min_lock_s": tier.min_lock_s,
        "discount_ppm": tier.discount_ppm,
    }
    unit.execute(tiers.insert(), row)


def set_cap(unit: Connection, address: Address, cap_ppm: int) -> None:
    """Keep a contract's spend cap."""
    unit.execute(contracts.update().where(contracts.c.address == address).values(cap_ppm=cap_ppm))


def set_followed(unit: Connection, address: Address, followed_s: int) -> None:
    """Keep how far a contract was followed; never back."""
    unit.execute(
        contracts.update()
        .where(contracts.c.address == address, contracts.c.followed_s < followed_s)
        .values(followed_s=followed_s)
    )


def put_commitment(unit: Connection, address: Address, item: Commitment) -> None:
    """Keep what an account has from an instant on; the last of a second stays."""
    row = {
        "contract": address,
        "account": item.account,
        "at_s": item.at_s,
        "amount": str(item.amount),
        "lock_s": item.lock_s,
        "began_s": item.began_s,
    }
    unit.execute(_put(commitments, row))


def commitment(
    unit: Connection, address: Address, account: Address, at_s: int
) -> Commitment | None:
    """Return what an account had in a second, None where it never had anything by then."""
    query = (
        select(commitments)
        .where(
            commitments.c.contract == address,
            commitments.c.account == account,
            commitments.c.at_s <= at_s,
        )
        .order_by(commitments.c.at_s.desc())
        .limit(1)
    )
    row = unit.execute(query).one_or_none()
    if row is None:
        return None
    return Commitment(
        account=row.account,
        at_s=row.at_s,
        amount=int(row.amount),
        lock_s=row.lock_s,
        began_s=row.began_s,
    )


def put_binding(unit: Connection, item: Binding) -> None:
    """Bind an account, in place of whoever had it at that home."""
    row = {
        "contract": item.contract,
        "home": item.home,
        "account": item.account,
        "subscriber": item.subscriber,
        "bound_us": item.bound_us,
        "free_us": item.free_us,
    }
    unit.execute(_put(bindings, row))


def binding(unit: Connection, address: Address, home: PartyId, account: Address) -> Binding | None:
    """Return whose an account is, or was last, at a home."""
    query = select(bindings).where(
        bindings.c.contract == address, bindings.c.home == home, bindings.c.account == account
    )
    row = unit.execute(query).one_or_none()
    return None if row is None else _binding(row)


def bound(unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
    """Return those of some subscribers that have a binding and did not give it up."""
    return {row.subscriber for row in _bound(unit, subscribers)}


_bound = Lookup(
    select(bindings.c.subscriber).where(bindings.c.free_us.is_(None)), bindings.c.subscriber
)
_BINDING_OF = select(bindings).where(
    bindings.c.subscriber == bindparam("bound"), bindings.c.free_us.is_(None)
)


def binding_of(unit: Connection, subscriber: PartyId) -> Binding | None:
    """Return the binding a subscriber has, None where it has none or gave it up."""
    row = unit.execute(_BINDING_OF, {"bound": subscriber}).one_or_none()
    return None if row is None else _binding(row)


def _put(table: Table, row: Mapping[str, Any]) -> Insert:
    """Insert a row, in place of the one with its key."""
    keys = [column.name for column in table.primary_key]
    return insert(table).values(row).on_conflict_do_update(index_elements=keys, set_=row)


def _tier(row: Row[Any]) -> Tier:
    return Tier(
        min_amount=int(row.min_amount),
        min_lock_s=row.min_lock_s,
        discount_ppm=row.discount_ppm,
    )


def _binding(row: Row[Any]) -> Binding:
    return Binding(
        contract=row.contract,
        home=row.home,
        account=row.account,
        subscriber=row.subscriber,
        bound_us=row.bound_us,
        free_us=row.free_us,
    )
