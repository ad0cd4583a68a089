"""What people do about people: each act in one transaction with its line in the log.

Pages and API do the same here; who may do it at all was judged at the door, whose thing it is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy import Connection

from opencarrier.app.asking import OWNERS_KINDS
from opencarrier.app.console.door import Door
from opencarrier.app.console.views.people import looks_after, may_give, sees
from opencarrier.app.console.visitor import Visitor
from opencarrier.identity.accounts import rules
from opencarrier.identity.accounts.model import (
    INVITATION_S,
    Account,
    AccountId,
    AccountReason,
    Grant,
    Role,
    SignInKey,
)
from opencarrier.identity.accounts.service import Origin
from opencarrier.identity.rules import read_address
from opencarrier.kernel.ids import from_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody who may sign in by a link that counts once; its token is kept nowhere."""

    account: AccountId
    token: str


class Acts:
    """The acts of one visitor."""

    def __init__(self, door: Door, visitor: Visitor) -> None:
        self._door = door
        self._accounts = door.accounts
        self._visitor = visitor

    async def invite(self, name: str, grant: Grant) -> Invited | Refusal:
        """Let somebody in who may something."""

        def invited(unit: Connection) -> Invited | Refusal:
            if not may_give(self._door.base, self._visitor, grant):
                return Refusal(AccountReason.UNKNOWN_ACCOUNT)
            made = self._accounts.book.add(unit, name)
            if isinstance(made, Refusal):
                return made
            refusal = self._accounts.book.give(unit, made.account, grant)
            assert refusal is None, "what may be given is a grant"
            self._note(unit, None, "invited", made.account)
            return self._link(unit, made.account)

        return await self._door.write(invited)

    async def link(self, who: AccountId) -> Invited | Refusal:
        """Make another link for somebody who has no key yet."""

        def made(unit: Connection) -> Invited | Refusal:
            if not looks_after(self._door.base, unit, self._visitor, who):
                return Refusal(AccountReason.UNKNOWN_ACCOUNT)
            self._note(unit, None, "link_made", who)
            return self._link(unit, who)

        return await self._door.write(made)

    async def give(self, who: AccountId, grant: Grant) -> Refusal | None:
        """Let somebody do more."""
        return await self._change(who, grant, give=True)

    async def take(self, who: AccountId, grant: Grant) -> Refusal | None:
        """Let somebody do less; what it approved counts no longer."""
        return await self._change(who, grant, give=False)

    async def remove(self, who: AccountId) -> Refusal | None:
        """Forget somebody."""

        def removed(unit: Connection) -> Refusal | None:
            refusal = self._accounts.book.remove(unit, who)
            if refusal is None:
                self._accounts.approvals.forget(unit, who)
            return self._note(unit, refusal, "account_removed", who)

        return await self._door.write(removed)

    async def approve(self, approval: str) -> Refusal | None:
        """Say yes to what waits for several people."""

        def said(unit: Connection) -> Refusal | None:
            approvals, octets = self._accounts.approvals, _octets(approval)
            asked = None if octets is None else approvals.find(unit, octets)
            if asked is None or (asked.kind in OWNERS_KINDS and not self._visitor.is_owner):
                return Refusal(AccountReason.UNKNOWN_APPROVAL)
            found = approvals.say_yes(unit, asked.approval, self._visitor.account)
            refusal = found if isinstance(found, Refusal) else None
            return self._note(unit, refusal, "approved", approval)

        return await self._door.write(said)

    async def rename(self, name: str) -> Refusal | None:
        """Call oneself otherwise."""
        account = self._visitor.account
        return await self._door.write(
            lambda unit: self._accounts.book.rename(unit, account, name.strip())
        )

    async def rename_key(self, key: str, name: str) -> Refusal | None:
        """Call a key of one's own otherwise."""
        account = self._visitor.account
        return await self._door.write(
            lambda unit: self._accounts.book.rename_key(unit, account, key, name.strip())
        )

    async def remove_key(self, key: str) -> Refusal | None:
        """Sign in by a key no longer; the last one stays."""

        def removed(unit: Connection) -> Refusal | None:
            refusal = self._accounts.book.remove_key(unit, self._visitor.account, key)
            return self._note(unit, refusal, "key_removed", key)

        return await self._door.write(removed)

    async def end_session(self, session: str) -> Refusal | None:
        """Sign a browser of one's own out."""

        def ended(unit: Connection) -> Refusal | None:
            refusal = self._accounts.sessions.end(unit, self._visitor.account, session)
            return self._note(unit, refusal, "session_ended", session)

        return await self._door.write(ended)

    def passkey_options(self, origin: Origin) -> dict[str, Any]:
        """Return what a browser makes a passkey of, with a challenge that counts once."""

        def made(unit: Connection) -> dict[str, Any]:
            account = self._accounts.book.find(unit, self._visitor.account)
            assert isinstance(account, Account), "who asks is signed in"
            return self._accounts.passkey_creation(unit, origin, account)

        return self._door.read(made)

    async def add_passkey(
        self, origin: Origin, name: str, response: Mapping[str, Any]
    ) -> Refusal | None:
        """Sign in by a passkey too, of which a browser answered the challenge."""
        account = self._visitor.account
        return await self._add(
            lambda unit: self._accounts.add_passkey(
                unit, origin, account, name=name, response=response
            )
        )

    def wallet_message(self, origin: Origin, address: str) -> str | Refusal:
        """Return what a wallet signs to become a key of one's own (EIP-4361)."""
        read = read_address(address)
        if isinstance(read, Refusal):
            return read
        return self._accounts.wallet_message(origin, read, account=self._visitor.account)

    async def add_wallet(self, request: Request, told: Mapping[str, Any]) -> Refusal | None:
        """Sign in by a wallet too, which signed its message."""
        account, name = self._visitor.account, str(told.get("name", ""))
        proven = await self._door.proven(request, told, account=account)
        return await self._add(
            lambda unit: self._accounts.add_wallet(unit, account, proven, name=name)
        )

    async def _add(self, add: Callable[[Connection], SignInKey | Refusal]) -> Refusal | None:
        def added(unit: Connection) -> Refusal | None:
            made = add(unit)
            refusal = made if isinstance(made, Refusal) else None
            return self._note(unit, refusal, "key_added", getattr(made, "key", ""))

        return await self._door.write(added)

    async def _change(self, who: AccountId, grant: Grant, *, give: bool) -> Refusal | None:
        base, book = self._door.base, self._accounts.book

        def change(unit: Connection) -> Refusal | None:
            if not (sees(unit, base, self._visitor, who) and may_give(base, self._visitor, grant)):
                return Refusal(AccountReason.UNKNOWN_ACCOUNT)
            refusal = (book.give if give else book.take)(unit, who, grant)
            if refusal is None and not give:
                self._accounts.approvals.forget(unit, who)
            what = "grant_given" if give else "grant_taken"
            return self._note(
                unit, refusal, what, f"{who} {grant.role} {grant.party or ''}".rstrip()
            )

        return await self._door.write(change)

    def _link(self, unit: Connection, who: AccountId) -> Invited | Refusal:
        token = self._accounts.links.open(unit, who, ttl_s=INVITATION_S)
        return token if isinstance(token, Refusal) else Invited(who, token)

    def _note(
        self, unit: Connection, refusal: Refusal | None, what: str, about: str
    ) -> Refusal | None:
        """Write to the log what was done, and pass on why it was not."""
        if refusal is None:
            self._accounts.audit.write(
                unit,
                what,
                who=self._visitor.account,
                about=about,
                came_from=self._visitor.came_from,
            )
        return refusal


def _octets(approval: str) -> bytes | None:
    try:
        return from_hex(approval)
    except ValueError:
        return None


def grant_of(role: str, party: str) -> Grant | None:
    """Return a role at a party, or of the whole installation; None for what is none."""
    try:
        grant = Grant(Role(role), PartyId(party) if party else None)
    except ValueError:
        return None
    return None if rules.checked_grant(grant) is not None else grant
