"""Where a party's machines hear what happens, as pages and API show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.api import Page
from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.visitor import Visitor
from opencarrier.identity.accounts.model import Role
from opencarrier.spine.notices import NoticeKind
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks.model import EVENTS, INSTALLATION, Audience, Delivery, Endpoint
from opencarrier.webhooks.rules import kinds_for

ROLES: Final = (Role.OPERATOR, Role.HOST, Role.SUBSCRIBER)
"""Who may let machines know, each of its own party's things; the owner of everybody's."""

SAYS: Final[Mapping[str, str]] = {
    NoticeKind.APPROVAL_WANTED: N_("A settlement waits for people to say yes to it."),
    NoticeKind.CYCLE_SETTLED: N_("A cycle with your money in it is paid for good."),
    NoticeKind.DEPOSIT_FINAL: N_("A deposit has arrived for good."),
    NoticeKind.DISPUTE_ANSWERED: N_("The other side made a step in a dispute of yours."),
    NoticeKind.DISPUTE_OPENED: N_("Somebody disputes a difference with you."),
    NoticeKind.ERASURE_DONE: N_(
        "Everything about you was erased; it is the last thing this address hears."
    ),
    NoticeKind.NODE_ALIVE: N_(
        "A node that was silent reports again, and has for at least ten minutes."
    ),
    NoticeKind.NODE_SILENT: N_("Nothing was heard of a node for an hour."),
    NoticeKind.PAYMENT_RECEIVED: N_("A payment has arrived and is booked."),
    NoticeKind.RECEIPT_READY: N_("What you used has receipts now that anybody can check."),
    NoticeKind.REFUND_KEPT: N_("What you asked back can be spent again: it was not paid out."),
    NoticeKind.REFUND_PAID: N_("What you asked back was paid out."),
    NoticeKind.SPEND_REACHED: N_("80 or 100 percent of your spend cap is used up."),
    NoticeKind.STATEMENT_READY: N_("A statement bears both signatures."),
    NoticeKind.WITHDRAWAL_FINAL: N_("A withdrawal or payout has left for good."),
}
"""What each kind of message tells, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLine:
    """An endpoint: whose it is (nobody's: the installation's), of what it hears, how it stands.

    `kinds` empty: of everything. `off` says why nothing is sent: `asked`, or `gone` where it
    answered so itself. `failures` came in a row.
    """

    endpoint: str
    party: str
    name: str
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

    `state`: waiting (until `next_us`), delivered, or parked: sent no more by itself. `reason` is a
    code of what was in the way last, empty where nothing was; `answer` is what came, or details.
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
    reason: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """A kind of message: what it tells in a sentence, and whose machines may hear it."""

    kind: str
    says: str
    heard_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerLine:
    """A party that an endpoint may be registered for."""

    party: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksView:
    """A visitor's endpoints, what they can hear, and whom more may be registered for."""

    endpoints: Page[EndpointLine]
    events: tuple[EventLine, ...]
    owners: tuple[OwnerLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookView:
    """One endpoint, and what was sent there, newest first."""

    endpoint: EndpointLine
    deliveries: Page[DeliveryLine]


def parties_of(visitor: Visitor) -> frozenset[PartyId] | None:
    """Return whose endpoints a visitor sees, None for everybody's."""
    return None if visitor.is_owner else visitor.at(*ROLES)


def may_register(visitor: Visitor, party: PartyId) -> bool:
    """Say whether somebody may register an endpoint for a party, or for all that happens here."""
    return visitor.is_owner if party == INSTALLATION else party in visitor.at(*ROLES)


def owners(base: Installation, unit: Connection, visitor: Visitor) -> tuple[OwnerLine, ...]:
    """Return whom a visitor may register endpoints for; an owner for all that happens here."""
    own = [INSTALLATION] if visitor.is_owner else []
    return tuple(
        OwnerLine(party=party, name=name_of(base, unit, party))
        for party in [*own, *sorted(visitor.at(*ROLES))]
    )


def events_for(visitor: Visitor) -> tuple[EventLine, ...]:
    """Return what a visitor's machines can hear; in English, pages translate it."""
    parties = [*([INSTALLATION] if visitor.is_owner else []), *visitor.at(*ROLES)]
    kinds = {kind for party in parties for kind in kinds_for(Audience.of(party))}
    return tuple(
        EventLine(
            kind=str(kind), says=SAYS[kind], heard_by=tuple(sorted(one.value for one in heard_by))
        )
        for kind, heard_by in EVENTS.items()
        if kind in kinds
    )


def endpoint_line(base: Installation, unit: Connection, found: Endpoint) -> EndpointLine:
    """Put an endpoint in the API's terms."""
    return EndpointLine(
        endpoint=found.endpoint,
        party=found.party,
        name=name_of(base, unit, found.party),
        url=found.url,
        kinds=found.kinds,
        made_us=found.made_us,
        former_secret_until_us=found.former_until_us,
        off=found.off.value,
        failures=found.failures,
        rests_until_us=found.rests_until_us,
    )


def delivery_line(found: Delivery) -> DeliveryLine:
    """Put a delivery in the API's terms."""
    obstacle = found.obstacle
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
        reason="" if obstacle is None else obstacle.value,
        answer=found.answer if found.status else found.answer.partition(": ")[2],
    )


def name_of(base: Installation, unit: Connection, party: PartyId) -> str:
    """Return how an operator or a host is called; nothing for anybody else: others have no name."""
    directory = base.identity.directory
    match Audience.of(party):
        case Audience.OPERATOR:
            operator = directory.operator(unit, party)
            return "" if operator is None else operator.name
        case Audience.HOST:
            host = directory.host(unit, party)
            return "" if host is None else host.name
    return ""
