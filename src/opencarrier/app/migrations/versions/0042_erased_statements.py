"""what is not to be learned again of erased sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "access_statement_erased",
        sa.Column("class_digest", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("class_digest", name=op.f("pk_access_statement_erased")),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
