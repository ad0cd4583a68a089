"""Guests of a demo: whoever looks at it may look as one of them, without a key.

Nobody is a guest unless a demo says so to its own process. Elsewhere the page of sign-in offers
nobody, and its route answers as what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.identity.accounts.model import AccountId, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Somebody to look as: the account, its name, what it is and whose, in words."""

    account: AccountId
    name: str
    role: Role
    party: str
