"""Where a party's machines hear what happens, as pages and API show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.visitor import Visitor
from opencarrier.identity.accounts.model import Role
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks.model import INSTALLATION, Delivery, Endpoint

ROLES = (Role.OPERATOR, Role.HOST)
"""Who may let machines know, each of its own party's things; the owner of everybody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLine:
    """An endpoint: whose it is (nobody's: the installation's), of what it hears, how it stands.

    `kinds` empty: of everything. `off` says why nothing is sent. `failures` came in a row.
    """

    endpoint: str
    party: str
    url: str
    kinds: tuple[str, ...]
    made_us: int
    former_secret_until_us: int
    off: str
    failures: int
    rests_until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointMade:
    """An endpoint with its secret (`whsec_`), which is shown this once."""

    endpoint: EndpointLine
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """A message for an endpoint: `status` is the answer's, zero where none came.

    `state`: waiting (until `next_us`), delivered, or parked: sent no more by itself.
    """

    number: int
    message: str
    kind: str
    at_us: int
    state: str
    attempts: int
    next_us: int
    tried_us: int
    status: int
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerLine:
    """A party that an endpoint may be registered for."""

    party: str
    name: str


def parties_of(visitor: Visitor) -> frozenset[PartyId] | None:
    """Return whose endpoints a visitor sees, None for everybody's."""
    return None if visitor.is_owner else visitor.at(*ROLES)


def owners(base: Installation, unit: Connection, visitor: Visitor) -> Sequence[OwnerLine]:
    """Return whom a visitor may register endpoints for; an owner for all that happens here."""
    own = [OwnerLine(party=INSTALLATION, name="")] if visitor.is_owner else []
    return [*own, *(_owner(base, unit, party) for party in sorted(visitor.at(*ROLES)))]


def endpoint_line(found: Endpoint) -> EndpointLine:
    """Put an endpoint in the API's terms."""
    return EndpointLine(
        endpoint=found.endpoint,
        party=found.party,
        url=found.url,
        kinds=found.kinds,
        made_us=found.made_us,
        former_secret_until_us=found.former_until_us,
        off=found.off,
        failures=found.failures,
        rests_until_us=found.rests_until_us,
    )


def delivery_line(found: Delivery) -> DeliveryLine:
    """Put a delivery in the API's terms."""
    return DeliveryLine(
        number=found.number,
        message=found.message,
        kind=found.kind,
        at_us=found.at_us,
        state=found.state.value,
        attempts=found.attempts,
        next_us=found.next_us,
        tried_us=found.tried_us,
        status=found.status,
        answer=found.answer,
    )


def _owner(base: Installation, unit: Connection, party: PartyId) -> OwnerLine:
    directory = base.identity.directory
    found = directory.operator(unit, party) or directory.host(unit, party)
    return OwnerLine(party=party, name=party if found is None else found.name)
