"""how much a session may report before its money is looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    with op.batch_alter_table("rating_authorisations") as batch:
        batch.add_column(sa.Column("watched_octets", sa.BigInteger()))
        batch.add_column(sa.Column("spent_us", sa.BigInteger()))


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
