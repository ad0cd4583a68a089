"""a digest of what was asked for is kept with a transaction."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0066"
down_revision = "0067"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version; what was kept before is found by its call."""
    op.add_column("chain_transaction", sa.Column("asked", sa.LargeBinary(32), nullable=True))
    op.create_index("chain_transaction_called", "chain_transaction", ["call_to", "purpose"])


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
