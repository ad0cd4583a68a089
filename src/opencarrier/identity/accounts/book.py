"""Accounts, their keys and their grants: added, renamed, given, taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, func, insert, select, update

from opencarrier.identity.accounts import rules, store
from opencarrier.identity.accounts.model import (
    ACCOUNTS_MAX,
    BY_LINK,
    GRANTS_MAX,
    KEYS_MAX,
    Account,
    AccountId,
    AccountReason,
    Grant,
    KeyKind,
    Role,
    SignInKey,
)
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId

PAGE = 50
PAGE_MAX = 101
"""A hundred, and one more that says whether there are others."""


class AccountBook:
    """Adds and changes; each call stands in the caller's unit, and a refusal changes nothing."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    # accounts

    def add(self, unit: Connection, name: str) -> Account | Refusal:
        """Add somebody, who may nothing yet and has no key.

        Others may have the same name: were it refused, it would tell who else there is.
        """
        refusal = rules.checked_name(name)
        if refusal is not None:
            return refusal
        table = store.accounts
        if (unit.scalar(select(func.count()).select_from(table)) or 0) >= ACCOUNTS_MAX:
            return Refusal(AccountReason.TOO_MANY, f"{ACCOUNTS_MAX} accounts")
        made = Account(account=AccountId(self._id("acct")), name=name, made_us=self._now())
        unit.execute(
            insert(table).values(account=made.account, name=made.name, made_us=made.made_us)
        )
        return made

    def add_guest(self, unit: Connection, name: str) -> Account | Refusal:
        """Add somebody who only looks around; `guests` has all of them, also after a restart."""
        made = self.add(unit, name)
        if not isinstance(made, Refusal):
            unit.execute(insert(store.guests).values(account=made.account))
        return made

    def guests(self, unit: Connection) -> Sequence[AccountId]:
        """Return who only looks around."""
        return list(unit.execute(select(store.guests.c.account)).scalars())

    def find(self, unit: Connection, account: AccountId) -> Account | Refusal:
        """Return an account with its grants."""
        found = store.account(unit, account)
        return found or Refusal(AccountReason.UNKNOWN_ACCOUNT)

    def several(
        self, unit: Connection, accounts: Collection[AccountId]
    ) -> Mapping[AccountId, Account]:
        """Return the accounts among some, as many as a page names, with their grants."""
        return store.several(unit, accounts)

    def page(
        self, unit: Connection, *, after: tuple[str, str] | None = None, limit: int = PAGE
    ) -> Sequence[Account]:
        """Return accounts by name and id, those after one."""
        assert 0 < limit <= PAGE_MAX, "a page has its limit"
        return store.accounts_after(unit, after, limit)

    def at(
        self,
        unit: Connection,
        parties: Collection[PartyId],
        *,
        after: tuple[str, str] | None = None,
        limit: int = PAGE,
    ) -> Sequence[Account]:
        """Return accounts that may something at one of these parties, by name and id."""
        assert 0 < limit <= PAGE_MAX, "a page has its limit"
        return store.accounts_after(unit, after, limit, parties)

    def rename(self, unit: Connection, account: AccountId, name: str) -> Refusal | None:
        """Call somebody otherwise."""
        refusal = rules.checked_name(name)
        if refusal is not None:
            return refusal
        table = store.accounts
        renamed = update(table).where(table.c.account == account).values(name=name)
        known = unit.execute(renamed).rowcount
        return None if known else Refusal(AccountReason.UNKNOWN_ACCOUNT)

    def owners(self, unit: Connection) -> Sequence[AccountId]:
        """Return whose the installation is, oldest first."""
        table = store.grants
        query = select(table.c.account).where(table.c.role == Role.OWNER)
        return [
            AccountId(row.account)
            for row in unit.execute(query.order_by(table.c.given_us, table.c.account))
        ]

    def remove(self, unit: Connection, account: AccountId) -> Refusal | None:
        """Forget an account with all its keys, grants, sessions and links; never the last owner."""
        if store.account(unit, account) is None:
            return Refusal(AccountReason.UNKNOWN_ACCOUNT)
        if self.owners(unit) == [account]:
            return Refusal(AccountReason.LAST_OWNER, "somebody has to own the installation")
        store.forget(unit, account)
        return None

    # grants

    def give(self, unit: Connection, account: AccountId, grant: Grant) -> Refusal | None:
        """Grant a role; the same again changes nothing.

        Open links end, and what one began: whoever made it may not have been allowed to give this
        role.
        """
        refusal = rules.checked_grant(grant)
        if refusal is not None:
            return refusal
        found = store.account(unit, account)
        if found is None:
            return Refusal(AccountReason.UNKNOWN_ACCOUNT)
        if grant in found.grants:
            return None
        if len(found.grants) >= GRANTS_MAX:
            return Refusal(AccountReason.TOO_MANY, f"{GRANTS_MAX} grants")
        self._end_links(unit, account)
        by_link = (store.sessions.c.account == account) & (store.sessions.c.key == BY_LINK)
        unit.execute(delete(store.sessions).where(by_link))
        row = {"account": account, "role": grant.role.value, "party": grant.party or ""}
        unit.execute(insert(store.grants).values(**row, given_us=self._now()))
        return None

    def take(self, unit: Connection, account: AccountId, grant: Grant) -> Refusal | None:
        """Take a role back; the last owner keeps it."""
        if store.account(unit, account) is None:
            return Refusal(AccountReason.UNKNOWN_ACCOUNT)
        if grant.role is Role.OWNER and self.owners(unit) == [account]:
            return Refusal(AccountReason.LAST_OWNER, "somebody has to own the installation")
        table = store.grants
        mine = (table.c.account == account) & (table.c.role == grant.role.value)
        unit.execute(delete(table).where(mine & (table.c.party == (grant.party or ""))))
        return None

    # keys

    def keys(self, unit: Connection, account: AccountId) -> Sequence[SignInKey]:
        """Return an account's keys, oldest first."""
        return store.keys_of(unit, account)

    def key_of(self, unit: Connection, kind: KeyKind, credential: bytes) -> SignInKey | None:
        """Return the key that a credential is, None where it is nobody's."""
        found = store.key_by_credential(unit, credential)
        return found if found is not None and found.kind is kind else None

    def add_key(
        self,
        unit: Connection,
        account: AccountId,
        *,
        kind: KeyKind,
        name: str,
        credential: bytes,
        public_key: bytes = b"",
        sign_count: int = 0,
    ) -> SignInKey | Refusal:
        """Let an account sign in by a key that was proven; one key signs in to one account.

        Open links end: from now on it is in use.
        """
        refusal = rules.checked_name(name)
        if refusal is not None:
            return refusal
        if store.account(unit, account) is None:
            return Refusal(AccountReason.UNKNOWN_ACCOUNT)
        if store.key_by_credential(unit, credential) is not None:
            return Refusal(AccountReason.KEY_TAKEN, "this key signs in already")
        if len(store.keys_of(unit, account)) >= KEYS_MAX:
            return Refusal(AccountReason.TOO_MANY, f"{KEYS_MAX} keys")
        made = SignInKey(
            key=self._id("key"),
            account=account,
            kind=kind,
            name=name,
            credential=credential,
            public_key=public_key,
            sign_count=sign_count,
            made_us=self._now(),
            used_us=None,
        )
        unit.execute(insert(store.keys).values(asdict(made)))
        self._end_links(unit, account)
        return made

    def rename_key(
        self, unit: Connection, account: AccountId, key: str, name: str
    ) -> Refusal | None:
        """Call a key otherwise; somebody else's is unknown."""
        refusal = rules.checked_name(name)
        if refusal is not None:
            return refusal
        table = store.keys
        mine = (table.c.account == account) & (table.c.key == key)
        renamed = unit.execute(update(table).where(mine).values(name=name)).rowcount
        return None if renamed else Refusal(AccountReason.UNKNOWN_KEY)

    def remove_key(self, unit: Connection, account: AccountId, key: str) -> Refusal | None:
        """Take a key away and end every session of its account; the last key stays."""
        held = store.keys_of(unit, account)
        if key not in {one.key for one in held}:
            return Refusal(AccountReason.UNKNOWN_KEY)
        if len(held) == 1:
            return Refusal(AccountReason.LAST_KEY, "add another one first")
        unit.execute(delete(store.keys).where(store.keys.c.key == key))
        unit.execute(delete(store.sessions).where(store.sessions.c.account == account))
        return None

    def used(self, unit: Connection, key: SignInKey, *, sign_count: int = 0) -> Refusal | None:
        """Note that a key signed in; refused where its counter did not go on (a copied key).

        An authenticator without a counter says zero, always (WebAuthn section 7.2, step 22).
        """
        if (sign_count or key.sign_count) and sign_count <= key.sign_count:
            return Refusal(AccountReason.NOT_SIGNED_IN, "the key's counter went back")
        unit.execute(
            update(store.keys)
            .where(store.keys.c.key == key.key)
            .values(sign_count=sign_count, used_us=self._now())
        )
        return None

    def _end_links(self, unit: Connection, account: AccountId) -> None:
        unit.execute(delete(store.links).where(store.links.c.account == account))

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._entropy.octets(f'account/{prefix}', 16).hex()}"

    def _now(self) -> int:
        return self._clock.now_us()
