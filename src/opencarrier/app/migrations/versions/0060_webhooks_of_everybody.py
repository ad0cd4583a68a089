"""endpoints by party page by page, nodes that are watched for silence, and how far was told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0061"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.drop_index("ix_webhooks_endpoint_party", "webhooks_endpoint")
    place = ["party", "made_us", "endpoint"]
    op.create_index("ix_webhooks_endpoint_place", "webhooks_endpoint", place)
    op.create_table(
        "webhooks_node",
        sa.Column("node_id", sa.String(length=80), nullable=False),
        sa.Column("heard_us", sa.BigInteger(), nullable=False),
        sa.Column("silent_us", sa.BigInteger(), nullable=False),
        sa.Column("back_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_id"),
    )
    op.create_index("ix_webhooks_node_silent", "webhooks_node", ["silent_us", "heard_us"])
    op.create_table(
        "webhooks_mark",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("party", sa.String(length=48), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
