"""Where a session is served, and what was ordered of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from opencarrier.spine.access import Change


class Kind(StrEnum):
    """What is ordered: the session's end, or a change of how it is served (RFC 5176)."""

    DISCONNECT = "disconnect"
    CHANGE = "change"


class State(StrEnum):
    """How far an order is.

    OVER: the session is gone; REPLACED: another order of the same session took its place.
    """

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    OVER = "over"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Who let a session in, and by what it is known there: as far as the request said.

    `client_id` asked over `transport`, from `host`; whatever is unknown is empty. `nas_address` is
    what an access point without a name says of itself, in hex. The device's address is not
    kept: the session's name there, or the pseudonym, says as much. At `look_us` it is looked at
    whether it still reports, each interim interval; None where that is over. `heard_us` is when it
    was let in, then when its newest report happened that a look found.
    """

    authorisation_id: bytes
    client_id: str
    transport: str
    host: str
    nas_identifier: str
    acct_session_id: str
    cui: str
    expires_us: int
    nas_address: str = ""
    interim_interval_s: int = 0
    look_us: int | None = None
    heard_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order, and how often it was sent without an answer that ends it."""

    order_id: int
    attach: Attach
    kind: Kind
    change: Change
    or_end: bool
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """An order as commands show it; `error_cause` is the number a NAK gave (RFC 5176)."""

    order_id: int
    authorisation_id: str
    kind: str
    state: str
    reason: str
    asked_us: int
    tries: int
    error_cause: int | None
    answer: str
