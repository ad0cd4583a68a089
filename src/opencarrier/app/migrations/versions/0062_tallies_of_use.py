"""how many sessions, observations and usages there are, counted once and kept from here on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0062"
down_revision = "0051"
branch_labels = None
depends_on = None

_TAKEN = """
usage_observation WHERE sequence <= (SELECT max(mark) FROM usage_cut)
AND sequence NOT IN (SELECT sequence FROM usage_deferred)
"""


def upgrade() -> None:
    """Bring the schema to this version; what no cut has taken is counted when it is asked for."""
    op.create_table(
        "usage_tally",
        sa.Column("what", sa.String(16), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
    for what, rows in (
        ("sessions", "usage_session"),
        ("sessions_open", "usage_session WHERE closed_by = ''"),
        ("taken", _TAKEN),
        ("usages", "usage"),
        ("cuts", "usage_cut"),
    ):
        counted = f"SELECT '{what}', count(*) FROM {rows} HAVING count(*) > 0"  # noqa: S608
        op.execute(f"INSERT INTO usage_tally (what, number) {counted}")


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
