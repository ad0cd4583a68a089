"""Delivers accounting to its homes: in order within a session, through outages and restarts.

What is delivered is forgotten after the home's reply. A crash between the two delivers again: an
accounting packet heard twice is a copy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from opencarrier.access.hub import store
from opencarrier.access.hub.model import HubMetrics, HubSettings, Relay, backoff_us
from opencarrier.access.hub.store import Owed
from opencarrier.access.wire.radius import Attribute
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.crash import crashpoint

if TYPE_CHECKING:
    from sqlalchemy import Connection

_log = logging.getLogger(__name__)

Deliver = Callable[[str, Sequence[Attribute]], Awaitable[bool]]
"""Sends an Accounting-Request to a realm's home; whether it was acknowledged."""

LOOK_S = 1.0
SLOW_S = 1.0
"""A window that takes longer goes on beside those of others."""

WINDOW_S = 10.0
"""So long a window takes packets, what is left waits for its realm's next turn."""


class Units(Protocol):
    """Opens units of work."""

    def write(self) -> AbstractContextManager[Connection]:
        """Open a unit that writes."""
        ...

    def read(self) -> AbstractContextManager[Connection]:
        """Open a unit that reads."""
        ...


@dataclass(slots=True)
class _Pause:
    attempts: int = 0
    until_us: int = 0


class Outbox:
    """Keeps what is owed in the caller's unit, and delivers it from a task of its own."""

    def __init__(
        self,
        units: Units,
        deliver: Deliver,
        clock: Clock,
        settings: HubSettings,
        metrics: HubMetrics,
        *,
        routed: Callable[[str], bool] = lambda realm: True,
    ) -> None:
        """`routed` says whether anything leads to a realm's home."""
        self._units = units
        self._deliver = deliver
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._routed = routed
        self._pauses: dict[str, _Pause] = {}
        self._unrouted: dict[str, int] = {}
        self._after = ""
        self._windows: dict[str, asyncio.Task[bool]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def unrouted(self) -> int:
        """How many realms are owed something and have no route, as far as was looked."""
        too_old_us = self._clock.now_us() - 4 * self._settings.backoff_max_s * SECOND_US
        for realm in [r for r, at_us in self._unrouted.items() if at_us < too_old_us]:
            del self._unrouted[realm]
        return len(self._unrouted)

    def put(self, unit: Connection, relays: Sequence[Relay]) -> None:
        """Keep what was acknowledged; `OutboxFullError` where there is no room for it."""
        if relays:
            store.put(unit, relays, rows_max=self._settings.outbox_rows_max)

    def start(self) -> None:
        """Begin to deliver in the running loop, what a former process left first."""
        self._stopping = False
        self._wake.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Say that something was kept."""
        self._wake.set()

    async def stop(self) -> None:
        """End; what is owed stays."""
        self._stopping = True  # a cancellation alone may be lost in `wait_for` as it ends
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for window in self._windows.values():
            window.cancel()
        await asyncio.gather(*self._windows.values(), return_exceptions=True)
        self._windows.clear()

    async def _run(self) -> None:
        while not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            self._wake.clear()
            try:
                while await self.deliver_once() and not self._stopping:
                    pass
            except Exception:
                _log.exception("the outbox goes on after an error")
                await asyncio.sleep(LOOK_S)

    async def deliver_once(self) -> bool:
        """Deliver a window of each realm that is due; whether anything was delivered.

        Those that are slow are not waited for, and have no second window beside the first.
        """
        free = self._settings.outbox_realms_max - len(self._windows)
        due = await asyncio.to_thread(self._due, self._paused() | self._windows.keys())
        loop = asyncio.get_running_loop()
        begun = {realm: loop.create_task(self._window(realm)) for realm in due[:free]}
        self._windows |= begun
        if begun:
            await asyncio.wait(begun.values(), timeout=SLOW_S)
        return self._ended()

    def _ended(self) -> bool:
        """Forget windows that are done; whether anything was delivered."""
        anything = False
        for realm in [realm for realm, window in self._windows.items() if window.done()]:
            window = self._windows.pop(realm)
            error = window.exception()
            if error is not None:
                _log.error("a window of the outbox failed", exc_info=error)
            anything = anything or (error is None and window.result())
        return anything

    async def _window(self, realm: str) -> bool:
        if not self._is_routed(realm):
            await asyncio.to_thread(self._give_up_old, realm)
            self._pause(realm, anything=False)
            return False
        rows = await asyncio.to_thread(self._owed, realm)
        if not rows:
            return False
        sessions: dict[bytes, list[Owed]] = {}
        for row in rows:
            sessions.setdefault(row.session, []).append(row)
        answered = await asyncio.gather(*(self._session(realm, s) for s in sessions.values()))
        lost = [row for _, row in answered if row is not None]
        numbers = [number for done, _ in answered for number in done]
        crashpoint("hub.delivered")
        await asyncio.to_thread(self._settle, numbers, lost)
        self._pause(realm, anything=bool(numbers))
        return bool(numbers)

    def _is_routed(self, realm: str) -> bool:
        """Whether a realm has a route; when it lost one and has one again is said once."""
        routed, now_us = self._routed(realm), self._clock.now_us()
        if routed and self._unrouted.pop(realm, None) is not None:
            _log.info("a route leads to %s again: what is owed to it is delivered", realm)
        elif not routed:
            days = self._settings.outbox_age_max_s // 86_400
            if realm not in self._unrouted:
                _log.warning("no route leads to %s: what is owed to it waits %d days", realm, days)
            self._unrouted[realm] = now_us
        return routed

    async def _session(self, realm: str, rows: Iterable[Owed]) -> tuple[list[int], Owed | None]:
        """Deliver a session's rows one after another, up to the first that is lost."""
        loop = asyncio.get_running_loop()
        done: list[int] = []
        until_s = loop.time() + WINDOW_S
        for row in rows:
            if loop.time() > until_s:
                break
            if not await self._is_delivered(realm, row):
                return done, row
            done.append(row.number)
        return done, None

    async def _is_delivered(self, realm: str, row: Owed) -> bool:
        """Say whether a row was acknowledged; where it is our own mistake it holds up no other."""
        try:
            return await self._deliver(realm, row.attributes)
        except Exception:
            _log.exception("row %d of the outbox cannot be sent", row.number)
            return False

    def _pause(self, realm: str, *, anything: bool) -> None:
        if anything:
            self._pauses.pop(realm, None)
            return
        pause = self._pauses.setdefault(realm, _Pause())
        pause.until_us = self._clock.now_us() + backoff_us(pause.attempts, self._settings)
        pause.attempts += 1

    def _paused(self) -> frozenset[str]:
        """Realms whose time has not come; one that was long not tried again is owed nothing."""
        now_us = self._clock.now_us()
        long_us = 4 * self._settings.backoff_max_s * SECOND_US
        for realm in [r for r, p in self._pauses.items() if p.until_us + long_us < now_us]:
            del self._pauses[realm]
        return frozenset(r for r, pause in self._pauses.items() if pause.until_us > now_us)

    # Everything below runs on a thread.

    def _due(self, paused: Set[str]) -> Sequence[str]:
        """The next realms that are not paused: all take turns, however many there are."""
        limit, last_round = self._settings.outbox_realms_max, not self._after
        with self._units.read() as unit:
            while True:
                found = store.realms(unit, after=self._after, limit=limit)
                self._after = found[-1] if len(found) == limit else ""
                due = [realm for realm in found if realm not in paused]
                if due or (last_round and not self._after):
                    return due
                last_round = last_round or not self._after

    def _owed(self, realm: str) -> list[Owed]:
        with self._units.read() as unit:
            return store.owed(
                unit, realm, due_us=self._clock.now_us(), limit=self._settings.outbox_window
            )

    def _settle(self, numbers: Sequence[int], lost: Sequence[Owed]) -> None:
        """Forget what was delivered and what was tried too long; let sessions that lost one wait.

        They wait twice as long as their realm does: when it is tried again, others come first.
        """
        now_us = self._clock.now_us()
        too_old_us = now_us - self._settings.outbox_age_max_s * SECOND_US
        old = [row.number for row in lost if row.at_us < too_old_us]
        with self._units.write() as unit:
            store.delivered(unit, [*numbers, *old])
            for row in lost:
                due_us = now_us + 2 * backoff_us(row.attempts, self._settings)
                store.put_off(unit, row.session, due_us=due_us)
        self._metrics.delivered += len(numbers)
        self._gave_up(len(old))

    def _give_up_old(self, realm: str) -> None:
        """Forget what is owed too long to a realm that no route leads to."""
        too_old_us = self._clock.now_us() - self._settings.outbox_age_max_s * SECOND_US
        with self._units.write() as unit:
            count = store.give_up(unit, realm, before_us=too_old_us)
        self._gave_up(count)

    def _gave_up(self, count: int) -> None:
        self._metrics.given_up += count
        if count:
            _log.error("%d accounting packets are given up: nobody took them for long", count)
