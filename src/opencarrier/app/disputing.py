"""Disputes over a statement: our moves, the other side's, and what they come to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.app.exchanging import agreed_desk, exchanges, line_of, post
from opencarrier.chain.ports import Beside
from opencarrier.clearing.disputes.live import LiveDisputes
from opencarrier.clearing.disputes.rules import Case, MoveKind, Outcome
from opencarrier.clearing.disputes.service import DisputeService
from opencarrier.clearing.exchange.model import Entry
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import PartyId

PATH = "/v1/disputes"


def disputes(base: Installation) -> DisputeService:
    """Return the disputes of an installation's operators."""
    live = LiveDisputes(agreed_desk(base))
    return DisputeService(base.identity.notary, exchanges(base), live, base.webhooks)


def member_of(base: Installation, unit: Connection, address: Address) -> PartyId | None:
    """Return the operator that has an address."""
    found = base.identity.directory.operators(unit)
    return next((item.party_id for item in found if item.address == address), None)


def make(
    base: Installation,
    exchange: Id,
    usage: Id,
    kind: MoveKind,
    *,
    amount_minor: int = 0,
    digest: bytes = b"",
    beside: Beside | None = None,
) -> tuple[dict[str, Any], bytes] | Refusal:
    """Make our side's move; return where the dispute stands, and the move to be delivered.

    `beside` writes in the same transaction who made it.
    """
    service, now_us = disputes(base), base.clock.now_us()
    with base.store.write() as unit:
        place = service.case(unit, exchange, usage)
        if isinstance(place, Refusal):
            return place
        member = member_of(base, unit, place[0].own)
        assert member is not None, "an exchange is opened as an operator of ours"
        octets = service.move(
            unit,
            place,
            kind,
            member=member,
            now_us=now_us,
            amount_minor=amount_minor,
            digest=digest,
        )
        if isinstance(octets, Refusal):
            return octets
        if beside is not None:
            beside(unit)
        outcome = service.outcome(unit, place[1], now_us=now_us)
        crashpoint("dispute.moved.before_commit")
    crashpoint("dispute.moved.after_commit")
    return told(place[1], outcome), octets


def deliver(
    base: Installation,
    url: str,
    exchange: Id,
    usage: Id,
    kind: MoveKind,
    *,
    amount_minor: int = 0,
    digest: bytes = b"",
) -> dict[str, Any] | Refusal:
    """Make our side's move and send it; `PeerUnavailableError` where it did not arrive."""
    made = make(base, exchange, usage, kind, amount_minor=amount_minor, digest=digest)
    if isinstance(made, Refusal):
        return made
    said, octets = made
    post(url, octets, PATH)
    return said


def take(base: Installation, octets: bytes) -> Refusal | None:
    """Take the other side's move; `PeerError` for what it must not have sent."""
    with base.store.write() as unit:
        return disputes(base).take(
            unit,
            octets,
            member=lambda address: member_of(base, unit, address),
            now_us=base.clock.now_us(),
        )


def show(base: Installation, exchange: Id, usage: Id) -> dict[str, Any] | Refusal:
    """Return where a dispute stands."""
    service = disputes(base)
    with base.store.read() as unit:
        place = service.case(unit, exchange, usage)
        if isinstance(place, Refusal):
            return place
        return told(place[1], service.outcome(unit, place[1], now_us=base.clock.now_us()))


def settle(base: Installation, exchange: Id, usage: Id) -> tuple[dict[str, Any], str] | Refusal:
    """Release what is held; return the outcome and the lines of the next exchange."""
    service, now_us = disputes(base), base.clock.now_us()
    with base.store.write() as unit:
        place = service.case(unit, exchange, usage)
        if isinstance(place, Refusal):
            return place
        entries = service.settle(unit, place, now_us=now_us)
        if isinstance(entries, Refusal):
            return entries
        outcome = service.outcome(unit, place[1], now_us=now_us)
    return told(place[1], outcome), _lines(entries)


def _lines(entries: tuple[Entry, ...]) -> str:
    return "".join(f"{line_of(entry)}\n" for entry in entries)


def told(case: Case, outcome: Outcome) -> dict[str, Any]:
    """Put a dispute in JSON's terms."""
    return {
        "dispute_id": to_hex(case.dispute_id),
        "usage_id": to_hex(case.usage_id),
        "creditor": case.creditor,
        "debtor": case.debtor,
        "disputed_minor": case.disputed_minor,
        "cause": case.cause.value,
        "bond_minor": case.bond_minor,
        "stage": outcome.stage.name.lower(),
        "until_us": outcome.until_us,
        "settled_us": outcome.settled_us,
        "award_minor": outcome.award_minor,
        "forfeit_minor": outcome.forfeit_minor,
    }
