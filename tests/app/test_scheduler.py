"""What the daemon does each second: cycles end at whole instants, and an error ends it as it is."""

from __future__ import annotations

import asyncio

import pytest
from tests.app.scene import SECOND_US, START_US, scene

from opencarrier.app import daemon
from opencarrier.app.daemon import Scheduler, each_second

HOUR_US = 3_600 * SECOND_US


@pytest.fixture
def made(tmp_path):
    with scene(tmp_path, cycle_s=3_600) as found:
        yield found


def last_cut_us(made) -> int | None:
    with made.place.base.store.read() as unit:
        return made.place.base.usage.last_cut_us(unit)


def test_a_cycle_is_cut_at_the_whole_instant_however_late_it_is(made):
    """Two installations' cuts are the same; one that people made in between is not undone."""
    due_us = (START_US // HOUR_US + 1) * HOUR_US
    scheduler = Scheduler(made.place)
    for us, cut_us in ((-1, None), (731_000, due_us), (2_000_000, due_us)):
        made.clock.set(due_us + us)
        scheduler.tick()
        assert last_cut_us(made) == cut_us
    later_us = due_us + HOUR_US + 5
    made.clock.set(later_us)
    made.errands.close(later_us)
    for _ in range(2):
        scheduler.tick()
        assert last_cut_us(made) == later_us
    made.clock.set(due_us + 2 * HOUR_US + 1)
    scheduler.tick()
    assert last_cut_us(made) == due_us + 2 * HOUR_US


def test_what_one_work_raises_stops_the_others_and_is_raised(monkeypatch):
    monkeypatch.setattr(daemon, "TICK_S", 0.001)
    done = []

    def fails() -> None:
        if len(done) > 2:
            raise LookupError("gone")

    async def run() -> None:
        stop = asyncio.Event()
        with pytest.raises(LookupError, match="gone"):
            await each_second(stop, lambda: done.append(1), fails)
        assert stop.is_set()

    asyncio.run(run())
    before = len(done)
    assert before > 2
