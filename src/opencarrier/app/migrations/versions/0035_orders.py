"""orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "access_attach",
        sa.Column("authorisation_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("client_id", sa.String(length=96), nullable=False),
        sa.Column("transport", sa.String(length=8), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("nas_identifier", sa.Text(), nullable=False),
        sa.Column("acct_session_id", sa.Text(), nullable=False),
        sa.Column("cui", sa.Text(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("authorisation_id"),
    )
    with op.batch_alter_table("access_attach", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_access_attach_expires_us"), ["expires_us"], unique=False
        )
    op.create_table(
        "access_order",
        sa.Column("order_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("authorisation_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("filter_id", sa.Text(), nullable=True),
        sa.Column("session_timeout_s", sa.BigInteger(), nullable=True),
        sa.Column("rate_octets_per_s", sa.BigInteger(), nullable=True),
        sa.Column("or_end", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("asked_us", sa.BigInteger(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error_cause", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    with op.batch_alter_table("access_order", schema=None) as batch_op:
        batch_op.create_index("access_order_due", ["state", "next_us"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_access_order_authorisation_id"), ["authorisation_id"], unique=False
        )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
