"""Parties a page at a time, by name, as lists of any length are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select, union

from opencarrier.identity import store
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import PartyId


def names_after(
    unit: Connection, kind: PartyKind, after: str, *, limit: int
) -> Sequence[tuple[PartyId, str]]:
    """Return the parties of a kind whose names follow one, ascending by name."""
    parties = store.parties.c
    chosen = (
        select(parties.party_id, parties.name)
        .where(parties.kind == kind.value, parties.name > after)
        .order_by(parties.name)
        .limit(limit)
    )
    return [(PartyId(row.party_id), row.name) for row in unit.execute(chosen)]


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
