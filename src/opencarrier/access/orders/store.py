"""The tables of sessions let in and of orders about them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

ATTACHES = Table(
    "access_attach",
    metadata,
    Column("authorisation_id", LargeBinary(16), primary_key=True),
    Column("client_id", String(96), nullable=False),
    Column("transport", String(8), nullable=False),
    Column("host", String(64), nullable=False),
    Column("nas_identifier", Text, nullable=False),
    Column("nas_address", String(32), nullable=False, server_default=""),
    Column("acct_session_id", Text, nullable=False),
    Column("cui", Text, nullable=False),
    Column("expires_us", BigInteger, nullable=False, index=True),
    Column("interim_interval_s", Integer, nullable=False, server_default="0"),
    Column("look_us", BigInteger, index=True),
    Column("heard_us", BigInteger),
)

ORDERS = Table(
    "access_order",
    metadata,
    Column("order_id", Integer, primary_key=True, autoincrement=True),
    Column("authorisation_id", LargeBinary(16), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("filter_id", Text, nullable=True),
    Column("session_timeout_s", BigInteger, nullable=True),
    Column("rate_octets_per_s", BigInteger, nullable=True),
    Column("or_end", Boolean, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("asked_us", BigInteger, nullable=False),
    Column("next_us", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("error_cause", BigInteger, nullable=True),
    Column("answer", String(32), nullable=False),
    Index("access_order_due", "state", "next_us"),
)
