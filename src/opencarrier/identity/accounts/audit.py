"""The audit log: who did what, about what, from where, when, and how it ended; a chain of hashes.

It names accounts by opaque ids and things by theirs: no secret, no person. Where somebody came from
stands outside the chain, so that it can be forgotten and the chain still holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.engine import Row

from opencarrier.identity.accounts import store
from opencarrier.identity.accounts.model import AccountId, Entry
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.ids import derive

PAGE = 50
PAGE_MAX = 101
"""A hundred, and one more that says whether there are others."""

START = bytes(32)


class AuditLog:
    """Writes and reads the log; each call stands in the caller's unit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def write(
        self,
        unit: Connection,
        what: str,
        *,
        who: AccountId,
        about: str = "",
        outcome: str = "done",
        came_from: str = "",
    ) -> None:
        """Append a line."""
        table = store.audit
        newest = unit.execute(select(table).order_by(table.c.sequence.desc()).limit(1)).first()
        sequence = 1 if newest is None else newest.sequence + 1
        before = START if newest is None else newest.digest
        at_us = self._clock.now_us()
        digest = _digest(before, sequence, at_us, who, what, about, outcome)
        unit.execute(
            insert(table).values(
                sequence=sequence,
                at_us=at_us,
                who=who,
                what=what,
                about=about,
                outcome=outcome,
                came_from=came_from,
                digest=digest,
            )
        )

    def page(
        self, unit: Connection, *, before: int | None = None, limit: int = PAGE
    ) -> Sequence[Entry]:
        """Return the newest lines, or those before one."""
        assert 0 < limit <= PAGE_MAX, "a page has its limit"
        table = store.audit
        query = select(table).order_by(table.c.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.sequence < before)
        return [_entry(row) for row in unit.execute(query)]

    def broken_at(self, unit: Connection) -> int | None:
        """Return the first line that does not follow from the one before, None where all do."""
        before, expected = START, 1
        table = store.audit
        for row in unit.execute(select(table).order_by(table.c.sequence)):
            entry = _entry(row)
            again = _digest(
                before, expected, entry.at_us, entry.who, entry.what, entry.about, entry.outcome
            )
            if row.sequence != expected or row.digest != again:
                return expected
            before, expected = row.digest, expected + 1
        return None

    def length(self, unit: Connection) -> int:
        """Return how many lines there are."""
        return unit.scalar(select(func.max(store.audit.c.sequence))) or 0


def _digest(
    before: bytes, sequence: int, at_us: int, who: str, what: str, about: str, outcome: str
) -> bytes:
    return derive("audit", before, sequence, at_us, who, what, about, outcome)


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        sequence=row.sequence,
        at_us=row.at_us,
        who=AccountId(row.who),
        what=row.what,
        about=row.about,
        outcome=row.outcome,
        came_from=row.came_from,
    )
