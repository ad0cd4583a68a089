"""bans that are undecided, apart from all there ever were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0071"
down_revision = "0068"
branch_labels = None
depends_on = None

FILL = """
INSERT INTO bans_undecided (ban_id, stage, due_s)
SELECT ban_id, stage, due_s FROM bans_step AS taken
WHERE stage IN (1, 2) AND NOT EXISTS (
  SELECT 1 FROM bans_step AS later WHERE later.ban_id = taken.ban_id AND later.stage > taken.stage
)
"""


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "bans_undecided",
        sa.Column("ban_id", sa.LargeBinary(32), primary_key=True),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("due_s", sa.BigInteger(), nullable=False),
    )
    op.create_index("bans_undecided_due", "bans_undecided", ["due_s", "ban_id"])
    op.create_index("bans_undecided_stage", "bans_undecided", ["stage", "due_s"])
    op.execute(FILL)


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
