"""What of our own records a partner was told, session by session, and how much of it is closed.

A session's usages are told as one entry under a name that both sides make alike: no Class, no
counters and no party ids are in it. Told is what a session cost in all less what is closed. So what
one side saw a cycle later than the other is told again with the rest, and then both agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    and_,
    insert,
    or_,
    select,
    update,
)

from opencarrier.clearing import store
from opencarrier.clearing.exchange.model import Entry
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import PartyId

metadata = MetaData()

sessions = Table(
    "clearing_told_session",
    metadata,
    Column("entry_id", LargeBinary(32), primary_key=True),
    Column("debtor", String(64), nullable=False),
    Column("creditor", String(64), nullable=False),
    Column("asset", String(128), nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("octets_in", BigInteger, nullable=False),
    Column("octets_out", BigInteger, nullable=False),
    Column("duration_s", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("agreed_minor", BigInteger, nullable=False),
    Column("closed_minor", BigInteger, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("told_in", LargeBinary(32)),
    Column("disputed_in", LargeBinary(32)),
    Column("terms", LargeBinary(32)),
    Index("clearing_told_session_open", "is_open", "debtor", "creditor"),
)

usages = Table(
    "clearing_told_usage",
    metadata,
    Column("usage_id", LargeBinary(32), primary_key=True),
    Column("entry_id", LargeBinary(32), nullable=False, index=True),
    Column("terms", LargeBinary(32)),
)

_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The two operators an exchange is between, by party id, and the asset."""

    asset: AssetId
    addresses: Mapping[PartyId, Address]

    def __post_init__(self) -> None:
        assert len(set(self.addresses.values())) == 2, "an exchange is between two"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as it is told: all it used and cost, and what of that is agreed and closed.

    `agreed_minor` is what both signed for. Closed is also what a tolerance waived. `disputed_in` is
    the exchange whose statement disputes some of it, as long as none has agreed on more since.
    `terms` is over all that was agreed in band while it lasted.
    """

    entry_id: Id
    debtor: PartyId
    creditor: PartyId
    asset: AssetId
    end_us: int = 0
    octets_in: int = 0
    octets_out: int = 0
    duration_s: int = 0
    amount_minor: int = 0
    agreed_minor: int = 0
    closed_minor: int = 0
    is_open: bool = True
    told_in: Id | None = None
    disputed_in: Id | None = None
    terms: Id | None = None

    def entry(self, debtor: Address) -> Entry:
        """Return what is told of it now."""
        return Entry(
            usage_id=self.entry_id,
            debtor=debtor,
            end_us=self.end_us,
            octets_in=self.octets_in,
            octets_out=self.octets_out,
            duration_s=self.duration_s,
            amount_minor=self.amount_minor - self.closed_minor,
            terms=self.terms,
        )


def entry_id(
    asset: AssetId, *, visited: Address, home: Address, nas_key: str, acct_session_id: str
) -> Id:
    """Name a session as both operators know it."""
    return derive("exchange/session", asset, visited, home, nas_key, acct_session_id)


def untold(unit: Connection, sides: Sides, cut_us: int) -> list[Id]:
    """Return the usages between two operators, cut by then, that nobody was told of."""
    positions, records = store.positions, store.records
    query = (
        select(records.c.usage_id)
        .join(positions, positions.c.position_id == records.c.position_id)
        .outerjoin(usages, usages.c.usage_id == records.c.usage_id)
        .where(
            usages.c.usage_id.is_(None),
            positions.c.asset == sides.asset,
            positions.c.cut_us <= cut_us,
            _between(positions, sides),
        )
        .order_by(records.c.usage_id)
    )
    return [Id(found) for found in unit.execute(query).scalars()]


def is_open(unit: Connection, sides: Sides, usage_ids: Sequence[Id]) -> bool:
    """Say whether something of some usages between two operators is untold, or not closed yet."""
    positions, records = store.positions, store.records
    query = (
        select(records.c.usage_id)
        .join(positions, positions.c.position_id == records.c.position_id)
        .outerjoin(usages, usages.c.usage_id == records.c.usage_id)
        .outerjoin(sessions, sessions.c.entry_id == usages.c.entry_id)
        .where(
            records.c.usage_id.in_(usage_ids),
            positions.c.asset == sides.asset,
            _between(positions, sides),
            or_(usages.c.usage_id.is_(None), sessions.c.is_open),
        )
    )
    return unit.execute(query.limit(1)).first() is not None


def open_sessions(unit: Connection, sides: Sides) -> Iterator[Session]:
    """Yield the sessions of which something is open, the one that ended first ahead."""
    query = select(sessions).where(
        sessions.c.is_open, sessions.c.asset == sides.asset, _between(sessions, sides)
    )
    for row in unit.execute(query.order_by(sessions.c.end_us, sessions.c.entry_id)):
        yield _session(row)


def find(unit: Connection, entry_ids: Sequence[Id]) -> dict[Id, Session]:
    """Return sessions by their entry ids."""
    found: dict[Id, Session] = {}
    for start in range(0, len(entry_ids), _CHUNK):
        chunk = entry_ids[start : start + _CHUNK]
        for row in unit.execute(select(sessions).where(sessions.c.entry_id.in_(chunk))):
            found[Id(row.entry_id)] = _session(row)
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """Which entry a usage is told in, and what was agreed of it in band."""

    usage_id: Id
    entry_id: Id
    terms: Id | None


def note(unit: Connection, told: Sequence[Told], known: dict[Id, Session]) -> None:
    """Keep which entry each usage is told in, and the sessions these entries are of."""
    if told:
        unit.execute(insert(usages), [asdict(one) for one in told])
    for key in {one.entry_id for one in told if one.terms is not None}:
        known[key] = replace(known[key], terms=_terms_of(unit, key))
    before = find(unit, list(known))
    fresh = [asdict(session) for key, session in known.items() if key not in before]
    if fresh:
        unit.execute(insert(sessions), fresh)
    write(unit, [session for key, session in known.items() if key in before])


def write(unit: Connection, changed: Sequence[Session]) -> None:
    """Write sessions that are kept already."""
    for session in changed:
        values = asdict(session)
        where = sessions.c.entry_id == values.pop("entry_id")
        unit.execute(update(sessions).where(where).values(**values))


def _terms_of(unit: Connection, entry: Id) -> Id | None:
    """Return one digest over what was agreed in band of an entry's usages, whatever their order."""
    agreed = select(usages.c.terms).where(usages.c.entry_id == entry, usages.c.terms.is_not(None))
    found = sorted(unit.execute(agreed.distinct()).scalars())
    return Id(found[0]) if len(found) == 1 else derive("exchange/terms", found)


def usages_of(unit: Connection, entry: Id) -> list[Id]:
    """Return the usages that an entry is of, ascending."""
    query = select(usages.c.usage_id).where(usages.c.entry_id == entry)
    return [Id(found) for found in unit.execute(query.order_by(usages.c.usage_id)).scalars()]


def tell(unit: Connection, told: Sequence[Id], exchange: Id) -> None:
    """Note in which exchange entries are told."""
    for start in range(0, len(told), _CHUNK):
        chunk = told[start : start + _CHUNK]
        where = sessions.c.entry_id.in_(chunk)
        unit.execute(update(sessions).where(where).values(told_in=exchange))


def closed(session: Session, *, agreed_minor: int, closed_minor: int, is_open: bool) -> Session:
    """Return a session of which some more is agreed and closed."""
    return replace(
        session,
        agreed_minor=session.agreed_minor + agreed_minor,
        closed_minor=session.closed_minor + closed_minor,
        is_open=is_open,
    )


def _between(table: Table, sides: Sides) -> Any:
    one, two = sorted(sides.addresses)
    return or_(
        and_(table.c.debtor == one, table.c.creditor == two),
        and_(table.c.debtor == two, table.c.creditor == one),
    )


def _session(row: Row[Any]) -> Session:
    values = dict(row._mapping)
    values |= {
        "entry_id": Id(row.entry_id),
        "debtor": PartyId(row.debtor),
        "creditor": PartyId(row.creditor),
        "asset": AssetId(row.asset),
        "told_in": None if row.told_in is None else Id(row.told_in),
        "disputed_in": None if row.disputed_in is None else Id(row.disputed_in),
        "terms": None if row.terms is None else Id(row.terms),
    }
    return Session(**values)
