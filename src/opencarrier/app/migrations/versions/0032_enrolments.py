"""enrolments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "identity_enrolment",
        sa.Column("token_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subscriber", sa.String(length=48), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["identity_subscriber.party_id"]),
        sa.PrimaryKeyConstraint("token_sha256"),
    )
    with op.batch_alter_table("identity_enrolment", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_identity_enrolment_expires_us"), ["expires_us"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_identity_enrolment_subscriber"), ["subscriber"], unique=False
        )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
