"""where parties' machines hear what happened, what was said, and how each delivery stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0059"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "webhooks_endpoint",
        sa.Column("endpoint", sa.String(length=48), nullable=False),
        sa.Column("party", sa.String(length=48), nullable=False),
        sa.Column("url", sa.String(length=1024), nullable=False),
        sa.Column("kinds", sa.String(length=1024), nullable=False),
        sa.Column("made_us", sa.BigInteger(), nullable=False),
        sa.Column("secret", sa.Integer(), nullable=False),
        sa.Column("former_until_us", sa.BigInteger(), nullable=False),
        sa.Column("off", sa.String(length=16), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("rests_until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint"),
    )
    op.create_index(op.f("ix_webhooks_endpoint_party"), "webhooks_endpoint", ["party"])
    op.create_table(
        "webhooks_message",
        sa.Column("message", sa.String(length=68), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message"),
    )
    op.create_index(op.f("ix_webhooks_message_at_us"), "webhooks_message", ["at_us"])
    op.create_table(
        "webhooks_delivery",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("endpoint", sa.String(length=48), nullable=False),
        sa.Column("message", sa.String(length=68), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=False),
        sa.Column("tried_us", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=512), nullable=False),
        sa.ForeignKeyConstraint(["endpoint"], ["webhooks_endpoint.endpoint"]),
        sa.ForeignKeyConstraint(["message"], ["webhooks_message.message"]),
        sa.PrimaryKeyConstraint("number"),
    )
    for name, columns, unique in (
        ("ix_webhooks_delivery_endpoint_message", ["endpoint", "message"], True),
        ("ix_webhooks_delivery_endpoint_number", ["endpoint", "number"], False),
        (op.f("ix_webhooks_delivery_message"), ["message"], False),
        ("ix_webhooks_delivery_state_next_us", ["state", "endpoint", "next_us"], False),
    ):
        op.create_index(name, "webhooks_delivery", columns, unique=unique)


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
