"""The running total of what may become a debt equals the sum from scratch, whatever happens."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import delete, select, text

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.rating import open_exposure, store
from opencarrier.rating.people import RatingPeople
from opencarrier.rating.tables import authorisations
from opencarrier.rating.tables import open_exposure as totals
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Person

from .worlds import ASSET, DAY_US, HOME, SUBSCRIBER, VISITED, World, agreement, plan, usage

OTHER = PartyId("sub_" + "8" * 32)
PLENTY = 10**12
TIMES = st.integers(-2 * 3_600, 6 * 3_600)


class Totals(RuleBasedStateMachine):
    """Lets in, rates, gives back, erases, undoes, forgets the total; the clock jumps both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.agree(agreement(home=HOME, visited=VISITED))
        self.world.offer(plan())
        self.world.deposit(PLENTY)
        self.start_us = self.world.at_us
        for person in (SUBSCRIBER, OTHER):
            self.world.top_up(PLENTY, person)
        self.grants = [self.world.granted(subscriber=one) for one in (SUBSCRIBER, OTHER)]
        self.rated = 0

    @rule(person=st.sampled_from((SUBSCRIBER, OTHER)))
    def let_in(self, person: PartyId) -> None:
        self.grants.append(self.world.granted(subscriber=person))

    @rule(seconds=TIMES)
    def time_passes(self, seconds: int) -> None:
        last_us = self.start_us + 9 * DAY_US
        at_us = self.world.at_us + seconds * SECOND_US
        self.world.at_us = min(max(self.start_us, at_us), last_us)

    @rule(place=st.integers(0, 9))
    def a_hold_just_ends(self, place: int) -> None:
        if self.grants:
            key = self.grants[place % len(self.grants)].authorisation_id
            found = store.authorisations_by_id(self.world.unit, [key])[key]
            self.world.at_us = min(found.hold_expires_us, self.start_us + 9 * DAY_US)

    @rule(place=st.integers(0, 9), closed=st.booleans())
    def use_is_rated(self, place: int, closed: bool) -> None:
        if self.grants:
            self.rated += 1
            grant = self.grants[place % len(self.grants)]
            self.world.rate(usage(f"s{self.rated}", grant=grant, closed=closed))

    @rule(place=st.integers(0, 9))
    def a_hold_is_given_back(self, place: int) -> None:
        if self.grants:
            chosen = self.grants[place % len(self.grants)].authorisation_id
            self.world.service.release(self.world.unit, chosen, at_us=self.world.at_us)

    @rule(place=st.integers(0, 9), seconds=TIMES, minor=st.integers(0, 10**6))
    def an_authorisation_changes(self, place: int, seconds: int, minor: int) -> None:
        if self.grants:
            unit, key = self.world.unit, self.grants[place % len(self.grants)].authorisation_id
            item = store.authorisations_by_id(unit, [key])[key]
            ends_us = item.hold_expires_us + seconds * SECOND_US
            changed = replace(item, exposure_minor=minor, hold_expires_us=ends_us, held_minor=0)
            with unit.begin_nested():
                store.write_authorisations(unit, [changed])

    @rule()
    def somebody_is_erased(self) -> None:
        people, unit = RatingPeople(SeededEntropy(3)), self.world.unit
        mine = tuple(people.authorisations(unit, OTHER))
        person = Person(party_id=OTHER, subjects=(), authorisations=mine)
        people.erase(unit, person)
        self.grants = [one for one in self.grants if one.authorisation_id not in mine]

    @rule(person=st.sampled_from((SUBSCRIBER, OTHER)))
    def an_attach_is_undone(self, person: PartyId) -> None:
        with self.world.unit.begin_nested() as savepoint:
            self.world.granted(subscriber=person)
            savepoint.rollback()

    @rule()
    def the_total_is_lost(self) -> None:
        self.world.unit.execute(delete(totals))

    @invariant()
    def the_total_is_the_sum(self) -> None:
        world = self.world
        for at_us in (world.at_us, world.at_us + 3_600 * SECOND_US):
            kept = open_exposure.open_minor(world.unit, HOME, ASSET, at_us)
            assert kept == open_exposure.summed_minor(world.unit, HOME, ASSET, at_us)

    def teardown(self) -> None:
        self.world.check()
        self.world.close()


TestTotals = Totals.TestCase
TestTotals.settings = settings(max_examples=25, stateful_step_count=12)


def test_what_is_read_of_many_open_authorisations_is_what_ended_since(world: World) -> None:
    """The sum of a million would take a quarter of a second; the total takes a row and an index."""
    world.agree(agreement())
    world.offer(plan())
    world.deposit(PLENTY)
    world.top_up(PLENTY)
    world.granted()
    kept = world.unit.execute(select(totals)).one()
    assert (kept.home, kept.asset, kept.counted_us) == (HOME, ASSET, world.at_us)
    assert kept.open_minor == world.unit.scalar(select(authorisations.c.exposure_minor)) > 0
    made = open_exposure._moved.compile()
    asked = {**made.params, "of_home": HOME, "of_asset": ASSET, "as_of_us": world.at_us}
    if world.unit.dialect.name != "sqlite":
        return  # a server may read a table of one row whole
    lines = [line.detail for line in world.unit.execute(text(f"EXPLAIN QUERY PLAN {made}"), asked)]
    searched = [line for line in lines if "rating_authorisations" in line]
    assert len(searched) == 2
    assert all("rating_authorisations_exposure" in line for line in searched)
