"""who owns, what still is asked, and whose use it is are found by an index."""

from __future__ import annotations

from alembic import op

revision = "0068"
down_revision = "0069"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_index("ix_accounts_approval_expires_us", "accounts_approval", ["expires_us"])
    op.create_index("ix_accounts_grant_role", "accounts_grant", ["role", "given_us", "account"])
    op.create_index("usage_of_node", "usage", ["node_id", "usage_id"])
    op.create_index("usage_of_subject", "usage", ["subject", "usage_id"])


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
