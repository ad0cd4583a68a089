"""What an order says on the wire, and what its answer means: pure rules (RFC 5176, RFC 8559)."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.access.dynamic import ErrorCause
from opencarrier.access.orders.model import Attach, Kind, Order, State
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.wire.dictionary import (
    WBA,
    WISPR_BANDWIDTH_MAX_DOWN,
    WISPR_BANDWIDTH_MAX_UP,
    Code,
    Type,
)
from opencarrier.access.wire.radius import Attribute, integer, text, vendor
from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.access import Change

AGAIN_FIRST_S = 5
AGAIN_MOST_S = 300
BITS = 8
IPV4_OCTETS = 4
BPS_MAX = 2**32 - 1

_LATER = (
    ErrorCause.REQUEST_NOT_ROUTABLE,
    ErrorCause.OTHER_PROXY_PROCESSING_ERROR,
    ErrorCause.RESOURCES_UNAVAILABLE,
)
"""What may be otherwise when it is asked again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an order: OPEN is asked again after `again_s`."""

    state: State
    answer: str
    error_cause: int | None = None
    again_s: int = 0


def code(order: Order) -> Code:
    """Which request carries an order."""
    return Code.DISCONNECT_REQUEST if order.kind is Kind.DISCONNECT else Code.COA_REQUEST


def attributes(order: Order, at_us: int) -> list[Attribute]:
    """Which session, as the access network knows it, since when this is asked, and what for.

    An access point refuses what it does not know, so no more is said than names the session.
    """
    attach = order.attach
    name = attach.acct_session_id
    found = [
        *_node(attach),
        text(Type.ACCT_SESSION_ID, name)
        if name
        else text(Type.CHARGEABLE_USER_IDENTITY, attach.cui),
        integer(Type.EVENT_TIMESTAMP, at_us // SECOND_US),
    ]
    return found + (_changes(order.change) if order.kind is Kind.CHANGE else [])


def _node(attach: Attach) -> list[Attribute]:
    """Say which access point is meant: by name, else by address, else not at all."""
    if attach.nas_identifier:
        return [text(Type.NAS_IDENTIFIER, attach.nas_identifier)]
    address = bytes.fromhex(attach.nas_address)
    kind = Type.NAS_IP_ADDRESS if len(address) == IPV4_OCTETS else Type.NAS_IPV6_ADDRESS
    return [(int(kind), address)] if address else []


def _changes(change: Change) -> list[Attribute]:
    found: list[Attribute] = []
    if change.filter_id is not None:
        found.append(text(Type.FILTER_ID, change.filter_id))
    if change.session_timeout_s is not None:
        found.append(integer(Type.SESSION_TIMEOUT, change.session_timeout_s))
    if change.rate_octets_per_s is not None:
        bps = min(change.rate_octets_per_s * BITS, BPS_MAX).to_bytes(4, "big")
        found.append(vendor(WBA, WISPR_BANDWIDTH_MAX_UP, bps))
        found.append(vendor(WBA, WISPR_BANDWIDTH_MAX_DOWN, bps))
    return found


def verdict(outcome: Reply | Lost, tries: int) -> Verdict:
    """Judge an answer, or that there was none; `tries` counts this one too."""
    again_s = min(AGAIN_FIRST_S << min(tries - 1, 10), AGAIN_MOST_S)
    if isinstance(outcome, Lost):
        return Verdict(State.OPEN, outcome.value, again_s=again_s)
    packet = outcome.packet
    if packet.code in (Code.DISCONNECT_ACK, Code.COA_ACK):
        return Verdict(State.DONE, "ack")
    cause = packet.integer(Type.ERROR_CAUSE)
    if cause == ErrorCause.SESSION_CONTEXT_NOT_FOUND:
        return Verdict(State.OVER, "nak", cause)
    if cause in _LATER:
        return Verdict(State.OPEN, "nak", cause, again_s)
    return Verdict(State.REFUSED, "nak", cause)
