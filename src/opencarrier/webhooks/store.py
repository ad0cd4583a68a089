"""The tables: where parties hear, what was said, and how each delivery stands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import Row

from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Held, batches
from opencarrier.webhooks.model import (
    ANSWER_OCTETS_MAX,
    URL_CHARACTERS_MAX,
    Delivery,
    DeliveryState,
    Endpoint,
    Message,
    Off,
)

metadata = MetaData()

endpoints = Table(
    "webhooks_endpoint",
    metadata,
    Column("endpoint", String(48), primary_key=True),
    Column("party", String(48), nullable=False),
    Column("url", String(URL_CHARACTERS_MAX), nullable=False),
    Column("kinds", String(1_024), nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("secret", Integer, nullable=False),
    Column("former_until_us", BigInteger, nullable=False),
    Column("off", String(16), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("rests_until_us", BigInteger, nullable=False),
    Index("ix_webhooks_endpoint_place", "party", "made_us", "endpoint"),
)

messages = Table(
    "webhooks_message",
    metadata,
    Column("message", String(68), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False, index=True),
)

deliveries = Table(
    "webhooks_delivery",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint", ForeignKey("webhooks_endpoint.endpoint"), nullable=False),
    Column("message", ForeignKey("webhooks_message.message"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_us", BigInteger, nullable=False),
    Column("tried_us", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", String(ANSWER_OCTETS_MAX), nullable=False),
    Index("ix_webhooks_delivery_endpoint_number", "endpoint", "number"),
    Index("ix_webhooks_delivery_endpoint_message", "endpoint", "message", unique=True),
    Index("ix_webhooks_delivery_state_next_us", "state", "endpoint", "next_us"),
)

nodes = Table(
    "webhooks_node",
    metadata,
    Column("node_id", String(80), primary_key=True),
    Column("heard_us", BigInteger, nullable=False),
    Column("silent_us", BigInteger, nullable=False),
    Column("back_us", BigInteger, nullable=False),
    Index("ix_webhooks_node_silent", "silent_us", "heard_us"),
)

marks = Table(
    "webhooks_mark",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("party", String(48), nullable=False),
)


def endpoint(unit: Connection, name: str) -> Endpoint | None:
    """Return an endpoint."""
    row = unit.execute(select(endpoints).where(endpoints.c.endpoint == name)).one_or_none()
    return None if row is None else _endpoint(row)


def endpoints_of(unit: Connection, party: PartyId) -> Sequence[Endpoint]:
    """Return the endpoints of a party."""
    query = select(endpoints).where(endpoints.c.party == party)
    return [_endpoint(row) for row in unit.execute(query)]


def endpoints_after(
    unit: Connection,
    parties: Collection[PartyId] | None,
    after: tuple[PartyId, int, str] | None,
    limit: int,
) -> Sequence[Endpoint]:
    """Return endpoints of parties, or of all; by party, oldest first, those after one."""
    key = (endpoints.c.party, endpoints.c.made_us, endpoints.c.endpoint)
    query = select(endpoints).order_by(*key).limit(limit)
    if parties is not None:
        query = query.where(endpoints.c.party.in_(parties))
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*map(literal, after)))
    return [_endpoint(row) for row in unit.execute(query)]


def standings(
    unit: Connection, parties: Collection[PartyId] | None, limit: int
) -> dict[tuple[Off, bool], int]:
    """Return how many endpoints of parties, or of all, are off and fail; of so many at most."""
    some = select(endpoints.c.off, endpoints.c.failures).limit(limit)
    if parties is not None:
        some = some.where(endpoints.c.party.in_(parties))
    looked = some.subquery()
    fails = looked.c.failures > 0
    query = select(looked.c.off, fails, func.count()).group_by(looked.c.off, fails)
    return {(Off(off), bool(failing)): many for off, failing, many in unit.execute(query)}


def listeners(unit: Connection, prefix: str, after: PartyId, limit: int) -> Sequence[PartyId]:
    """Return parties of a kind that have an endpoint, ascending, those after one."""
    columns = endpoints.c
    chosen = (columns.party > max(after, prefix), columns.party.startswith(prefix, autoescape=True))
    query = select(columns.party).where(*chosen).distinct().order_by(columns.party).limit(limit)
    return list(unit.execute(query).scalars())


def is_wanted(unit: Connection, kinds: Sequence[str]) -> bool:
    """Say whether an endpoint that is no subscriber's hears of one of these kinds."""
    columns = endpoints.c
    hears = [columns.kinds == "", *(columns.kinds.contains(kind) for kind in kinds)]
    query = select(columns.endpoint).where(
        columns.off == Off.ON, ~columns.party.startswith("sub_", autoescape=True), or_(*hears)
    )
    return unit.execute(query.limit(1)).first() is not None


def put_endpoint(unit: Connection, made: Endpoint) -> None:
    """Keep an endpoint, or what changed of it."""
    values = asdict(made) | {"kinds": " ".join(made.kinds)}
    chosen = endpoints.c.endpoint == made.endpoint
    if not unit.execute(update(endpoints).where(chosen).values(**values)).rowcount:
        unit.execute(insert(endpoints).values(**values))


def remove_endpoint(unit: Connection, name: str) -> None:
    """Forget an endpoint and what was sent there."""
    unit.execute(delete(deliveries).where(deliveries.c.endpoint == name))
    unit.execute(delete(endpoints).where(endpoints.c.endpoint == name))


def put_message(unit: Connection, made: Message) -> bool:
    """Keep a message; False where it is known."""
    if message(unit, made.message) is not None:
        return False
    unit.execute(insert(messages).values(**asdict(made)))
    return True


def message(unit: Connection, name: str) -> Message | None:
    """Return a message."""
    row = unit.execute(select(messages).where(messages.c.message == name)).one_or_none()
    return None if row is None else Message(**row._mapping)


def held(unit: Connection, party: PartyId) -> Held:
    """Return what is kept of a party's endpoints, and of what was sent there."""
    own = endpoints.c.party == party
    sent = (
        select(messages.c.message, messages.c.kind, messages.c.body, messages.c.at_us)
        .join(deliveries, deliveries.c.message == messages.c.message)
        .join(endpoints, endpoints.c.endpoint == deliveries.c.endpoint)
        .where(own)
        .distinct()
    )
    answered = select(deliveries).join(endpoints).where(own)
    queries = {endpoints.name: select(endpoints).where(own), messages.name: sent}
    queries[deliveries.name] = answered
    return {
        name: [dict(row) for row in unit.execute(query).mappings()]
        for name, query in queries.items()
    }


def forget_messages(unit: Connection, party: PartyId) -> None:
    """Forget what was sent to a party's endpoints: of a subscriber nobody else has any of it."""
    own = select(endpoints.c.endpoint).where(endpoints.c.party == party)
    names = list(
        unit.execute(
            select(deliveries.c.message).where(deliveries.c.endpoint.in_(own)).distinct()
        ).scalars()
    )
    for some in batches(names):
        unit.execute(delete(deliveries).where(deliveries.c.message.in_(some)))
        unit.execute(delete(messages).where(messages.c.message.in_(some)))


def next_number(unit: Connection) -> int:
    """Return the number of the next delivery: whoever writes is alone."""
    return (unit.scalar(select(func.max(deliveries.c.number))) or 0) + 1


def put_delivery(unit: Connection, made: Delivery) -> None:
    """Keep a delivery, or what changed of it."""
    values = asdict(made) | {"answer": made.answer[:ANSWER_OCTETS_MAX]}
    chosen = deliveries.c.number == made.number
    if not unit.execute(update(deliveries).where(chosen).values(**values)).rowcount:
        unit.execute(insert(deliveries).values(**values))


def delivery(unit: Connection, name: str, message_id: str) -> Delivery | None:
    """Return how a message for an endpoint stands."""
    chosen = (deliveries.c.endpoint == name, deliveries.c.message == message_id)
    row = unit.execute(select(deliveries).where(*chosen)).one_or_none()
    return None if row is None else _delivery(row)


def due(unit: Connection, name: str, now_us: int) -> Delivery | None:
    """Return the oldest delivery that is due at an endpoint."""
    chosen = (_waiting(name), deliveries.c.next_us <= now_us)
    row = unit.execute(
        select(deliveries).where(*chosen).order_by(deliveries.c.next_us, deliveries.c.number)
    ).first()
    return None if row is None else _delivery(row)


def endpoints_due(unit: Connection, now_us: int) -> Sequence[str]:
    """Return the endpoints that something is due at and that do not rest."""
    waiting = (
        select(deliveries.c.endpoint)
        .where(deliveries.c.state == DeliveryState.WAITING, deliveries.c.next_us <= now_us)
        .distinct()
    )
    awake = (endpoints.c.off == "", endpoints.c.rests_until_us <= now_us)
    query = select(endpoints.c.endpoint).where(endpoints.c.endpoint.in_(waiting), *awake)
    return list(unit.execute(query.order_by(endpoints.c.rests_until_us)).scalars())


def is_crowded(unit: Connection, name: str, limit: int) -> bool:
    """Say whether so many deliveries wait at an endpoint."""
    query = select(deliveries.c.number).where(_waiting(name)).limit(1).offset(limit - 1)
    return unit.execute(query).first() is not None


def deliveries_before(
    unit: Connection, name: str, before: int | None, limit: int
) -> Sequence[Delivery]:
    """Return an endpoint's deliveries, newest first, those before one."""
    query = select(deliveries).where(deliveries.c.endpoint == name)
    if before is not None:
        query = query.where(deliveries.c.number < before)
    rows = unit.execute(query.order_by(deliveries.c.number.desc()).limit(limit))
    return [_delivery(row) for row in rows]


def replay(unit: Connection, name: str, since_us: int, now_us: int, limit: int) -> int:
    """Let deliveries of what happened since an instant be due once more; return how many."""
    over = (
        deliveries.c.endpoint == name,
        deliveries.c.at_us >= since_us,
        deliveries.c.state != DeliveryState.WAITING,
    )
    some = select(deliveries.c.number).where(*over).order_by(deliveries.c.number).limit(limit)
    again = {
        "state": DeliveryState.WAITING,
        "attempts": 0,
        "next_us": now_us,
        "status": 0,
        "answer": "",
    }
    chosen = deliveries.c.number.in_(some)
    return unit.execute(update(deliveries).where(chosen).values(**again)).rowcount


def sweep(unit: Connection, before_us: int, limit: int) -> int:
    """Forget messages of before an instant, with their deliveries, so many at a time."""
    old = select(messages.c.message).where(messages.c.at_us < before_us).limit(limit)
    names = list(unit.execute(old).scalars())
    unit.execute(delete(deliveries).where(deliveries.c.message.in_(names)))
    unit.execute(delete(messages).where(messages.c.message.in_(names)))
    return len(names)


def _waiting(name: str) -> ColumnElement[bool]:
    return (deliveries.c.state == DeliveryState.WAITING) & (deliveries.c.endpoint == name)


def _endpoint(row: Row[Any]) -> Endpoint:
    values = dict(row._mapping)
    return Endpoint(**{**values, "kinds": tuple(row.kinds.split()), "off": Off(row.off)})


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**{**row._mapping, "state": DeliveryState(row.state)})
