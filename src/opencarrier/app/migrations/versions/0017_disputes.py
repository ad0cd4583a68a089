"""disputes over co-signed statements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "clearing_dispute_move",
        sa.Column("dispute_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("move_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("exchange_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("usage_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("dispute_id", "move_id"),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
