"""Rating and booking: two charges a usage, the hold's life, suspense, books that sum to zero."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import void_hold
from opencarrier.rating import service as service_module
from opencarrier.rating.holds import hold_transfer
from opencarrier.rating.store import authorisations_by_id
from opencarrier.spine.access import Grant
from opencarrier.spine.money import Allocation, Charge, Kind, Role
from opencarrier.spine.parties import Node, PartyId
from opencarrier.spine.usage import Counters, Usage

from .worlds import (
    DAY_US,
    HOME,
    HOST,
    KIB,
    PROTOCOL,
    START_US,
    SUBSCRIBER,
    TAX,
    VISITED,
    World,
    agreement,
    counters,
    plan,
    price,
    split,
    tariff,
    usage,
)

REVENUE, OVERRUN, BUDGET = chart.revenue(HOME), chart.overrun(HOME), chart.discounts(HOME)
DEBT = chart.clearing(HOME)


def by_kind(charges: object) -> dict[Kind, Charge]:
    return {charge.kind: charge for charge in charges}  # type: ignore[attr-defined]


def leg(role: Role, party: PartyId, account: str, amount_minor: int) -> Allocation:
    return Allocation(role=role, party=party, account=account, amount_minor=amount_minor)


def test_a_usage_yields_two_charges_and_both_are_booked(world: World) -> None:
    grant = world.granted()
    item = usage(grant=grant, after=counters(1_000 * KIB), closed=True)
    charges, waiting = world.rate(item)
    made = by_kind(charges)
    assert not waiting
    wholesale, retail = made[Kind.WHOLESALE], made[Kind.RETAIL]
    assert (wholesale.payer, wholesale.seller, wholesale.amount_minor) == (HOME, VISITED, 1_000)
    assert wholesale.allocations == (
        leg(Role.SELLER, VISITED, chart.clearing(VISITED), 390),
        leg(Role.HOST, HOST, chart.accrued(HOST), 600),
        leg(Role.PROTOCOL, PROTOCOL, chart.clearing(PROTOCOL), 10),
    )
    assert (retail.payer, retail.seller, retail.amount_minor) == (SUBSCRIBER, HOME, 2_000)
    assert world.posted(DEBT) == -1_000
    assert world.posted(chart.accrued(HOST)) == 600
    assert world.posted(REVENUE) == 2_000
    assert (world.held(), world.free()) == (0, 100_000_000 - 2_000)
    rated = world.service.rated(world.unit, item.usage_id)
    assert rated is not None
    assert (rated.usage, rated.host) == (item, HOST)
    assert (rated.wholesale, rated.retail) == (wholesale, retail)
    world.check()


def test_taxes_have_their_own_legs(empty: World) -> None:
    empty.agree(agreement(tariff(tax_ppm=200_000)))
    empty.offer(plan(price=price(price_nano=2_000, tax_ppm=200_000, tax_included=True)))
    empty.top_up(100_000_000)
    empty.deposit(100_000_000)
    item = usage(grant=empty.granted(), after=counters(1_000 * KIB), closed=True)
    made = by_kind(empty.rate(item)[0])
    assert made[Kind.WHOLESALE].amount_minor == 1_200
    assert made[Kind.RETAIL].amount_minor == 2_000
    assert empty.posted(chart.clearing(TAX)) == 200
    assert empty.posted(chart.retail_tax(HOME)) == 333
    assert empty.posted(REVENUE) == 1_667
    empty.check()


def test_the_same_again_books_nothing_and_returns_the_same(world: World) -> None:
    grant = world.granted()
    item = usage(grant=grant, closed=True)
    stranger = usage("s2", home=None)
    first = world.rate(item, stranger)
    before = world.balances()
    assert world.again(item, stranger) == first
    assert world.again(stranger, item) == first
    assert world.again()[0] == first[0], "the cycle's charges are found without the usages"
    world.cycle += 1
    assert world.again(item, stranger) == first, "a charge belongs to the cycle that made it"
    assert world.balances() == before
    world.check()


def test_use_without_an_authorisation_has_no_retail_charge(world: World) -> None:
    charges, waiting = world.rate(usage())
    assert [charge.kind for charge in charges] == [Kind.WHOLESALE]
    assert not waiting
    rated = world.service.rated(world.unit, charges[0].usage_id)
    assert rated is not None
    assert rated.retail is None
    world.check()


def test_at_home_the_own_share_is_no_transfer(empty: World) -> None:
    empty.agree(agreement(home=HOME, visited=HOME))
    charges, _ = empty.rate(usage(visited=HOME, after=counters(1_000 * KIB)))
    assert charges[0].amount_minor == 1_000
    assert empty.posted(DEBT) == -610
    assert empty.posted(chart.accrued(HOST)) == 600
    empty.check()


# The hold's life


def test_an_open_session_renews_its_hold_for_what_is_left(world: World) -> None:
    grant = world.granted()
    whole = usage(grant=grant, after=counters(30 * KIB), closed=True)
    parts = split(whole, counters(10 * KIB, seconds=20), counters(20 * KIB, seconds=40))
    for number, part in enumerate(parts, start=1):
        world.rate(part)
        left = 0 if part.closed_by else grant.hold.minor - 20 * number
        assert world.held() == left
        assert world.posted(REVENUE) == 20 * number
        assert world.free() == 100_000_000 - 20 * number - left
        world.check()


def test_use_above_the_hold_is_the_homes_overrun(empty: World) -> None:
    empty.agree(agreement())
    empty.offer(plan())
    empty.deposit(100_000_000)
    empty.top_up(90 * 2 * KIB)
    grant = empty.granted()
    item = usage(grant=grant, after=counters(100 * KIB * KIB))
    more = split(replace(item, closed_by="stop"), counters(95 * KIB * KIB))
    empty.rate(more[0])
    assert empty.posted(REVENUE) == 95 * 2 * KIB
    assert empty.posted(OVERRUN) == -5 * 2 * KIB
    assert (empty.free(), empty.held()) == (0, 0)
    empty.rate(more[1])
    assert empty.posted(OVERRUN) == -10 * 2 * KIB
    assert empty.posted(DEBT) == -100 * KIB, "wholesale is owed all the same"
    empty.check()


def test_a_stop_after_the_hold_expired_is_overrun(world: World) -> None:
    grant = world.granted()
    world.at_us = grant.expires_us + (30 + 7_200) * SECOND_US
    world.rate(usage(grant=grant, closed=True))
    assert world.posted(OVERRUN) == -200
    assert world.posted(REVENUE) == 200
    ledger.expire(world.unit, world.at_us)
    assert world.held() == 0
    assert world.free() == 100_000_000
    world.check()


def test_until_the_last_microsecond_the_hold_pays(world: World) -> None:
    grant = world.granted()
    world.at_us = grant.expires_us + (30 + 7_200) * SECOND_US - 1
    world.rate(usage(grant=grant, closed=True))
    assert world.posted(OVERRUN) == 0
    world.check()


@pytest.mark.parametrize("closed", [True, False])
def test_a_hold_the_ledger_no_longer_has_is_overrun(world: World, closed: bool) -> None:
    grant = world.granted()
    key = grant.authorisation_id
    hold = hold_transfer(authorisations_by_id(world.unit, [key])[key])
    void = void_hold(hold, transfer_id=derive("transfer", "by hand"), code="release")
    assert ledger.apply(world.unit, [void], world.at_us) == [None]
    first, second = split(usage(grant=grant, closed=closed), counters(50 * KIB, seconds=30))
    world.rate(first, second)
    assert world.posted(OVERRUN) == -200
    assert (world.held(), world.free()) == (0, 100_000_000)
    assert authorisations_by_id(world.unit, [key])[key].held_minor == 0
    world.check()


def test_a_grant_that_let_nobody_in_holds_and_exposes_nothing(world: World) -> None:
    grant = world.granted()
    key = grant.authorisation_id
    assert world.held() > 0
    for _ in range(2):
        world.service.release(world.unit, key, at_us=world.at_us)
        assert (world.held(), world.free()) == (0, 100_000_000)
        left = authorisations_by_id(world.unit, [key])[key]
        assert (left.held_minor, left.exposure_minor) == (0, 0)
    world.check()


def test_a_grant_released_after_its_hold_expired_changes_no_money(world: World) -> None:
    grant = world.granted()
    world.at_us = grant.expires_us + (30 + 7_200) * SECOND_US
    ledger.expire(world.unit, world.at_us)
    world.service.release(world.unit, grant.authorisation_id, at_us=world.at_us)
    assert (world.held(), world.free()) == (0, 100_000_000)
    world.check()


def test_one_hold_serves_all_sessions_of_its_authorisation(world: World) -> None:
    grant = world.granted()
    ended = usage("a", grant=grant, closed=True)
    goes_on = usage("b", grant=grant)
    world.rate(ended, goes_on)
    assert world.held() == grant.hold.minor - 400
    end = usage(
        "b", grant=grant, before=goes_on.counters_to, after=counters(150 * KIB), closed=True
    )
    world.rate(replace(end, start_us=START_US + 1))
    assert world.held() == 0
    assert world.free() == 100_000_000 - 500
    late = usage("c", grant=grant)
    world.rate(late)
    assert world.posted(OVERRUN) == -200, "the hold was released with the last session"
    world.check()


def test_a_session_once_ended_does_not_keep_the_hold_open(world: World) -> None:
    grant = world.granted()
    ended, goes_on = usage("a", grant=grant, closed=True), usage("b", grant=grant)
    world.rate(ended, goes_on)
    more = replace(ended.counters_to, octets_in=ended.counters_to.octets_in + KIB)
    late = usage("a", grant=grant, before=ended.counters_to, after=more)
    world.rate(replace(late, start_us=START_US + 1))  # more after its Stop
    assert world.held() == grant.hold.minor - 402
    last = replace(goes_on.counters_to, octets_in=goes_on.counters_to.octets_in + KIB)
    end = usage("b", grant=grant, before=goes_on.counters_to, after=last, closed=True)
    world.rate(replace(end, start_us=START_US + 2))
    assert (world.held(), world.posted(OVERRUN)) == (0, 0)
    world.check()


def test_a_session_that_ends_without_cost_releases_the_hold(empty: World) -> None:
    empty.agree(agreement())
    empty.offer(plan(price=price(unit="octets_in", price_nano=2_000)))
    empty.top_up(100_000_000)
    empty.deposit(100_000_000)
    grant = empty.granted()
    assert empty.held() > 0
    empty.rate(usage(grant=grant, after=counters(0, octets_out=5), closed=True))
    assert (empty.held(), empty.free()) == (0, 100_000_000)
    empty.check()


# Discounts


def test_the_discount_comes_from_the_sellers_budget(world: World) -> None:
    world.discount.value_ppm = 250_000
    world.fund(chart.funding(HOME), BUDGET, 60)
    grant = world.granted()
    world.discount.value_ppm = 0  # a session keeps the discount it was granted with
    first, second = split(usage(grant=grant, closed=True), counters(80 * KIB, seconds=30))
    made = by_kind(world.rate(first)[0])
    assert made[Kind.WHOLESALE].amount_minor == 80, "the discount is never the host's"
    assert (made[Kind.RETAIL].amount_minor, made[Kind.RETAIL].discount_minor) == (120, 40)
    assert world.posted(REVENUE) == 160
    world.discount.value_ppm = 500_000
    again = by_kind(world.rate(replace(second, start_us=START_US + 1))[0])
    assert (again[Kind.RETAIL].amount_minor, again[Kind.RETAIL].discount_minor) == (30, 10)
    assert world.posted(BUDGET) == 10
    assert world.posted(REVENUE) == 200


def test_an_empty_budget_is_the_sellers_loss_not_the_subscribers(world: World) -> None:
    world.discount.value_ppm = 250_000
    world.fund(chart.funding(HOME), BUDGET, 15)
    grant = world.granted()
    made = by_kind(world.rate(usage(grant=grant, closed=True))[0])
    assert (made[Kind.RETAIL].amount_minor, made[Kind.RETAIL].discount_minor) == (150, 50)
    assert world.posted(REVENUE) == 165
    assert world.posted(BUDGET) == 0
    world.check()


def test_what_is_free_for_the_subscriber_is_paid_by_the_budget(world: World) -> None:
    world.discount.value_ppm = 1_000_000
    world.fund(chart.funding(HOME), BUDGET, 1_000)
    grant = world.granted()
    assert grant.hold.minor == 0
    world.rate(usage(grant=grant, closed=True))
    assert world.posted(REVENUE) == 200
    assert world.free() == 100_000_000
    world.check()


# Suspense


def test_use_that_cannot_be_rated_waits_and_is_rated_when_it_can(empty: World) -> None:
    items = [usage(), usage("s2", home=None), usage("s3", node_id="node-2")]
    charges, waiting = empty.rate(*items)
    assert charges == []
    reasons = {item.usage_id: item.reason for item in waiting}
    assert [reasons[item.usage_id] for item in items] == ["no_agreement", "no_home", "no_agreement"]
    assert empty.service.rated(empty.unit, items[0].usage_id) is None
    later = Window(START_US + DAY_US, START_US + 2 * DAY_US)
    empty.agree(agreement(tariff(window=later)))
    assert empty.rate() == ([], []), "its tariff has not come"
    assert {item.reason for item in empty.rate(*items)[1]} == {"no_tariff_in_force", "no_home"}
    empty.agree(agreement(tariff(window=Window(START_US, START_US + DAY_US))))
    charges, waiting = empty.rate()
    assert [charge.usage_id for charge in charges] == [items[0].usage_id]
    assert [item.reason for item in waiting] == ["no_node"]
    assert empty.again() == (charges, waiting)
    node = Node(node_id="node-2", nas_identifier="ap-2", operator=VISITED, host=HOST)
    empty.directory.nodes["node-2"] = node
    charges, _ = empty.rate()
    assert [charge.usage_id for charge in charges] == [items[2].usage_id]
    assert [item.usage_id for item in empty.service.suspended(empty.unit)] == [items[1].usage_id]
    assert empty.posted(DEBT) == -200
    empty.check()


@pytest.mark.parametrize("together", [True, False])
def test_a_suspended_session_has_the_tariffs_of_when_it_was_used(
    empty: World, together: bool
) -> None:
    soon = START_US + DAY_US
    first, second = split(usage(after=counters(200 * KIB)), counters(100 * KIB, seconds=30))
    second = replace(second, start_us=soon, end_us=soon)
    for batch in [(second, first)] if together else [(first,), (second,)]:
        empty.rate(*batch)
    old = tariff(window=Window(START_US, soon))
    new = tariff(window=Window(soon, soon + DAY_US), price_nano=9_000)
    empty.agree(agreement(old, new))
    charges, waiting = empty.rate()
    assert not waiting
    assert {charge.tariff_hash: charge.amount_minor for charge in charges} == {
        old.hash: 100,
        new.hash: 900,  # what the second 100 KiB add to a session of 200
    }


def test_a_session_keeps_the_tariff_it_was_granted_as_long_as_that_lasts(world: World) -> None:
    end_us = START_US + 10 * DAY_US
    new = tariff(window=Window(end_us, end_us + DAY_US), price_nano=9_000)
    world.agree(agreement(new))
    world.at_us = end_us - 1
    grant = world.granted()
    assert grant.session_timeout_s == 60, "the floor: another grant follows under the next tariff"
    world.at_us = end_us + SECOND_US
    first, second = split(usage(grant=grant, closed=True), counters(40 * KIB, seconds=30))
    first = replace(first, start_us=end_us - 2, end_us=end_us)  # the packet's clock is behind
    second = replace(second, start_us=end_us, end_us=end_us + 1)
    charges, _ = world.rate(first, second)
    made = {(charge.usage_id, charge.kind): charge for charge in charges}
    assert made[first.usage_id, Kind.WHOLESALE].tariff_hash == grant.wholesale_tariff_hash
    assert made[second.usage_id, Kind.WHOLESALE].tariff_hash == new.hash
    assert made[second.usage_id, Kind.WHOLESALE].amount_minor == 540
    for part in (first, second):  # the subscriber pays what its grant said
        assert made[part.usage_id, Kind.RETAIL].tariff_hash == grant.retail_tariff_hash


def test_a_session_granted_under_a_new_tariff_has_it_from_its_beginning(world: World) -> None:
    """An access point's clock may say that a session began before it was granted."""
    end_us = START_US + 10 * DAY_US
    window = Window(end_us, end_us + DAY_US)
    world.agree(agreement(tariff(window=window, price_nano=9_000)))
    world.offer(plan(price=price(window=window)))
    world.at_us = end_us
    grant = world.granted()
    charges, _ = world.rate(usage(grant=grant, start_us=end_us - 1, closed=True))
    assert {charge.kind: charge.tariff_hash for charge in charges} == {
        Kind.WHOLESALE: grant.wholesale_tariff_hash,
        Kind.RETAIL: grant.retail_tariff_hash,
    }


def test_counters_beyond_the_guards_wait_and_break_nothing(world: World) -> None:
    huge = counters((1 << 63) - 1, seconds=60, octets_out=(1 << 63) - 1)
    grant = world.granted()
    charges, waiting = world.rate(usage(after=huge), usage("s2", after=huge, grant=grant))
    assert charges == []
    assert {item.reason for item in waiting} == {"beyond_range"}
    assert len(waiting) == 3
    world.check()


def test_an_authorisation_for_another_pair_is_not_used(world: World) -> None:
    grant = world.granted()
    _, waiting = world.rate(usage(grant=grant, visited=HOME))
    assert {item.reason for item in waiting} == {"authorisation_mismatch"}
    assert world.held() == grant.hold.minor


def test_another_homes_authorisation_is_rated_by_the_sessions_start(world: World) -> None:
    foreign = replace(usage(), authorisation_id=bytes(16))
    charges, waiting = world.rate(foreign)
    assert [charge.kind for charge in charges] == [Kind.WHOLESALE]
    assert not waiting


def test_a_cycle_tries_again_only_so_many(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "RETRIED_MAX", 2)
    items = [usage(f"s{number}") for number in range(3)]
    for item in items:
        empty.rate(item)
        empty.at_us += 1
    empty.agree(agreement())
    assert [len(empty.rate()[0]) for _ in range(3)] == [2, 1, 0]


# Cuts and order decide nothing

rising = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 9 * KIB), st.integers(0, 9 * KIB)),
    min_size=1,
    max_size=4,
)
terms = st.fixed_dictionaries(
    {
        "unit": st.sampled_from(["octets_total", "octets_out", "duration_s", "sessions"]),
        "step": st.sampled_from([1, 60, KIB]),
        "price_nano": st.integers(0, 9_000),
        "minimum_minor": st.integers(0, 40),
        "tax_ppm": st.integers(0, 400_000),
        "tax_included": st.booleans(),
    }
)


def points(steps: list[tuple[int, int, int]]) -> list[Counters]:
    found, time_s, octets_in, octets_out = [], 0, 0, 0
    for more_s, more_in, more_out in steps:
        time_s, octets_in, octets_out = time_s + more_s, octets_in + more_in, octets_out + more_out
        found.append(Counters(session_time_s=time_s, octets_in=octets_in, octets_out=octets_out))
    return found


def lived(
    retail: dict[str, object],
    wholesale: dict[str, object],
    discount_ppm: int,
    cuts: list[list[Counters]],
) -> World:
    """Return a world in which a session was cut so, one cycle for each list of counters."""
    world = World()
    assert world.agree(agreement(tariff(**wholesale))) is None
    assert world.offer(plan(price=price(**retail))) is None
    world.top_up(10**12)
    world.deposit(10**12)
    world.fund(chart.funding(HOME), BUDGET, 10**9)
    world.discount.value_ppm = discount_ppm
    grant = world.granted()
    item = usage(grant=grant, after=cuts[-1][-1], closed=True)
    parts = split(item, *[point for cycle in cuts for point in cycle][:-1])
    for cycle in cuts:
        world.rate(*parts[: len(cycle)])
        parts = parts[len(cycle) :]
    return world


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(rising, terms, terms, st.integers(0, 1_000_000))
def test_cuts_never_change_a_total(
    steps: list[tuple[int, int, int]],
    retail: dict[str, object],
    wholesale: dict[str, object],
    discount_ppm: int,
) -> None:
    cuts = points(steps)
    whole = lived(retail, wholesale, discount_ppm, [[cuts[-1]]])
    each = lived(retail, wholesale, discount_ppm, [[point] for point in cuts])
    batch = lived(retail, wholesale, discount_ppm, [cuts])
    try:
        assert each.balances() == whole.balances() == batch.balances()
        assert whole.held() == 0
        each.check()
    finally:
        for world in (whole, each, batch):
            world.close()


def busy(order: tuple[int, ...], batches: int) -> tuple[World, list[Usage]]:
    """Return a world whose subscribers used much at once, rated in some order."""
    world = World()
    world.agree(agreement())
    world.offer(plan())
    world.deposit(10**12)
    grants: list[Grant] = []
    for number in range(3):
        subscriber = PartyId(f"sub_{number:032x}")
        world.top_up(90 * 2 * KIB, subscriber)
        grants.append(world.granted(subscriber=subscriber))
    items = [
        usage("a", grant=grants[0], closed=True),
        usage("b", grant=grants[0], after=counters(91 * KIB * KIB)),
        usage("c", grant=grants[1], closed=True),
        usage("d", grant=grants[2]),
        usage("e"),
        usage("f", home=None),
    ]
    shuffled = [items[place] for place in order]
    size = -(-len(shuffled) // batches)
    world.cycle = 1
    for start in range(0, len(shuffled), size):
        world.again(*shuffled[start : start + size])
    return world, items


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(6)).map(tuple))
def test_the_order_of_usages_decides_nothing(order: tuple[int, ...]) -> None:
    usual, items = busy(tuple(range(6)), 1)
    other, _ = busy(order, 1)
    try:
        assert usual.again(*items) == other.again(*items)
        assert usual.balances() == other.balances()
        other.check()
    finally:
        usual.close()
        other.close()


def test_steps_of_a_rating_are_one_rating(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, items = busy(tuple(range(6)), 1)
    monkeypatch.setattr(service_module, "RATED_MAX", 1)
    steps, _ = busy(tuple(range(6)), 1)
    assert whole.again(*items) == steps.again(*items)
    assert whole.balances() == steps.balances()
    for world in (whole, steps):
        world.check()
        world.close()
