"""links by which nodes' agents enter themselves, once each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0046"
branch_labels = None
depends_on = None

TABLE = "identity_node_enrolment"


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        TABLE,
        sa.Column("token_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.Column("host", sa.String(48), nullable=False),
        sa.Column("operator", sa.String(48), nullable=False),
        sa.Column("place", sa.String(32), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
    )
    for column in ("host", "expires_us"):
        op.create_index(f"ix_{TABLE}_{column}", TABLE, [column])


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
