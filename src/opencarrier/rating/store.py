"""Agreements, plans, authorisations and the sessions they cover, as they are read and written.

An authorisation carries what is left of its hold and of the home's exposure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, bindparam, or_, select
from sqlalchemy.dialects.postgresql import insert

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.signatures import Signature
from opencarrier.rating import open_exposure
from opencarrier.rating.agreements.book import read_any, write_any
from opencarrier.rating.agreements.rows import AnyAgreement, Span, spans_of
from opencarrier.rating.documents import read_plan, write_plan
from opencarrier.rating.holds import Authorisation
from opencarrier.rating.model import RetailPlan
from opencarrier.rating.tables import (
    agreements,
    authorisations,
    authorised_sessions,
    by_ids,
    plans,
    sessions,
    tariffs,
)
from opencarrier.rating.tables import metadata as metadata
from opencarrier.rowsets import Change, Insertion, Lookup
from opencarrier.spine.parties import PartyId

EVER: Final = Window(0, INT64_MAX)


@lru_cache(maxsize=1_024)
def _parsed_agreement(document: str) -> AnyAgreement:
    return read_any(document)[0]


@lru_cache(maxsize=1_024)
def _parsed_plan(document: str) -> RetailPlan:
    return read_plan(document)


def agreement(unit: Connection, agreement_hash: bytes) -> AnyAgreement | None:
    """Return an agreement by its hash."""
    document = agreement_document(unit, agreement_hash)
    return None if document is None else _parsed_agreement(document)


def agreement_document(unit: Connection, agreement_hash: bytes) -> str | None:
    """Return an agreement with its signatures, as JSON."""
    query = select(agreements.c.document).where(agreements.c.agreement_hash == agreement_hash)
    return unit.execute(query).scalar_one_or_none()


def agreements_of(
    unit: Connection, home: PartyId, visited: PartyId, within: Window = EVER
) -> list[AnyAgreement]:
    """Return the agreements that price a pair's use within a time, in the order of their hashes."""
    priced = select(tariffs.c.agreement_hash).where(
        tariffs.c.home == home,
        tariffs.c.visited == visited,
        tariffs.c.start_us < within.end_us,
        tariffs.c.end_us > within.start_us,
    )
    query = (
        select(agreements.c.document)
        .where(agreements.c.agreement_hash.in_(priced))
        .order_by(agreements.c.agreement_hash)
    )
    return [_parsed_agreement(document) for document in unit.execute(query).scalars()]


def all_agreements(unit: Connection) -> list[AnyAgreement]:
    """Return every agreement, ascending by home, visited and hash."""
    columns = agreements.c
    query = select(columns.document).order_by(columns.home, columns.visited, columns.agreement_hash)
    return [_parsed_agreement(document) for document in unit.execute(query).scalars()]


def agreements_at(
    unit: Connection, party: PartyId, *, after: bytes | None, limit: int
) -> list[AnyAgreement]:
    """Return the agreements that an operator is a side of, ascending by hash, after one.

    Each side has an index of its own, so only what is shown is read.
    """
    found: dict[bytes, str] = {}
    for side in (agreements.c.home, agreements.c.visited):
        query = select(agreements.c.agreement_hash, agreements.c.document).where(side == party)
        if after is not None:
            query = query.where(agreements.c.agreement_hash > after)
        rows = unit.execute(query.order_by(agreements.c.agreement_hash).limit(limit))
        found |= {row.agreement_hash: row.document for row in rows}
    return [_parsed_agreement(found[key]) for key in sorted(found)[:limit]]


def has_agreement(unit: Connection, home: PartyId, visited: PartyId) -> bool:
    """Say whether a pair has any agreement, in force or not."""
    query = select(tariffs.c.place).where(tariffs.c.home == home, tariffs.c.visited == visited)
    return unit.execute(query.limit(1)).first() is not None


def insert_agreement(
    unit: Connection, item: AnyAgreement, signatures: tuple[Signature, ...], at_us: int
) -> None:
    """Insert an agreement, and when it prices what."""
    spans = spans_of(item)
    row = {
        "agreement_hash": item.hash,
        "home": spans[0].home,
        "visited": spans[0].visited,
        "asset": item.asset,
        "document": write_any(item, signatures),
        "added_us": at_us,
    }
    unit.execute(agreements.insert(), row)
    unit.execute(tariffs.insert(), [_span_row(item.hash, *span) for span in enumerate(spans)])


def _span_row(agreement_hash: Id, place: int, span: Span) -> dict[str, Any]:
    return {
        "agreement_hash": agreement_hash,
        "place": place,
        "tariff_hash": span.tariff_hash,
        "home": span.home,
        "visited": span.visited,
        "start_us": span.window.start_us,
        "end_us": span.window.end_us,
    }


def plan(unit: Connection, plan_hash: bytes) -> RetailPlan | None:
    """Return a plan by its hash."""
    query = select(plans.c.document).where(plans.c.plan_hash == plan_hash)
    document = unit.execute(query).scalar_one_or_none()
    return None if document is None else _parsed_plan(document)


def plans_named(unit: Connection, home: PartyId, plan_id: str) -> list[RetailPlan]:
    """Return every dated version of a home's plan, ascending by when it begins."""
    query = (
        select(plans.c.document)
        .where(plans.c.home == home, plans.c.plan_id == plan_id)
        .order_by(plans.c.start_us)
    )
    return [_parsed_plan(document) for document in unit.execute(query).scalars()]


def all_plans(unit: Connection) -> list[RetailPlan]:
    """Return every plan, ascending by home, name and when it begins."""
    columns = plans.c
    query = select(columns.document).order_by(columns.home, columns.plan_id, columns.start_us)
    return [_parsed_plan(document) for document in unit.execute(query).scalars()]


def insert_plan(unit: Connection, item: RetailPlan, at_us: int) -> None:
    """Insert a plan."""
    window = item.price.window
    row = {
        "plan_hash": item.hash,
        "home": item.home,
        "plan_id": item.plan_id,
        "start_us": window.start_us,
        "end_us": window.end_us,
        "document": write_plan(item),
        "added_us": at_us,
    }
    unit.execute(plans.insert(), row)


def insert_authorisations(unit: Connection, items: Iterable[Authorisation]) -> None:
    """Insert authorisations."""
    _insert_authorisations(unit, [_authorisation_row(item) for item in items])


def authorisations_by_id(unit: Connection, ids: Iterable[bytes]) -> dict[bytes, Authorisation]:
    """Return the authorisations among some ids."""
    rows = by_ids(unit, select(authorisations), ids, authorisations.c.authorisation_id)
    return {row.authorisation_id: Authorisation(**row._mapping) for row in rows}


def write_authorisations(unit: Connection, items: Iterable[Authorisation]) -> None:
    """Write what is left of holds and exposures, and until when."""
    rows = [_left_row(item) for item in items]
    with open_exposure.changing(unit, [row[0] for row in rows]):
        _write_left(unit, rows)


def overspent(unit: Connection, reports: Mapping[bytes, int], *, at_us: int) -> list[Authorisation]:
    """Return the running authorisations that reported more octets than goes unlooked at."""
    rows = _watched(unit, reports, most=max(reports.values(), default=0), at_us=at_us)
    found = [Authorisation(**row._mapping) for row in rows]
    return [
        item
        for item in found
        if item.watched_octets is not None and reports[item.authorisation_id] > item.watched_octets
    ]


def note_spent(unit: Connection, authorisation_id: bytes, at_us: int) -> None:
    """Note when the money of a session was last found to end."""
    mine = authorisations.c.authorisation_id == authorisation_id
    unit.execute(authorisations.update().where(mine).values(spent_us=at_us))


def note_sessions(unit: Connection, seen: Iterable[tuple[bytes, Id, bool]]) -> None:
    """Remember the sessions of authorisations; one once closed stays closed."""
    rows = [{"authorisation_id": a, "session_id": s, "closed": c} for a, s, c in seen]
    if not rows:
        return
    statement = insert(authorised_sessions)
    latest = or_(statement.excluded.closed, authorised_sessions.c.closed)
    unit.execute(
        statement.on_conflict_do_update(
            index_elements=["authorisation_id", "session_id"], set_={"closed": latest}
        ),
        rows,
    )


def open_sessions(unit: Connection, ids: Iterable[bytes]) -> dict[bytes, set[Id]]:
    """Return the sessions of authorisations that are not known to have ended."""
    query = select(authorised_sessions).where(authorised_sessions.c.closed.is_(False))
    found: dict[bytes, set[Id]] = defaultdict(set)
    for row in by_ids(unit, query, ids, authorised_sessions.c.authorisation_id):
        found[row.authorisation_id].add(Id(row.session_id))
    return found


def pin_sessions(unit: Connection, starts: Mapping[Id, int]) -> dict[Id, int]:
    """Fix when sessions without an authorisation began; the first word stands."""
    if starts:
        rows = [{"session_id": key, "tariff_at_us": at} for key, at in starts.items()]
        unit.execute(insert(sessions).on_conflict_do_nothing(), rows)
    found = by_ids(unit, select(sessions), starts, sessions.c.session_id)
    return {Id(row.session_id): row.tariff_at_us for row in found}


_insert_authorisations: Final = Insertion(authorisations)
_authorisation_row: Final = attrgetter(*authorisations.c.keys())
_watched: Final = Lookup(
    select(authorisations).where(
        authorisations.c.watched_octets < bindparam("most", type_=BigInteger),
        authorisations.c.expires_us > bindparam("at_us", type_=BigInteger),
    ),
    authorisations.c.authorisation_id,
)
_LEFT: Final = ("exposure_minor", "hold_number", "held_minor", "hold_expires_us")
_write_left: Final = Change(authorisations, ["authorisation_id"], _LEFT)
_left_row: Final = attrgetter("authorisation_id", *_LEFT)
