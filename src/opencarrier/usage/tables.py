"""The room's tables, and how their rows become the room's types and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    SmallInteger,
    String,
    Table,
    Text,
)

from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import ZERO, Counters, Observation, Rung, Status, Usage
from opencarrier.usage.model import Anomaly, Session, Stream

metadata = MetaData()


def _id_column(name: str, *, key: bool = False, unique: bool = False) -> Column[Any]:
    return Column(name, LargeBinary(32), primary_key=key, nullable=False, unique=unique)


def _counters(prefix: str, *, nullable: bool = False) -> list[Column[Any]]:
    names = ("session_time_s", "octets_in", "octets_out")
    return [Column(f"{prefix}{name}", BigInteger, nullable=nullable) for name in names]


OBSERVATIONS = Table(
    "usage_observation",
    metadata,
    Column(
        "sequence",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    _id_column("observation_id", unique=True),
    Column("status", SmallInteger, nullable=False),
    Column("home", Text),
    Column("visited", Text, nullable=False),
    Column("nas_key", Text, nullable=False),
    Column("node_id", Text),
    Column("authorisation_id", LargeBinary(16)),
    Column("acct_session_id", Text, nullable=False),
    *_counters("", nullable=True),
    Column("subject", Text, nullable=False),
    Column("event_us", BigInteger, nullable=False),
    Column("terminate_cause", BigInteger),
    Column("reporter", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("packet_digest", LargeBinary(32), nullable=False),
    Index("usage_observation_stream", "nas_key", "acct_session_id"),
)

DEFERRED = Table(
    "usage_deferred",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
)

RESTARTS = Table(
    "usage_restart",
    metadata,
    Column("visited", Text, primary_key=True),
    Column("nas_key", Text, primary_key=True),
    Column("event_us", BigInteger, primary_key=True, autoincrement=False),
)

SESSIONS = Table(
    "usage_session",
    metadata,
    _id_column("session_id", key=True),
    Column("visited", Text, nullable=False),
    Column("nas_key", Text, nullable=False),
    Column("acct_session_id", Text, nullable=False),
    Column("authorisation_id", LargeBinary(16)),
    Column("home", Text),
    Column("node_id", Text),
    Column("subject", Text, nullable=False),
    Column("epoch_us", BigInteger, nullable=False),
    Column("birth_us", BigInteger, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    *_counters("base_"),
    *_counters("to_"),
    *_counters("settled_"),
    Column("settled_us", BigInteger, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("closed_by", Text, nullable=False),
    Column("anomalies", Integer, nullable=False),
    Column("usages", Integer, nullable=False),
    Index("usage_session_stream", "visited", "nas_key", "acct_session_id"),
    Index("usage_session_open", "closed_by", "last_us"),
    Index("usage_session_authorisation", "authorisation_id"),
)

WITHHELD = Table(
    "usage_withheld",
    metadata,
    _id_column("session_id", key=True),
)
"""Sessions whose meter shows more than their devices have signed for."""

ERASED = Table(
    "usage_erased",
    metadata,
    Column("authorisation_id", LargeBinary(16), primary_key=True),
)
"""Authorisations of erased subscribers: what comes of them still is nobody's."""

USAGES = Table(
    "usage",
    metadata,
    _id_column("usage_id", key=True),
    _id_column("cycle_id"),
    _id_column("session_id"),
    Column("authorisation_id", LargeBinary(16)),
    Column("home", Text),
    Column("visited", Text, nullable=False),
    Column("node_id", Text),
    Column("subject", Text, nullable=False),
    *_counters("from_"),
    *_counters("to_"),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("weak", Boolean, nullable=False),
    Column("closed_by", Text, nullable=False),
    Column("rung", SmallInteger, nullable=False),
    Index("usage_cycle", "cycle_id", "usage_id", unique=True),
    Index("usage_of_session", "session_id"),
    Index("usage_authorisation", "authorisation_id", "end_us", "usage_id"),
    Index("usage_of_node", "node_id", "usage_id"),
    Index("usage_of_subject", "subject", "usage_id"),
)

CUTS = Table(
    "usage_cut",
    metadata,
    _id_column("cycle_id", key=True),
    Column("cut_us", BigInteger, nullable=False),
    Column("mark", BigInteger, nullable=False),
    Column("usages", Integer, nullable=False),
)

TALLIES = Table(
    "usage_tally",
    metadata,
    Column("what", String(16), primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""How many rows there are of what is too many to count while somebody waits."""

FILES = Table(
    "usage_file",
    metadata,
    _id_column("digest", key=True),
    Column("kind", Text, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("operator", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("verified", Boolean, nullable=False),
    Column("ingested_us", BigInteger, nullable=False),
)
"""Files that were ingested: `source` names a file by its digest, this says what it was."""

COPIES = Table(
    "usage_copy",
    metadata,
    _id_column("observation_id", key=True),
    Column("source", Text, primary_key=True),
)
"""Where an observation that was kept already came from again."""

REFUSALS = Table(
    "usage_refused",
    metadata,
    _id_column("digest", key=True),
    Column("operator", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
)
"""Records of ingested files that were not taken, by offset; the first ones of each file."""


def _three(row: Row[Any], prefix: str) -> Counters:
    found = row._mapping
    return Counters(
        session_time_s=found[f"{prefix}session_time_s"],
        octets_in=found[f"{prefix}octets_in"],
        octets_out=found[f"{prefix}octets_out"],
    )


def _columns(prefix: str, counters: Counters) -> dict[str, int]:
    return {
        f"{prefix}session_time_s": counters.session_time_s,
        f"{prefix}octets_in": counters.octets_in,
        f"{prefix}octets_out": counters.octets_out,
    }


def _plain(table: Table, kept_apart: str) -> list[str]:
    """Name the columns that are fields of the same name and value in a type of ours."""
    counters = {*_columns("", ZERO), *_columns("base_", ZERO), *_columns("from_", ZERO)}
    counters |= {*_columns("to_", ZERO), *_columns("settled_", ZERO)}
    return [
        column.name for column in table.c if column.name not in counters | set(kept_apart.split())
    ]


_SESSION = _plain(SESSIONS, "visited nas_key acct_session_id anomalies")
_USAGE = _plain(USAGES, "cycle_id rung")
_OBSERVATION = _plain(OBSERVATIONS, "sequence observation_id status")


def session_of(row: Row[Any]) -> Session:
    """Read a session."""
    return Session(
        **{name: row._mapping[name] for name in _SESSION},
        stream=Stream(PartyId(row.visited), row.nas_key, row.acct_session_id),
        base=_three(row, "base_"),
        counters=_three(row, "to_"),
        settled=_three(row, "settled_"),
        anomalies=Anomaly(row.anomalies),
    )


def session_row(session: Session) -> dict[str, Any]:
    """Write a session."""
    return {
        **{name: getattr(session, name) for name in _SESSION},
        **session.stream._asdict(),
        **_columns("base_", session.base),
        **_columns("to_", session.counters),
        **_columns("settled_", session.settled),
        "anomalies": int(session.anomalies),
    }


def usage_of(row: Row[Any]) -> Usage:
    """Read a usage."""
    return Usage(
        **{name: row._mapping[name] for name in _USAGE},
        counters_from=_three(row, "from_"),
        counters_to=_three(row, "to_"),
        rung=Rung(row.rung),
    )


def usage_row(usage: Usage) -> dict[str, Any]:
    """Write a usage, all but its cycle."""
    return {
        **{name: getattr(usage, name) for name in _USAGE},
        **_columns("from_", usage.counters_from),
        **_columns("to_", usage.counters_to),
        "rung": int(usage.rung),
    }


def observation_of(row: Row[Any]) -> Observation:
    """Read an observation."""
    return Observation(
        **{name: row._mapping[name] for name in _OBSERVATION},
        status=Status(row.status),
        counters=None if row.session_time_s is None else _three(row, ""),
    )
