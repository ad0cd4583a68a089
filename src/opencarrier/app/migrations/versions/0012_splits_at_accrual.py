"""splits at accrual: whom a host named, and a settlement's row for each of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from opencarrier.app.schema import SchemaError

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OWED = """
SELECT count(*) FROM ledger_accounts
WHERE name LIKE 'entitled/%' AND name NOT LIKE 'entitled/%/%'
AND (credits_posted <> debits_posted OR credits_pending <> 0)
"""
"""Hosts with money under the former names, which do not say at which address it is claimed."""


def upgrade() -> None:
    """Bring the schema to this version; refused while anybody is owed under a former name."""
    if op.get_bind().execute(sa.text(OWED)).scalar_one():
        raise SchemaError(
            "hosts are owed under accounts of the older version: settle and claim with it first"
        )
    op.create_table(
        "identity_split",
        sa.Column("host", sa.String(length=48), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("payout", sa.String(length=42), nullable=False),
        sa.Column("share_ppm", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["identity_party.party_id"]),
        sa.PrimaryKeyConstraint("host", "valid_from_us", "payout"),
    )
    op.rename_table("settlement_row", "settlement_row_before")
    op.create_table(
        "settlement_row",
        sa.Column("cycle_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("is_host", sa.Boolean(), nullable=False),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=42), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("signature_kid", sa.String(length=42), nullable=True),
        sa.Column("signature", sa.LargeBinary(length=65), nullable=True),
        sa.PrimaryKeyConstraint("cycle_id", "number", "is_host", "party", "address"),
    )
    op.execute("INSERT INTO settlement_row SELECT * FROM settlement_row_before")
    op.drop_table("settlement_row_before")


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
