"""what hosts earned by day, node and reason; and a host's nodes by index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version; the sums are filled from the ledger as it is followed."""
    op.create_table("rewards_host_day", _key("host", 48), *_sums())
    op.create_table("rewards_node_day", _key("host", 48), _key("node_id", 64), *_sums())
    op.create_table(
        "rewards_followed",
        sa.Column("one", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
    )
    op.create_index("identity_node_of_host", "identity_node", ["host", "node_id"])


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")


def _key(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=True)


def _sums() -> list[sa.Column[int] | sa.Column[str]]:
    return [
        _key("asset", 128),
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        _key("reason", 16),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
    ]
