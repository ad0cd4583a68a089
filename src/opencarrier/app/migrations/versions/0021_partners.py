"""partners and what they were told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "clearing_partner",
        sa.Column("own", sa.String(length=42), nullable=False),
        sa.Column("peer", sa.String(length=42), nullable=False),
        sa.Column("asset", sa.String(length=128), nullable=False),
        sa.Column("domain", sa.String(length=128), nullable=False),
        sa.Column("url", sa.String(length=512), nullable=False),
        sa.Column("tolerance_ppm", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("own", "peer", "asset"),
    )
    op.create_table(
        "clearing_told_session",
        sa.Column("entry_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("debtor", sa.String(length=64), nullable=False),
        sa.Column("creditor", sa.String(length=64), nullable=False),
        sa.Column("asset", sa.String(length=128), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("octets_in", sa.BigInteger(), nullable=False),
        sa.Column("octets_out", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("agreed_minor", sa.BigInteger(), nullable=False),
        sa.Column("closed_minor", sa.BigInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("told_in", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("entry_id"),
    )
    with op.batch_alter_table("clearing_told_session", schema=None) as batch_op:
        batch_op.create_index(
            "clearing_told_session_open", ["is_open", "debtor", "creditor"], unique=False
        )

    op.create_table(
        "clearing_told_usage",
        sa.Column("usage_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("entry_id", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("usage_id"),
    )
    with op.batch_alter_table("clearing_told_usage", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_clearing_told_usage_entry_id"), ["entry_id"], unique=False
        )

    with op.batch_alter_table("clearing_exchange", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("is_concluded", sa.Boolean(), server_default=sa.false(), nullable=False)
        )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
