"""people who sign in, what each may do, approvals by several, and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "accounts_account",
        sa.Column("account", sa.String(length=48), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("made_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "accounts_approval",
        sa.Column("approval", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("asked_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("approval"),
    )
    with op.batch_alter_table("accounts_approval", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_accounts_approval_subject"), ["subject"], unique=False)

    op.create_table(
        "accounts_audit",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=48), nullable=False),
        sa.Column("what", sa.String(length=48), nullable=False),
        sa.Column("about", sa.String(length=128), nullable=False),
        sa.Column("outcome", sa.String(length=48), nullable=False),
        sa.Column("came_from", sa.String(length=48), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    with op.batch_alter_table("accounts_audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_accounts_audit_who"), ["who"], unique=False)

    op.create_table(
        "accounts_grant",
        sa.Column("account", sa.String(length=48), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("party", sa.String(length=48), nullable=False),
        sa.Column("given_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts_account.account"],
        ),
        sa.PrimaryKeyConstraint("account", "role", "party"),
    )
    with op.batch_alter_table("accounts_grant", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_accounts_grant_party"), ["party"], unique=False)

    op.create_table(
        "accounts_key",
        sa.Column("key", sa.String(length=48), nullable=False),
        sa.Column("account", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("credential", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("made_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts_account.account"],
        ),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("credential"),
    )
    with op.batch_alter_table("accounts_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_accounts_key_account"), ["account"], unique=False)

    op.create_table(
        "accounts_link",
        sa.Column("token_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account", sa.String(length=48), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts_account.account"],
        ),
        sa.PrimaryKeyConstraint("token_sha256"),
    )
    with op.batch_alter_table("accounts_link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_accounts_link_account"), ["account"], unique=False)

    op.create_table(
        "accounts_session",
        sa.Column("session", sa.String(length=48), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account", sa.String(length=48), nullable=False),
        sa.Column("key", sa.String(length=48), nullable=False),
        sa.Column("made_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("came_from", sa.String(length=48), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts_account.account"],
        ),
        sa.PrimaryKeyConstraint("session"),
        sa.UniqueConstraint("token_sha256"),
    )
    with op.batch_alter_table("accounts_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_accounts_session_account"), ["account"], unique=False)

    op.create_table(
        "accounts_vote",
        sa.Column("approval", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account", sa.String(length=48), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval"],
            ["accounts_approval.approval"],
        ),
        sa.PrimaryKeyConstraint("approval", "account"),
    )


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
