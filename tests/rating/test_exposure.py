"""What is used beyond a hold stays within the stated bound, whatever the network does and loses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import Refusal
from opencarrier.rating.desk import RatingSettings
from opencarrier.rating.exposure import ExposureSettings, Watched
from opencarrier.rating.reasons import AccessReason
from opencarrier.spine.access import Grant
from opencarrier.spine.parties import foreign_node

from .roaming import roaming
from .test_authorise import GRACE_S, PER_SECOND
from .test_live_roaming import wifi
from .worlds import VISITED, World, plan

watched = st.builds(
    Watched,
    octets_per_s=st.integers(1, 1_000),
    session_timeout_s=st.integers(60, 600),
    interim_interval_s=st.integers(60, 600),
    grace_s=st.integers(0, 30),
).map(lambda w: replace(w, interim_interval_s=min(w.interim_interval_s, w.session_timeout_s)))


def used(
    session: Watched, speeds: list[int], arrives: list[bool], *, acts_s: int
) -> tuple[int, int]:
    """Run a session second by second; return what it used, and the reports lost in a row."""
    octets, told_s, run, longest = 0, None, 0, 0
    for second in range(session.session_timeout_s + session.grace_s):
        if told_s is not None and second >= told_s + acts_s:
            break
        octets += speeds[second % len(speeds)]
        elapsed = second + 1
        if elapsed % session.interim_interval_s or told_s is not None:
            continue
        if not arrives[elapsed // session.interim_interval_s % len(arrives)]:
            run += 1
            longest = max(longest, run)
            continue
        run = 0
        if session.money_ends(octets, max(0, session.session_timeout_s - elapsed)):
            told_s = elapsed
    return octets, longest


@settings(max_examples=150, deadline=None)
@given(
    watched,
    st.integers(1, 20),
    st.lists(st.integers(0, 100), min_size=1, max_size=30),
    st.lists(st.booleans(), min_size=1, max_size=10),
    st.integers(0, 20),
)
def test_beyond_the_hold_goes_no_more_than_the_bound(
    session: Watched, factor: int, percents: list[int], arrives: list[bool], acts_s: int
) -> None:
    line = session.octets_per_s * factor
    speeds = [line * percent // 100 for percent in percents]
    octets, lost = used(session, speeds, arrives, acts_s=acts_s)
    bound = session.beyond_octets(line_octets_per_s=line, lost=lost, acts_s=acts_s)
    assert octets - session.held_octets <= bound
    if factor == 1:
        assert bound == 0


@settings(max_examples=100, deadline=None)
@given(watched, st.lists(st.integers(0, 100), min_size=1, max_size=30))
@example(Watched(octets_per_s=8, session_timeout_s=190, interim_interval_s=73, grace_s=30), [88])
def test_whoever_keeps_to_the_cap_is_left_alone(session: Watched, percents: list[int]) -> None:
    speeds = [session.octets_per_s * percent // 100 for percent in percents]
    whole = session.session_timeout_s + session.grace_s
    octets, _ = used(session, speeds, [True], acts_s=0)
    assert octets == sum(speeds[second % len(speeds)] for second in range(whole))


def test_the_bound_is_reached_nearly() -> None:
    """A line ten times the cap: every report in time, and none."""
    session = Watched(octets_per_s=100, session_timeout_s=3_600, interim_interval_s=60, grace_s=0)
    octets, lost = used(session, [1_000], [True], acts_s=0)
    assert lost == 0
    assert octets - session.held_octets <= 60_000
    silent, _ = used(session, [1_000], [False], acts_s=0)
    assert silent - session.held_octets == 9 * session.held_octets


def _foreign(world: World) -> Grant:
    world.node = foreign_node(VISITED, "somewhere-1")
    return world.granted()


def test_where_nobody_keeps_to_the_cap_little_time_is_held_at_the_lines_rate() -> None:
    world = World()
    assert world.agree(roaming(wifi())) is None
    assert world.offer(plan()) is None
    world.top_up(1 << 50)
    world.deposit(1 << 50)
    near = world.granted()
    assert near.session_timeout_s == 3_600
    far = _foreign(world)
    assert far.session_timeout_s == ExposureSettings().foreign_session_s
    line = ExposureSettings().foreign_line_octets_per_s
    per_second = near.hold.minor * line // (plan().rate_cap_octets_per_s * (3_600 + GRACE_S))
    most = per_second * (far.session_timeout_s + GRACE_S)
    assert most <= far.hold.minor <= most + per_second
    assert far.rate_cap_octets_per_s == plan().rate_cap_octets_per_s
    world.close()


@pytest.mark.parametrize("free_plan", ["", "free"])
def test_whoever_has_no_money_left_is_served_on_the_free_plan(free_plan: str) -> None:
    world = World(settings=RatingSettings(exposure=ExposureSettings(free_plan=free_plan)))
    assert world.agree(roaming(wifi())) is None
    assert world.offer(plan()) is None
    world.deposit(1 << 40)
    refused = world.authorise()
    assert isinstance(refused, Refusal)
    assert refused.reason is AccessReason.INSUFFICIENT_BALANCE
    free = replace(
        plan(), plan_id="free", price=replace(plan().price, price_nano=0), rate_cap_octets_per_s=8
    )
    assert world.offer(free) is None
    world.top_up(PER_SECOND)
    granted = world.authorise()
    if not free_plan:
        assert isinstance(granted, Refusal)
        return
    assert isinstance(granted, Grant)
    assert (granted.hold.minor, granted.rate_cap_octets_per_s) == (0, 8)
    assert granted.retail_tariff_hash == free.price.hash
    assert world.free() == PER_SECOND
    world.close()
