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
    Table,
    Text,
)

from opencarrier.chain.typed_data import ChannelConfig
from opencarrier.channels.model import Channel, Deposit, Lease, PaidSession
from opencarrier.spine.usage import Counters

metadata = MetaData()


def _minor(*names: str) -> list[Column[Any]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


PAYERS = Table(
    "channels_payer",
    metadata,
    Column("subscriber", Text, primary_key=True),
    Column("mode", SmallInteger, nullable=False),
)
"""Subscribers that pay as they use."""

GRANTS = Table(
    "channels_grant",
    metadata,
    Column("authorisation_id", LargeBinary(16), primary_key=True),
)
"""Authorisations that hold nothing in advance: their use is owed as far as it is acknowledged."""

KEYS = Table(
    "channels_key",
    metadata,
    Column("key_digest", LargeBinary(32), primary_key=True),
    Column("authorisation_id", LargeBinary(16), nullable=False),
)

CHANNELS = Table(
    "channels_channel",
    metadata,
    Column("channel_id", LargeBinary(32), primary_key=True),
    Column("subscriber", Text, nullable=False),
    Column("seller", Text, nullable=False),
    Column("payer", Text, nullable=False),
    Column("payer_authorizer", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("receiver_authorizer", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("withdraw_delay_s", BigInteger, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    *_minor("deposited_minor", "claimed_minor", "voucher_minor"),
    Column("voucher_signature", LargeBinary(65), nullable=False),
    *_minor("due_minor", "position_minor"),
    Column("withdrawing", Boolean, nullable=False),
    Column("closed", Boolean, nullable=False),
    Index("channels_channel_subscriber", "subscriber", "seller"),
    Index("channels_channel_receiver", "receiver"),
)

LEASES = Table(
    "channels_lease",
    metadata,
    Column("channel_id", LargeBinary(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("node_id", Text, nullable=False),
    *_minor("floor_minor", "ceiling_minor", "expires_s", "position_minor"),
    Column("signature", LargeBinary(65), nullable=False),
    Column("detached", Boolean, nullable=False),
    Column("returned", Boolean, nullable=False),
)

SESSIONS = Table(
    "channels_session",
    metadata,
    Column("session_id", LargeBinary(32), primary_key=True),
    Column("channel_id", LargeBinary(32), nullable=False),
    Column("lease_number", Integer, nullable=False),
    Column("authorisation_id", LargeBinary(16), nullable=False),
    Column("tariff_hash", LargeBinary(32), nullable=False),
    *_minor("base_minor", "voucher_minor", "sequence"),
    *_minor("session_time_s", "octets_in", "octets_out", "price_minor"),
    Column("ack_signature", LargeBinary(65), nullable=False),
    Column("ended", Boolean, nullable=False),
    Index("channels_session_lease", "channel_id", "lease_number"),
)

DEPOSITS = Table(
    "channels_deposit",
    metadata,
    Column("channel_id", LargeBinary(32), primary_key=True),
    *_minor("amount_minor", "valid_after_s", "valid_before_s"),
    Column("salt", LargeBinary(32), nullable=False),
    Column("signature", LargeBinary(65), nullable=False),
    Column("done", Boolean, nullable=False),
    Index("channels_deposit_open", "done"),
)
"""Deposits on their way to the chain."""

CLAIMS = Table(
    "channels_claim",
    metadata,
    Column("channel_id", LargeBinary(32), primary_key=True),
    Column("intent_id", LargeBinary(32), nullable=False),
    *_minor("amount_minor"),
    Index("channels_claim_intent", "intent_id"),
)
"""The claim that is under way for a channel: at most one, so that a retry is the same."""

UNREPORTED = Table(
    "channels_unreported",
    metadata,
    Column("session_id", LargeBinary(32), primary_key=True),
    Column("payment", Text, nullable=False),
)
"""The last payment of each session that the seller's books have not taken yet."""

_CONFIG = tuple(ChannelConfig.__dataclass_fields__)
_COUNTERS = tuple(Counters.__dataclass_fields__)


def channel_of(row: Row[Any]) -> Channel:
    """Read a channel."""
    found = dict(row._mapping)
    config = ChannelConfig(**{name: found.pop(name) for name in _CONFIG})
    return Channel(config=config, **found)


def channel_row(channel: Channel) -> dict[str, Any]:
    """Write a channel."""
    names = (name for name in Channel.__dataclass_fields__ if name != "config")
    config = {name: getattr(channel.config, name) for name in _CONFIG}
    return {**config, **{name: getattr(channel, name) for name in names}}


def lease_of(row: Row[Any]) -> Lease:
    """Read a lease."""
    return Lease(**row._mapping)


def lease_row(lease: Lease) -> dict[str, Any]:
    """Write a lease."""
    return {name: getattr(lease, name) for name in Lease.__dataclass_fields__}


def session_of(row: Row[Any]) -> PaidSession:
    """Read a session."""
    found = dict(row._mapping)
    acked = Counters(**{name: found.pop(name) for name in _COUNTERS})
    return PaidSession(acked=acked, **found)


def session_row(session: PaidSession) -> dict[str, Any]:
    """Write a session."""
    names = (name for name in PaidSession.__dataclass_fields__ if name != "acked")
    counters = {name: getattr(session.acked, name) for name in _COUNTERS}
    return {**counters, **{name: getattr(session, name) for name in names}}


def deposit_of(row: Row[Any]) -> Deposit:
    """Read a deposit."""
    found = {name: row._mapping[name] for name in Deposit.__dataclass_fields__}
    return Deposit(**{**found, "salt": int.from_bytes(found["salt"], "big")})


def deposit_row(deposit: Deposit) -> dict[str, Any]:
    """Write a deposit."""
    found = {name: getattr(deposit, name) for name in Deposit.__dataclass_fields__}
    return {**found, "salt": deposit.salt.to_bytes(32, "big"), "done": False}
