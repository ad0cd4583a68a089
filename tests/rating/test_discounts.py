"""The discount a session is granted with: as far as its lock and its cap reach, never beyond."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import chart
from opencarrier.rating import store
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.versions import rerate
from opencarrier.spine.money import Kind, StakeReading

from .worlds import (
    HOME,
    HOST,
    KIB,
    PROTOCOL,
    STAKER,
    STAKES,
    START_US,
    SUBSCRIBER,
    TAX,
    VISITED,
    World,
    agreement,
    counters,
    plan,
    price,
    tariff,
    usage,
)

START_S = START_US // SECOND_US
PER_SECOND = KIB * 2
GRACE_S = 30
WHOLE = (3_600 + GRACE_S) * PER_SECOND
"""All that an hour's session can cost at full price."""


def granted_ppm(world: World, grant) -> int:
    found = store.authorisations_by_id(world.unit, [grant.authorisation_id])
    return found[grant.authorisation_id].discount_ppm


def test_the_charge_names_the_stake_behind_it(world: World) -> None:
    """The inputs carry the rate of the discount, the charge where the chain tells it."""
    world.discount.value_ppm = 250_000
    grant = world.granted()
    made, _ = world.rate(usage(grant=grant, closed=True))
    charge = next(item for item in made if item.kind is Kind.RETAIL)
    assert charge.stake == StakeReading(contract=STAKES, account=STAKER, timepoint_s=START_S)
    assert v1.decode_inputs(charge.inputs).discount_ppm == 250_000
    assert rerate(charge.rule_version, charge.inputs).amount_minor == charge.amount_minor
    wholesale = next(item for item in made if item.kind is Kind.WHOLESALE)
    assert wholesale.stake is None
    again, _ = world.again(usage(grant=grant, closed=True))
    assert list(again) == list(made), "what is kept reads as it was made"


def test_no_stake_no_word_of_one(world: World) -> None:
    made, _ = world.rate(usage(grant=world.granted(), closed=True))
    assert all(charge.stake is None for charge in made)


def test_the_cap_covers_all_a_session_may_reach(world: World) -> None:
    """Granted to the unit, refused one below; the full price is the answer then, not a no."""
    world.discount.value_ppm = 250_000
    world.discount.cap_minor = WHOLE - 1
    grant = world.granted()
    assert (granted_ppm(world, grant), grant.hold.minor) == (0, WHOLE)
    world.discount.cap_minor = WHOLE
    grant = world.granted()
    assert (granted_ppm(world, grant), grant.hold.minor) == (250_000, WHOLE * 3 // 4)
    assert granted_ppm(world, world.granted()) == 0, "what is open counts against the cap"


def test_what_was_not_used_is_open_again(world: World) -> None:
    world.discount.value_ppm, world.discount.cap_minor = 500_000, WHOLE + 199
    grant = world.granted()
    world.rate(usage(grant=grant, after=counters(100 * KIB), closed=True))
    assert granted_ppm(world, world.granted()) == 0, "200 were spent"
    world.discount.cap_minor = WHOLE + 200
    assert granted_ppm(world, world.granted()) == 500_000


def test_an_open_session_keeps_what_it_may_still_reach(world: World) -> None:
    world.discount.value_ppm, world.discount.cap_minor = 500_000, 2 * WHOLE - 1
    grant = world.granted()
    world.rate(usage(grant=grant, after=counters(100 * KIB)))
    assert granted_ppm(world, world.granted()) == 0
    rest = usage(grant=grant, before=counters(100 * KIB), after=counters(101 * KIB), closed=True)
    world.rate(rest)
    assert granted_ppm(world, world.granted()) == 500_000


def test_a_reservation_lapses_with_its_hold(world: World) -> None:
    world.discount.value_ppm, world.discount.cap_minor = 500_000, WHOLE
    world.granted()
    world.at_us += (3_600 + GRACE_S + 7_200) * SECOND_US - 1
    assert granted_ppm(world, world.granted()) == 0
    world.at_us += 1
    assert granted_ppm(world, world.granted()) == 500_000


def test_a_grant_that_let_nobody_in_reserves_nothing(world: World) -> None:
    world.discount.value_ppm, world.discount.cap_minor = 500_000, WHOLE
    grant = world.granted()
    assert granted_ppm(world, world.granted()) == 0
    world.service.release(world.unit, grant.authorisation_id, at_us=world.at_us)
    assert granted_ppm(world, world.granted()) == 500_000


def test_another_lock_has_a_cap_of_its_own(world: World) -> None:
    world.discount.value_ppm, world.discount.cap_minor = 500_000, WHOLE
    world.granted()
    assert granted_ppm(world, world.granted()) == 0
    world.discount.lock_began_s += 1
    assert granted_ppm(world, world.granted()) == 500_000


def test_a_free_session_uses_the_cap_up_all_the_same(world: World) -> None:
    """At a discount of everything nothing is held or paid; what was taken off counts."""
    world.discount.value_ppm, world.discount.cap_minor = 1_000_000, WHOLE + 199
    grant = world.granted()
    assert grant.hold.minor == 0
    assert granted_ppm(world, world.granted()) == 0
    world.rate(usage(grant=grant, after=counters(100 * KIB), closed=True))
    assert granted_ppm(world, world.granted()) == 0
    world.discount.cap_minor += 1
    assert granted_ppm(world, world.granted()) == 1_000_000


@pytest.mark.parametrize(
    ("left_s", "ppm", "timeout_s"),
    [(59, 0, 3_600), (60, 250_000, 60), (1_000, 250_000, 1_000), (9_999, 250_000, 3_600)],
)
def test_a_session_ends_with_the_lock(world: World, left_s: int, ppm: int, timeout_s: int) -> None:
    """At a discount it lasts to the end of the lock at most; too short is not worth it."""
    world.discount.value_ppm, world.discount.unlock_at_s = 250_000, START_S + left_s
    grant = world.granted()
    assert (granted_ppm(world, grant), grant.session_timeout_s) == (ppm, timeout_s)


def test_a_stake_in_another_money_is_none(world: World) -> None:
    world.discount.value_ppm, world.discount.asset = 250_000, AssetId("test/EUR")
    assert granted_ppm(world, world.granted()) == 0


sessions = st.lists(
    st.tuples(
        st.integers(0, 3_600 * KIB),  # KiB used, within the plan's rate cap
        st.booleans(),  # ended
        st.integers(0, 4_000),  # pause after it
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=12, deadline=None)
@given(
    cap_minor=st.integers(0, 5 * WHOLE),
    discount_ppm=st.integers(1, 1_000_000),
    told=sessions,
)
def test_the_cap_holds(cap_minor: int, discount_ppm: int, told) -> None:
    """Whatever is used within what was granted, spend at a discount stays within the cap."""
    world = World()
    world.agree(agreement())
    world.offer(plan())
    world.deposit(10**12)
    world.top_up(10**12)
    world.discount.value_ppm, world.discount.cap_minor = discount_ppm, cap_minor
    spent = 0
    for number, (kib, ended, pause_s) in enumerate(told):
        grant = world.granted()
        item = usage(f"s{number}", grant=grant, after=counters(kib * KIB), closed=ended)
        made, _ = world.rate(item)
        spent += sum(charge.amount_minor + charge.discount_minor for charge in made if charge.stake)
        assert spent <= cap_minor
        world.at_us += pause_s * SECOND_US
    world.close()


HELD_S = 3_600 + GRACE_S + 7_200
"""How long a session's reservation lasts."""


def test_a_meter_beyond_its_rate_cap_passes_the_cap_by_that_much(world: World) -> None:
    """What no session may reach was reserved by nobody; it counts, and nothing more is granted."""
    world.discount.value_ppm, world.discount.cap_minor = 500_000, WHOLE
    grant = world.granted()
    beyond = usage(grant=grant, after=counters(WHOLE // 2 * KIB + 100 * KIB), closed=True)
    assert spent_minor(world.rate(beyond)[0]) == WHOLE + 200
    world.discount.cap_minor = 2 * WHOLE + 199
    assert granted_ppm(world, world.granted()) == 0
    world.discount.cap_minor += 1
    assert granted_ppm(world, world.granted()) == 500_000


def test_a_report_after_its_reservation_lapsed_passes_the_cap_by_that_much(world: World) -> None:
    """Another session was granted what this one had reserved; both are rated as granted."""
    world.discount.value_ppm, world.discount.cap_minor = 500_000, WHOLE
    late = usage("late", grant=world.granted(), after=counters(WHOLE // 2 * KIB), closed=True)
    world.at_us += HELD_S * SECOND_US
    second = usage("second", grant=world.granted(), after=counters(WHOLE // 2 * KIB), closed=True)
    spent = spent_minor(world.rate(second)[0]) + spent_minor(world.rate(late)[0])
    assert spent == 2 * WHOLE


hostile = st.lists(
    st.tuples(
        st.integers(0, WHOLE),  # KiB used: up to twice what can be reached
        st.booleans(),  # reported after the reservation lapsed
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None)
@given(cap_minor=st.integers(0, 3 * WHOLE), told=hostile)
def test_the_cap_is_passed_by_what_was_not_held_and_by_no_more(cap_minor: int, told) -> None:
    """The bound: the cap, what each session used beyond its reservation, and all that was late."""
    world = World()
    world.agree(agreement())
    world.offer(plan())
    world.deposit(10**12)
    world.top_up(10**12)
    world.discount.value_ppm, world.discount.cap_minor = 250_000, cap_minor
    spent, allowed, late = 0, cap_minor, []
    for number, (kib, is_late) in enumerate(told):
        grant = world.granted()
        item = usage(f"s{number}", grant=grant, after=counters(kib * KIB), closed=True)
        value = 2 * kib if granted_ppm(world, grant) else 0
        allowed += value if is_late else max(0, value - WHOLE)
        if is_late:
            late.append(item)
            world.at_us += HELD_S * SECOND_US
        else:
            spent += spent_minor(world.rate(item)[0])
    spent += sum(spent_minor(world.rate(item)[0]) for item in late)
    assert spent <= allowed
    world.close()


def spent_minor(made) -> int:
    """What was spent at a discount: paid and taken off."""
    return sum(charge.amount_minor + charge.discount_minor for charge in made if charge.stake)


# Staker, home, visited and host in one hand


def lived(discount_ppm: int, budget_minor: int, kib: int, tax_ppm: int, visited):
    """One session's life; what everybody has gained by it."""
    world = World()
    world.agree(agreement(tariff(tax_ppm=tax_ppm), visited=visited))
    world.offer(plan(price=price(price_nano=2_000, tax_ppm=tax_ppm)))
    world.deposit(10**9)
    world.top_up(10**9)
    if budget_minor:
        world.fund(chart.funding(HOME), chart.discounts(HOME), budget_minor)
    world.discount.value_ppm = discount_ppm
    before = {name: posted for name, (posted, _) in world.balances().items()}
    node = replace(world.node, operator=visited)
    world.node = world.directory.nodes["node-1"] = node
    grant = world.granted(visited=visited)
    world.rate(usage(grant=grant, after=counters(kib * KIB), closed=True, visited=visited))
    world.check()
    after = {name: posted for name, (posted, _) in world.balances().items()}
    world.close()
    return {name: after[name] - before.get(name, 0) for name in after}


OUTSIDE = (chart.clearing(PROTOCOL), chart.clearing(TAX), chart.retail_tax(HOME))
"""Whom the one hand does not own: the protocol and both tax offices."""


@settings(max_examples=12, deadline=None)
@given(
    discount_ppm=st.integers(0, 1_000_000),
    budget_minor=st.sampled_from([0, 1, 1_000, 10**8]),
    kib=st.integers(0, 3_600 * KIB),
    tax_ppm=st.sampled_from([0, 180_000]),
    visited=st.sampled_from([HOME, VISITED]),
)
def test_one_hand_gains_nothing(discount_ppm, budget_minor, kib, tax_ppm, visited) -> None:
    """Whoever is staker, home, visited and host pays itself: out of it comes at most nothing.

    The discount moves money between its own accounts; host, protocol and wholesale tax get what
    they get without one.
    """
    plain = lived(0, budget_minor, kib, tax_ppm, visited)
    reduced = lived(discount_ppm, budget_minor, kib, tax_ppm, visited)
    for gained in (plain, reduced):
        outside = sum(gained.get(name, 0) for name in OUTSIDE)
        own = sum(value for name, value in gained.items() if name not in OUTSIDE)
        assert outside >= 0
        assert own == -outside, "all books sum to zero"
    for name in (*OUTSIDE[:2], chart.accrued(HOST), chart.clearing(visited)):
        if name != chart.clearing(HOME):
            assert reduced.get(name, 0) == plain.get(name, 0)
    paid = -reduced.get(chart.prepaid(SUBSCRIBER), 0)
    saved = -plain.get(chart.prepaid(SUBSCRIBER), 0) - paid
    seller = (chart.revenue(HOME), chart.discounts(HOME), chart.retail_tax(HOME))
    forgone = sum(plain.get(name, 0) - reduced.get(name, 0) for name in seller)
    assert saved == forgone >= 0, "what the subscriber saves its own seller forgoes"
