"""Whose thing is asked for: what is at a party one has no grant at is as if it were not there."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.identity.model import PartyKind
from opencarrier.spine.parties import Host, Operator, PartyId


def reads_at(visitor: Visitor, role: Role, party: PartyId) -> bool:
    """Say whether somebody may see a party's things: by that role or as an auditor, or all."""
    whole = visitor.is_owner or Grant(Role.AUDITOR) in visitor.grants
    return whole or party in visitor.at(role, Role.AUDITOR)


def acts_at(visitor: Visitor, role: Role, party: PartyId) -> bool:
    """Say whether somebody may change a party's things: by that role there, or as the owner."""
    return visitor.is_owner or party in visitor.at(role)


def operator_of(
    base: Installation, request: Request, party: PartyId, *, acts: bool = False
) -> Operator:
    """Return the operator whose thing is asked for; 404 where it is none of the visitor's."""
    may = acts_at if acts else reads_at
    if not may(visitor_of(request), Role.OPERATOR, party):
        raise HTTPException(404)
    with base.store.read() as unit:
        found = base.identity.directory.operator(unit, party)
    if found is None:
        raise HTTPException(404)
    return found


def host_of(base: Installation, request: Request, party: PartyId, *, acts: bool = False) -> Host:
    """Return the host whose thing is asked for; 404 where it is none of the visitor's."""
    may = acts_at if acts else reads_at
    if not may(visitor_of(request), Role.HOST, party):
        raise HTTPException(404)
    with base.store.read() as unit:
        found = base.identity.directory.party(unit, party)
        if found is None or found.kind is not PartyKind.HOST:
            raise HTTPException(404)
        host = base.identity.directory.host(unit, party)
    assert host is not None, "a party that is a host is one"
    return host
