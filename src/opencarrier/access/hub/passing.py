"""The hub at work in one process: packets on their way, and the debt that is delivered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from opencarrier.access.hub import store
from opencarrier.access.hub.model import HubMetrics, HubSettings, Relay
from opencarrier.access.hub.neighbours import NeighbourLine
from opencarrier.access.hub.outbox import Outbox, Units
from opencarrier.access.hub.routes import Discover, Target, Via
from opencarrier.access.hub.running import RESTARTS, note, stopped
from opencarrier.access.hub.service import Hub
from opencarrier.access.hub.store import OutboxLine
from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire.hidden import Hop
from opencarrier.access.wire.radius import Attribute
from opencarrier.kernel.clock import Clock
from opencarrier.spine.usage import Observation

if TYPE_CHECKING:
    from sqlalchemy import Connection

_log = logging.getLogger(__name__)

Answered = Callable[[Reply | str, str], None]
"""Takes the reply, or the reason why there is none, and the name of the server that gave it."""

Find = Callable[[str], Target]
"""Where a realm goes that we owe accounting to."""

LINES_MAX = 100


class Waiting(Protocol):
    """A packet to pass on, and what hid its attributes on the way here."""

    @property
    def target(self) -> Via | Discover:
        """Who answers for it."""
        ...

    @property
    def attributes(self) -> Sequence[Attribute]:
        """What the next server is sent."""
        ...

    @property
    def asker(self) -> str:
        """The client it came from."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PassingState:
    """What `status` shows: servers, what is owed, and counters."""

    neighbours: Sequence[NeighbourLine]
    owed: Sequence[OutboxLine]
    metrics: HubMetrics = field(repr=False)


class Passing:
    """Passes packets on in tasks of their own, and runs the outbox."""

    def __init__(
        self, hub: Hub, units: Units, clock: Clock, settings: HubSettings, find: Find
    ) -> None:
        self._hub = hub
        self._units = units
        self._clock = clock
        self._settings = settings
        self._find = find
        self._outbox = Outbox(
            units, self._deliver, clock, settings, hub.metrics, routed=self._is_routed
        )
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def hub(self) -> Hub:
        """Whom it asks."""
        return self._hub

    def start(self, *, delivers: bool = True) -> None:
        """Begin to deliver what is owed: of several processes over one database one does."""
        if delivers:
            self._outbox.start()

    async def stop(self) -> None:
        """Let what is on its way come back, for a while, then close; what is owed stays."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._settings.stop_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._outbox.stop()
        await self._hub.stop()

    def pass_on(self, waiting: Waiting, code: int, came: Hop, answered: Answered) -> None:
        """Ask, and hand over the reply or the reason why there is none."""
        task = asyncio.get_running_loop().create_task(self._ask(waiting, code, came, answered))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def keep(self, unit: Connection, reports: Sequence[tuple[Relay | None, Observation]]) -> None:
        """Keep what is owed with the unit; `OutboxFullError` where there is no room.

        A restart of an access point is owed as the Stops of what ran there.
        """
        owed: list[Relay] = []
        running: list[tuple[Relay, Observation]] = []
        for relay, one in reports:
            if relay is not None:
                running.append((relay, one))
                owed.append(relay)
            elif one.status in RESTARTS:
                note(unit, running)
                running = []
                owed += stopped(unit, one, at_us=self._clock.now_us())
        note(unit, running)
        self._outbox.put(unit, owed)

    def kept(self) -> None:
        """Say that a unit that kept something has committed."""
        self._outbox.wake()

    @property
    def unrouted(self) -> int:
        """How many realms are owed accounting and have no route."""
        return self._outbox.unrouted

    def _is_routed(self, realm: str) -> bool:
        return isinstance(self._find(realm), Via | Discover)

    def state(self, unit: Connection) -> PassingState:
        """Return what `status` shows."""
        return PassingState(
            neighbours=self._hub.neighbours.lines()[:LINES_MAX],
            owed=[
                replace(line, routed=self._is_routed(line.realm))
                for line in store.lines(unit, limit=LINES_MAX)
            ],
            metrics=self._hub.metrics,
        )

    async def _ask(self, waiting: Waiting, code: int, came: Hop, answered: Answered) -> None:
        by: list[str] = []
        try:
            reply = await self._hub.ask(
                waiting.target, code, waiting.attributes, came, by.append, asker=waiting.asker
            )
        except Exception:
            _log.exception("passing on failed")
            reply = "internal_error"
        answered(reply, by[-1] if by else "")

    async def _deliver(self, realm: str, attributes: Sequence[Attribute]) -> bool:
        target = self._find(realm)
        if not isinstance(target, Via | Discover):
            return False
        if isinstance(target, Discover):
            target = Discover(target.realm, accounting=True)
        return await self._hub.account(target, attributes)
