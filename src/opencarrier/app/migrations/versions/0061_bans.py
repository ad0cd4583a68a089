"""bans of nodes as the registry tells them, and what is prepared of them here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0061"
down_revision = "0064"
branch_labels = None
depends_on = None

HASH = sa.LargeBinary(32)


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "bans_case",
        sa.Column("ban_id", HASH, primary_key=True),
        sa.Column("node_key", HASH, nullable=False),
        sa.Column("reason_hash", HASH, nullable=False),
        sa.Column("evidence_root", HASH, nullable=False),
        sa.Column("starts_s", sa.BigInteger(), nullable=False),
        sa.Column("ends_s", sa.BigInteger(), nullable=False),
        sa.Column("escrow_minor", sa.String(78), nullable=False),
        sa.Column("tx_hash", HASH, nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
    )
    op.create_index("ix_bans_case_block_number", "bans_case", ["block_number"])
    op.create_index("bans_case_of_node", "bans_case", ["node_key", "block_number", "log_index"])
    op.create_table(
        "bans_step",
        sa.Column("ban_id", HASH, primary_key=True),
        sa.Column("stage", sa.Integer(), primary_key=True),
        sa.Column("due_s", sa.BigInteger(), nullable=False),
        sa.Column("grounds_hash", HASH, nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_bans_step_block_number", "bans_step", ["block_number"])
    _drafts()


def _drafts() -> None:
    op.create_table(
        "bans_draft",
        sa.Column("ban_id", HASH, primary_key=True),
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.Column("node_key", HASH, nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("evidence_root", HASH, nullable=False),
        sa.Column("starts_s", sa.BigInteger(), nullable=False),
        sa.Column("ends_s", sa.BigInteger(), nullable=False),
        sa.Column("slash_minor", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(48), nullable=False),
        sa.Column("made_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_bans_draft_node_key", "bans_draft", ["node_key"])
    op.create_table(
        "bans_signature",
        sa.Column("ban_id", HASH, primary_key=True),
        sa.Column("signer", sa.String(42), primary_key=True),
        sa.Column("signature", sa.LargeBinary(65), nullable=False),
    )
    op.create_table(
        "bans_words",
        sa.Column("digest", HASH, primary_key=True),
        sa.Column("words", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
