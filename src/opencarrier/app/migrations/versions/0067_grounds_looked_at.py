"""grounds of appeals that are looked at and not sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0067"
down_revision = "0065"
branch_labels = None
depends_on = None

HASH = sa.LargeBinary(32)


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "bans_proposed",
        sa.Column("node_key", HASH, primary_key=True),
        sa.Column("digest", HASH, primary_key=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
