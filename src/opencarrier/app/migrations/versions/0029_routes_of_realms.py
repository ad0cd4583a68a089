"""Routes of realms, servers, names in the federation, accounting owed to homes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "access_outbox",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("realm", sa.String(length=253), nullable=False),
        sa.Column("session", sa.LargeBinary(length=32), nullable=False),
        sa.Column("attributes", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    with op.batch_alter_table("access_outbox", schema=None) as batch_op:
        batch_op.create_index("ix_access_outbox_realm", ["realm", "number"], unique=False)
        batch_op.create_index("ix_access_outbox_session", ["session", "number"], unique=False)

    op.create_table(
        "identity_radius_server",
        sa.Column("server_id", sa.String(length=300), nullable=False),
        sa.Column("upstream", sa.String(length=253), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("transport", sa.String(length=8), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("server_id"),
    )
    with op.batch_alter_table("identity_radius_server", schema=None) as batch_op:
        batch_op.create_index("ix_identity_radius_server_upstream", ["upstream"], unique=False)

    op.create_table(
        "identity_route",
        sa.Column("pattern", sa.String(length=253), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("upstream", sa.String(length=253), nullable=True),
        sa.Column("inward", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("pattern"),
    )
    op.create_table(
        "identity_wba_id",
        sa.Column("wba_id", sa.String(length=68), nullable=False),
        sa.Column("operator", sa.String(length=48), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator"],
            ["identity_party.party_id"],
        ),
        sa.PrimaryKeyConstraint("wba_id"),
    )
    with op.batch_alter_table("identity_wba_id", schema=None) as batch_op:
        batch_op.create_index("ix_identity_wba_id_operator", ["operator"], unique=False)

    with op.batch_alter_table("identity_radius_client", schema=None) as batch_op:
        batch_op.add_column(sa.Column("carries", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("federation", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
