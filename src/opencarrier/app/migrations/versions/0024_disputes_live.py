"""disputes over the live cycle's statements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "clearing_dispute_end",
        sa.Column("dispute_id", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("dispute_id"),
    )
    with op.batch_alter_table("clearing_told_session") as batch:
        batch.add_column(sa.Column("disputed_in", sa.LargeBinary(length=32)))


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
