"""Whoever pays as it uses and whoever is prepaid pay the same for the same use, to the unit."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.channels.model import Mode
from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.spine import ids
from opencarrier.spine.access import Grant
from opencarrier.spine.money import Kind
from opencarrier.spine.usage import ZERO, Counters, Rung, Usage

from .worlds import ADA, ASSET, HOME, KIB, START_US, VISITED, World, price

SEVERAL = st.lists(
    st.builds(
        Counters,
        session_time_s=st.integers(0, 50),
        octets_in=st.integers(0, 60 * KIB),
        octets_out=st.integers(0, 30 * KIB),
    ),
    min_size=1,
    max_size=5,
)
PRICES = st.builds(
    price,
    st.integers(1, 9_999),
    unit=st.sampled_from(["octets_total", "octets_in", "octets_out", "duration_s", "sessions"]),
    step=st.sampled_from([1, 7, KIB]),
    minimum_minor=st.sampled_from([0, 3]),
    tax_ppm=st.sampled_from([0, 180_000, 333_333]),
    tax_included=st.booleans(),
)


def added(left: Counters, right: Counters) -> Counters:
    return Counters(
        session_time_s=left.session_time_s + right.session_time_s,
        octets_in=left.octets_in + right.octets_in,
        octets_out=left.octets_out + right.octets_out,
    )


def usage(grant: Grant, name: str, before: Counters, after: Counters, *, last: bool) -> Usage:
    session = derive("test-session", name)
    return Usage(
        usage_id=ids.usage_id(session, before, after),
        session_id=session,
        authorisation_id=grant.authorisation_id,
        home=grant.home,
        visited=grant.visited,
        node_id=grant.node_id,
        subject="",
        counters_from=before,
        counters_to=after,
        start_us=START_US,
        end_us=START_US + 1,
        weak=False,
        closed_by="stop" if last else "",
        rung=Rung.CO_SIGNED,
    )


def retail(world: World, items: list[Usage]) -> int:
    """Rate each usage in a cycle of its own; return what the subscriber was charged in all."""
    total = 0
    for number, item in enumerate(items):
        charges, waiting = world.rating.rate(
            world.unit,
            cycle_id=ids.cycle_id("test", ASSET, number),
            usages=[item],
            at_us=world.at_us,
        )
        assert all(item.kind is not Kind.RETAIL for item in waiting)
        total += sum(c.amount_minor for c in charges if c.kind is Kind.RETAIL)
    return total


@settings(max_examples=15, deadline=None)
@given(pieces=SEVERAL, terms=PRICES, discount_ppm=st.sampled_from([0, 150_000, 999_999]))
def test_both_rate_the_same(pieces: list[Counters], terms: object, discount_ppm: int) -> None:
    points = list(accumulate(pieces, added, initial=ZERO))
    world = World(price=terms, discount_ppm=discount_ppm)  # type: ignore[arg-type]
    try:
        payer = world.payer()
        channel_id = world.opened(payer, deposit_minor=10_000_000)
        world.channels.settings = replace(world.settings, lease_minor=10_000_000)
        standing = world.begun(channel_id, name="channel")
        for used in points:
            payment = payer.pay(world.asked(standing), used, now_s=world.now_s)
            standing = world.paid(payment)
        grant = world.rating.grant(world.unit, standing.session.authorisation_id)
        assert grant is not None
        due_minor = standing.channel.due_minor
        assert world.posted(chart.prepaid(ADA.party_id)) == due_minor
        assert world.posted(chart.vouchers(HOME)) == -due_minor
        cuts = [(a, b) for a, b in pairwise(points) if a != b]
        items = [usage(grant, "channel", a, b, last=b == points[-1]) for a, b in cuts]
        assert retail(world, items) == due_minor
        assert world.posted(chart.prepaid(ADA.party_id)) == 0
        assert world.posted(chart.overrun(HOME)) == 0
        world.check()
    finally:
        world.close()
    assert prepaid_price(points, terms, discount_ppm) == due_minor


def prepaid_price(points: list[Counters], terms: object, discount_ppm: int) -> int:
    """What the same use costs somebody whose balance holds it."""
    world = World(price=terms, discount_ppm=discount_ppm)  # type: ignore[arg-type]
    try:
        world.top_up(10**12)
        grant = world.authorise()
        if points[-1] == ZERO:
            return 0
        return retail(world, [usage(grant, "prepaid", ZERO, points[-1], last=True)])
    finally:
        world.close()


def test_a_direct_session_leaves_nothing_owed_by_the_home(world: World) -> None:
    """The visited seller owes host, protocol and tax onward; home and visited owe nothing."""
    payer = world.payer()
    begun = world.begun(world.opened(payer, mode=Mode.DIRECT), name="direct")
    first = world.paid(payer.pay(world.asked(begun), ZERO, now_s=world.now_s))
    used = Counters(session_time_s=10, octets_in=90 * KIB, octets_out=0)
    last = world.paid(payer.acknowledge(world.asked(first), used, now_s=world.now_s))
    grant = world.rating.grant(world.unit, last.session.authorisation_id)
    assert grant is not None
    item = usage(grant, "direct", ZERO, used, last=True)
    assert (item.home, item.visited) == (VISITED, VISITED)
    assert retail(world, [item]) == last.channel.due_minor == 180
    assert world.posted(chart.revenue(VISITED)) == 180
    for account in (chart.clearing(HOME), chart.revenue(HOME), chart.overrun(VISITED)):
        assert world.posted(account) == 0
    assert world.posted(chart.clearing(VISITED)) < 0, "host and protocol are its onward dues"
    world.check()
