"""The quote and the hold: how long is granted follows from the money that covers it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.money import Money
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.rating.desk import RatingSettings
from opencarrier.rating.model import TARIFF_UNITS
from opencarrier.rating.quote import Offer, Quote, quote, retail_legs, wholesale_minor
from opencarrier.rating.reasons import AccessReason
from opencarrier.rating.wholesale import TariffTerms
from opencarrier.spine.access import Grant
from opencarrier.spine.parties import PartyId

from .worlds import (
    ASSET,
    DAY_US,
    HOME,
    KIB,
    START_US,
    SUBSCRIBER,
    THIRD,
    VISITED,
    World,
    agreement,
    counters,
    plan,
    price,
    tariff,
    usage,
)

GRACE_S = 30
PER_SECOND = KIB * 2  # minor units a second at the plan's cap: 1 MiB at 2 per KiB


def test_the_hold_covers_what_can_be_used_until_the_access_point_asks_again(
    world: World,
) -> None:
    grant = world.granted()
    assert grant == Grant(
        authorisation_id=grant.authorisation_id,
        home=HOME,
        visited=VISITED,
        node_id="node-1",
        subscriber=SUBSCRIBER,
        wholesale_tariff_hash=tariff().hash,
        retail_tariff_hash=plan().price.hash,
        hold=Money(ASSET, (3_600 + GRACE_S) * PER_SECOND),
        session_timeout_s=3_600,
        interim_interval_s=300,
        granted_us=START_US,
        expires_us=START_US + 3_600 * SECOND_US,
        rate_cap_octets_per_s=plan().rate_cap_octets_per_s,
    )
    assert world.held() == grant.hold.minor
    assert world.service.grant(world.unit, grant.authorisation_id) == grant
    assert world.service.grant(world.unit, bytes(16)) is None
    assert world.granted().authorisation_id != grant.authorisation_id
    world.check()


def test_a_smaller_balance_buys_a_shorter_session(empty: World) -> None:
    empty.agree(agreement())
    empty.offer(plan())
    empty.deposit(100_000_000)
    empty.top_up((100 + GRACE_S) * PER_SECOND + PER_SECOND - 1)
    grant = empty.granted()
    assert grant.session_timeout_s == 100
    assert grant.interim_interval_s == 100
    assert grant.hold.minor == (100 + GRACE_S) * PER_SECOND
    assert empty.free() == PER_SECOND - 1


def test_one_floor_interval_is_the_least_that_is_granted(empty: World) -> None:
    empty.agree(agreement())
    empty.offer(plan())
    empty.deposit(100_000_000)
    empty.top_up((60 + GRACE_S) * PER_SECOND - 1)
    refusal = empty.authorise()
    assert isinstance(refusal, Refusal)
    assert refusal.code == "insufficient_balance"
    empty.top_up(1)
    grant = empty.granted()
    assert (grant.session_timeout_s, grant.interim_interval_s) == (60, 60)
    assert empty.free() == 0
    assert isinstance(empty.authorise(), Refusal), "the same money is not promised twice"
    empty.check()


def test_the_discount_is_part_of_the_quote(world: World) -> None:
    world.discount.value_ppm = 250_000
    assert world.granted().hold.minor == (3_600 + GRACE_S) * PER_SECOND * 3 // 4


def test_nothing_is_held_for_what_costs_nothing(empty: World) -> None:
    empty.agree(agreement(tariff(price_nano=0)))
    empty.offer(plan(price=price(price_nano=0)))
    grant = empty.granted()  # neither balance nor collateral is asked for
    assert grant.hold.minor == 0
    assert grant.session_timeout_s == 3_600
    charges, waiting = empty.rate(usage(grant=grant, closed=True))
    assert [charge.amount_minor for charge in charges] == [0, 0]
    assert [charge.allocations for charge in charges] == [(), ()]
    assert not waiting
    empty.check()


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        ("nothing", "no_agreement"),
        ("future_agreement", "no_tariff_in_force"),
        ("agreement", "no_plan"),
        ("future_plan", "plan_not_in_force"),
        ("both", "insufficient_balance"),
        ("balance", "insufficient_collateral"),
    ],
)
def test_of_several_reasons_the_first_is_given(empty: World, prepare: str, code: str) -> None:
    later = Window(START_US + DAY_US, START_US + 2 * DAY_US)
    if prepare == "future_agreement":
        empty.agree(agreement(tariff(window=later)))
    elif prepare != "nothing":
        empty.agree(agreement())
    if prepare == "future_plan":
        empty.offer(plan(price=price(window=later)))
    elif prepare in ("both", "balance"):
        empty.offer(plan())
    if prepare == "balance":
        empty.top_up(100_000_000)
    refusal = empty.authorise()
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert refusal.detail
    assert not empty.held()


def test_the_terms_are_those_in_force_when_it_is_granted(empty: World) -> None:
    later = Window(START_US + 10 * DAY_US, START_US + 20 * DAY_US)
    empty.agree(agreement(tariff(), tariff(window=later, price_nano=1)))
    empty.offer(plan())
    empty.offer(plan(price=price(window=later, price_nano=3)))
    empty.top_up(100_000_000)
    empty.deposit(100_000_000)
    empty.at_us = later.start_us - 1
    assert empty.granted().wholesale_tariff_hash == tariff().hash
    empty.at_us = later.start_us
    grant = empty.granted()
    assert grant.wholesale_tariff_hash == tariff(window=later, price_nano=1).hash
    assert grant.retail_tariff_hash == price(window=later, price_nano=3).hash


def test_a_rate_cap_beyond_the_guards_is_a_refusal(empty: World) -> None:
    empty.agree(agreement(tariff(price_nano=10**15)))
    empty.offer(plan())
    empty.top_up(100_000_000)
    refusal = empty.authorise()
    assert isinstance(refusal, Refusal)
    assert refusal.reason is AccessReason.BEYOND_RANGE


def test_collateral_under_notice_backs_no_new_use(world: World) -> None:
    """Once its notice is over it can leave at once, whatever was granted on it meanwhile."""
    world.fund(chart.NOTICES, chart.noticed(HOME), 100_000_000)
    refusal = world.authorise()
    assert isinstance(refusal, Refusal)
    assert refusal.reason is AccessReason.INSUFFICIENT_COLLATERAL
    world.fund(chart.noticed(HOME), chart.NOTICES, 100_000_000)
    assert isinstance(world.authorise(), Grant)


def test_collateral_covers_what_is_owed_and_what_may_be(world: World) -> None:
    exposure = (3_600 + GRACE_S) * KIB  # wholesale at the cap: 1 per KiB
    rich = PartyId("sub_" + "8" * 32)
    world.top_up(10**12, rich)
    grants = [world.granted(subscriber=rich) for _ in range(26)]
    assert grants[-1].session_timeout_s == 3_600
    shortened = world.granted(subscriber=rich)
    left = 100_000_000 - 26 * exposure
    assert shortened.session_timeout_s == left // KIB - GRACE_S
    refusal = world.authorise(subscriber=rich)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is AccessReason.INSUFFICIENT_COLLATERAL
    # one session ends having used little: its exposure is free again, what it used is owed
    world.rate(usage(grant=grants[0], after=counters(500 * KIB), closed=True))
    assert world.posted(chart.clearing(HOME)) == -500
    again = world.granted(subscriber=rich)
    assert again.session_timeout_s == (exposure - 500 + left % KIB) // KIB - GRACE_S
    # and once the holds have run out, so has the exposure
    world.at_us += DAY_US
    assert world.granted(subscriber=rich).session_timeout_s == 3_600


def test_the_gate_can_be_left_open() -> None:
    world = World(RatingSettings(collateral_gate=False))
    world.agree(agreement())
    world.offer(plan())
    world.top_up(100_000_000)
    assert world.granted().session_timeout_s == 3_600
    world.close()


def test_at_home_only_what_others_get_is_exposure(empty: World) -> None:
    empty.agree(agreement(home=HOME, visited=HOME))
    empty.offer(plan())
    empty.top_up(100_000_000)
    most = (3_600 + GRACE_S) * KIB
    empty.deposit(most * 600_000 // 1_000_000 + (most * 400_000 // 1_000_000) // 40 + 1)
    assert empty.granted(visited=HOME).session_timeout_s == 3_600


def test_agreements_are_per_pair(world: World) -> None:
    refusal = world.authorise(visited=THIRD)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is AccessReason.NO_AGREEMENT


offers = st.builds(
    Offer,
    terms=st.builds(
        TariffTerms,
        st.just(agreement().head),
        st.builds(tariff, unit=st.sampled_from(TARIFF_UNITS), price_nano=st.integers(0, 9_000)),
    ),
    plan=st.builds(
        plan,
        price=st.builds(
            price,
            unit=st.sampled_from(TARIFF_UNITS),
            price_nano=st.integers(0, 9_000),
            minimum_minor=st.integers(0, 500),
            tax_ppm=st.integers(0, 300_000),
            tax_included=st.booleans(),
        ),
        session_s_max=st.integers(60, 7_200),
    ),
    discount_ppm=st.integers(0, 1_000_000),
    grace_s=st.integers(0, 60),
    balance_minor=st.integers(0, 10_000_000),
    collateral_minor=st.none() | st.integers(-5, 10_000_000),
)


@given(offers)
def test_the_longest_covered_time_is_granted(offer: Offer) -> None:
    def held(timeout_s: int) -> int:
        legs = retail_legs(offer, timeout_s)
        return legs.seller_minor + legs.tax_minor

    def covered(timeout_s: int) -> bool:
        gate = offer.collateral_minor
        owed = wholesale_minor(offer, timeout_s)
        return held(timeout_s) <= offer.balance_minor and (gate is None or owed <= max(gate, 0))

    found = quote(offer)
    if isinstance(found, Refusal):
        assert not covered(60)
        rich = replace(offer, balance_minor=1 << 50)
        if found.reason is AccessReason.INSUFFICIENT_COLLATERAL:
            assert quote(rich) == found
        return
    assert isinstance(found, Quote)
    assert covered(found.session_timeout_s)
    longest = found.session_timeout_s == offer.plan.session_s_max
    assert longest or not covered(found.session_timeout_s + 1)
    assert found.hold_minor == held(found.session_timeout_s)
    legs = retail_legs(offer, found.session_timeout_s)
    assert found.spend_minor == found.hold_minor + legs.discount_minor
    assert found.exposure_minor == wholesale_minor(offer, found.session_timeout_s)
    assert 60 <= found.interim_interval_s <= found.session_timeout_s
