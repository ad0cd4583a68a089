"""Whose a use is: the parties of it, and what each of them may see."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.visitor import Visitor
from opencarrier.identity.accounts.model import Role
from opencarrier.receipts.issue import AUDIENCES
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Who has to do with a use; empty where it is not known, or nobody."""

    home: PartyId | None = None
    visited: PartyId | None = None
    host: PartyId | None = None
    subscriber: PartyId | None = None

    def parts_for(self, visitor: Visitor) -> frozenset[str]:
        """Return which parts of the record a visitor may see; none where it is not its own.

        The home sold it and owes for it, so it sees both prices; the visited operator and the host
        see what passes between operators, the subscriber what it pays itself.
        """
        operator, host = visitor.at(Role.OPERATOR), visitor.at(Role.HOST)
        seen: frozenset[str] = frozenset()
        if visitor.is_owner or self.home in operator:
            seen |= AUDIENCES["all"]
        if self.visited in operator or self.host in host:
            seen |= AUDIENCES["host"]
        if self.subscriber in visitor.at(Role.SUBSCRIBER):
            seen |= AUDIENCES["subscriber"]
        return seen


def parties_of(base: Installation, unit: Connection, usage: Usage) -> Parties:
    """Return the parties of a usage, also before it is rated."""
    node = base.identity.directory.node_by_id(unit, usage.node_id) if usage.node_id else None
    named = usage.authorisation_id
    grant = base.rating.grant(unit, named) if named is not None else None
    return Parties(
        home=usage.home,
        visited=usage.visited,
        host=None if node is None else node.host,
        subscriber=None if grant is None else grant.subscriber,
    )
