"""Records of adjustments, as they are kept: in which position, and hidden by which salt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from opencarrier.clearing.store import due_records, positions
from opencarrier.kernel.ids import Id


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRecord:
    """A record of an adjustment: the only one of its position."""

    record_id: Id
    adjustment_id: Id
    role: int
    position_id: Id
    salt: bytes
    leaf_hash: bytes


def add(unit: Connection, record: DueRecord) -> None:
    """Keep a record of a position that is kept already."""
    row = {name: getattr(record, name) for name in DueRecord.__slots__}
    unit.execute(due_records.insert(), row)


def is_recorded(unit: Connection, adjustment_id: Id) -> bool:
    """Say whether an adjustment has its records already."""
    return bool(of_adjustment(unit, adjustment_id))


def of_adjustment(unit: Connection, adjustment_id: Id) -> list[DueRecord]:
    """Return an adjustment's records, the whole first."""
    query = select(due_records).where(due_records.c.adjustment_id == adjustment_id)
    return [_record(row) for row in unit.execute(query.order_by(due_records.c.role))]


def of_record(unit: Connection, record_id: Id) -> DueRecord | None:
    """Return an adjustment's record by its id; None where it is of no adjustment."""
    query = select(due_records).where(due_records.c.record_id == record_id)
    row = unit.execute(query).one_or_none()
    return None if row is None else _record(row)


def of_position(unit: Connection, position_id: Id) -> DueRecord | None:
    """Return the record a position is made of; None where it is made of use."""
    query = select(due_records).where(due_records.c.position_id == position_id)
    row = unit.execute(query).one_or_none()
    return None if row is None else _record(row)


def settled_in(unit: Connection, cycle_id: Id) -> Sequence[DueRecord]:
    """Return the records of adjustments that a cycle settles, ascending."""
    query = (
        select(due_records)
        .join(positions, positions.c.position_id == due_records.c.position_id)
        .where(positions.c.settled_in == cycle_id)
        .order_by(due_records.c.record_id)
    )
    return [_record(row) for row in unit.execute(query)]


def _record(row: Row[Any]) -> DueRecord:
    return DueRecord(
        record_id=Id(row.record_id),
        adjustment_id=Id(row.adjustment_id),
        role=row.role,
        position_id=Id(row.position_id),
        salt=row.salt,
        leaf_hash=row.leaf_hash,
    )
