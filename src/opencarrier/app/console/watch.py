"""Looks twice a second at what changed, and tells open pages: accounting, cycles, payments, nodes.

It reads the database as every process left it, so it sees what the workers of RADIUS take too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.arrivals import Arrivals
from opencarrier.app.console.events import Events
from opencarrier.app.console.story import Happening, Story
from opencarrier.app.console.traffic import Pulse, Traffic
from opencarrier.app.earning import Earning
from opencarrier.identity.places.model import Place
from opencarrier.kernel.ids import Id
from opencarrier.kernel.sentences import Sentence
from opencarrier.settlement.figures import CycleFigures
from opencarrier.settlement.model import Cycle, CycleState
from opencarrier.spine.usage import Observation

_log = logging.getLogger(__name__)

LOOK_S = 0.5
PULSES_MAX = 20
"""Signs of life told of one look; more would be a blur."""

CYCLES_WATCHED = 4


class Watch:
    """One look after another; `traffic` and `story` are what pages draw from."""

    def __init__(self, place: Onchain, events: Events) -> None:
        self.traffic = Traffic()
        self.story = Story()
        self.narrated = False
        """Whether somebody else tells the story, as the demo does."""

        self.looks = 0
        """How often was looked: what pages show is worth drawing anew after each."""

        self._place = place
        self._events = events
        self._stopped = asyncio.Event()
        self._arrivals = Arrivals(place.base.usage)
        self._filled = False
        self._cycles: dict[int, CycleState] | None = None
        self._nodes: int | None = None
        self._earning = Earning(place.base)

    async def run(self) -> None:
        """Look until stopped; what goes wrong is logged, and looked at again."""
        while not self._stopped.is_set():
            try:
                await asyncio.to_thread(self.look)
            except Exception:
                _log.exception("the console goes on watching after an error")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), LOOK_S)

    def stop(self) -> None:
        """End `run` after the look that is under way."""
        self._stopped.set()

    def look(self) -> None:
        """See what changed since the last look, and tell it."""
        self._sum_up()
        with self._place.base.store.read() as unit:
            pulses = self._arrived(unit)
            shown = pulses[-PULSES_MAX:]
            nodes = {pulse.node_id for pulse in shown if pulse.node_id is not None}
            places = self._place.base.identity.places.of(unit, nodes)
            cycles = self._place.settlement.standing(unit, limit=CYCLES_WATCHED)
            figures = self._place.settlement.figures(unit, limit=CYCLES_WATCHED)
            count = self._place.base.identity.places.numbers(unit)["node"]
        for pulse in shown:
            self._tell_pulse(pulse, places.get(pulse.node_id or ""))
        self._tell_cycles(cycles, {one.cycle_id: one for one in figures})
        if self._nodes not in (None, count):
            self._events.publish("node", nodes=count)
        self._nodes = count
        self.looks += 1

    def _sum_up(self) -> None:
        """Go on with hosts' sums; pages show what happens whether or not that can be done."""
        try:
            self._earning.follow()
        except Exception:
            _log.exception("what hosts earned is summed up later")

    def say(self, line: Sentence) -> None:
        """Add a sentence to the story."""
        self._add(Happening(at_us=self._now_us(), kind="said", what=str(line), said=line))

    def _arrived(self, unit: Connection) -> list[Pulse]:
        """Take what arrived; nothing is told of what is from before the start."""
        now_us = self._now_us()
        if not self._filled:
            while found := self._arrivals.read(unit, now_us):
                self._report(found)
            self._filled = True
            return []
        return self._report(self._arrivals.read(unit, now_us))

    def _report(self, found: Sequence[Observation]) -> list[Pulse]:
        pulses = map(self.traffic.report, found)
        return [pulse for pulse in pulses if pulse is not None]

    def _tell_pulse(self, pulse: Pulse, place: Place | None) -> None:
        where = None if place is None else [place.longitude_udeg, place.latitude_udeg]
        self._events.publish("session", state=pulse.kind, node=pulse.node_id, at_udeg=where)
        if self.narrated or pulse.node_id is None:
            return
        if pulse.kind == "began":
            self._add(Happening(at_us=pulse.at_us, kind="began", what=pulse.node_id))
        elif pulse.kind == "ended":
            ended = Happening(
                at_us=pulse.at_us, kind="ended", what=pulse.node_id, number=pulse.octets
            )
            self._add(ended)

    def _tell_cycles(self, cycles: Sequence[Cycle], figures: Mapping[Id, CycleFigures]) -> None:
        before, self._cycles = self._cycles, {cycle.sequence: cycle.state for cycle in cycles}
        if before is None:
            return
        for cycle in reversed(cycles):
            if before.get(cycle.sequence) is cycle.state:
                continue
            self._events.publish("cycle", sequence=cycle.sequence, state=cycle.state.value)
            paid = figures.get(cycle.cycle_id)
            if cycle.state is CycleState.FINAL and paid is not None:
                self._events.publish("payment", moved_minor=paid.net_minor, payments=paid.payments)
            if not self.narrated and cycle.state is not CycleState.OPEN:
                self._add(
                    Happening(
                        at_us=self._now_us(),
                        kind="cycle",
                        what=cycle.state.value,
                        number=cycle.sequence,
                    )
                )

    def _add(self, happening: Happening) -> None:
        self.story.add(happening)
        self._events.publish("story")

    def _now_us(self) -> int:
        return self._place.base.clock.now_us()
