"""Close a cycle and see it through, as one errand with one answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.errands import Errands
from opencarrier.app.views import cycle_line
from opencarrier.identity.accounts.model import NOBODY, AccountId
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.settlement.model import CloseRefusal, CycleClosed

PASSES_MAX = 240
PAUSE_S = 0.25
USAGES_SHOWN_MAX = 1_000


class Noted(Protocol):
    """Writes in a unit who closed a cycle: what it is about, and how it ended."""

    def __call__(self, unit: Connection, *, about: str, outcome: str) -> None:
        """Write the line."""
        ...


def close_and_settle(
    place: Onchain,
    *,
    by: AccountId = NOBODY,
    noted: Noted | None = None,
    pause: Callable[[float], None] = time.sleep,
    passes_max: int = PASSES_MAX,
) -> dict[str, Any] | Refusal:
    """Close the open cycle now and drive its settlement until it is final, or say why not.

    One that is on its way already is driven on instead: the same command twice is one close.
    Where people have to approve, whoever closes is one of them, and the rest is waited for later.
    `noted` writes down in the transaction that closes it who did, or afterwards why nothing was.
    """
    errands = Errands(place)
    usages, suspended, deferred = 0, 0, 0
    closed = errands.close(
        place.base.clock.now_us(),
        beside=lambda unit, done: _closed(place, unit, done, by=by, noted=noted),
    )
    if isinstance(closed, Refusal):
        if noted is not None:
            with place.base.store.write() as unit:
                noted(unit, about="", outcome=closed.code)
        if closed.reason is not CloseRefusal.IN_FLIGHT:
            return closed
    else:
        usages, suspended = closed.usages, len(closed.suspended)
        deferred = len(closed.cleared.deferred)
    driven = errands.drive()
    for number in range(passes_max):
        if driven.is_settled or driven.halt is not None or driven.unapproved is not None:
            break
        if number > 0:  # an embedded chain has mined by the second look
            pause(PAUSE_S)
        driven = errands.drive()
    with place.base.store.read() as unit:
        newest = place.settlement.cycle(unit)
        told = None if newest is None else show(place, unit, newest.sequence)
    return {
        **(told or {"state": "open"}),
        "usages": usages,
        "suspended": suspended,
        "deferred": deferred,
        "note": driven.note,
        "halted": driven.halt is not None,
        "waits_for_approval": driven.unapproved is not None,
    }


def _closed(
    place: Onchain, unit: Connection, done: CycleClosed, *, by: AccountId, noted: Noted | None
) -> None:
    """Write with the close who did it, and count that one's yes where people have to approve."""
    if done.attempt is not None:
        settlement_id, net_minor = done.attempt.order.settlement_id, done.attempt.net_minor
        place.consent.started(unit, settlement_id=settlement_id, net_minor=net_minor, by=by)
    if noted is not None:
        noted(unit, about=to_hex(done.cycle.cycle_id), outcome="done")


def show(place: Onchain, unit: Connection, sequence: int) -> dict[str, Any] | None:
    """Return a cycle that was ordered, and what it settles (`USAGES_SHOWN_MAX` of each at most)."""
    cycle = next(iter(place.settlement.figures(unit, limit=1, before=sequence + 1)), None)
    if cycle is None or cycle.sequence != sequence:
        return None
    usages = place.clearing.usages(unit, cycle.cycle_id)[:USAGES_SHOWN_MAX]
    dues = place.clearing.due_records(unit, cycle.cycle_id)[:USAGES_SHOWN_MAX]
    return {
        **asdict(cycle_line(cycle)),
        "usage_ids": [to_hex(u) for u in usages],
        "adjustment_ids": [to_hex(due.record_id) for due in dues],
    }
