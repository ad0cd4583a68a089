"""The tables of accounts; tokens stand in them as hashes only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import Row

from opencarrier.identity.accounts.model import (
    Account,
    AccountId,
    Grant,
    KeyKind,
    Role,
    Session,
    SignInKey,
)
from opencarrier.spine.parties import PartyId

metadata = MetaData()

_ACCOUNT = "accounts_account.account"

accounts = Table(
    "accounts_account",
    metadata,
    Column("account", String(48), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Index("ix_accounts_account_name_account", "name", "account"),
)

guests = Table(
    "accounts_guest",
    metadata,
    Column("account", ForeignKey(_ACCOUNT), primary_key=True),
)
"""Accounts of visitors of a demo: none outlives the process that let it in."""

keys = Table(
    "accounts_key",
    metadata,
    Column("key", String(48), primary_key=True),
    Column("account", ForeignKey(_ACCOUNT), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("credential", LargeBinary, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("used_us", BigInteger, nullable=True),
)

grants = Table(
    "accounts_grant",
    metadata,
    Column("account", ForeignKey(_ACCOUNT), primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("party", String(48), primary_key=True, index=True),
    Column("given_us", BigInteger, nullable=False),
    Index("ix_accounts_grant_role", "role", "given_us", "account"),
)

sessions = Table(
    "accounts_session",
    metadata,
    Column("session", String(48), primary_key=True),
    Column("token_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("account", ForeignKey(_ACCOUNT), nullable=False, index=True),
    Column("key", String(48), nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("came_from", String(48), nullable=False),
)

links = Table(
    "accounts_link",
    metadata,
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("account", ForeignKey(_ACCOUNT), nullable=False, index=True),
    Column("expires_us", BigInteger, nullable=False),
)

approvals = Table(
    "accounts_approval",
    metadata,
    Column("approval", LargeBinary(32), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject", LargeBinary(32), nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("needed", Integer, nullable=False),
    Column("asked_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False, index=True),
)

votes = Table(
    "accounts_vote",
    metadata,
    Column("approval", ForeignKey("accounts_approval.approval"), primary_key=True),
    Column("account", String(48), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
)

audit = Table(
    "accounts_audit",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("who", String(48), nullable=False, index=True),
    Column("what", String(48), nullable=False),
    Column("about", String(128), nullable=False),
    Column("outcome", String(48), nullable=False),
    Column("came_from", String(48), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
)


def account(unit: Connection, account_id: AccountId) -> Account | None:
    """Return an account with its grants."""
    return several(unit, [account_id]).get(account_id)


def several(unit: Connection, ids: Collection[AccountId]) -> dict[AccountId, Account]:
    """Return the accounts among some ids, as many as a page names, with their grants."""
    rows = unit.execute(select(accounts).where(accounts.c.account.in_(ids))).all()
    return {found.account: found for found in _accounts(unit, rows)}


def accounts_after(
    unit: Connection,
    after: tuple[str, str] | None,
    limit: int,
    parties: Collection[PartyId] | None = None,
) -> Sequence[Account]:
    """Return accounts by name and id, those after one; with `parties` only who has a grant."""
    order = (accounts.c.name, accounts.c.account)
    query = select(accounts).order_by(*order).limit(limit)
    if after is not None:
        query = query.where(tuple_(*order) > after)
    if parties is not None:
        there = select(grants.c.account).where(grants.c.party.in_(parties))
        query = query.where(accounts.c.account.in_(there))
    return _accounts(unit, unit.execute(query).all())


def forget(unit: Connection, account_id: AccountId) -> None:
    """Forget an account with all its keys, grants, sessions and links, and where it came from."""
    for table in (guests, sessions, links, keys, grants, accounts):
        unit.execute(delete(table).where(table.c.account == account_id))
    unit.execute(update(audit).where(audit.c.who == account_id).values(came_from=""))


def grants_of(unit: Connection, account_id: AccountId) -> frozenset[Grant]:
    """Return what an account was granted."""
    query = select(grants.c.role, grants.c.party).where(grants.c.account == account_id)
    return frozenset(_grant(role, party) for role, party in unit.execute(query))


def keys_of(unit: Connection, account_id: AccountId) -> Sequence[SignInKey]:
    """Return an account's keys, oldest first."""
    query = select(keys).where(keys.c.account == account_id).order_by(keys.c.made_us, keys.c.key)
    return [_key(row) for row in unit.execute(query)]


def key_by_credential(unit: Connection, credential: bytes) -> SignInKey | None:
    """Return whose key a credential is."""
    row = unit.execute(select(keys).where(keys.c.credential == credential)).one_or_none()
    return None if row is None else _key(row)


def sessions_of(unit: Connection, account_id: AccountId) -> Sequence[Session]:
    """Return an account's sessions, the longest unused first."""
    chosen = sessions.c.account == account_id
    query = select(sessions).where(chosen).order_by(sessions.c.seen_us, sessions.c.session)
    return [read_session(row) for row in unit.execute(query)]


def read_session(row: Row[Any]) -> Session:
    """Read a row."""
    return Session(
        session=row.session,
        account=AccountId(row.account),
        key=row.key,
        made_us=row.made_us,
        seen_us=row.seen_us,
        came_from=row.came_from,
    )


def _grant(role: str, party: str) -> Grant:
    return Grant(Role(role), PartyId(party) if party else None)


def _accounts(unit: Connection, rows: Sequence[Row[Any]]) -> list[Account]:
    """Read accounts, each with what it was granted."""
    named = grants.c.account.in_([row.account for row in rows])
    held: dict[str, set[Grant]] = defaultdict(set)
    query = select(grants.c.account, grants.c.role, grants.c.party).where(named)
    for account_id, role, party in unit.execute(query):
        held[account_id].add(_grant(role, party))
    return [
        Account(
            account=AccountId(row.account),
            name=row.name,
            made_us=row.made_us,
            grants=frozenset(held[row.account]),
        )
        for row in rows
    ]


def _key(row: Row[Any]) -> SignInKey:
    return SignInKey(
        key=row.key,
        account=AccountId(row.account),
        kind=KeyKind(row.kind),
        name=row.name,
        credential=row.credential,
        public_key=row.public_key,
        sign_count=row.sign_count,
        made_us=row.made_us,
        used_us=row.used_us,
    )
