"""exchanges with other installations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "clearing_exchange",
        sa.Column("exchange_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("domain", sa.String(length=128), nullable=False),
        sa.Column("asset", sa.String(length=128), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.String(length=42), nullable=False),
        sa.Column("second", sa.String(length=42), nullable=False),
        sa.Column("tolerance_ppm", sa.Integer(), nullable=False),
        sa.Column("own", sa.String(length=42), nullable=False),
        sa.Column("cut_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("exchange_id"),
    )
    op.create_table(
        "clearing_exchange_entry",
        sa.Column("exchange_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("usage_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("fields", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("exchange_id", "usage_id"),
    )
    op.create_table(
        "clearing_exchange_message",
        sa.Column("exchange_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("exchange_id", "number"),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
