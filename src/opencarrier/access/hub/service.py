"""Passes packets on and brings their replies back: the hub's one door for the access service."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from opencarrier.access.hub.model import HubMetrics, HubSettings
from opencarrier.access.hub.neighbours import Neighbours
from opencarrier.access.hub.pool import Named, Pool
from opencarrier.access.hub.routes import Discover, Via
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.wire.dictionary import Code
from opencarrier.access.wire.hidden import Hop
from opencarrier.access.wire.radius import Attribute

NO_HOP = Hop(b"", bytes(16))
"""Of what hides nothing."""


class Hub:
    """Asks whoever answers for a realm; at most `in_work_max` packets are on their way.

    One target has half of that at most, and so has one client: whoever is slow, or asks for
    what is, leaves room for others.
    """

    def __init__(
        self, neighbours: Neighbours, settings: HubSettings, metrics: HubMetrics | None = None
    ) -> None:
        self._neighbours = neighbours
        self._settings = settings
        self._in_work = 0
        self._to: Counter[Via | Discover] = Counter()
        self._of: Counter[str] = Counter()
        self._accounting = asyncio.Semaphore(max(1, settings.in_work_max // 4))
        self.metrics = metrics if metrics is not None else HubMetrics()

    @property
    def neighbours(self) -> Neighbours:
        """The servers that are asked."""
        return self._neighbours

    async def ask(
        self,
        target: Via | Discover,
        code: int,
        attributes: Sequence[Attribute],
        came: Hop,
        by: Named | None = None,
        *,
        asker: str = "",
    ) -> Reply | str:
        """Return the reply to a request of `asker`, or the reason why there is none."""
        if self._in_work >= self._settings.in_work_max:
            return self._refused("hub_busy")
        if self._to[target] >= max(1, self._settings.in_work_max // 2):
            return self._refused("target_busy")
        if asker and self._of[asker] >= max(1, self._settings.in_work_max // 2):
            return self._refused("client_busy")
        self._in_work += 1
        self._to[target] += 1
        self._of[asker] += 1
        try:
            pool = await self._neighbours.pool(target, asker)
            if not isinstance(pool, Pool):
                return self._refused(pool)
            self.metrics.passed_on += 1
            reply = await pool.ask(code, attributes, came, by)
        finally:
            self._in_work -= 1
            self._to[target] -= 1
            self._of[asker] -= 1
            if not self._to[target]:
                del self._to[target]
            if not self._of[asker]:
                del self._of[asker]
        return self._refused(f"upstream_{reply.value}") if isinstance(reply, Lost) else reply

    async def account(self, target: Via | Discover, attributes: Sequence[Attribute]) -> bool:
        """Deliver an Accounting-Request; whether its home acknowledged it."""
        async with self._accounting:
            reply = await self.ask(target, Code.ACCOUNTING_REQUEST, attributes, NO_HOP)
        return isinstance(reply, Reply) and reply.packet.code == Code.ACCOUNTING_RESPONSE

    async def stop(self) -> None:
        """Close what leads to others."""
        await self._neighbours.stop()

    def _refused(self, reason: str) -> str:
        self.metrics.refused[reason] += 1
        return reason
