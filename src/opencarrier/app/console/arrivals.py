"""Observations as they arrive, each once, however their writers' commits are interleaved.

Where several append at once (PostgreSQL) one may be numbered before another and committed after it.
A number that was passed over is therefore looked for again until it is found or its writer must
have ended; numbers of copies stay empty, so only so many are waited for, the newest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.usage import Observation

ARRIVED_MAX: Final = 2_000
"""Observations that are read in one look; the others wait for the next."""

REMEMBERED_MAX: Final = 20_000
"""Numbers from before the start that are read first."""

MISSED_MAX: Final = 1_000
MISSED_US: Final = 60 * SECOND_US
"""How long a number is looked for: writers that wait for each other give up long before."""


class Numbered(Protocol):
    """Observations by the order in which they were numbered."""

    def newest(self, unit: Connection) -> int:
        """Return the highest number there is."""
        ...

    def arrived_after(
        self, unit: Connection, number: int, *, limit: int
    ) -> Sequence[tuple[int, Observation]]:
        """Return what is numbered above one, in their order."""
        ...

    def arrived_as(
        self, unit: Connection, numbers: Sequence[int]
    ) -> Sequence[tuple[int, Observation]]:
        """Return what has one of some numbers, in their order."""
        ...


class Arrivals:
    """One look after another, each in a unit of its own."""

    def __init__(self, usage: Numbered, *, missed_max: int = MISSED_MAX) -> None:
        self._usage = usage
        self._missed_max = missed_max
        self._mark: int | None = None
        self._missed: dict[int, int] = {}
        """Numbers that were passed over, ascending, and until when each is looked for."""

    def read(self, unit: Connection, now_us: int) -> list[Observation]:
        """Return what arrived since the last look, `ARRIVED_MAX` and what was passed over."""
        if self._mark is None:
            self._mark = max(self._usage.newest(unit) - REMEMBERED_MAX, 0)
        late = self._late(unit, now_us)
        found = self._usage.arrived_after(unit, self._mark, limit=ARRIVED_MAX)
        for number, _ in found:
            self._miss(number, now_us + MISSED_US)
            self._mark = number
        return [seen for _, seen in (*late, *found)]

    def _late(self, unit: Connection, now_us: int) -> Sequence[tuple[int, Observation]]:
        """Return what was passed over and is there now."""
        if not self._missed:
            return ()
        found = self._usage.arrived_as(unit, list(self._missed))
        for number, _ in found:
            del self._missed[number]
        self._missed = {one: until for one, until in self._missed.items() if until > now_us}
        return found

    def _miss(self, number: int, until_us: int) -> None:
        """Note what lies between the last number and this one, the newest of all that is noted."""
        assert self._mark is not None, "a look begins at a mark"
        first = max(self._mark + 1, number - self._missed_max)
        self._missed |= dict.fromkeys(range(first, number), until_us)
        for oldest in list(self._missed)[: -self._missed_max]:
            del self._missed[oldest]
