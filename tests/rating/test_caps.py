"""A spend cap: exact where holds are granted, told at 80 and 100 percent, and nobody else's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from opencarrier.kernel.calendar import month_of
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import Refusal
from opencarrier.rating import caps, spent
from opencarrier.rating.caps import SpendCap
from opencarrier.rating.credit import reserve
from opencarrier.rating.desk import RatingSettings
from opencarrier.rating.exposure import ExposureSettings
from opencarrier.rating.reasons import AccessReason
from opencarrier.rating.store import authorisations_by_id
from opencarrier.rating.tables import notices
from opencarrier.spine.access import Grant
from opencarrier.spine.money import Kind
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import ZERO

from .worlds import (
    ASSET,
    HOME,
    KIB,
    START_US,
    SUBSCRIBER,
    VISITED,
    World,
    agreement,
    counters,
    plan,
    price,
    usage,
)

OTHER = PartyId("sub_" + "8" * 32)
MONTH_US = month_of(START_US).start_us
LEAST_MINOR = 2 * KIB * (60 + 30)
"""What a minute of the plan can cost with its grace: 2,000 nano a KiB at 1 MiB/s."""


def cap(minor: int, subscriber: PartyId = SUBSCRIBER, *, at_us: int = START_US) -> SpendCap:
    return SpendCap(
        subscriber=subscriber, home=HOME, asset=ASSET, cap_minor=minor, changed_us=at_us
    )


def refused(world: World, **where: object) -> Refusal:
    found = world.authorise(**where)  # type: ignore[arg-type]
    assert isinstance(found, Refusal)
    return found


def percents(world: World) -> list[int]:
    found = caps.notices_of(world.unit, SUBSCRIBER, MONTH_US)
    return sorted(notice.percent for notice in found)


def test_a_cap_holds_to_the_unit(world: World) -> None:
    """What covers the shortest session is granted, one unit less is not, and is told."""
    assert caps.put(world.unit, cap(LEAST_MINOR - 1)) is None
    assert refused(world).reason is AccessReason.SPEND_CAP_REACHED
    assert percents(world) == [100]
    assert world.held() == 0
    assert caps.put(world.unit, cap(LEAST_MINOR)) is None
    grant = world.granted()
    assert (grant.session_timeout_s, world.held()) == (60, LEAST_MINOR)
    assert refused(world).reason is AccessReason.SPEND_CAP_REACHED, "what is held counts"


def test_a_cap_is_one_persons_and_lifts(world: World) -> None:
    assert caps.put(world.unit, cap(0)) is None
    world.top_up(100_000_000, OTHER)
    assert world.granted(subscriber=OTHER).session_timeout_s == 3_600
    refused(world)
    caps.lift(world.unit, SUBSCRIBER)
    caps.lift(world.unit, SUBSCRIBER)
    assert world.granted().session_timeout_s == 3_600


@pytest.mark.parametrize(("minor", "taken"), [(-1, False), (INT64_MAX + 1, False), (0, True)])
def test_a_cap_has_its_bounds(world: World, minor: int, taken: bool) -> None:
    assert (caps.put(world.unit, cap(minor)) is None) == taken
    assert (SUBSCRIBER in caps.of(world.unit, [SUBSCRIBER])) == taken


def test_too_little_money_is_said_before_the_cap(world: World) -> None:
    assert caps.put(world.unit, cap(0, OTHER)) is None
    assert refused(world, subscriber=OTHER).reason is AccessReason.INSUFFICIENT_BALANCE


def test_whoever_reached_the_cap_is_served_free_where_there_is_a_free_plan() -> None:
    world = World(RatingSettings(exposure=ExposureSettings(free_plan="free")))
    free = plan(plan_id="free", price=price(price_nano=0), rate_cap_octets_per_s=KIB)
    assert [world.agree(agreement()), world.offer(plan()), world.offer(free)] == [None] * 3
    world.top_up(100_000_000)
    world.deposit(100_000_000)
    assert caps.put(world.unit, cap(0)) is None
    assert world.granted().hold.minor == 0
    world.close()


def test_it_is_told_at_80_and_100_percent_once(world: World) -> None:
    limit = 2 * KIB * 500
    assert caps.put(world.unit, cap(limit)) is None
    grant, before = world.granted(), ZERO
    assert grant.hold.minor == limit
    for minor, told in ((819_198, []), (819_200, [80]), (1_023_998, [80]), (limit, [80, 100])):
        after = counters(minor // 2 * KIB)
        world.rate(usage(grant=grant, before=before, after=after))
        assert percents(world) == told, minor
        before = after
    refused(world)
    assert percents(world) == [80, 100]
    assert caps.put(world.unit, cap(2 * limit)) is None
    assert percents(world) == [80, 100], "half of the new cap is nothing to tell"


def test_lowering_a_cap_below_what_was_spent_is_told_at_once(world: World) -> None:
    world.rate(usage(grant=world.granted(), after=counters(100 * KIB), closed=True))
    assert caps.put(world.unit, cap(200)) is None
    assert percents(world) == [80, 100]


def test_cap_after_cap_keeps_so_many_notices(world: World) -> None:
    world.rate(usage(grant=world.granted(), after=counters(100 * KIB), closed=True))
    for minor in range(2, 22):
        assert caps.put(world.unit, cap(minor)) is None
    kept = world.unit.execute(select(notices.c.cap_minor)).scalars().all()
    assert len(kept) == len(percents(world)) == caps._NOTICES_MAX


def test_a_new_month_begins_at_nothing(world: World) -> None:
    month = month_of(START_US)
    assert caps.put(world.unit, cap(LEAST_MINOR)) is None
    late = usage(grant=world.granted(), after=counters(90 * KIB * KIB), closed=True)
    world.rate(replace(late, start_us=month.end_us - 2, end_us=month.end_us - 1))
    room = [
        caps.room_minor(world.unit, cap(LEAST_MINOR), held_minor=0, at_us=at_us)
        for at_us in (month.end_us - 1, month.end_us)
    ]
    assert room == [0, LEAST_MINOR]


def test_use_that_ends_as_a_month_begins_is_of_the_new_month(world: World) -> None:
    end_us = month_of(START_US).end_us
    for name, at_us in (("before", end_us - 1), ("after", end_us)):
        item = usage(name, grant=world.granted(), after=counters(KIB), closed=True)
        world.rate(replace(item, start_us=at_us - 1, end_us=at_us))
    assert spent.months(world.unit, SUBSCRIBER, before_us=INT64_MAX, limit=9) == [end_us, MONTH_US]
    assert spent.months(world.unit, SUBSCRIBER, before_us=end_us, limit=9) == [MONTH_US]


def test_credit_by_volume_keeps_to_the_cap(world: World) -> None:
    """Asked for more than the cap allows, it holds the cap and no unit more."""
    grant = world.granted()
    assert caps.put(world.unit, cap(world.held() + 10)) is None
    item = authorisations_by_id(world.unit, [grant.authorisation_id])[grant.authorisation_id]
    granted = reserve(
        world.unit,
        item,
        usage(grant=grant).session_id,
        used=ZERO,
        octets=10**12,
        ahead_s=0,
        at_us=START_US,
    )
    assert granted == (grant.hold.minor + 10) // 2 * KIB
    assert world.held() == grant.hold.minor + 10


Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), st.just(0)),
        st.tuples(st.just("use"), st.integers(0, 700 * KIB * KIB)),
        st.tuples(st.just("raise"), st.integers(0, 3_000_000)),
    ),
    max_size=12,
)


@settings(max_examples=15)
@given(STEPS)
def test_no_month_costs_more_than_its_cap(steps: list[Step]) -> None:
    """Whatever is granted and used: spent + held <= cap, and sums are those of the ledger."""
    world, limit, charged = World(), 1_000_000, 0
    assert [world.agree(agreement()), world.offer(plan())] == [None, None]
    world.top_up(10**10)
    world.deposit(10**10)
    assert caps.put(world.unit, cap(limit)) is None
    open_grants: list[Grant] = []
    for number, (what, amount) in enumerate(steps):
        if what == "raise":
            limit += amount
            assert caps.put(world.unit, cap(limit)) is None
        elif what == "grant":
            found = world.authorise()
            open_grants += [found] if isinstance(found, Grant) else []
        elif open_grants:
            item = usage(f"s{number}", grant=open_grants.pop(), after=counters(amount), closed=True)
            charges, _ = world.rate(item)
            charged += sum(one.amount_minor for one in charges if one.kind is Kind.RETAIL)
        paid_minor = 10**10 - world.posted(f"prepaid/{SUBSCRIBER}")
        lines = spent.lines(world.unit, SUBSCRIBER, MONTH_US)
        assert sum(line.paid_minor for line in lines) == paid_minor
        assert sum(line.amount_minor for line in lines) == charged
        assert sum(line.overrun_minor for line in lines) == -world.posted(f"overrun/{HOME}")
        assert {line.visited for line in lines} <= {VISITED}
        assert paid_minor + world.held() <= limit
    world.close()
