"""value routing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "routing_advert",
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("valid_until_us", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seller", "place"),
    )
    with op.batch_alter_table("routing_advert", schema=None) as batch_op:
        batch_op.create_index("routing_advert_place", ["place", "valid_until_us"], unique=False)

    op.create_table(
        "routing_ceiling",
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("ceiling_nano", sa.BigInteger(), nullable=False),
        sa.Column("quality_min_ppm", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("home", "plan_id"),
    )
    op.create_table(
        "routing_choice",
        sa.Column("about", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("about"),
    )
    op.create_table(
        "routing_floor",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("floor_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host"),
    )
    op.create_table(
        "routing_measured",
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("faultless", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("seller"),
    )
    op.create_table(
        "routing_place",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node_id"),
    )
    op.create_table(
        "routing_steered",
        sa.Column("subscriber", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subscriber", "place"),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
