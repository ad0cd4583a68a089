"""Brings orders to access networks: over the connection they asked us over, or to UDP 3799."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from opencarrier.access.model import Transport
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.model import Attach, Order
from opencarrier.access.orders.reach import Reach
from opencarrier.access.orders.rules import Verdict, attributes, code, verdict
from opencarrier.access.orders.silence import LOOKED_MAX, SilenceWatch
from opencarrier.access.upstream.model import Lost, Reply, Upstream
from opencarrier.kernel.clock import Clock

if TYPE_CHECKING:
    from opencarrier.access.service import Units
    from opencarrier.spine.parties import RadiusClient

_log = logging.getLogger(__name__)

TICK_S = 1.0
SWEEP_TICKS = 600
WATCH_TICKS = 5


class OrderSender:
    """Sends what is due, until stopped: `run()` as a task; `clients` finds who is at an address."""

    def __init__(
        self,
        book: OrderBook,
        units: Units,
        *,
        reach: Reach,
        clients: Callable[[str], RadiusClient | None],
        clock: Clock,
        watch: SilenceWatch | None = None,
        tick_s: float = TICK_S,
    ) -> None:
        """`watch` finds sessions to be ended because nobody reports on them."""
        self._book = book
        self._units = units
        self._reach = reach
        self._clients = clients
        self._clock = clock
        self._watch = watch
        self._tick_s = tick_s

    async def run(self) -> None:
        """Send what is due each second; what goes wrong is logged and tried again."""
        ticks = 0
        try:
            while True:
                try:
                    if self._watch is not None and ticks % WATCH_TICKS == 0:
                        await asyncio.to_thread(self._look, self._watch)
                    await self.tick()
                    if ticks % SWEEP_TICKS == 0:
                        await asyncio.to_thread(self._sweep)
                except Exception:
                    _log.exception("orders go on after an error")
                ticks += 1
                await asyncio.sleep(self._tick_s)
        finally:
            await self._reach.stop()

    async def tick(self) -> int:
        """Send what is due now and note the answers; return how many were sent."""
        due = await asyncio.to_thread(self._due)
        if not due:
            return 0
        outcomes = await asyncio.gather(*(self._send(order) for order in due))
        found = [
            (order, verdict(outcome, order.tries + 1))
            for order, outcome in zip(due, outcomes, strict=True)
        ]
        await asyncio.to_thread(self._settle, found)
        return len(due)

    async def _send(self, order: Order) -> Reply | Lost:
        """Send one; where that is our own mistake it waits, and holds up no other."""
        try:
            upstream = self._upstream(order.attach)
            if upstream is None:
                return Lost.UNREACHABLE
            return await upstream.request(code(order), attributes(order, self._clock.now_us()))
        except Exception:
            _log.exception("order %d cannot be sent", order.order_id)
            return Lost.UNREACHABLE

    def _upstream(self, attach: Attach) -> Upstream | None:
        if attach.transport == Transport.TLS.value:
            return self._reach.connected(attach.client_id, attach.host)
        client = self._clients(attach.host)
        if client is None or client.client_id != attach.client_id:
            return None
        return self._reach.udp(attach.client_id, attach.host, client.secret)

    def _due(self) -> Sequence[Order]:
        with self._units.read() as unit:
            if self._book.is_idle(unit):
                return []
        with self._units.write() as unit:
            return self._book.due(unit, self._clock.now_us())

    def _look(self, watch: SilenceWatch) -> None:
        """Look at the sessions that may be silent, some in each unit."""
        at_us = self._clock.now_us()
        with self._units.read() as unit:
            due = watch.is_due(unit, at_us)
        while due:
            with self._units.write() as unit:
                due = watch.look(unit, at_us) == LOOKED_MAX

    def _settle(self, found: Sequence[tuple[Order, Verdict]]) -> None:
        at_us = self._clock.now_us()
        with self._units.write() as unit:
            for order, judged in found:
                self._book.settle(unit, order, judged, at_us=at_us)

    def _sweep(self) -> None:
        with self._units.write() as unit:
            self._book.sweep(unit, self._clock.now_us())
