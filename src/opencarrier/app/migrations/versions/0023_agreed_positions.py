"""what both sides of an exchange agree on, beside and of positions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "clearing_correction",
        sa.Column("correction_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("position_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("reference", sa.LargeBinary(length=32), nullable=False),
        sa.Column("entry_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["position_id"], ["clearing_position.position_id"]),
        sa.PrimaryKeyConstraint("correction_id"),
    )
    op.create_index("ix_clearing_correction_entry_id", "clearing_correction", ["entry_id"])
    op.create_index("ix_clearing_correction_position_id", "clearing_correction", ["position_id"])
    with op.batch_alter_table("clearing_position") as batch:
        batch.add_column(sa.Column("accepted_by", sa.LargeBinary(length=32)))
        batch.add_column(
            sa.Column("is_held", sa.Boolean(), server_default=sa.false(), nullable=False)
        )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
