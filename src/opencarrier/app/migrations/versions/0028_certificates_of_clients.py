"""certificates of clients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    with op.batch_alter_table("identity_radius_client", schema=None) as batch_op:
        batch_op.alter_column(
            "prefix",
            existing_type=sa.String(length=49),
            type_=sa.String(length=300),
            existing_nullable=False,
        )
        batch_op.add_column(sa.Column("require_message_authenticator", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("limit_proxy_state", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
