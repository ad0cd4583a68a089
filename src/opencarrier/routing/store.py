"""The tables of routing: adverts, places, floors, ceilings, choices, who was sent elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

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
    select,
)
from sqlalchemy.dialects.postgresql import insert

from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import encode
from opencarrier.routing.document import read_advert, write_advert
from opencarrier.routing.model import Ceiling, SignedAdvert
from opencarrier.routing.rules import read_choice
from opencarrier.rowsets import Lookup
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import batches
from opencarrier.spine.routing import Choice

metadata = MetaData()

adverts = Table(
    "routing_advert",
    metadata,
    Column("seller", Text, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("valid_until_us", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("routing_advert_place", "place", "valid_until_us"),
)

places = Table(
    "routing_place",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("place", Text, nullable=False),
)

floors = Table(
    "routing_floor",
    metadata,
    Column("host", Text, primary_key=True),
    Column("floor_nano", BigInteger, nullable=False),
)

ceilings = Table(
    "routing_ceiling",
    metadata,
    Column("home", Text, primary_key=True),
    Column("plan_id", Text, primary_key=True),
    Column("currency", String(3), nullable=False),
    Column("ceiling_nano", BigInteger, nullable=False),
    Column("quality_min_ppm", Integer, nullable=False),
)

choices = Table(
    "routing_choice",
    metadata,
    Column("about", LargeBinary(32), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""By authorisation, and from a session's first cut on by session too: that stays, also of a person
that is erased."""

steered = Table(
    "routing_steered",
    metadata,
    Column("subscriber", Text, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("since_us", BigInteger, nullable=False),
    Column("refusals", Integer, nullable=False),
)

measured = Table(
    "routing_measured",
    metadata,
    Column("seller", Text, primary_key=True),
    Column("used", Integer, nullable=False),
    Column("faultless", Integer, nullable=False),
)


def measure_of(unit: Connection, seller: PartyId) -> tuple[int, int]:
    """Return how many uses of a seller were counted, and how many of them were faultless."""
    row = unit.execute(select(measured).where(measured.c.seller == seller)).one_or_none()
    return (0, 0) if row is None else (row.used, row.faultless)


def put_measure(unit: Connection, seller: PartyId, used: int, faultless: int) -> None:
    """Keep what was counted of a seller."""
    _put(unit, measured, {"seller": seller, "used": used, "faultless": faultless})


def put_advert(unit: Connection, signed: SignedAdvert) -> None:
    """Keep an advert in the place of an earlier one of its seller and place; never of a later.

    Of two that are taken at once, the later stays whichever is written last.
    """
    advert = signed.advert
    row = {
        "seller": advert.seller,
        "place": advert.place,
        "sequence": advert.sequence,
        "valid_until_us": advert.valid_until_us,
        "document": write_advert(signed),
    }
    statement = insert(adverts)
    later = adverts.c.sequence <= statement.excluded.sequence
    keys = [column.name for column in adverts.primary_key]
    unit.execute(statement.on_conflict_do_update(index_elements=keys, set_=row, where=later), [row])


def advert_of(unit: Connection, seller: PartyId, place: str) -> SignedAdvert | None:
    """Return a seller's newest advert at a place, over or not."""
    query = select(adverts.c.document)
    query = query.where(adverts.c.seller == seller, adverts.c.place == place)
    text = unit.scalar(query)
    return None if text is None else read_advert(text)


def adverts_at(unit: Connection, place: str, at_us: int) -> list[SignedAdvert]:
    """Return the adverts in force at a place, ascending by seller."""
    query = (
        select(adverts.c.document)
        .where(adverts.c.place == place, adverts.c.valid_until_us > at_us)
        .order_by(adverts.c.seller)
    )
    found = [read_advert(text) for text in unit.execute(query).scalars()]
    return [item for item in found if item.advert.valid_from_us <= at_us]


def count_of(unit: Connection, seller: PartyId) -> int:
    """Return how many places a seller advertises at."""
    query = select(func.count()).select_from(adverts).where(adverts.c.seller == seller)
    return unit.execute(query).scalar_one()


def drop_expired(unit: Connection, seller: PartyId, at_us: int) -> None:
    """Forget a seller's adverts that are over."""
    over = (adverts.c.seller == seller, adverts.c.valid_until_us <= at_us)
    unit.execute(delete(adverts).where(*over))


def put_place(unit: Connection, node_id: str, place: str) -> None:
    """Say at which place a node stands."""
    _put(unit, places, {"node_id": node_id, "place": place})


_places = Lookup(select(places), places.c.node_id)


def places_of(unit: Connection, node_ids: Collection[str]) -> dict[str, str]:
    """Return at which place each of some nodes stands, where somebody said."""
    return {row.node_id: row.place for row in _places(unit, node_ids)}


def put_floor(unit: Connection, host: PartyId, floor_nano: int) -> None:
    """Say the least a host serves for."""
    _put(unit, floors, {"host": host, "floor_nano": floor_nano})


def floor_of(unit: Connection, host: PartyId) -> int:
    """Return the least a host serves for, 0 where it named nothing."""
    return int(unit.scalar(select(floors.c.floor_nano).where(floors.c.host == host)) or 0)


def put_ceiling(unit: Connection, ceiling: Ceiling) -> None:
    """Say the most a home pays for a plan's subscribers."""
    _put(unit, ceilings, {name: getattr(ceiling, name) for name in Ceiling.__slots__})


def ceiling_of(unit: Connection, home: PartyId, plan_id: str) -> Ceiling | None:
    """Return a plan's ceiling, None where there is none."""
    query = select(ceilings).where(ceilings.c.home == home, ceilings.c.plan_id == plan_id)
    row = unit.execute(query).mappings().one_or_none()
    return None if row is None else Ceiling(**{**row, "home": PartyId(row["home"])})


def add_choice(unit: Connection, authorisation_id: bytes, choice: Choice) -> None:
    """Keep what an authorisation was chosen from."""
    row = {"about": authorisation_id, "content": encode(choice.terms())}
    unit.execute(choices.insert(), [row])


def choice_of(unit: Connection, about: bytes) -> Choice | None:
    """Return what an authorisation or a session was chosen from, None where it was from nothing."""
    octets = unit.scalar(select(choices.c.content).where(choices.c.about == about))
    return None if octets is None else read_choice(decode(octets))


def pass_on(unit: Connection, sessions: Mapping[bytes, bytes]) -> None:
    """Give sessions what their authorisations were chosen from; again changes nothing."""
    for some in batches(sorted(sessions)):
        wanted = {sessions[session] for session in some}
        query = select(choices).where(choices.c.about.in_(wanted))
        known = {row.about: row.content for row in unit.execute(query)}
        rows = [
            {"about": session, "content": known[sessions[session]]}
            for session in some
            if sessions[session] in known
        ]
        if rows:
            unit.execute(insert(choices).on_conflict_do_nothing(), rows)


def forget_choices(unit: Connection, authorisations: Sequence[bytes]) -> None:
    """Forget what authorisations were chosen from; their sessions keep it."""
    for some in batches(authorisations):
        unit.execute(delete(choices).where(choices.c.about.in_(some)))


def refusals_of(unit: Connection, subscriber: PartyId, place: str, *, since_us: int) -> int:
    """Return how often a subscriber was sent elsewhere from a place, since an instant."""
    query = select(steered.c.refusals).where(
        steered.c.subscriber == subscriber,
        steered.c.place == place,
        steered.c.since_us > since_us,
    )
    return int(unit.scalar(query) or 0)


def note_refusal(
    unit: Connection, subscriber: PartyId, place: str, *, since_us: int, at_us: int
) -> None:
    """Count that a subscriber was sent elsewhere; what was before `since_us` counts no more."""
    before = refusals_of(unit, subscriber, place, since_us=since_us)
    row = {"subscriber": subscriber, "place": place, "refusals": before + 1}
    where = (steered.c.subscriber == subscriber, steered.c.place == place)
    began_us = unit.scalar(select(steered.c.since_us).where(*where)) if before else at_us
    _put(unit, steered, {**row, "since_us": began_us})


def steered_of(unit: Connection, subscriber: PartyId) -> Sequence[dict[str, Any]]:
    """Return where a subscriber was sent elsewhere from."""
    query = select(steered).where(steered.c.subscriber == subscriber)
    return [dict(row) for row in unit.execute(query).mappings()]


def forget(unit: Connection, subscriber: PartyId) -> None:
    """Forget where a subscriber was sent elsewhere from."""
    unit.execute(delete(steered).where(steered.c.subscriber == subscriber))


def _put(unit: Connection, table: Table, row: dict[str, Any]) -> None:
    keys = [column.name for column in table.primary_key]
    rest = {name: value for name, value in row.items() if name not in keys}
    statement = insert(table).on_conflict_do_update(index_elements=keys, set_=rest)
    unit.execute(statement, [row])
