"""What one party is owed and owes, summed by the database: bounded however many positions it has.

A party's net is what others owe it, less what it owes them and what it passes on of its own claims;
so it is also `rules.nets` over the same positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, func, or_, select

from opencarrier import rowsets
from opencarrier.clearing.model import Standing
from opencarrier.clearing.store import legs, positions
from opencarrier.kernel.ids import Id
from opencarrier.spine.money import Role
from opencarrier.spine.parties import PartyId

_UNSETTLED: Final = (Standing.OPEN.value, Standing.TAKEN.value)

Where: TypeAlias = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSum:
    """What one other operator owes a party, or is owed by it."""

    other: PartyId
    amount_minor: int
    positions: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What is owed between a party and others, before anything is set off.

    `passed_on` goes from its claims to hosts, protocol and tax; `passed_to` is what it gets as
    protocol or tax party of others' claims. What it owes itself is no debt, its hosts' share of it
    is, also where it is its own host.
    """

    to_it: tuple[PairSum, ...]
    by_it: tuple[PairSum, ...]
    passed_on: dict[Role, int]
    passed_to: dict[Role, int]

    @property
    def net_minor(self) -> int:
        """What remains to be paid to the party, below zero where it pays."""
        incoming = _total(self.to_it) + sum(self.passed_to.values())
        return incoming - _total(self.by_it) - sum(self.passed_on.values())

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is owed in any direction."""
        return not (self.to_it or self.by_it or self.passed_on or self.passed_to)


def unsettled(unit: Connection, party: PartyId) -> Owed:
    """Sum the positions of a party that are not settled for good."""
    return _owed(unit, party, (positions.c.standing.in_(_UNSETTLED),))


def settled_in(unit: Connection, cycle_id: Id, party: PartyId) -> Owed:
    """Sum the positions of a party that a cycle settles."""
    return _owed(unit, party, (positions.c.settled_in == cycle_id,))


def _owed(unit: Connection, party: PartyId, where: Where) -> Owed:
    columns = positions.c
    apart = (*where, columns.debtor != columns.creditor)
    return Owed(
        to_it=_pairs(unit, columns.debtor, (*apart, columns.creditor == party)),
        by_it=_pairs(unit, columns.creditor, (*apart, columns.debtor == party)),
        passed_on=_legs(
            unit,
            (
                *where,
                columns.creditor == party,
                or_(legs.c.party != party, legs.c.role == int(Role.HOST)),
            ),
        ),
        passed_to=_legs(
            unit,
            (
                *where,
                columns.creditor != party,
                legs.c.party == party,
                legs.c.role != int(Role.HOST),
            ),
        ),
    )


def _pairs(unit: Connection, other: Column[str], where: Where) -> tuple[PairSum, ...]:
    query = (
        select(
            other.label("other"),
            func.count().label("positions"),
            func.sum(positions.c.records).label("records"),
            *rowsets.sums(positions.c.amount_minor, "amount"),
        )
        .where(*where)
        .group_by(other)
    )
    found = [
        PairSum(
            other=PartyId(row.other),
            amount_minor=rowsets.whole(row._mapping, "amount"),
            positions=row.positions,
            records=int(row.records),
        )
        for row in unit.execute(query)
    ]
    return tuple(sorted(found, key=lambda one: (-one.amount_minor, one.other)))


def _legs(unit: Connection, where: Where) -> dict[Role, int]:
    joined = legs.join(positions, legs.c.position_id == positions.c.position_id)
    query = (
        select(legs.c.role, *rowsets.sums(legs.c.amount_minor, "amount"))
        .select_from(joined)
        .where(*where)
        .group_by(legs.c.role)
        .order_by(legs.c.role)
    )
    found = ((row.role, rowsets.whole(row._mapping, "amount")) for row in unit.execute(query))
    return {Role(role): amount for role, amount in found if amount}


def _total(pairs: Iterable[PairSum]) -> int:
    return sum(pair.amount_minor for pair in pairs)
