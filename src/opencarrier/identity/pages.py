"""Parties a page at a time, by name, as lists of any length are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, func, select, union

from opencarrier.identity import store
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import Node, PartyId


def names_after(
    unit: Connection, kind: PartyKind, after: str, *, limit: int
) -> Sequence[tuple[PartyId, str]]:
    """Return the parties of a kind whose names follow one, ascending by name."""
    return _names(unit, kind, store.parties.c.name > after, limit)


def names_from(
    unit: Connection, kind: PartyKind, start: str, *, limit: int
) -> Sequence[tuple[PartyId, str]]:
    """Return the parties of a kind from a name on, or from what names begin with, ascending."""
    return _names(unit, kind, store.parties.c.name >= start, limit)


def _names(
    unit: Connection, kind: PartyKind, which: ColumnElement[bool], limit: int
) -> Sequence[tuple[PartyId, str]]:
    parties = store.parties.c
    chosen = (
        select(parties.party_id, parties.name)
        .where(parties.kind == kind.value, which)
        .order_by(parties.name)
        .limit(limit)
    )
    return [(PartyId(row.party_id), row.name) for row in unit.execute(chosen)]


def nodes_after(unit: Connection, host: PartyId, after: str, *, limit: int) -> Sequence[Node]:
    """Return the nodes of a host whose ids follow one, ascending by id."""
    nodes = store.nodes.c
    chosen = (
        select(store.nodes)
        .where(nodes.host == host, nodes.node_id > after)
        .order_by(nodes.node_id)
        .limit(limit)
    )
    return [store.node_of(row) for row in unit.execute(chosen)]


def nodes_counted(unit: Connection, host: PartyId, *, most: int) -> int:
    """Return how many nodes a host has, at most so many: nobody counts on."""
    some = select(store.nodes.c.node_id).where(store.nodes.c.host == host).limit(most).subquery()
    return int(unit.execute(select(func.count()).select_from(some)).scalar_one())


def operators_of(unit: Connection, host: PartyId, *, most: int) -> Sequence[PartyId]:
    """Return the operators that some of a host's nodes serve for; so many are looked at."""
    some = select(store.nodes.c.operator).where(store.nodes.c.host == host).limit(most).subquery()
    found = unit.execute(select(some.c.operator).distinct().order_by(some.c.operator))
    return [PartyId(one) for one in found.scalars()]


def payouts_ever(unit: Connection, hosts: Iterable[PartyId]) -> dict[PartyId, list[Address]]:
    """Return every address that some hosts' shares went to: their own, and whom they named."""
    wanted = list(hosts)
    own = select(store.keys.c.party, store.keys.c.kid).where(store.keys.c.party.in_(wanted))
    named = select(store.splits.c.host, store.splits.c.payout).where(
        store.splits.c.host.in_(wanted)
    )
    found: dict[PartyId, list[Address]] = {host: [] for host in wanted}
    for party, address in unit.execute(union(own, named)):
        found[PartyId(party)].append(Address(address))
    return found
