"""The running agent: access points on one side, the hub on the other, the spool between them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opencarrier.access.agent.agent import Ask, Keep, NodeAgent, Ticket
from opencarrier.access.agent.counters import WORD
from opencarrier.access.agent.model import AgentMetrics, AgentSettings
from opencarrier.access.agent.payments import Carried, State, has_room
from opencarrier.access.agent.store import Brought, Waiting, sendable
from opencarrier.access.model import Origin, Transport
from opencarrier.access.server import Send
from opencarrier.access.upstream.model import Lost, Upstream
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.hidden import Hop, onward
from opencarrier.access.wire.radius import AUTHENTICATOR_OCTETS, integer
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError

if TYPE_CHECKING:
    from opencarrier.access.service import Sender

_log = logging.getLogger(__name__)

STOP_PATIENCE_S = 5.0
"""How long what is asked of the hub may take when the agent is told to stop."""


REFUSED_DOUBLINGS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPorts:
    """What the running agent asks of the machine and of the hub."""

    upstream: Upstream
    clock: Clock
    entropy: Entropy
    monotonic: Callable[[], float] = time.monotonic


class AgentService:
    """A running agent: packets in by `receive`, answers out by a sender, reports on to the hub."""

    def __init__(self, agent: NodeAgent, ports: AgentPorts, settings: AgentSettings) -> None:
        self.agent = agent
        self._ports = ports
        self._settings = settings
        self._senders: dict[Transport, Sender] = {}
        self._reports: deque[Ticket] = deque()
        self._arrived, self._spooled = asyncio.Event(), asyncio.Event()
        self._news = asyncio.Event()
        self._asking = 0
        self._sending: set[int] = set()
        self._resting = 0
        self._pause_s = settings.retry_first_s
        self._left: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    @property
    def metrics(self) -> AgentMetrics:
        """What was counted since the start."""
        return self.agent.metrics

    def start(self, transport: Transport, sender: Sender) -> None:
        """Begin work in the running event loop; answers go out by `sender`."""
        assert not self._loops
        self._senders[transport] = sender
        for loop in (self._keep_loop, self._deliver_loop, self._sample_loop, self._housekeep_loop):
            self._loops.append(asyncio.get_running_loop().create_task(loop()))
        self._moved()

    async def stop(self) -> None:
        """Answer what is durable and what the hub still answers; the rest stays in the file."""
        if self._reports:
            self._keep()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_PATIENCE_S)
        for task in self._tasks:
            task.cancel()

    def receive(self, origin: Origin, datagram: bytes) -> None:
        """Take one packet of an access point; nothing it sends makes this raise."""
        try:
            effect = self.agent.receive(origin, datagram, now_s=self._ports.monotonic())
        except Exception:
            _log.exception("receive failed")
            self.metrics.dropped["internal_error"] += 1
            return
        match effect:
            case Send():
                self._send(effect)
            case Ask():
                self._ask(effect)
            case Keep(ticket):
                self._queue(ticket)

    # Authentication: asked on at once, answered within a limit.

    def _ask(self, ask: Ask) -> None:
        if self._asking >= self._settings.authentications_max:
            self._send(self.agent.turned_away(ask.ticket, "busy"))
            return
        self._asking += 1
        self._spawn(self._authenticate(ask))

    async def _authenticate(self, ask: Ask) -> None:
        try:
            answer = await self._answer(ask)
        except Exception:
            _log.exception("asking on failed")
            answer = self.agent.turned_away(ask.ticket, "internal_error")
        finally:
            self._asking -= 1
        self._send(answer)

    async def _answer(self, ask: Ask) -> Send:
        upstream, ticket = self._ports.upstream, ask.ticket
        authenticator = self._ports.entropy.octets("node/authenticator", AUTHENTICATOR_OCTETS)
        try:
            attributes = onward(
                ask.attributes,
                Hop(ticket.point.secret, ticket.packet.authenticator),
                Hop(upstream.secret, authenticator),
            )
        except PeerError as error:
            return self.agent.turned_away(ticket, error.reason)
        try:
            async with asyncio.timeout(self._settings.authentication_limit_s):
                reply = await upstream.request(
                    Code.ACCESS_REQUEST, attributes, authenticator=authenticator
                )
        except TimeoutError:
            return self.agent.turned_away(ticket, "hub_silent")
        if isinstance(reply, Lost):
            return self.agent.turned_away(ticket, "hub_unreachable")
        return self.agent.replied(ticket, reply, self._ports.clock.now_us())

    # Accounting: durable first, then answered, then delivered.

    def _queue(self, ticket: Ticket) -> None:
        if len(self._reports) >= self._settings.accounting_queue_max:
            self.agent.lost(ticket, "accounting_queue_full")
            return
        self._reports.append(ticket)
        self._arrived.set()

    async def _keep_loop(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._reports:
                self._keep()
                await asyncio.sleep(0)

    def _keep(self) -> None:
        size = min(len(self._reports), self._settings.accounting_batch_max)
        tickets = [self._reports.popleft() for _ in range(size)]
        for answer in self.agent.keep(tickets, self._ports.clock.now_us()):
            self._send(answer)
        crashpoint("node.replied")
        self._spooled.set()

    async def _deliver_loop(self) -> None:
        while True:
            await self._spooled.wait()
            self._spooled.clear()
            if not self._attempt(self._begin_deliveries):
                await asyncio.sleep(self._settings.retry_first_s)
                self._spooled.set()

    def _begin_deliveries(self) -> None:
        rows = self.agent.store.waiting()
        for row in sendable(rows, frozenset(self._sending), self._free()):
            self._sending.add(row.number)
            self._spawn(self._deliver(row))

    def _free(self) -> int:
        return self._settings.sending_max - (len(self._sending) - self._resting)

    async def _deliver(self, row: Waiting) -> None:
        """Send a report; where the hub does not take it, let it rest before it is sent again."""
        before = self.metrics.delivered
        try:
            taken = await self._is_taken(row)
        except Exception:
            _log.exception("sending a report failed")
            taken = False
        if not taken:
            await self._rest(row, alive=self.metrics.delivered > before)
        self._sending.discard(row.number)
        self._moved()

    async def _is_taken(self, row: Waiting) -> bool:
        """Send a report, with a payment if one waits; say whether it is out of the spool."""
        carried = self._carried(row)
        paid = [] if carried is None else carried.attributes()
        reply = await self._ports.upstream.request(
            Code.ACCOUNTING_REQUEST, [*row.attributes, *paid, self._delay(row)]
        )
        if isinstance(reply, Lost):
            return False
        crashpoint("node.delivered")
        self.agent.delivered(row, carried, reply.packet)
        self.metrics.delivered += 1
        self._pause_s = self._settings.retry_first_s
        self._left.pop(row.number, None)
        return True

    def _carried(self, row: Waiting) -> Carried | None:
        """Return the payment that goes with a report, if one waits and there is room for it."""
        if row.session is None or not has_room(row.attributes):
            return None
        return self.agent.store.next_payment(row.session)

    def _moved(self) -> None:
        """Look again at what waits, now that something went or came."""
        self._attempt(lambda: self.agent.speak(self._ports.clock.now_us()))
        self._spooled.set()
        self._news.set()
        self._news = asyncio.Event()

    async def pay(
        self, session: int, channel: bytes, carried: Carried, patience_s: float
    ) -> Brought | None:
        """Keep a payment, then wait a little for the home; return where it stands.

        It is durable before anything is returned. None where a newer one took its place.
        """
        self.agent.pay(session, channel, carried)
        crashpoint("node.paid")
        self._moved()
        try:
            async with asyncio.timeout(patience_s):
                while (stands := self._standing(session, carried)) is not None:
                    if stands.state is not State.WAITING:
                        return stands
                    await self._news.wait()
        except TimeoutError:
            pass
        return self._standing(session, carried)

    def _standing(self, session: int, carried: Carried) -> Brought | None:
        brought = self.agent.store.payments(session)
        return next((one for one in brought if one.carried == carried), None)

    async def _rest(self, row: Waiting, *, alive: bool) -> None:
        """Wait longer each time: for a hub that is away, or for the one report it does not take."""
        settings = self._settings
        self.metrics.retries += 1
        if alive:
            self._left[row.number] += 1
            times = min(self._left[row.number], REFUSED_DOUBLINGS_MAX)
            pause_s = min(settings.retry_first_s * 2**times, settings.refused_pause_s)
        else:
            pause_s = self._pause_s
            self._pause_s = min(pause_s * 2, settings.retry_max_s)
        self._resting += 1
        self._spooled.set()
        try:
            await asyncio.sleep(pause_s)
        finally:
            self._resting -= 1

    def _delay(self, row: Waiting) -> tuple[int, bytes]:
        waited_us = max(self._ports.clock.now_us() - row.received_us, 0)
        return integer(Type.ACCT_DELAY_TIME, min(row.delay_s + waited_us // SECOND_US, WORD - 1))

    async def _sample_loop(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sample_s)
            self._attempt(self.agent.sample)
            self._moved()

    async def _housekeep_loop(self) -> None:
        while True:
            self._attempt(lambda: self.agent.housekeep(self._ports.clock.now_us()))
            await asyncio.sleep(self._settings.housekeeping_s)

    def _attempt(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception:
            _log.exception("housekeeping failed")
            self.metrics.dropped["housekeeping_failed"] += 1
            return False
        return True

    def _send(self, send: Send) -> None:
        self._senders[send.origin.transport](send)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
