"""where nodes are, and how many there are of what is too many to count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "identity_node_place",
        sa.Column("node_id", sa.String(64), primary_key=True),
        sa.Column("latitude_udeg", sa.Integer(), nullable=False),
        sa.Column("longitude_udeg", sa.Integer(), nullable=False),
        sa.Column("precision_m", sa.Integer(), nullable=False),
        sa.Column("attester", sa.String(48), nullable=False),
        sa.Column("stated_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "identity_place_cell",
        sa.Column("level", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("latitude_cell", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("longitude_cell", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("nodes", sa.BigInteger(), nullable=False),
        sa.Column("latitude_sum_udeg", sa.BigInteger(), nullable=False),
        sa.Column("longitude_sum_udeg", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "identity_tally",
        sa.Column("what", sa.String(64), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
    for counted in (
        "SELECT kind, count(*) FROM identity_party WHERE kind <> 'subscriber' GROUP BY kind",
        "SELECT 'node', count(*) FROM identity_node HAVING count(*) > 0",
        "SELECT 'node/' || operator, count(*) FROM identity_node GROUP BY operator",
    ):
        op.execute(f"INSERT INTO identity_tally (what, number) {counted}")


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
