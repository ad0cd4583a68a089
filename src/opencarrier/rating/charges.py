"""Charges and what waits to become one, as they are read and written.

A suspended charge is marked, not deleted, when it was rated after all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from opencarrier.kernel.ids import Id
from opencarrier.rating.tables import (
    allocations,
    by_ids,
    charge_stakes,
    charges,
    suspense,
    tariffs,
)
from opencarrier.spine.money import Allocation, Charge, Kind, Role, StakeReading, Suspense
from opencarrier.spine.parties import PartyId

_FOR_TARIFF: Final = ("no_agreement", "no_tariff_in_force")
_FOR_NODE: Final = "no_node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A usage one of whose charges waits for something, with what it waits for."""

    suspense: Suspense
    home: PartyId | None
    visited: PartyId
    tariff_at_us: int


def insert_charges(
    unit: Connection, items: Sequence[tuple[Charge, Id, PartyId | None]], cycle_id: Id
) -> None:
    """Insert charges, each with its session and host, and their allocations."""
    if not items:
        return
    unit.execute(charges.insert(), [_charge_row(*item, cycle_id) for item in items])
    legs = [
        {
            "charge_id": item.charge_id,
            "place": place,
            "role": int(leg.role),
            "party": leg.party,
            "account": leg.account,
            "amount_minor": leg.amount_minor,
        }
        for item, _, _ in items
        for place, leg in enumerate(item.allocations)
    ]
    if legs:
        unit.execute(allocations.insert(), legs)
    stakes = [_stake_row(item.charge_id, item.stake) for item, _, _ in items if item.stake]
    if stakes:
        unit.execute(charge_stakes.insert(), stakes)


def charges_of(unit: Connection, usage_ids: Iterable[Id]) -> list[Charge]:
    """Return the charges of usages, ascending by usage id and kind."""
    rows = list(by_ids(unit, select(charges), usage_ids, charges.c.usage_id))
    legs: dict[bytes, list[Allocation]] = defaultdict(list)
    query = select(allocations).order_by(allocations.c.charge_id, allocations.c.place)
    ids = [row.charge_id for row in rows]
    for row in by_ids(unit, query, ids, allocations.c.charge_id):
        legs[row.charge_id].append(_allocation(row))
    stakes = {
        row.charge_id: _stake(row)
        for row in by_ids(unit, select(charge_stakes), ids, charge_stakes.c.charge_id)
    }
    found = [_charge(row, tuple(legs[row.charge_id]), stakes.get(row.charge_id)) for row in rows]
    return sorted(found, key=lambda charge: (charge.usage_id, charge.kind))


def usages_of_cycle(unit: Connection, cycle_id: Id) -> list[Id]:
    """Return the usages with a charge booked in a cycle, ascending."""
    query = select(charges.c.usage_id).where(charges.c.cycle_id == cycle_id).distinct()
    return sorted(Id(key) for key in unit.execute(query).scalars())


def host_of(unit: Connection, usage_id: Id) -> PartyId | None:
    """Return the host a usage's wholesale charge pays."""
    query = select(charges.c.host).where(
        charges.c.usage_id == usage_id, charges.c.kind == int(Kind.WHOLESALE)
    )
    found = unit.execute(query).scalar_one_or_none()
    return None if found is None else PartyId(found)


def write_suspense(unit: Connection, items: Iterable[Waiting], at_us: int) -> None:
    """Suspend charges; of one that waits already, why it waits now."""
    rows = [
        {
            "usage_id": item.suspense.usage_id,
            "kind": int(item.suspense.kind),
            "reason": item.suspense.reason,
            "detail": item.suspense.detail,
            "home": item.home,
            "visited": item.visited,
            "tariff_at_us": item.tariff_at_us,
            "suspended_us": at_us,
        }
        for item in items
    ]
    if rows:
        statement = insert(suspense)
        new = {"reason": statement.excluded.reason, "detail": statement.excluded.detail}
        unit.execute(
            statement.on_conflict_do_update(index_elements=["usage_id", "kind"], set_=new), rows
        )


def resolve_suspense(unit: Connection, keys: Iterable[tuple[Id, Kind]], at_us: int) -> None:
    """Mark suspended charges as rated after all."""
    rows = [{"key": usage_id, "what": int(kind), "at": at_us} for usage_id, kind in keys]
    if rows:
        unit.execute(_RESOLVED, rows)


def waiting(unit: Connection, usage_ids: Iterable[Id] | None = None) -> list[Suspense]:
    """Return all that waits, or what of some usages does, ascending by usage id and kind."""
    query = select(suspense).where(suspense.c.rated_us.is_(None))
    if usage_ids is None:
        rows = list(unit.execute(query))
    else:
        rows = list(by_ids(unit, query, usage_ids, suspense.c.usage_id))
    found = [
        Suspense(
            usage_id=Id(row.usage_id), kind=Kind(row.kind), reason=row.reason, detail=row.detail
        )
        for row in rows
    ]
    return sorted(found, key=lambda item: (item.usage_id, item.kind))


def retriable_usages(unit: Connection, *, limit: int) -> list[Id]:
    """Return suspended usages that may be rated now, the longest suspended first.

    Those that waited for a tariff, once it is there; those of an unknown node always.
    """
    in_force = (
        (tariffs.c.home == suspense.c.home)
        & (tariffs.c.visited == suspense.c.visited)
        & (tariffs.c.start_us <= suspense.c.tariff_at_us)
        & (tariffs.c.end_us > suspense.c.tariff_at_us)
    )
    came = suspense.c.reason.in_(_FOR_TARIFF) & select(tariffs.c.place).where(in_force).exists()
    query = (
        select(suspense.c.usage_id)
        .where(suspense.c.rated_us.is_(None), came | (suspense.c.reason == _FOR_NODE))
        .order_by(suspense.c.suspended_us, suspense.c.usage_id)
        .limit(limit)
    )
    return [Id(key) for key in unit.execute(query).scalars()]


@dataclass(frozen=True, slots=True)
class Charged:
    """What a charge is for, and between whom."""

    usage_id: Id
    payer: PartyId
    seller: PartyId


def charged_for(unit: Connection, charge_ids: Iterable[Id]) -> dict[Id, Charged]:
    """Return what some charges are for, by charge id; others than charges are left out."""
    columns = charges.c
    query = select(columns.charge_id, columns.usage_id, columns.payer, columns.seller)
    return {
        Id(row.charge_id): Charged(Id(row.usage_id), PartyId(row.payer), PartyId(row.seller))
        for row in by_ids(unit, query, charge_ids, columns.charge_id)
    }


def charged(unit: Connection, usage_ids: Iterable[Id]) -> set[tuple[Id, Kind]]:
    """Return which charges of some usages are made."""
    query = select(charges.c.usage_id, charges.c.kind)
    rows = by_ids(unit, query, usage_ids, charges.c.usage_id)
    return {(Id(row.usage_id), Kind(row.kind)) for row in rows}


_RESOLVED: Final = (
    suspense.update()
    .where(
        suspense.c.usage_id == bindparam("key"),
        suspense.c.kind == bindparam("what"),
        suspense.c.rated_us.is_(None),
    )
    .values(rated_us=bindparam("at"))
)


def _charge_row(item: Charge, session_id: Id, host: PartyId | None, cycle_id: Id) -> dict[str, Any]:
    return {
        "usage_id": item.usage_id,
        "kind": int(item.kind),
        "charge_id": item.charge_id,
        "cycle_id": cycle_id,
        "session_id": session_id,
        "host": host,
        "payer": item.payer,
        "seller": item.seller,
        "asset": item.asset,
        "amount_minor": item.amount_minor,
        "discount_minor": item.discount_minor,
        "tariff_hash": item.tariff_hash,
        "agreement_hash": item.agreement_hash,
        "rule_version": item.rule_version,
        "inputs": item.inputs,
    }


def _charge(row: Row[Any], legs: tuple[Allocation, ...], stake: StakeReading | None) -> Charge:
    return Charge(
        charge_id=row.charge_id,
        usage_id=row.usage_id,
        kind=Kind(row.kind),
        payer=row.payer,
        seller=row.seller,
        asset=row.asset,
        amount_minor=row.amount_minor,
        discount_minor=row.discount_minor,
        tariff_hash=row.tariff_hash,
        agreement_hash=row.agreement_hash,
        rule_version=row.rule_version,
        inputs=row.inputs,
        allocations=legs,
        stake=stake,
    )


def _stake_row(charge_id: Id, stake: StakeReading) -> dict[str, Any]:
    return {
        "charge_id": charge_id,
        "contract": stake.contract,
        "account": stake.account,
        "timepoint_s": stake.timepoint_s,
    }


def _stake(row: Row[Any]) -> StakeReading:
    return StakeReading(contract=row.contract, account=row.account, timepoint_s=row.timepoint_s)


def _allocation(row: Row[Any]) -> Allocation:
    return Allocation(
        role=Role(row.role), party=row.party, account=row.account, amount_minor=row.amount_minor
    )
