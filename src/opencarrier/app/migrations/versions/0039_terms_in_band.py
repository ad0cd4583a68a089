"""what homes elsewhere agreed to in band, and the digests of it that are exchanged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "rating_accepted",
        sa.Column("authorisation_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("visited", sa.Text(), nullable=False),
        sa.Column("nas_identifier", sa.Text(), nullable=False),
        sa.Column("qos", sa.Integer(), nullable=False),
        sa.Column("rcoi", sa.Integer(), nullable=False),
        sa.Column("quoted_currency", sa.Text()),
        sa.Column("quoted_nano_per_kib", sa.BigInteger()),
        sa.Column("granted_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_rating_accepted_granted_us", "rating_accepted", ["granted_us"])
    for table in ("clearing_told_session", "clearing_told_usage"):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("terms", sa.LargeBinary(32)))


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
