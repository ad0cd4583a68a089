"""accounts of visitors of a demo, which end with the process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0070"
branch_labels = None
depends_on = None

ACCOUNT = "accounts_account.account"


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "accounts_guest",
        sa.Column("account", sa.String(48), sa.ForeignKey(ACCOUNT), primary_key=True),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
