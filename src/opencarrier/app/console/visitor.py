"""Who asks: the account a browser is signed in to, the installation by its token, or nobody."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from opencarrier.app.console.locales import chosen_locale
from opencarrier.identity.accounts.model import NOBODY, AccountId, Grant, Role
from opencarrier.spine.parties import PartyId

LOCALE_COOKIE = "locale"
"""Remembers the language that was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Whoever a page is drawn for, and what that one may do.

    The installation itself, by its token, owns everything and is no account. `csrf` is what a
    form of a signed-in browser carries. A guest is one of many who look at a demo.
    """

    account: AccountId = NOBODY
    name: str = ""
    grants: frozenset[Grant] = frozenset()
    locale: str = "en"
    session: str = ""
    csrf: str = field(default="", repr=False)
    came_from: str = ""
    is_guest: bool = False

    @property
    def is_owner(self) -> bool:
        """Whether the installation is this one's."""
        return Grant(Role.OWNER) in self.grants

    @property
    def is_signed_in(self) -> bool:
        """Whether it is a person in a browser."""
        return self.account != NOBODY

    def has(self, *roles: Role) -> bool:
        """Say whether one of these roles is held, wherever."""
        return any(grant.role in roles for grant in self.grants)

    def at(self, *roles: Role) -> frozenset[PartyId]:
        """Return at which parties one of these roles is held."""
        return frozenset(
            grant.party for grant in self.grants if grant.role in roles and grant.party is not None
        )


def visitor_of(request: Request) -> Visitor:
    """Return who asks, as the guard of the door found; where there is no guard, nobody."""
    found = getattr(request.state, "visitor", None)
    return found if isinstance(found, Visitor) else Visitor(locale=locale_of(request))


def locale_of(request: Request) -> str:
    """Return the language to answer in: the one chosen here, else one the browser asks for."""
    chosen = request.cookies.get(LOCALE_COOKIE, "")
    return chosen_locale(request.headers.get("accept-language", ""), chosen)
