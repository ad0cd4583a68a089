"""kept answers go with the data of the subscriber they are about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0065"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version; what was answered before is over in a day."""
    op.add_column("app_answer", sa.Column("about", sa.LargeBinary(32), nullable=True))
    op.create_index("ix_app_answer_about", "app_answer", ["about"])


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
