"""sessions whose accounting goes to homes, and when a silent session is looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "access_running",
        sa.Column("session", sa.LargeBinary(32), primary_key=True),
        sa.Column("visited", sa.Text(), nullable=False),
        sa.Column("nas_key", sa.Text(), nullable=False),
        sa.Column("realm", sa.String(253), nullable=False),
        sa.Column("attributes", sa.LargeBinary(), nullable=False),
        sa.Column("event_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_access_running_nas", "access_running", ["visited", "nas_key"])
    op.create_index("ix_access_running_event_us", "access_running", ["event_us"])
    with op.batch_alter_table("access_attach") as batch:
        batch.add_column(
            sa.Column("interim_interval_s", sa.Integer(), nullable=False, server_default="0")
        )
        batch.add_column(sa.Column("look_us", sa.BigInteger()))
        batch.create_index("ix_access_attach_look_us", ["look_us"])


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
