"""Whom a visitor of the demo may look as: an operator's person, a host's, and a subscriber."""

from __future__ import annotations

from typing import Final

from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.guests import Guest
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.refusals import Refusal

CAST: Final = (
    (Role.OPERATOR, "Maud", PartyKind.OPERATOR, "Lumen Mobile", "Lumen Mobile"),
    (Role.HOST, "Camille", PartyKind.HOST, "Café Lumière", "Café Lumière"),
    (Role.SUBSCRIBER, "Ada", PartyKind.SUBSCRIBER, "Ada", "Lumen Mobile"),
)
"""Who they are: each one's role and name, at which party of the story, and whose it is in words."""


def invite(base: Installation, guests: dict[str, Guest]) -> None:
    """Add their accounts, each with the right of its role at its party, and let everybody in."""
    book = base.accounts.book
    with base.store.write() as unit:
        for role, name, kind, party, whose in CAST:
            found = base.identity.directory.named(unit, kind, party)
            assert found is not None, f"{party} was signed up before"
            made = book.add(unit, name)
            assert not isinstance(made, Refusal), made
            assert book.give(unit, made.account, Grant(role, found.party_id)) is None
            guests[role] = Guest(account=made.account, name=name, role=role, party=whose)
