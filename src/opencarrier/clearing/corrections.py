"""Corrections: what both sides agreed on beside their records, and the records this moves.

A correction is a leaf of a position, as a record is one; nothing that was kept is changed.

    leaf   encode(["opencarrier/correction", correction_id, reference, entry_id, amount])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    func,
    insert,
    select,
    update,
)

from opencarrier.clearing import store
from opencarrier.clearing.model import Leaf, Standing
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.merkle import leaf_hash
from opencarrier.spine.money import Position

_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a session's debtor owes more than its records say, or, below zero, its creditor.

    `reference` is what both signed: the exchange or the dispute.
    """

    reference: Id
    entry_id: Id
    amount_minor: int

    @property
    def correction_id(self) -> Id:
        """Name it by whose consequence it is: there is one for each entry."""
        return derive("correction", self.reference, self.entry_id)

    @property
    def leaf_hash(self) -> bytes:
        """Return its leaf's hash."""
        fields = (self.correction_id, self.reference, self.entry_id, self.amount_minor)
        return leaf_hash(encode(["opencarrier/correction", *fields]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRecord:
    """A record, the position it is in, and where that stands."""

    leaf: Leaf
    position_id: Id
    standing: Standing
    is_accepted: bool

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was decided about it: its position waits and nobody accepted it."""
        return self.standing is Standing.OPEN and not self.is_accepted

    @property
    def is_under_way(self) -> bool:
        """Whether it is paid, or due as it stands."""
        return not self.is_fresh and self.standing is not Standing.REPLACED


def records_of(unit: Connection, usage_ids: Sequence[Id]) -> Iterator[PlacedRecord]:
    """Yield the records of usages with their positions' standing."""
    for start in range(0, len(usage_ids), _CHUNK):
        query = (
            select(store.records, store.positions.c.standing, store.positions.c.accepted_by)
            .join(store.positions, store.positions.c.position_id == store.records.c.position_id)
            .where(store.records.c.usage_id.in_(usage_ids[start : start + _CHUNK]))
            .order_by(store.records.c.usage_id)
        )
        for row in unit.execute(query):
            yield PlacedRecord(
                leaf=store.leaf_of(row),
                position_id=Id(row.position_id),
                standing=Standing(row.standing),
                is_accepted=row.accepted_by is not None,
            )


def move(unit: Connection, position_id: Id, leaves: Iterable[Leaf]) -> None:
    """Give records to another position, in the order of the leaves."""
    for leaf in leaves:
        where = store.records.c.usage_id == leaf.usage_id
        values = {"position_id": position_id, "leaf_index": leaf.index}
        unit.execute(update(store.records).where(where).values(**values))


def accept(unit: Connection, position_id: Id, by: Id) -> None:
    """Note what both signed for an open position: it waits no more."""
    _change(unit, position_id, accepted_by=by, is_held=False)


def hold(unit: Connection, position_id: Id) -> None:
    """Note that an open position is not claimed."""
    _change(unit, position_id, is_held=True)


def replace(unit: Connection, position_id: Id) -> None:
    """Note that other positions stand for an open one."""
    _change(unit, position_id, standing=Standing.REPLACED.value)


def add(
    unit: Connection, position: Position, given: Sequence[Correction], *, cut_us: int, by: Id
) -> None:
    """Keep a position of corrections, accepted by what both signed."""
    assert position.records == len(given), "a position has as many leaves as corrections"
    store.add_position(unit, position, cut_us=cut_us, signed={})
    accept(unit, position.position_id, by)
    rows = [
        {
            "correction_id": item.correction_id,
            "position_id": position.position_id,
            "reference": item.reference,
            "entry_id": item.entry_id,
            "amount_minor": item.amount_minor,
        }
        for item in given
    ]
    unit.execute(insert(store.corrections), rows)


def corrected_minor(unit: Connection, entry_id: Id) -> int:
    """Return what a session's corrections come to."""
    query = select(func.sum(store.corrections.c.amount_minor)).where(
        store.corrections.c.entry_id == entry_id
    )
    return int(unit.execute(query).scalar() or 0)


def settled_in(unit: Connection, cycle_id: Id) -> list[Position]:
    """Return the positions of corrections that a cycle settles, ascending by id."""
    wanted = select(store.corrections.c.position_id).distinct()
    found = store.positions_settled_in(unit, cycle_id, of=wanted)
    return [signed.position for signed in found]


def _change(unit: Connection, position_id: Id, **values: Any) -> None:
    where = (
        store.positions.c.position_id == position_id,
        store.positions.c.standing == Standing.OPEN.value,
    )
    changed = unit.execute(update(store.positions).where(*where).values(**values))
    assert changed.rowcount == 1, "only an open position is decided about"
