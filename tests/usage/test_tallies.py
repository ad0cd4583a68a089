"""What the room tallies is what a count of its rows finds, whatever happened to them."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from alembic.migration import MigrationContext
from alembic.operations import Operations
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select

from opencarrier.app import schema
from opencarrier.app.store import Store
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Person
from opencarrier.spine.usage import Observation, Status
from opencarrier.usage import store
from opencarrier.usage.model import Totals
from opencarrier.usage.people import UsagePeople
from opencarrier.usage.tables import CUTS, OBSERVATIONS, SESSIONS, TALLIES, USAGES

from .test_properties import readings, restarts
from .worlds import AUTH, AUTH_2, HOME, World, cycle_id, restart, seen

PERSON = Person(party_id=PartyId("sub_" + "d" * 32), authorisations=(AUTH,))
MIGRATION = import_module("opencarrier.app.migrations.versions.0062_tallies_of_use")
RESTARTS = (Status.ON, Status.OFF)

erasures = st.just("erased")
cuts = st.integers(0, 800)
steps = st.lists(st.lists(readings | restarts, max_size=6) | cuts | erasures, max_size=7)
"""What arrives, the seconds of cuts, and a person who is erased."""

A_LATE_PACKET_OF_AN_ERASED_ONE = [
    [seen(Status.START, 0), seen(Status.STOP, 500, (500, 1, 1)), restart(5)],
    100,
    "erased",
    600,
    [seen(Status.INTERIM, 40, (40, 1, 1), auth=AUTH_2)],
]
"""It was put off by a cut, deleted by the next, and its number may come again."""


def recounted(unit: Connection) -> Totals:
    """Count row by row, each stream read whole."""
    seen_rows = unit.execute(select(OBSERVATIONS)).all()
    waiting = set(unit.scalars(select(OBSERVATIONS.c.sequence).where(store.pending(unit))))
    sessions = unit.execute(select(SESSIONS)).all()
    stopped: dict[tuple[str, ...], bool] = {}
    for row in seen_rows:
        if row.sequence in waiting and row.status not in RESTARTS:
            stream = (row.visited, row.nas_key, row.acct_session_id)
            stopped[stream] = stopped.get(stream, False) or row.status == Status.STOP
    known = {(row.visited, row.nas_key, row.acct_session_id): row for row in sessions}
    still_open = [
        row
        for row in sessions
        if not row.closed_by
        and not stopped.get((row.visited, row.nas_key, row.acct_session_id), False)
    ]
    new = [ended for stream, ended in stopped.items() if stream not in known]
    return Totals(
        sessions=len(sessions) + len(new),
        sessions_open=len(still_open) + new.count(False),
        observations=len(seen_rows),
        observations_pending=len(waiting),
        usages=len(unit.execute(select(USAGES.c.usage_id)).all()),
        cuts=len(unit.execute(select(CUTS.c.cycle_id)).all()),
        estimated=False,
    )


@settings(max_examples=20)
@given(happened=steps)
@example(happened=A_LATE_PACKET_OF_AN_ERASED_ONE)
def test_tallies_are_what_a_recount_finds(happened: list[list[Observation] | int | str]) -> None:
    world = World()
    is_erased = False
    for step in happened:
        if isinstance(step, list):
            world.record(*step, *step[:1])
        elif isinstance(step, int):
            world.cut(step)
        elif not is_erased:
            is_erased = True
            with world.unit() as unit:
                UsagePeople(world.service, SeededEntropy(1)).erase(unit, PERSON)
        with world.unit() as unit:
            assert world.service.totals(unit) == recounted(unit)
    world.close()


def test_a_unit_that_fails_tallies_nothing(tmp_path) -> None:
    """The tallies are of the unit that wrote the rows: both are there, or neither."""
    world = World()
    world.record(seen(Status.START, 0), seen(Status.INTERIM, 60, (60, 1, 1)))
    with world.unit() as unit:
        before = world.service.totals(unit)
    with world.unit() as unit:
        world.service.cut(unit, cycle_id=cycle_id(1), cut_us=1 << 62)
        assert world.service.totals(unit).usages == 1
        unit.rollback()
    with world.unit() as unit:
        assert world.service.totals(unit) == before == recounted(unit)
    world.close()


def test_a_backlog_is_read_up_to_a_bound_and_counted_by_its_numbers_beyond() -> None:
    world = World()
    world.record(*(seen(Status.START, 0, acct=f"old{n}") for n in range(2)), restart(1))
    world.cut(-1)
    world.record(*(seen(Status.START, 0, acct=f"new{n}") for n in range(3)))
    with world.unit() as unit:
        exact = world.service.totals(unit)
        assert exact == store.totals(unit, read_max=4) == recounted(unit)
        assert exact.sessions == 5
        three = store.totals(unit, read_max=3)
        assert three == replace(exact, estimated=True)
        more = store.totals(unit, read_max=2)
        assert more == replace(
            three, sessions=4, sessions_open=4, observations=5, observations_pending=5
        )
    world.close()


def test_what_was_kept_before_is_counted_once(tmp_path) -> None:
    """A database of the version before has no tallies; the migration counts what it holds."""
    kept = Store(tmp_path / "old.sqlite")
    world = World()
    with kept.write() as unit:
        schema.upgrade(unit)
        arrived = [replace(seen(Status.START, 0), home=HOME), seen(Status.STOP, 900, (900, 1, 1))]
        world.service.record(unit, [*arrived, seen(Status.INTERIM, 60, (60, 1, 1), acct="2")])
        world.service.cut(unit, cycle_id=cycle_id(1), cut_us=arrived[0].event_us + 60_000_000)
        before = world.service.totals(unit)
        unit.execute(delete(TALLIES))
        assert world.service.totals(unit) != before
        TALLIES.drop(unit)
        with Operations.context(MigrationContext.configure(unit)):
            MIGRATION.upgrade()
        assert world.service.totals(unit) == before == recounted(unit)
        assert before.observations_pending == 1
    kept.close()
