"""A session nobody reports on any more is ended: what it may use unseen is bounded.

A network that says nothing for an interim interval and the loss grace is told to end the session.
That is looked at when it may be so, off the way of accounting: one look a session an interval.
Reports count by when they happened. An access point whose clock is behind is known by a report from
before it let the session in; of that one it counts that something new came between two looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, select, update

from opencarrier.access.model import Metrics
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.store import ATTACHES
from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.ports import Reported
from opencarrier.spine.usage import Sought

REASON: Final = "silent"
STAMP_US: Final = SECOND_US
"""Event-Timestamp is of whole seconds: so much before the grant a report of it may be."""

LOOKED_MAX: Final = 256
"""Sessions looked at in one unit; the rest in the next."""


@dataclass(frozen=True, slots=True)
class SilenceWatch:
    """Looks for sessions that fell silent; `grace_s` is how long a report may be late."""

    book: OrderBook
    reported: Reported
    metrics: Metrics
    grace_s: int

    def is_due(self, unit: Connection, at_us: int) -> bool:
        """Say whether any session is to be looked at; never where that is off."""
        due = select(ATTACHES.c.authorisation_id).where(self._due(at_us)).limit(1)
        return self.grace_s > 0 and unit.scalar(due) is not None

    def look(self, unit: Connection, at_us: int) -> int:
        """Have the sessions ended that are silent; return how many were looked at."""
        oldest = select(ATTACHES).where(self._due(at_us)).order_by(ATTACHES.c.look_us)
        rows = unit.execute(oldest.limit(LOOKED_MAX)).all()
        heard = self.reported.last_heard(unit, [_sought(row) for row in rows])
        silent = [
            row
            for row in rows
            if self._is_silent(unit, row, heard.get(row.authorisation_id), at_us)
        ]
        shared = _shared(unit, silent, at_us)
        for row in silent:
            if row.acct_session_id or (row.nas_identifier, row.cui) not in shared:
                self.book.disconnect(unit, row.authorisation_id, reason=REASON, at_us=at_us)
                self.metrics.silent += 1
        return len(rows)

    def _due(self, at_us: int) -> ColumnElement[bool]:
        before_us = at_us - self.grace_s * SECOND_US
        return (ATTACHES.c.look_us <= before_us) & (ATTACHES.c.expires_us > at_us)

    def _is_silent(
        self, unit: Connection, row: Row[Any], heard: tuple[int, bool] | None, at_us: int
    ) -> bool:
        """Look again an interval after the last report; say once that there was none."""
        key = row.authorisation_id
        if heard is not None and heard[1]:
            _look_again(unit, key, None, None)
            return False
        newest_us = row.heard_us if heard is None else heard[0]
        next_us = self._next_us(row, heard, at_us)
        _look_again(unit, key, next_us, newest_us)
        return next_us is None

    def _next_us(self, row: Row[Any], heard: tuple[int, bool] | None, at_us: int) -> int | None:
        """Say from when the next report is waited for; None where it should have come."""
        interval_us = row.interim_interval_s * SECOND_US
        next_us: int = row.look_us if heard is None else min(heard[0], at_us) + interval_us
        if next_us > at_us - self.grace_s * SECOND_US:
            return next_us
        is_new = heard is not None and _is_new(heard[0], row.heard_us)
        return at_us + interval_us if is_new else None


def _is_new(newest_us: int, known_us: int | None) -> bool:
    """Say whether a report came since the last look, whatever its clock says."""
    return known_us is not None and not known_us - STAMP_US <= newest_us <= known_us


def _shared(unit: Connection, rows: Sequence[Row[Any]], at_us: int) -> set[tuple[str, str]]:
    """Return which pseudonyms at which nodes name another session that is looked at, too.

    An order without a session's name would end that one as well.
    """
    unnamed = {row.cui for row in rows if not row.acct_session_id}
    if not unnamed:
        return set()
    watched = ATTACHES.c.look_us.is_not(None) & (ATTACHES.c.expires_us > at_us)
    query = select(ATTACHES.c.nas_identifier, ATTACHES.c.cui).where(watched)
    return {
        (row.nas_identifier, row.cui)
        for row in unit.execute(query.where(ATTACHES.c.cui.in_(unnamed)))
    }


def _sought(row: Row[Any]) -> Sought:
    since_us = row.look_us - row.interim_interval_s * SECOND_US
    return Sought(row.authorisation_id, row.nas_identifier, row.acct_session_id, since_us)


def _look_again(unit: Connection, key: bytes, look_us: int | None, heard_us: int | None) -> None:
    mine = ATTACHES.c.authorisation_id == key
    unit.execute(update(ATTACHES).where(mine).values(look_us=look_us, heard_us=heard_us))
