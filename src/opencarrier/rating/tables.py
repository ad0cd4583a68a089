"""The tables of rating. Agreements, plans and charges are only ever inserted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
)

IDS_MAX: Final = 500
"""Ids asked for in one statement."""

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
    Index("rating_agreements_home", "home", "agreement_hash"),
    Index("rating_agreements_visited", "visited", "agreement_hash"),
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
    Column("service", Integer, nullable=False, server_default="1"),
    Column("qos", Integer, nullable=False, server_default="0"),
    Column("rcoi", Integer, nullable=False, server_default="0"),
    Column("quoted_currency", Text),
    Column("quoted_nano_per_kib", BigInteger),
    Column("accepted_index", Integer),
    Column("rate_cap_octets_per_s", BigInteger),
    Column("watched_octets", BigInteger),
    Column("spent_us", BigInteger),
    Index("rating_authorisations_exposure", "home", "wholesale_asset", "hold_expires_us"),
    Index("rating_authorisations_subscriber", "subscriber", "granted_us", "authorisation_id"),
)

accepted = Table(
    "rating_accepted",
    metadata,
    Column("authorisation_id", LargeBinary(16), primary_key=True),
    Column("home", Text, nullable=False),
    Column("visited", Text, nullable=False),
    Column("nas_identifier", Text, nullable=False),
    Column("qos", Integer, nullable=False),
    Column("rcoi", Integer, nullable=False),
    Column("quoted_currency", Text),
    Column("quoted_nano_per_kib", BigInteger),
    Column("granted_us", BigInteger, nullable=False, index=True),
    Column("expires_us", BigInteger, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("signature", LargeBinary, nullable=False),
)
"""What homes elsewhere agreed to of sessions here."""

open_exposure = Table(
    "rating_open_exposure",
    metadata,
    Column("home", Text, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("counted_us", BigInteger, nullable=False),
    Column("open_minor", BigInteger, nullable=False),
)
"""What the authorisations whose holds last beyond an instant may still cost a home."""

discounts = Table(
    "rating_discounts",
    metadata,
    Column("authorisation_id", LargeBinary(16), primary_key=True),
    Column("home", Text, nullable=False),
    Column("contract", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("timepoint_s", BigInteger, nullable=False),
    Column("lock_began_s", BigInteger, nullable=False),
    Column("reserved_minor", BigInteger, nullable=False),
    Column("spent_minor", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("ends_us", BigInteger),
    Index("rating_discounts_lock", "home", "contract", "account", "lock_began_s"),
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

charge_stakes = Table(
    "rating_charge_stakes",
    metadata,
    Column("charge_id", LargeBinary(32), primary_key=True),
    Column("contract", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("timepoint_s", BigInteger, nullable=False),
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

spent = Table(
    "rating_spent",
    metadata,
    Column("subscriber", Text, primary_key=True),
    Column("month_us", BigInteger, primary_key=True, autoincrement=False),
    Column("seller", Text, primary_key=True),
    Column("visited", Text, primary_key=True),
    Column("service", Integer, primary_key=True, autoincrement=False),
    Column("asset", Text, primary_key=True),
    Column("charges", BigInteger, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("duration_s", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("overrun_minor", BigInteger, nullable=False),
)
"""What each subscriber was charged, by month."""

caps = Table(
    "rating_cap",
    metadata,
    Column("subscriber", Text, primary_key=True),
    Column("home", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("cap_minor", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
)

notices = Table(
    "rating_notice",
    metadata,
    Column("subscriber", Text, primary_key=True),
    Column("month_us", BigInteger, primary_key=True, autoincrement=False),
    Column("cap_minor", BigInteger, primary_key=True, autoincrement=False),
    Column("percent", Integer, primary_key=True, autoincrement=False),
    Column("spent_minor", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)
"""What subscribers were told of their caps."""

line_uses = Table(
    "rating_line_uses",
    metadata,
    Column("usage_id", LargeBinary(32), primary_key=True),
    Column("cycle_id", LargeBinary(32), nullable=False, index=True),
    Column("agreement_hash", LargeBinary(32), nullable=False),
    Column("place", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("subject", LargeBinary(16), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("seller_minor", BigInteger, nullable=False),
    Column("host_minor", BigInteger, nullable=False),
    Column("protocol_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Index("rating_line_uses_period", "agreement_hash", "place", "at_us"),
)

LINE_SUMS: Final = ("steps", "amount", "seller_minor", "host_minor", "protocol_minor", "tax_minor")
"""What is summed of a line; each in two halves, for a database may not add beyond 64 bits."""

line_days = Table(
    "rating_line_days",
    metadata,
    Column("agreement_hash", LargeBinary(32), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("is_quoted", Boolean, primary_key=True),
    Column("uses", BigInteger, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    *(
        Column(f"{name}_{half}", BigInteger, nullable=False)
        for name in LINE_SUMS
        for half in ("high", "low")
    ),
)

deal_periods = Table(
    "rating_deal_periods",
    metadata,
    Column("agreement_hash", LargeBinary(32), primary_key=True),
    Column("deal_hash", LargeBinary(32), primary_key=True),
    Column("start_us", BigInteger, primary_key=True),
    Column("end_us", BigInteger, nullable=False),
    Column("is_closed", Boolean, nullable=False),
    Index("rating_deal_periods_open", "is_closed", "end_us"),
)

adjustments = Table(
    "rating_adjustments",
    metadata,
    Column("agreement_hash", LargeBinary(32), primary_key=True),
    Column("deal_hash", LargeBinary(32), primary_key=True),
    Column("start_us", BigInteger, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("adjustment_id", LargeBinary(32), nullable=False, unique=True),
    Column("cycle_id", LargeBinary(32), nullable=False, index=True),
    Column("inputs", LargeBinary, nullable=False),
    Column("made_us", BigInteger, nullable=False),
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


def by_ids(
    unit: Connection, query: Select[Any], ids: Iterable[bytes], column: ColumnElement[Any]
) -> Iterator[Row[Any]]:
    """Run a query over ids, a bounded number at a time."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), IDS_MAX):
        yield from unit.execute(query.where(column.in_(wanted[start : start + IDS_MAX])))
