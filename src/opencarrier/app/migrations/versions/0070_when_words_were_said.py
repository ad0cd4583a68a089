"""when words about a ban were said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0066"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version; words kept before were said long ago."""
    column = sa.Column("at_us", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("bans_words", column)


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
