"""Guests of a demo: whoever looks at it may look as one of them, without a key.

Nobody is a guest unless a demo says so to its own process. Elsewhere the page of sign-in offers
nobody, and its route answers as what is not there. Each visitor has an account of its own: what one
does to its sessions, keys or name touches no other's, and what would take something from all of
them is refused (`rights.SHARED`). It goes after a day, and all go when the process begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.identity.accounts.model import OWNER_LINK_S, AccountId, Grant, Role
from opencarrier.identity.accounts.service import SignedIn
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal

GUESTS_MAX: Final = 256
"""Visitors at once: the account of whoever came first goes when one more comes."""

GUEST_S: Final = 24 * 3_600
"""How long a visitor's account is kept."""


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
    """Whom one may look as, and who does.

    Accounts of an earlier process are gone once it is made.
    """

    def __init__(self, base: Installation) -> None:
        self.cast: dict[str, Guest] = {}
        self._accounts = base.accounts
        self._clock = base.real.clock
        self._came: dict[AccountId, int] = {}
        with base.store.write() as unit:
            self._remove(unit, self._accounts.book.guests(unit))

    def enter(self, unit: Connection, guest: Guest, *, came_from: str) -> SignedIn | Refusal:
        """Sign a visitor in to a new account with a guest's name and rights."""
        accounts = self._accounts
        self._make_room(unit)
        made = accounts.book.add_guest(unit, guest.name)
        if isinstance(made, Refusal):
            return made
        refusal = accounts.book.give(unit, made.account, guest.grant)
        assert refusal is None, "a guest's grant is one"
        self._came[made.account] = made.made_us
        link = accounts.links.open(unit, made.account, ttl_s=OWNER_LINK_S)
        assert isinstance(link, str), "a new account has no links"
        return accounts.sign_in_by_link(unit, link, came_from=came_from)

    def has(self, account: AccountId) -> bool:
        """Say whether an account is a visitor's."""
        return account in self._came

    def is_over(self, account: AccountId) -> bool:
        """Say whether a visitor's time is over: its account goes when the next one comes."""
        return self.has(account) and self._came[account] <= self._since_us()

    def _make_room(self, unit: Connection) -> None:
        over = [account for account in self._came if self.is_over(account)]
        crowd = len(self._came) - len(over) - GUESTS_MAX + 1
        first = [account for account in self._came if account not in over][: max(0, crowd)]
        self._remove(unit, [*over, *first])

    def _remove(self, unit: Connection, gone: Sequence[AccountId]) -> None:
        for account in gone:
            self._accounts.book.remove(unit, account)
            self._came.pop(account, None)

    def _since_us(self) -> int:
        return self._clock.now_us() - GUEST_S * SECOND_US
