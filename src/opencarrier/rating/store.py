"""The tables of rating, and the few statements that read and write them.

Agreements, plans and charges are only ever inserted. An authorisation carries what is left of its
hold and of the home's exposure; a suspended usage is marked when it was rated after all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Signature
from opencarrier.rating.documents import read_agreement, read_plan, write_agreement, write_plan
from opencarrier.rating.holds import Authorisation
from opencarrier.rating.model import Agreement, RetailPlan
from opencarrier.spine.money import Allocation, Charge, Kind, Role, Suspense
from opencarrier.spine.parties import PartyId

metadata = MetaData()

agreements = Table(
    "rating_agreements",
    metadata,
    Column("agreement_hash", LargeBinary(32), primary_key=True),
    Column("home", Text, nullable=False),
    Column("visited", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("added_us", BigInteger, nullable=False),
)

tariffs = Table(
    "rating_tariffs",
    metadata,
    Column("agreement_hash", LargeBinary(32), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("tariff_hash", LargeBinary(32), nullable=False),
    Column("home", Text, nullable=False),
    Column("visited", Text, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Index("rating_tariffs_pair", "home", "visited", "start_us"),
)

plans = Table(
    "rating_plans",
    metadata,
    Column("plan_hash", LargeBinary(32), primary_key=True),
    Column("home", Text, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("added_us", BigInteger, nullable=False),
    Index("rating_plans_name", "home", "plan_id", "start_us"),
)

authorisations = Table(
    "rating_authorisations",
    metadata,
    Column("authorisation_id", LargeBinary(16), primary_key=True),
    Column("subscriber", Text, nullable=False),
    Column("home", Text, nullable=False),
    Column("visited", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("wholesale_tariff_hash", LargeBinary(32), nullable=False),
    Column("retail_tariff_hash", LargeBinary(32), nullable=False),
    Column("plan_hash", LargeBinary(32), nullable=False),
    Column("discount_ppm", Integer, nullable=False),
    Column("asset", Text, nullable=False),
    Column("hold_minor", BigInteger, nullable=False),
    Column("session_timeout_s", Integer, nullable=False),
    Column("interim_interval_s", Integer, nullable=False),
    Column("granted_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("wholesale_asset", Text, nullable=False),
    Column("exposure_minor", BigInteger, nullable=False),
    Column("hold_number", Integer, nullable=False),
    Column("held_minor", BigInteger, nullable=False),
    Column("hold_expires_us", BigInteger, nullable=False),
    Index("rating_authorisations_exposure", "home", "wholesale_asset", "hold_expires_us"),
)

authorised_sessions = Table(
    "rating_authorised_sessions",
    metadata,
    Column("authorisation_id", LargeBinary(16), primary_key=True),
    Column("session_id", LargeBinary(32), primary_key=True),
    Column("closed", Boolean, nullable=False),
)

sessions = Table(
    "rating_sessions",
    metadata,
    Column("session_id", LargeBinary(32), primary_key=True),
    Column("tariff_at_us", BigInteger, nullable=False),
)

charges = Table(
    "rating_charges",
    metadata,
    Column("usage_id", LargeBinary(32), primary_key=True),
    Column("kind", Integer, primary_key=True),
    Column("charge_id", LargeBinary(32), nullable=False, unique=True),
    Column("cycle_id", LargeBinary(32), nullable=False, index=True),
    Column("session_id", LargeBinary(32), nullable=False, index=True),
    Column("host", Text),
    Column("payer", Text, nullable=False),
    Column("seller", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("tariff_hash", LargeBinary(32), nullable=False),
    Column("agreement_hash", LargeBinary(32), nullable=False),
    Column("rule_version", Text, nullable=False),
    Column("inputs", LargeBinary, nullable=False),
)

allocations = Table(
    "rating_allocations",
    metadata,
    Column("charge_id", LargeBinary(32), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("role", Integer, nullable=False),
    Column("party", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
)

suspense = Table(
    "rating_suspense",
    metadata,
    Column("usage_id", LargeBinary(32), primary_key=True),
    Column("kind", Integer, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("home", Text),
    Column("visited", Text, nullable=False),
    Column("tariff_at_us", BigInteger, nullable=False),
    Column("suspended_us", BigInteger, nullable=False),
    Column("rated_us", BigInteger),
    Index("rating_suspense_waiting", "rated_us", "reason"),
)

_CHUNK: Final = 500
"""Ids asked for in one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A usage one of whose charges waits for something, with what it waits for."""

    suspense: Suspense
    home: PartyId | None
    visited: PartyId
    tariff_at_us: int


@lru_cache(maxsize=1_024)
def _parsed_agreement(document: str) -> Agreement:
    return read_agreement(document)[0]


@lru_cache(maxsize=1_024)
def _parsed_plan(document: str) -> RetailPlan:
    return read_plan(document)


def agreement(unit: Connection, agreement_hash: bytes) -> Agreement | None:
    """Return an agreement by its hash."""
    document = agreement_document(unit, agreement_hash)
    return None if document is None else _parsed_agreement(document)


def agreement_document(unit: Connection, agreement_hash: bytes) -> str | None:
    """Return an agreement with its signatures, as JSON."""
    query = select(agreements.c.document).where(agreements.c.agreement_hash == agreement_hash)
    return unit.execute(query).scalar_one_or_none()


def agreements_of(unit: Connection, home: PartyId, visited: PartyId) -> list[Agreement]:
    """Return all agreements of a pair, in the order of their hashes."""
    query = (
        select(agreements.c.document)
        .where(agreements.c.home == home, agreements.c.visited == visited)
        .order_by(agreements.c.agreement_hash)
    )
    return [_parsed_agreement(document) for document in unit.execute(query).scalars()]


def all_agreements(unit: Connection) -> list[Agreement]:
    """Return every agreement, ascending by home, visited and hash."""
    columns = agreements.c
    query = select(columns.document).order_by(columns.home, columns.visited, columns.agreement_hash)
    return [_parsed_agreement(document) for document in unit.execute(query).scalars()]


def agreement_at(unit: Connection, home: PartyId, visited: PartyId, at_us: int) -> Agreement | None:
    """Return the agreement of a pair that has a tariff in force at an instant."""
    query = (
        select(agreements.c.document)
        .join(tariffs, tariffs.c.agreement_hash == agreements.c.agreement_hash)
        .where(
            tariffs.c.home == home,
            tariffs.c.visited == visited,
            tariffs.c.start_us <= at_us,
            tariffs.c.end_us > at_us,
        )
    )
    document = unit.execute(query).scalar_one_or_none()
    return None if document is None else _parsed_agreement(document)


def has_agreement(unit: Connection, home: PartyId, visited: PartyId) -> bool:
    """Say whether a pair has any agreement, in force or not."""
    query = select(tariffs.c.place).where(tariffs.c.home == home, tariffs.c.visited == visited)
    return unit.execute(query.limit(1)).first() is not None


def insert_agreement(
    unit: Connection, item: Agreement, signatures: tuple[Signature, ...], at_us: int
) -> None:
    """Insert an agreement and its tariffs."""
    row = {
        "agreement_hash": item.hash,
        "home": item.home,
        "visited": item.visited,
        "asset": item.asset,
        "document": write_agreement(item, signatures),
        "added_us": at_us,
    }
    rows = [
        {
            "agreement_hash": item.hash,
            "place": place,
            "tariff_hash": tariff.hash,
            "home": item.home,
            "visited": item.visited,
            "start_us": tariff.window.start_us,
            "end_us": tariff.window.end_us,
        }
        for place, tariff in enumerate(item.tariffs)
    ]
    unit.execute(agreements.insert(), row)
    unit.execute(tariffs.insert(), rows)


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
    window: Window = item.price.window
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


def insert_authorisation(unit: Connection, item: Authorisation) -> None:
    """Insert an authorisation."""
    unit.execute(authorisations.insert(), {name: getattr(item, name) for name in _AUTHORISATION})


def authorisations_by_id(unit: Connection, ids: Iterable[bytes]) -> dict[bytes, Authorisation]:
    """Return the authorisations among some ids."""
    rows = _by_ids(unit, select(authorisations), ids, authorisations.c.authorisation_id)
    return {row.authorisation_id: Authorisation(**row._mapping) for row in rows}


def write_authorisations(unit: Connection, items: Iterable[Authorisation]) -> None:
    """Write what is left of holds and exposures."""
    rows = [
        {
            "key": item.authorisation_id,
            "new_exposure": item.exposure_minor,
            "new_number": item.hold_number,
            "new_held": item.held_minor,
        }
        for item in items
    ]
    if rows:
        unit.execute(_LEFT, rows)


def exposure_minor(unit: Connection, home: PartyId, asset: AssetId, at_us: int) -> int:
    """Return what a home's open authorisations can still cost it, wholesale."""
    query = select(func.coalesce(func.sum(authorisations.c.exposure_minor), 0)).where(
        authorisations.c.home == home,
        authorisations.c.wholesale_asset == asset,
        authorisations.c.hold_expires_us > at_us,
    )
    return int(unit.execute(query).scalar_one())


def note_sessions(unit: Connection, seen: Iterable[tuple[bytes, Id, bool]]) -> None:
    """Remember the sessions of authorisations; one once closed stays closed."""
    rows = [{"authorisation_id": a, "session_id": s, "closed": c} for a, s, c in seen]
    if not rows:
        return
    statement = insert(authorised_sessions)
    latest = statement.excluded.closed | authorised_sessions.c.closed
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
    for row in _by_ids(unit, query, ids, authorised_sessions.c.authorisation_id):
        found[row.authorisation_id].add(Id(row.session_id))
    return found


def pin_sessions(unit: Connection, starts: Mapping[Id, int]) -> dict[Id, int]:
    """Fix when sessions without an authorisation began; the first word stands."""
    if starts:
        rows = [{"session_id": key, "tariff_at_us": at} for key, at in starts.items()]
        unit.execute(insert(sessions).on_conflict_do_nothing(), rows)
    found = _by_ids(unit, select(sessions), starts, sessions.c.session_id)
    return {Id(row.session_id): row.tariff_at_us for row in found}


def insert_charges(
    unit: Connection, items: Sequence[tuple[Charge, Id, PartyId | None]], cycle_id: Id
) -> None:
    """Insert charges, each with its session and host, and their allocations."""
    if not items:
        return
    unit.execute(charges.insert(), [_charge_row(*item, cycle_id) for item in items])
    legs = [
        {
            "charge_id": item.charge_id,
            "place": place,
            "role": int(leg.role),
            "party": leg.party,
            "account": leg.account,
            "amount_minor": leg.amount_minor,
        }
        for item, _, _ in items
        for place, leg in enumerate(item.allocations)
    ]
    if legs:
        unit.execute(allocations.insert(), legs)


def charges_of(unit: Connection, usage_ids: Iterable[Id]) -> list[Charge]:
    """Return the charges of usages, ascending by usage id and kind."""
    rows = list(_by_ids(unit, select(charges), usage_ids, charges.c.usage_id))
    legs: dict[bytes, list[Allocation]] = defaultdict(list)
    query = select(allocations).order_by(allocations.c.charge_id, allocations.c.place)
    ids = [row.charge_id for row in rows]
    for row in _by_ids(unit, query, ids, allocations.c.charge_id):
        legs[row.charge_id].append(_allocation(row))
    found = [_charge(row, tuple(legs[row.charge_id])) for row in rows]
    return sorted(found, key=lambda charge: (charge.usage_id, charge.kind))


def usages_of_cycle(unit: Connection, cycle_id: Id) -> list[Id]:
    """Return the usages with a charge booked in a cycle, ascending."""
    query = select(charges.c.usage_id).where(charges.c.cycle_id == cycle_id).distinct()
    return sorted(Id(key) for key in unit.execute(query).scalars())


def host_of(unit: Connection, usage_id: Id) -> PartyId | None:
    """Return the host a usage's wholesale charge pays."""
    query = select(charges.c.host).where(
        charges.c.usage_id == usage_id, charges.c.kind == int(Kind.WHOLESALE)
    )
    found = unit.execute(query).scalar_one_or_none()
    return None if found is None else PartyId(found)


def write_suspense(unit: Connection, items: Iterable[Waiting], at_us: int) -> None:
    """Suspend charges; of one that waits already, why it waits now."""
    rows = [
        {
            "usage_id": item.suspense.usage_id,
            "kind": int(item.suspense.kind),
            "reason": item.suspense.reason,
            "detail": item.suspense.detail,
            "home": item.home,
            "visited": item.visited,
            "tariff_at_us": item.tariff_at_us,
            "suspended_us": at_us,
        }
        for item in items
    ]
    if rows:
        statement = insert(suspense)
        new = {"reason": statement.excluded.reason, "detail": statement.excluded.detail}
        unit.execute(
            statement.on_conflict_do_update(index_elements=["usage_id", "kind"], set_=new), rows
        )


def resolve_suspense(unit: Connection, keys: Iterable[tuple[Id, Kind]], at_us: int) -> None:
    """Mark suspended charges as rated after all."""
    rows = [{"key": usage_id, "what": int(kind), "at": at_us} for usage_id, kind in keys]
    if rows:
        unit.execute(_RESOLVED, rows)


def waiting(unit: Connection, usage_ids: Iterable[Id] | None = None) -> list[Suspense]:
    """Return all that waits, or what of some usages does, ascending by usage id and kind."""
    query = select(suspense).where(suspense.c.rated_us.is_(None))
    if usage_ids is None:
        rows = list(unit.execute(query))
    else:
        rows = list(_by_ids(unit, query, usage_ids, suspense.c.usage_id))
    found = [
        Suspense(
            usage_id=Id(row.usage_id), kind=Kind(row.kind), reason=row.reason, detail=row.detail
        )
        for row in rows
    ]
    return sorted(found, key=lambda item: (item.usage_id, item.kind))


def retriable_usages(unit: Connection, *, limit: int) -> list[Id]:
    """Return suspended usages that may be rated now, the longest suspended first.

    Those that waited for a tariff, once it is there; those of an unknown node always.
    """
    in_force = (
        (tariffs.c.home == suspense.c.home)
        & (tariffs.c.visited == suspense.c.visited)
        & (tariffs.c.start_us <= suspense.c.tariff_at_us)
        & (tariffs.c.end_us > suspense.c.tariff_at_us)
    )
    came = suspense.c.reason.in_(_FOR_TARIFF) & select(tariffs.c.place).where(in_force).exists()
    query = (
        select(suspense.c.usage_id)
        .where(suspense.c.rated_us.is_(None), came | (suspense.c.reason == _FOR_NODE))
        .order_by(suspense.c.suspended_us, suspense.c.usage_id)
        .limit(limit)
    )
    return [Id(key) for key in unit.execute(query).scalars()]


def charged(unit: Connection, usage_ids: Iterable[Id]) -> set[tuple[Id, Kind]]:
    """Return which charges of some usages are made."""
    query = select(charges.c.usage_id, charges.c.kind)
    rows = _by_ids(unit, query, usage_ids, charges.c.usage_id)
    return {(Id(row.usage_id), Kind(row.kind)) for row in rows}


_FOR_TARIFF: Final = ("no_agreement", "no_tariff_in_force")
_FOR_NODE: Final = "no_node"
_AUTHORISATION: Final = tuple(column.name for column in authorisations.c)
_LEFT: Final = (
    authorisations.update()
    .where(authorisations.c.authorisation_id == bindparam("key"))
    .values(
        exposure_minor=bindparam("new_exposure"),
        hold_number=bindparam("new_number"),
        held_minor=bindparam("new_held"),
    )
)
_RESOLVED: Final = (
    suspense.update()
    .where(
        suspense.c.usage_id == bindparam("key"),
        suspense.c.kind == bindparam("what"),
        suspense.c.rated_us.is_(None),
    )
    .values(rated_us=bindparam("at"))
)


def _charge_row(item: Charge, session_id: Id, host: PartyId | None, cycle_id: Id) -> dict[str, Any]:
    return {
        "usage_id": item.usage_id,
        "kind": int(item.kind),
        "charge_id": item.charge_id,
        "cycle_id": cycle_id,
        "session_id": session_id,
        "host": host,
        "payer": item.payer,
        "seller": item.seller,
        "asset": item.asset,
        "amount_minor": item.amount_minor,
        "discount_minor": item.discount_minor,
        "tariff_hash": item.tariff_hash,
        "agreement_hash": item.agreement_hash,
        "rule_version": item.rule_version,
        "inputs": item.inputs,
    }


def _charge(row: Row[Any], legs: tuple[Allocation, ...]) -> Charge:
    return Charge(
        charge_id=row.charge_id,
        usage_id=row.usage_id,
        kind=Kind(row.kind),
        payer=row.payer,
        seller=row.seller,
        asset=row.asset,
        amount_minor=row.amount_minor,
        discount_minor=row.discount_minor,
        tariff_hash=row.tariff_hash,
        agreement_hash=row.agreement_hash,
        rule_version=row.rule_version,
        inputs=row.inputs,
        allocations=legs,
    )


def _allocation(row: Row[Any]) -> Allocation:
    return Allocation(
        role=Role(row.role), party=row.party, account=row.account, amount_minor=row.amount_minor
    )


def _by_ids(
    unit: Connection, query: Select[Any], ids: Iterable[bytes], column: ColumnElement[Any]
) -> Iterator[Row[Any]]:
    """Run a query over ids, a bounded number at a time."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _CHUNK):
        yield from unit.execute(query.where(column.in_(wanted[start : start + _CHUNK])))
