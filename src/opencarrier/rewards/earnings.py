"""What hosts earned by day, node and reason: sums kept of the ledger, which stays the truth.

A follower reads each transfer once, by its number, and adds what accrued to a host to two sums: the
host's day and its node's day. A day counts from 1970-01-01 in UTC and is that of the booking, so a
day that is over never changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Booked
from opencarrier.rewards.store import followed, host_days, node_days
from opencarrier.spine.parties import PartyId

DAY_US = 86_400 * SECOND_US
TRANSFERS_MAX = 5_000
"""Transfers read in one step."""

ACCRUED = chart.accrued(PartyId(""))


class Reason(StrEnum):
    """Why a host earned something, or less."""

    GUESTS = "guests"
    """Subscribers of other operators used a node."""

    OWN = "own"
    """Subscribers of the node's own operator used it."""

    DEAL = "deal"
    """A deal between operators moved money at the end of its period, either way."""

    CORRECTION = "correction"
    """Operators agreed on another amount than was booked first, either way."""

    OTHER = "other"


_CODES = {
    "adjustment-host": Reason.DEAL,
    "wholesale-correction": Reason.CORRECTION,
    "wholesale-replaced": Reason.CORRECTION,
}


@dataclass(frozen=True, slots=True)
class Use:
    """The use a charge is for: at which node, by the subscribers of its own operator, how much."""

    node_id: str
    is_own: bool
    octets: int


UsesOf = Callable[[Connection, Sequence[Id]], Mapping[Id, Use]]
"""Tells of charges, by their ids, what they are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What a host earned in a day for a reason, minor units; `node_id` may be empty: of none."""

    host: PartyId
    node_id: str
    asset: AssetId
    day: int
    reason: Reason
    amount_minor: int
    uses: int
    octets: int


class Earnings:
    """Follows the ledger, and tells sums; `unit` is the caller's."""

    def __init__(self, uses_of: UsesOf) -> None:
        self._uses_of = uses_of

    def is_behind(self, unit: Connection) -> bool:
        """Say whether the ledger has transfers that were not read yet."""
        return _mark(unit) < ledger.head(unit).sequence

    def follow(self, unit: Connection, *, limit: int = TRANSFERS_MAX) -> bool:
        """Read on; return whether there is more. Two that follow at once read nothing twice."""
        before = _mark(unit)
        moves, until = ledger.moves_on(unit, ACCRUED, after=before, limit=limit)
        if until == before:
            return False
        if _advance(unit, before, until):
            add(unit, self.earned(unit, moves))
        return self.is_behind(unit)

    def step_over(self, unit: Connection) -> int:
        """Leave the next transfer out of every sum; return its number."""
        before = _mark(unit)
        assert before < ledger.head(unit).sequence, "there is no next transfer"
        _advance(unit, before, before + 1)
        return before + 1

    def earned(self, unit: Connection, moves: Sequence[Booked]) -> list[Earned]:
        """Return what hosts earned by some transfers; what was paid out of it is left out."""
        references = {one.transfer.reference for one in moves if one.transfer.reference is not None}
        uses = self._uses_of(unit, sorted(references))
        found = (_earned(one, uses.get(one.transfer.reference or Id(b""))) for one in moves)
        return [one for one in found if one is not None]


def add(unit: Connection, items: Iterable[Earned]) -> None:
    """Add to the sums of hosts' and of nodes' days."""
    summed = _summed(items)
    _add(unit, host_days, _summed(replace(one, node_id="") for one in summed))
    _add(unit, node_days, [one for one in summed if one.node_id])


def days_of_host(
    unit: Connection, host: PartyId, asset: AssetId, *, since_day: int
) -> list[Earned]:
    """Return a host's sums from a day on, ascending by day and reason."""
    columns = host_days.c
    query = (
        select(host_days)
        .where(columns.host == host, columns.asset == asset, columns.day >= since_day)
        .order_by(columns.day, columns.reason)
    )
    return [_read(row) for row in unit.execute(query)]


def days_of_node(
    unit: Connection, host: PartyId, node_id: str, asset: AssetId, *, since_day: int
) -> list[Earned]:
    """Return one node's sums from a day on, ascending by day and reason."""
    columns = node_days.c
    query = (
        select(node_days)
        .where(columns.host == host, columns.node_id == node_id)
        .where(columns.asset == asset, columns.day >= since_day)
        .order_by(columns.day, columns.reason)
    )
    return [_read(row) for row in unit.execute(query)]


def by_node(
    unit: Connection, host: PartyId, node_ids: Iterable[str], asset: AssetId, *, since_day: int
) -> dict[str, tuple[int, int]]:
    """Return what some nodes earned since a day and the octets used there, by node id."""
    columns = node_days.c
    query = (
        select(columns.node_id, func.sum(columns.amount_minor), func.sum(columns.octets))
        .where(columns.host == host, columns.node_id.in_(list(node_ids)))
        .where(columns.asset == asset, columns.day >= since_day)
        .group_by(columns.node_id)
    )
    return {node: (int(amount), int(octets)) for node, amount, octets in unit.execute(query)}


def ever_minor(unit: Connection, host: PartyId, asset: AssetId) -> int:
    """Return all a host has earned, as far as the ledger was read."""
    query = select(func.sum(host_days.c.amount_minor)).where(
        host_days.c.host == host, host_days.c.asset == asset
    )
    return int(unit.execute(query).scalar_one() or 0)


def _earned(booked: Booked, use: Use | None) -> Earned | None:
    transfer = booked.transfer
    gains = transfer.credit.startswith(ACCRUED)
    account, other = transfer.credit, transfer.debit
    if not gains:
        account, other = other, account
    if other.startswith(chart.ENTITLED):
        return None
    sign = 1 if gains else -1
    counts = transfer.code not in _CODES and use is not None
    return Earned(
        host=PartyId(account.removeprefix(ACCRUED)),
        node_id="" if use is None else use.node_id,
        asset=transfer.asset,
        day=booked.at_us // DAY_US,
        reason=_reason(transfer.code, use),
        amount_minor=sign * booked.moved_minor,
        uses=int(counts),
        octets=use.octets if counts and use is not None else 0,
    )


def _reason(code: str, use: Use | None) -> Reason:
    if code in _CODES or use is None:
        return _CODES.get(code, Reason.OTHER)
    return Reason.OWN if use.is_own else Reason.GUESTS


def _summed(items: Iterable[Earned]) -> list[Earned]:
    groups: defaultdict[Earned, list[Earned]] = defaultdict(list)
    for one in items:
        groups[replace(one, amount_minor=0, uses=0, octets=0)].append(one)
    return [
        replace(
            key,
            amount_minor=sum(one.amount_minor for one in group),
            uses=sum(one.uses for one in group),
            octets=sum(one.octets for one in group),
        )
        for key, group in groups.items()
    ]


def _add(unit: Connection, table: Table, items: Sequence[Earned]) -> None:
    if not items:
        return
    statement = upsert(table)
    added = {
        name: table.c[name] + statement.excluded[name]
        for name in ("amount_minor", "uses", "octets")
    }
    keys = [column.name for column in table.primary_key]
    names = [one.name for one in fields(Earned) if one.name in table.c]
    unit.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=added),
        [{name: getattr(one, name) for name in names} for one in items],
    )


def _mark(unit: Connection) -> int:
    return unit.execute(select(followed.c.sequence)).scalar_one_or_none() or 0


def _advance(unit: Connection, before: int, until: int) -> bool:
    """Claim the transfers up to a number; False where somebody else did meanwhile."""
    if before == 0 and unit.execute(select(followed.c.one)).first() is None:
        unit.execute(insert(followed).values(one=1, sequence=until))
        return True
    moved = update(followed).where(followed.c.sequence == before).values(sequence=until)
    return bool(unit.execute(moved).rowcount)


def _read(row: Row[Any]) -> Earned:
    return Earned(
        host=PartyId(row.host),
        node_id=getattr(row, "node_id", ""),
        asset=AssetId(row.asset),
        day=row.day,
        reason=Reason(row.reason),
        amount_minor=row.amount_minor,
        uses=row.uses,
        octets=row.octets,
    )
