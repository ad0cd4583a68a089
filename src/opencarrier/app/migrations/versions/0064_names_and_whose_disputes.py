"""two people may have one name; disputes are found by whose they are, links are their keys'."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0064"
down_revision = "0062"
branch_labels = None
depends_on = None

ACCOUNT, MOVE = "accounts_account", "clearing_dispute_move"


def upgrade() -> None:
    """Bring the schema to this version."""
    if op.get_bind().dialect.name == "sqlite":
        _make_accounts_anew()
    else:
        op.drop_constraint(f"{ACCOUNT}_name_key", ACCOUNT, type_="unique")
    op.create_index(f"ix_{ACCOUNT}_name_account", ACCOUNT, ["name", "account"])
    op.add_column(MOVE, sa.Column("own", sa.String(42), nullable=True))
    op.execute(
        "UPDATE clearing_dispute_move SET own = (SELECT own FROM clearing_exchange"
        " WHERE clearing_exchange.exchange_id = clearing_dispute_move.exchange_id)"
    )
    with op.batch_alter_table(MOVE) as table:
        table.alter_column("own", existing_type=sa.String(42), nullable=False)
    op.create_index(f"ix_{MOVE}_own_dispute_id", MOVE, ["own", "dispute_id"])
    op.create_index(f"ix_{MOVE}_usage_id", MOVE, ["usage_id"])
    op.add_column("identity_node_enrolment", sa.Column("used_by", sa.String(42), nullable=True))


def _make_accounts_anew() -> None:
    """Take the constraint away, which SQLite can only with its table.

    Keys and grants refer to it: that is looked at once it stands again, under the same name.
    """
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TEMP TABLE kept AS SELECT account, name, made_us FROM accounts_account")
    op.drop_table(ACCOUNT)
    op.create_table(
        ACCOUNT,
        sa.Column("account", sa.String(48), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("made_us", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO accounts_account SELECT account, name, made_us FROM kept")
    op.execute("DROP TABLE temp.kept")


def downgrade() -> None:
    """Data is never thrown away to go back: restore a backup instead."""
    raise RuntimeError("restore a backup made by the older version")
