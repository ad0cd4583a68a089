"""The table of accounting that is owed to homes: what is acknowledged here is delivered there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from opencarrier.access.hub.model import Relay
from opencarrier.access.wire.radius import Attribute, pack, unpack

metadata = MetaData()

outbox = Table(
    "access_outbox",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("realm", String(253), nullable=False),
    Column("session", LargeBinary(32), nullable=False),
    Column("attributes", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Index("ix_access_outbox_realm", "realm", "number"),
    Index("ix_access_outbox_session", "session", "number"),
)


running = Table(
    "access_running",
    metadata,
    Column("session", LargeBinary(32), primary_key=True),
    Column("visited", Text, nullable=False),
    Column("nas_key", Text, nullable=False),
    Column("realm", String(253), nullable=False),
    Column("attributes", LargeBinary, nullable=False),
    Column("event_us", BigInteger, nullable=False, index=True),
    Index("ix_access_running_nas", "visited", "nas_key"),
)
"""Sessions whose accounting goes to homes, as they were last reported."""


class OutboxFullError(Exception):
    """More is owed than may be kept: nothing more is acknowledged until something is delivered."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A row to deliver."""

    number: int
    session: bytes
    attributes: tuple[Attribute, ...]
    at_us: int
    attempts: int


@dataclass(frozen=True, slots=True)
class OutboxLine:
    """What is owed to a realm, as `status` shows it; `routed`: whether anything leads there."""

    realm: str
    packets: int
    oldest_us: int
    routed: bool = True


def put(unit: Connection, relays: Iterable[Relay], *, rows_max: int) -> None:
    """Keep what is to be delivered, in order; `OutboxFullError` where there is no room."""
    relays = list(relays)
    first, last = unit.execute(select(func.min(outbox.c.number), func.max(outbox.c.number))).one()
    waits = _waits(unit, {relay.session for relay in relays})
    rows = [
        {
            "number": number,
            "realm": relay.realm,
            "session": relay.session,
            "attributes": pack(relay.attributes),
            "at_us": relay.at_us,
            "attempts": 0,
            "due_us": waits.get(relay.session, 0),
        }
        for number, relay in enumerate(relays, start=(last or 0) + 1)
    ]
    # Numbers are far apart where one is owed long: only then are rows counted.
    room = rows_max - len(rows)
    if first is not None and last - first + 1 > room and _count(unit) > room:
        raise OutboxFullError
    unit.execute(insert(outbox), rows)


def _count(unit: Connection) -> int:
    return unit.scalar(select(func.count()).select_from(outbox)) or 0


def _waits(unit: Connection, sessions: Iterable[bytes]) -> dict[bytes, int]:
    """Until when sessions wait that were put off: what comes after waits with what came before."""
    chosen = (
        select(outbox.c.session, func.max(outbox.c.due_us).label("until_us"))
        .where(outbox.c.session.in_(sessions))
        .group_by(outbox.c.session)
    )
    return {row.session: row.until_us for row in unit.execute(chosen)}


def realms(unit: Connection, *, after: str, limit: int) -> Sequence[str]:
    """Return realms that something is owed to, ascending, the first of them after one."""
    chosen = (
        select(outbox.c.realm)
        .distinct()
        .where(outbox.c.realm > after)
        .order_by(outbox.c.realm)
        .limit(limit)
    )
    return list(unit.execute(chosen).scalars())


def owed(unit: Connection, realm: str, *, due_us: int, limit: int) -> list[Owed]:
    """Return what is owed to a realm and due, the oldest first."""
    chosen = (
        select(outbox)
        .where(outbox.c.realm == realm, outbox.c.due_us <= due_us)
        .order_by(outbox.c.number)
        .limit(limit)
    )
    return [
        Owed(row.number, row.session, tuple(unpack(row.attributes)), row.at_us, row.attempts)
        for row in unit.execute(chosen)
    ]


def delivered(unit: Connection, numbers: Sequence[int]) -> None:
    """Forget what was delivered, or given up."""
    unit.execute(delete(outbox).where(outbox.c.number.in_(numbers)))


def give_up(unit: Connection, realm: str, *, before_us: int) -> int:
    """Forget what was kept for a realm before an instant; return how much that was."""
    old = (outbox.c.realm == realm) & (outbox.c.at_us < before_us)
    return unit.execute(delete(outbox).where(old)).rowcount


def put_off(unit: Connection, session: bytes, *, due_us: int) -> None:
    """Let a session wait, all of it: its order stays."""
    unit.execute(
        update(outbox)
        .where(outbox.c.session == session)
        .values(attempts=outbox.c.attempts + 1, due_us=due_us)
    )


def lines(unit: Connection, *, limit: int) -> Sequence[OutboxLine]:
    """Return what is owed by realm, the most first."""
    packets = func.count().label("packets")
    chosen = (
        select(outbox.c.realm, packets, func.min(outbox.c.at_us).label("oldest_us"))
        .group_by(outbox.c.realm)
        .order_by(packets.desc(), outbox.c.realm)
        .limit(limit)
    )
    return [OutboxLine(row.realm, row.packets, row.oldest_us) for row in unit.execute(chosen)]
