"""what each line of an agreement carried by day; agreements by operator."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0050"
branch_labels = None
depends_on = None

_SUMS = ("steps", "amount", "seller_minor", "host_minor", "protocol_minor", "tax_minor")
_KEYS = ("agreement_hash", "day", "place", "is_quoted")


def upgrade() -> None:
    """Bring the schema to this version; what was rated before is in no sum."""
    op.create_table(
        "rating_line_days",
        sa.Column("agreement_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("is_quoted", sa.Boolean(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        *(
            sa.Column(f"{name}_{half}", sa.BigInteger(), nullable=False)
            for name in _SUMS
            for half in ("high", "low")
        ),
        sa.PrimaryKeyConstraint(*_KEYS, name=op.f("pk_rating_line_days")),
    )
    for side in ("home", "visited"):
        op.create_index(f"rating_agreements_{side}", "rating_agreements", [side, "agreement_hash"])


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
