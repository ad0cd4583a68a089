"""what each subscriber spent by month, its cap and what it was told; whose sessions, by index."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0045"
branch_labels = None
depends_on = None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUMS = (
    "charges",
    "octets",
    "duration_s",
    "amount_minor",
    "tax_minor",
    "discount_minor",
    "overrun_minor",
)
_KEYS = ("subscriber", "month_us", "seller", "visited", "service", "asset")
_RETAIL, _TAX = 2, 4
_AT_ONCE = 10_000
"""Charges in memory: PostgreSQL's driver would otherwise fetch every one there is first."""

_CHARGED = """
SELECT charge.charge_id, charge.payer, usage.end_us, charge.seller, usage.visited,
       granted.service, charge.asset,
       usage.to_octets_in + usage.to_octets_out - usage.from_octets_in - usage.from_octets_out,
       usage.to_session_time_s - usage.from_session_time_s,
       charge.amount_minor,
       COALESCE((SELECT SUM(leg.amount_minor) FROM rating_allocations AS leg
                 WHERE leg.charge_id = charge.charge_id AND leg.role = :tax), 0),
       charge.discount_minor
FROM rating_charges AS charge
JOIN usage ON usage.usage_id = charge.usage_id
JOIN rating_authorisations AS granted ON granted.authorisation_id = usage.authorisation_id
WHERE charge.kind = :retail
"""


def upgrade() -> None:
    """Bring the schema to this version; what was charged before is summed up here."""
    op.create_table(
        "rating_spent",
        sa.Column("subscriber", sa.Text(), nullable=False),
        sa.Column("month_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("visited", sa.Text(), nullable=False),
        sa.Column("service", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _SUMS),
        sa.PrimaryKeyConstraint(*_KEYS, name=op.f("pk_rating_spent")),
    )
    op.create_table(
        "rating_cap",
        sa.Column("subscriber", sa.Text(), nullable=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("cap_minor", sa.BigInteger(), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subscriber", name=op.f("pk_rating_cap")),
    )
    op.create_table(
        "rating_notice",
        sa.Column("subscriber", sa.Text(), nullable=False),
        sa.Column("month_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cap_minor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("percent", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spent_minor", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "subscriber", "month_us", "cap_minor", "percent", name=op.f("pk_rating_notice")
        ),
    )
    op.create_index(
        "rating_authorisations_subscriber",
        "rating_authorisations",
        ["subscriber", "granted_us", "authorisation_id"],
    )
    op.create_index("usage_authorisation", "usage", ["authorisation_id", "end_us", "usage_id"])
    _sum_up(op.get_bind())


def _sum_up(unit: sa.Connection) -> None:
    overruns = sa.text("SELECT reference, moved_minor FROM ledger_transfers WHERE code = 'overrun'")
    borne = {row.reference: row.moved_minor for row in unit.execute(overruns)}
    found: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(_SUMS))
    kinds, in_parts = {"retail": _RETAIL, "tax": _TAX}, {"yield_per": _AT_ONCE}
    charged = unit.execute(sa.text(_CHARGED), kinds, execution_options=in_parts)
    for charge_id, payer, end_us, seller, visited, service, asset, *used in charged:
        sums = found[payer, _month_us(end_us), seller, visited, service, asset]
        for place, amount in enumerate((1, *used, borne.get(charge_id, 0))):
            sums[place] += int(amount)
    names = (*_KEYS, *_SUMS)
    rows = [dict(zip(names, (*key, *sums), strict=True)) for key, sums in found.items()]
    if rows:
        values = ", ".join(f":{name}" for name in names)
        unit.execute(
            sa.text(f"INSERT INTO rating_spent ({', '.join(names)}) VALUES ({values})"),  # noqa: S608
            rows,
        )


def _month_us(at_us: int) -> int:
    at = _EPOCH + timedelta(microseconds=max(at_us, 0))
    begin = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (begin - _EPOCH) // timedelta(microseconds=1)


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
