"""certificates and passwords of subscribers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "identity_certificate",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("subscriber", sa.String(length=48), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber"], ["identity_subscriber.party_id"]),
        sa.PrimaryKeyConstraint("fingerprint"),
    )
    op.create_table(
        "identity_password",
        sa.Column("user_name", sa.String(length=64), nullable=False),
        sa.Column("subscriber", sa.String(length=48), nullable=False),
        sa.Column("hash_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber"], ["identity_subscriber.party_id"]),
        sa.PrimaryKeyConstraint("user_name"),
    )
    for table in ("identity_certificate", "identity_password"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.create_index(batch_op.f(f"ix_{table}_subscriber"), ["subscriber"])


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
