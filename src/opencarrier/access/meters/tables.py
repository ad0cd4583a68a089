"""Tables of nodes' keys and of their statements."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

NODE_KEYS = Table(
    "access_node_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("node_id", Text, nullable=False),
    Column("added_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
)

STATEMENTS = Table(
    "access_statement",
    metadata,
    Column("head", LargeBinary(32), primary_key=True),
    Column("node_id", Text, nullable=False),
    Column("authorisation_id", LargeBinary(16)),
    Column("kid", Text, nullable=False),
    Column("signature", LargeBinary(65), nullable=False),
    Column("nas_identifier", Text, nullable=False),
    Column("acct_session_id", Text, nullable=False),
    Column("started_s", BigInteger, nullable=False),
    Column("class_digest", LargeBinary(32), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("event_s", BigInteger, nullable=False),
    Column("session_time_s", BigInteger, nullable=False),
    Column("octets_in", BigInteger, nullable=False),
    Column("octets_out", BigInteger, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Index("access_statement_chain", "nas_identifier", "acct_session_id", "started_s", "sequence"),
    Index("access_statement_authorisation", "authorisation_id"),
)

ERASED = Table(
    "access_statement_erased",
    metadata,
    Column("class_digest", LargeBinary(32), primary_key=True),
)
"""What stood for the Class attributes of erased sessions: random octets, which lead to nobody."""
