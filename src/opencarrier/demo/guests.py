"""Whom a visitor of the demo may look as: an operator's person, a host's, and a subscriber."""

from __future__ import annotations

from typing import Final

from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.guests import Guest
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.identity.model import PartyKind

CAST: Final = (
    (Role.OPERATOR, "Maud", PartyKind.OPERATOR, "Lumen Mobile", "Lumen Mobile"),
    (Role.HOST, "Camille", PartyKind.HOST, "Café Lumière", "Café Lumière"),
    (Role.SUBSCRIBER, "Ada", PartyKind.SUBSCRIBER, "Ada", "Lumen Mobile"),
)
"""Who they are: each one's role and name, at which party of the story, and whose it is in words."""


def invite(base: Installation, cast: dict[str, Guest]) -> None:
    """Let everybody look as them, each with the right of its role at its party."""
    with base.store.read() as unit:
        for role, name, kind, party, whose in CAST:
            found = base.identity.directory.named(unit, kind, party)
            assert found is not None, f"{party} was signed up before"
            cast[role] = Guest(name=name, grant=Grant(role, found.party_id), party=whose)
