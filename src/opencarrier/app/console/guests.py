"""Guests of a demo: whoever looks at it may look as one of them, without a key.

Nobody is a guest unless a demo says so to its own process. Elsewhere the page of sign-in offers
nobody, and its route answers as what is not there. Each visitor has an account of its own: what one
does to its sessions, keys or name touches no other's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.identity.accounts.model import OWNER_LINK_S, AccountId, Grant, Role
from opencarrier.identity.accounts.service import Accounts, SignedIn
from opencarrier.kernel.refusals import Refusal

GUESTS_MAX: Final = 256
"""Visitors at once: the account of whoever came first goes when one more comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Somebody to look as: its name, what it may do, and whose it is in words."""

    name: str
    grant: Grant
    party: str

    @property
    def role(self) -> Role:
        """What it is."""
        return self.grant.role


class GuestBook:
    """Whom one may look as, and who does."""

    def __init__(self, accounts: Accounts) -> None:
        self.cast: dict[str, Guest] = {}
        self._accounts = accounts
        self._came: deque[AccountId] = deque()

    def enter(self, unit: Connection, guest: Guest, *, came_from: str) -> SignedIn | Refusal:
        """Sign a visitor in to a new account with a guest's name and rights."""
        accounts = self._accounts
        while len(self._came) >= GUESTS_MAX:
            accounts.book.remove(unit, self._came.popleft())
        made = accounts.book.add(unit, guest.name)
        if isinstance(made, Refusal):
            return made
        refusal = accounts.book.give(unit, made.account, guest.grant)
        assert refusal is None, "a guest's grant is one"
        self._came.append(made.account)
        link = accounts.links.open(unit, made.account, ttl_s=OWNER_LINK_S)
        assert isinstance(link, str), "a new account has no links"
        return accounts.sign_in_by_link(unit, link, came_from=came_from)
