"""The room's table: charging sessions, each with its newest answer."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    select,
)

from opencarrier.charging.model import ChargingSession
from opencarrier.kernel.ids import Id
from opencarrier.spine.usage import Counters

metadata = MetaData()

sessions = Table(
    "charging_session",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("created_by", LargeBinary(32), nullable=False, unique=True),
    Column("session_id", LargeBinary(32), nullable=False),
    Column("authorisation_id", LargeBinary(16), nullable=False),
    Column("node_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("session_time_s", BigInteger, nullable=False),
    Column("octets_in", BigInteger, nullable=False),
    Column("octets_out", BigInteger, nullable=False),
    Column("grants", Text, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("last_digest", LargeBinary(32), nullable=False),
    Column("answer", Text, nullable=False),
    Column("released", Boolean, nullable=False),
)

_COUNTERS = ("session_time_s", "octets_in", "octets_out")
_PLAIN = (
    "reference",
    "session_id",
    "authorisation_id",
    "node_id",
    "subject",
    "created_us",
    "expires_us",
    "last_sequence",
    "last_digest",
    "answer",
    "released",
)


def insert(unit: Connection, session: ChargingSession, created_by: bytes) -> None:
    """Keep a new session under the digest of the request that created it."""
    unit.execute(sessions.insert(), {**_row(session), "created_by": created_by})


def update(unit: Connection, session: ChargingSession) -> None:
    """Write how a session stands."""
    mine = sessions.c.reference == session.reference
    unit.execute(sessions.update().where(mine).values(**_row(session)))


def session(unit: Connection, reference: str) -> ChargingSession | None:
    """Return a session."""
    query = select(sessions).where(sessions.c.reference == reference)
    return _session(unit.execute(query).one_or_none())


def created_by(unit: Connection, digest: bytes) -> ChargingSession | None:
    """Return the session that a request created."""
    query = select(sessions).where(sessions.c.created_by == digest)
    return _session(unit.execute(query).one_or_none())


def _row(item: ChargingSession) -> dict[str, Any]:
    return {
        **{name: getattr(item, name) for name in _PLAIN},
        **{name: getattr(item.used, name) for name in _COUNTERS},
        "grants": json.dumps({str(group): octets for group, octets in item.grants.items()}),
    }


def _session(row: Row[Any] | None) -> ChargingSession | None:
    if row is None:
        return None
    found = {name: row._mapping[name] for name in _PLAIN}
    return ChargingSession(
        **{**found, "session_id": Id(row.session_id)},
        used=Counters(**{name: row._mapping[name] for name in _COUNTERS}),
        grants={int(group): octets for group, octets in json.loads(row.grants).items()},
    )
