"""Channels, leases, sessions and what is on its way, as they are read and written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from opencarrier.channels.model import Channel, Deposit, Lease, Mode, PaidSession
from opencarrier.channels.tables import (
    CHANNELS,
    CLAIMS,
    DEPOSITS,
    GRANTS,
    KEYS,
    LEASES,
    PAYERS,
    SESSIONS,
    UNREPORTED,
    channel_of,
    channel_row,
    deposit_of,
    deposit_row,
    lease_of,
    lease_row,
    metadata,
    session_of,
    session_row,
)
from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import Address
from opencarrier.rowsets import Insertion, Lookup
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters

__all__ = ["metadata"]

IDS_MAX = 500
"""Ids asked for in one statement."""


_MODE = select(PAYERS.c.mode).where(PAYERS.c.subscriber == bindparam("payer"))
_insert_keys = Insertion(KEYS, ignoring=True)
_payers = Lookup(select(PAYERS.c.subscriber), PAYERS.c.subscriber)


def put_payer(unit: Connection, subscriber: PartyId, mode: Mode) -> None:
    """Let a subscriber pay as it uses."""
    _put(unit, PAYERS, {"subscriber": subscriber, "mode": int(mode)})


def drop_payer(unit: Connection, subscriber: PartyId) -> None:
    """Let a subscriber be prepaid again."""
    unit.execute(delete(PAYERS).where(PAYERS.c.subscriber == subscriber))


def payers(unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
    """Return those of some subscribers that pay as they use."""
    return {row.subscriber for row in _payers(unit, subscribers)}


def mode_of(unit: Connection, subscriber: PartyId) -> Mode | None:
    """Return how a subscriber pays as it uses, None where it is prepaid."""
    found = unit.scalar(_MODE, {"payer": subscriber})
    return None if found is None else Mode(found)


def add_grant(unit: Connection, authorisation_id: bytes) -> None:
    """Note an authorisation that holds nothing in advance."""
    row = {"authorisation_id": authorisation_id}
    unit.execute(insert(GRANTS).on_conflict_do_nothing(), [row])


def is_sold(unit: Connection, authorisation_id: bytes) -> bool:
    """Say whether an authorisation holds nothing in advance."""
    query = select(GRANTS).where(GRANTS.c.authorisation_id == authorisation_id)
    return unit.execute(query).first() is not None


def put_keys(unit: Connection, digests: Mapping[bytes, bytes]) -> None:
    """Keep what devices prove themselves with, by authorisation."""
    _insert_keys(unit, [(digest, key) for key, digest in digests.items()])


def authorisation_of(unit: Connection, key_digest: bytes) -> bytes | None:
    """Return whose authorisation a key belongs to."""
    query = select(KEYS.c.authorisation_id).where(KEYS.c.key_digest == key_digest)
    found: bytes | None = unit.scalar(query)
    return found


def channel(unit: Connection, channel_id: bytes) -> Channel | None:
    """Return a channel."""
    row = unit.execute(select(CHANNELS).where(CHANNELS.c.channel_id == channel_id)).first()
    return None if row is None else channel_of(row)


def channels(
    unit: Connection,
    *,
    subscriber: PartyId | None = None,
    after: bytes = b"",
    limit: int = IDS_MAX,
) -> list[Channel]:
    """Return channels ascending by id, of everybody or of one subscriber."""
    query = select(CHANNELS).where(CHANNELS.c.channel_id > after)
    if subscriber is not None:
        query = query.where(CHANNELS.c.subscriber == subscriber)
    query = query.order_by(CHANNELS.c.channel_id).limit(limit)
    return [channel_of(row) for row in unit.execute(query)]


def count_channels(unit: Connection, *, subscriber: PartyId | None = None) -> int:
    """Count the channels that have not ended, of everybody or of one subscriber."""
    query = select(func.count()).select_from(CHANNELS).where(CHANNELS.c.closed.is_(False))
    if subscriber is not None:
        query = query.where(CHANNELS.c.subscriber == subscriber)
    return int(unit.scalar(query) or 0)


def put_channel(unit: Connection, item: Channel) -> None:
    """Write a channel."""
    _put(unit, CHANNELS, channel_row(item))


def lease(unit: Connection, channel_id: bytes, number: int | None = None) -> Lease | None:
    """Return a channel's lease, the latest unless its number is given."""
    query = select(LEASES).where(LEASES.c.channel_id == channel_id)
    if number is not None:
        query = query.where(LEASES.c.number == number)
    row = unit.execute(query.order_by(LEASES.c.number.desc()).limit(1)).first()
    return None if row is None else lease_of(row)


def return_leases(unit: Connection, item: Lease) -> None:
    """Note that a node's lease is handed back, and those it renewed with it."""
    unit.execute(
        update(LEASES)
        .where(
            LEASES.c.channel_id == item.channel_id,
            LEASES.c.node_id == item.node_id,
            LEASES.c.number <= item.number,
        )
        .values(returned=True)
    )


def has_lease_away(unit: Connection, channel_id: bytes) -> bool:
    """Say whether a node that takes a channel's payments by itself was not heard from since."""
    query = select(LEASES.c.number).where(
        LEASES.c.channel_id == channel_id, LEASES.c.detached, ~LEASES.c.returned
    )
    return unit.execute(query.limit(1)).first() is not None


def put_lease(unit: Connection, item: Lease) -> None:
    """Write a lease."""
    _put(unit, LEASES, lease_row(item))


def session(unit: Connection, session_id: bytes) -> PaidSession | None:
    """Return a session."""
    row = unit.execute(select(SESSIONS).where(SESSIONS.c.session_id == session_id)).first()
    return None if row is None else session_of(row)


def live_session(unit: Connection, held: Lease) -> PaidSession | None:
    """Return the session that a lease's node serves, None where there is none."""
    query = select(SESSIONS).where(
        SESSIONS.c.channel_id == held.channel_id,
        SESSIONS.c.lease_number == held.number,
        SESSIONS.c.ended.is_(False),
    )
    row = unit.execute(query).first()
    return None if row is None else session_of(row)


def put_session(unit: Connection, item: PaidSession) -> None:
    """Write a session."""
    _put(unit, SESSIONS, session_row(item))


def acknowledged(unit: Connection, ids: Iterable[bytes]) -> dict[Id, Counters]:
    """Return how far some sessions were acknowledged; those never paid for are left out."""
    found: dict[Id, Counters] = {}
    for some in _some(ids):
        rows = unit.execute(select(SESSIONS).where(SESSIONS.c.session_id.in_(some)))
        found.update((Id(row.session_id), session_of(row).acked) for row in rows)
    return found


def sold(unit: Connection, ids: Iterable[bytes]) -> set[bytes]:
    """Return which of some authorisations hold nothing in advance."""
    found: set[bytes] = set()
    for some in _some(ids):
        query = select(GRANTS.c.authorisation_id).where(GRANTS.c.authorisation_id.in_(some))
        found.update(unit.scalars(query))
    return found


def put_deposit(unit: Connection, item: Deposit) -> None:
    """Keep a deposit that is to be brought to the chain, in the place of the channel's former."""
    _put(unit, DEPOSITS, deposit_row(item))


def deposit(unit: Connection, channel_id: bytes) -> tuple[Deposit, bool] | None:
    """Return a channel's last deposit and whether it needs nothing more."""
    row = unit.execute(select(DEPOSITS).where(DEPOSITS.c.channel_id == channel_id)).first()
    return None if row is None else (deposit_of(row), row.done)


def open_deposits(unit: Connection, limit: int, *, after: bytes = b"") -> list[Deposit]:
    """Return deposits that are not on the chain yet, ascending by channel."""
    query = select(DEPOSITS).where(DEPOSITS.c.done.is_(False), DEPOSITS.c.channel_id > after)
    query = query.order_by(DEPOSITS.c.channel_id).limit(limit)
    return [deposit_of(row) for row in unit.execute(query)]


def is_awaited(unit: Connection, channel_id: bytes) -> bool:
    """Say whether a channel's deposit is not on the chain yet."""
    query = select(DEPOSITS.c.done).where(DEPOSITS.c.channel_id == channel_id)
    return unit.scalar(query) is False


def count_opening(unit: Connection) -> int:
    """Count the deposits that are not on the chain yet."""
    query = select(func.count()).select_from(DEPOSITS).where(DEPOSITS.c.done.is_(False))
    return int(unit.scalar(query) or 0)


def finish_deposit(unit: Connection, channel_id: bytes) -> None:
    """Note that a deposit needs nothing more."""
    condition = DEPOSITS.c.channel_id == channel_id
    unit.execute(update(DEPOSITS).where(condition).values(done=True))


def claimable(unit: Connection, limit: int) -> list[Channel]:
    """Return the channels with anything to claim that no claim is under way for, by receiver."""
    query = (
        select(CHANNELS)
        .where(
            CHANNELS.c.due_minor > CHANNELS.c.claimed_minor,
            CHANNELS.c.deposited_minor > CHANNELS.c.claimed_minor,
            CHANNELS.c.channel_id.not_in(select(CLAIMS.c.channel_id)),
        )
        .order_by(CHANNELS.c.receiver_authorizer, CHANNELS.c.channel_id)
        .limit(limit)
    )
    return [channel_of(row) for row in unit.execute(query)]


def refundable(unit: Connection, limit: int, *, after: bytes = b"") -> list[Channel]:
    """Return closed channels that hold what nobody has earned, once all that was is claimed."""
    query = select(CHANNELS).where(
        CHANNELS.c.channel_id > after,
        CHANNELS.c.closed,
        ~CHANNELS.c.withdrawing,
        CHANNELS.c.deposited_minor > CHANNELS.c.claimed_minor,
        CHANNELS.c.claimed_minor >= CHANNELS.c.due_minor,
    )
    rows = unit.execute(query.order_by(CHANNELS.c.channel_id).limit(limit))
    return [channel_of(row) for row in rows]


def receivers(unit: Connection, limit: int, *, after: str = "") -> list[Address]:
    """Return the receivers that have claimed anything, ascending."""
    condition = (CHANNELS.c.claimed_minor > 0, CHANNELS.c.receiver > after)
    query = select(CHANNELS.c.receiver).where(*condition).distinct()
    return list(unit.scalars(query.order_by(CHANNELS.c.receiver).limit(limit)))


def seller_of(unit: Connection, receiver: Address) -> PartyId | None:
    """Return who is paid at a receiver's address, None where no channel here says."""
    query = select(CHANNELS.c.seller).where(CHANNELS.c.receiver == receiver).limit(1)
    return unit.scalar(query)


def add_claims(unit: Connection, intent_id: bytes, amounts: Mapping[Id, int]) -> None:
    """Note a claim that is under way."""
    rows = [
        {"channel_id": key, "intent_id": intent_id, "amount_minor": amount}
        for key, amount in amounts.items()
    ]
    unit.execute(CLAIMS.insert(), rows)


def open_claims(unit: Connection) -> list[bytes]:
    """Return the intents of the claims that are under way."""
    return list(unit.scalars(select(CLAIMS.c.intent_id).distinct()))


def end_claim(unit: Connection, intent_id: bytes) -> None:
    """Forget a claim: it is final, or it came to nothing."""
    unit.execute(delete(CLAIMS).where(CLAIMS.c.intent_id == intent_id))


def put_unreported(unit: Connection, session_id: bytes, payment: str) -> None:
    """Keep a session's last payment for the seller's books."""
    _put(unit, UNREPORTED, {"session_id": session_id, "payment": payment})


def unreported(unit: Connection, limit: int) -> list[tuple[Id, str]]:
    """Return payments that the seller's books have not taken yet."""
    rows = unit.execute(select(UNREPORTED).order_by(UNREPORTED.c.session_id).limit(limit))
    return [(Id(row.session_id), row.payment) for row in rows]


def reported(unit: Connection, session_id: bytes, payment: str) -> None:
    """Forget a payment that the seller's books have taken; a newer one stays."""
    condition = (UNREPORTED.c.session_id == session_id, UNREPORTED.c.payment == payment)
    unit.execute(delete(UNREPORTED).where(*condition))


def _some(ids: Iterable[bytes]) -> Iterable[Sequence[bytes]]:
    every = list(ids)
    return (every[start : start + IDS_MAX] for start in range(0, len(every), IDS_MAX))


def _put(unit: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row or put it in the place of the one with its key."""
    keys = [column.name for column in table.primary_key]
    statement = insert(table).values({name: bindparam(name) for name in row})
    changed = {name: statement.excluded[name] for name in row if name not in keys}
    unit.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), [dict(row)])
