"""accepted rates and rate caps of authorisations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    with op.batch_alter_table("rating_authorisations") as batch:
        batch.add_column(sa.Column("accepted_index", sa.Integer()))
        batch.add_column(sa.Column("rate_cap_octets_per_s", sa.BigInteger()))


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
