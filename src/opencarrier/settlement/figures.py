"""Cycles in figures, for lists: what an attempt came to, without the rows of all it pays.

An attempt has a row for every address of a host, so a list of whole attempts grows with the
network; this grows with the members, of which a venue has few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, select
from sqlalchemy.engine import Row

from opencarrier.kernel.ids import Id
from opencarrier.settlement.model import CycleState, Venue
from opencarrier.settlement.store import attempts, cycles, rows
from opencarrier.spine.parties import PartyId


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """What a member has of a cycle, below zero what it pays."""

    party: PartyId
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleFigures:
    """A cycle and what its last attempt moves; amounts in minor units of the venue's asset.

    `rewards_minor` is what hosts have of it. `attempt` counts from one.
    """

    cycle_id: Id
    sequence: int
    state: CycleState
    cut_us: int
    attempt: int
    settlement_id: Id
    records_root: bytes
    netting_mode: int
    positions: int
    records: int
    gross_minor: int
    residual_minor: int
    payments: int
    rewards_minor: int
    ordered_us: int
    final_us: int | None
    tx_hash: bytes | None
    members: tuple[MemberRow, ...]

    @property
    def net_minor(self) -> int:
        """What moves at the venue: the sum of all debits."""
        return -sum(row.amount_minor for row in self.members if row.amount_minor < 0)

    def own_minor(self, party: PartyId) -> int:
        """Return what one member has of it, below zero what it pays."""
        return sum(row.amount_minor for row in self.members if row.party == party)


def figures(
    unit: Connection, venue: Venue, *, limit: int, before: int | None = None
) -> list[CycleFigures]:
    """Return the cycles that were ordered, newest first, below a sequence."""
    of_venue = (cycles.c.domain == venue.domain, cycles.c.asset == venue.asset)
    last = and_(attempts.c.cycle_id == cycles.c.cycle_id, attempts.c.number == cycles.c.attempt)
    query = (
        select(
            cycles.c.state.label("standing"),
            cycles.c.cut_us,
            cycles.c.sequence.label("place"),
            *(column for column in attempts.c if column.name not in ("state", "sequence")),
        )
        .join(attempts, last)
        .where(*of_venue, cycles.c.state != CycleState.OPEN.value)
    )
    if before is not None:
        query = query.where(cycles.c.sequence < before)
    found = unit.execute(query.order_by(cycles.c.sequence.desc()).limit(limit)).all()
    members = _members(unit, found)
    return [_figures(row, members[row.cycle_id]) for row in found]


def _members(unit: Connection, found: Sequence[Row[Any]]) -> defaultdict[bytes, list[MemberRow]]:
    numbers = {row.cycle_id: row.number for row in found}
    query = select(rows).where(rows.c.cycle_id.in_(list(numbers)), rows.c.is_host.is_(False))
    members: defaultdict[bytes, list[MemberRow]] = defaultdict(list)
    for row in unit.execute(query.order_by(rows.c.amount_minor, rows.c.party)):
        if row.number == numbers[row.cycle_id]:
            made = MemberRow(party=PartyId(row.party), amount_minor=row.amount_minor)
            members[row.cycle_id].append(made)
    return members


def _figures(row: Row[Any], members: Sequence[MemberRow]) -> CycleFigures:
    return CycleFigures(
        cycle_id=Id(row.cycle_id),
        sequence=row.place,
        state=CycleState(row.standing),
        cut_us=row.cut_us,
        attempt=row.number,
        settlement_id=Id(row.settlement_id),
        records_root=row.records_root,
        netting_mode=row.netting_mode,
        positions=row.positions,
        records=row.records,
        gross_minor=row.gross_minor,
        residual_minor=row.residual_minor,
        payments=row.payments,
        rewards_minor=row.rewards_minor,
        ordered_us=row.ordered_us,
        final_us=row.final_us,
        tx_hash=row.tx_hash,
        members=tuple(members),
    )
