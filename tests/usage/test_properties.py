"""What holds for any observations at all: order and copies decide nothing, use adds up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from opencarrier.spine.usage import ZERO, Observation, Status, Usage
from opencarrier.usage.cuts import marks
from opencarrier.usage.model import Reading, Session, Stream
from opencarrier.usage.rules import join, reduce_stream, settle, usages_of

from .worlds import (
    AUTH,
    AUTH_2,
    HOME,
    HOME_2,
    NAS,
    VISITED,
    World,
    at,
    restart,
    seen,
    total,
    used,
)

counters = st.tuples(
    st.integers(0, 300),
    st.sampled_from([0, 1, 5, 4_000_000_000, 5_000_000_000]),
    st.integers(0, 9) | st.integers(2**31, 2**33),
)
readings = st.builds(
    seen,
    st.sampled_from([Status.START, Status.STOP, Status.INTERIM]),
    st.integers(0, 600),
    st.none() | counters,
    auth=st.sampled_from([None, AUTH, AUTH_2]),
    acct=st.sampled_from(["1", "2"]),
    nas=st.sampled_from([NAS, "ap-2"]),
    home=st.sampled_from([None, HOME, HOME_2]),
    subject=st.sampled_from(["", "a", "b"]),
)
restarts = st.builds(
    restart,
    st.integers(0, 600),
    nas=st.sampled_from([NAS, "ap-2"]),
    status=st.sampled_from([Status.ON, Status.OFF]),
)
chunks = st.lists(st.lists(readings | restarts, max_size=8), min_size=1, max_size=4)


def cuts(arrivals: Sequence[Sequence[Observation]]) -> list[Sequence[Usage]]:
    world = World()
    found = []
    for number, arrived in enumerate(arrivals):
        world.record(*arrived)
        found.append(world.cut(200 * (number + 1)))
    found.append(world.cut(10_000))
    world.close()
    return found


TOLD_TWICE = [
    seen(Status.START, 0, acct="2"),
    seen(Status.START, 1, (0, 0, 2**31), auth=None, acct="2"),
    seen(Status.START, 1, acct="2", subject="a"),
    seen(Status.INTERIM, 150, (100, 5, 5), acct="2"),
    seen(Status.INTERIM, 300, (100, 5, 5), acct="2"),
]
"""Two packets that came again with another time, and one of the pair beyond the first cut."""


@settings(max_examples=30)
@given(arrivals=chunks, seed=st.integers(0, 2**32))
@example(arrivals=[TOLD_TWICE], seed=0)
@example(arrivals=[TOLD_TWICE], seed=2)
@example(arrivals=[TOLD_TWICE[4:], TOLD_TWICE[:4]], seed=1)
def test_order_and_copies_decide_nothing(arrivals: list[list[Observation]], seed: int) -> None:
    other = [arrived + arrived[: len(arrived) // 2] for arrived in arrivals]
    for arrived in other:
        random.Random(seed).shuffle(arrived)
    assert cuts(other) == cuts(arrivals)


@settings(max_examples=30)
@given(arrivals=chunks)
def test_every_usage_goes_on_where_the_last_one_ended(
    arrivals: list[list[Observation]],
) -> None:
    ends: dict[bytes, Usage] = {}
    ids: set[bytes] = set()
    for usages in cuts(arrivals):
        assert [usage.usage_id for usage in usages] == sorted({u.usage_id for u in usages})
        for usage in usages:
            assert usage.usage_id not in ids
            ids.add(usage.usage_id)
            assert usage.counters_from != usage.counters_to
            before = ends.get(usage.session_id)
            if before is not None:
                assert usage.counters_from == before.counters_to
                assert usage.start_us == before.end_us
                assert (usage.home, usage.weak) == (before.home, before.weak)
            ends[usage.session_id] = usage


@settings(max_examples=30)
@given(
    arrivals=st.lists(
        st.lists(
            st.builds(
                seen,
                st.sampled_from([Status.START, Status.STOP, Status.INTERIM]),
                st.integers(0, 600),
                st.none() | counters,
                auth=st.just(None),
            ),
            max_size=8,
        ),
        min_size=1,
        max_size=5,
    ),
    auth=st.sampled_from([None, AUTH]),
)
def test_cut_anywhere_the_deltas_sum_to_the_highest_seen(
    arrivals: list[list[Observation]], auth: bytes | None
) -> None:
    named = [
        [seen(o.status, (o.event_us - at(0)) // 10**6, triple(o), auth=auth) for o in arrived]
        for arrived in arrivals
    ]
    highest = ZERO
    for arrived in named:
        for observation in arrived:
            highest = join(highest, observation.counters or ZERO)
    usages = [usage for found in cuts(named) for usage in found]
    assert total(usages) == (
        highest.session_time_s,
        highest.octets_in,
        highest.octets_out,
    )
    assert len({usage.session_id for usage in usages}) <= 1


def triple(observation: Observation) -> tuple[int, int, int] | None:
    found = observation.counters
    return (found.session_time_s, found.octets_in, found.octets_out) if found else None


@dataclass(frozen=True)
class Boot:
    """An access point's life between two restarts: sessions as (start, length, rate)."""

    sessions: tuple[tuple[int, int, int], ...]


boots = st.lists(
    st.builds(
        Boot,
        st.lists(
            st.tuples(st.integers(1, 400), st.integers(1, 500), st.integers(1, 10**8)),
            min_size=1,
            max_size=3,
        ).map(tuple),
    ),
    min_size=1,
    max_size=3,
)
BOOT_S = 1_000


def life(found: Sequence[Boot], lost: random.Random) -> tuple[list[Observation], list[tuple]]:
    """What an honest access point sends, some of it lost, and what each session comes to."""
    sent: list[Observation] = []
    truth: list[tuple[int, int, int]] = []
    for number, boot in enumerate(found):
        sent.append(restart(number * BOOT_S))
        for name, (start, length, rate) in enumerate(boot.sessions):
            begin, highest = number * BOOT_S + start, (0, 0, 0)
            sent.append(seen(Status.START, begin, acct=str(name), auth=None))
            for second in [*range(60, length, 60), length]:
                status = Status.STOP if second == length else Status.INTERIM
                if lost.random() < 0.2:
                    continue
                highest = (second, second, second * rate)
                sent.append(seen(status, begin + second, highest, acct=str(name), auth=None))
            truth.append(highest)
    return sent, truth


@settings(max_examples=30)
@given(found=boots, cut_at=st.lists(st.integers(0, 3_000), max_size=4), seed=st.integers(0, 99))
def test_names_reused_after_restarts_come_to_what_was_used(
    found: list[Boot], cut_at: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    sent, truth = life(found, chance)
    world = World()
    usages: list[Usage] = []
    for cut_s in [*sorted(cut_at), 5_000]:
        due = [o for o in sent if o.event_us <= at(cut_s)]
        sent = [o for o in sent if o.event_us > at(cut_s)]
        chance.shuffle(due)
        world.record(*due)
        usages += world.cut(cut_s)
    world.close()
    sessions: dict[bytes, list[Usage]] = {}
    for usage in usages:
        sessions.setdefault(usage.session_id, []).append(usage)
    shown = sorted(total(parts) for parts in sessions.values())
    assert shown == sorted(row for row in truth if row != (0, 0, 0))


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    cut_every=st.integers(1, 9),
    drop=st.integers(0, 2**32),
)
def test_authorisations_that_follow_each_other_share_one_meter(
    lengths: list[int], cut_every: int, drop: int
) -> None:
    """Whatever is cut or lost in between, together they pay for what the meter counted."""
    chance, second, sent = random.Random(drop), 0, [seen(Status.START, 0, auth=b"0" * 16)]
    for number, length in enumerate(lengths):
        for _ in range(length):
            second += 60
            if chance.random() < 0.8:
                auth = bytes([48 + number]) * 16
                counted = (second, 7 * second, 11 * second)
                sent.append(seen(Status.INTERIM, second, counted, auth=auth))
    world = World()
    usages: list[Usage] = []
    for start in range(0, len(sent), cut_every):
        world.record(*sent[start : start + cut_every])
        usages += world.cut(10_000)
    world.close()
    last = sent[-1].counters or ZERO
    assert total(usages) == (last.session_time_s, last.octets_in, last.octets_out)
    assert all(min(used(usage)) >= 0 for usage in usages)


STREAM = Stream(VISITED, NAS, "1")


def reduced(
    standing: list[Session], observations: list[Observation], boundaries: list[int]
) -> list[Session]:
    return reduce_stream(
        STREAM,
        standing,
        [Reading.of(o) for o in observations],
        restarts=boundaries,
        cut_us=at(1_000),
        silence_us=3_600 * 10**6,
    )


def owed(session: Session) -> list[Usage]:
    return usages_of(session, marks(session, session.counters, [], []))


def settled(sessions: list[Session]) -> list[Session]:
    return [settle(item, item.counters, 1) if owed(item) else item for item in sessions]


def timed(observation: Observation) -> bool:
    """Whether it says when its session began: octets without a session time do not."""
    return observation.counters is None or observation.counters.session_time_s > 0


@settings(max_examples=150)
@given(
    found=st.lists(readings.filter(timed), max_size=12),
    times=st.lists(st.integers(0, 600), max_size=3),
)
def test_settling_twice_settles_nothing_more(found: list[Observation], times: list[int]) -> None:
    boundaries = sorted({at(time) for time in times})
    first = reduced([], found, boundaries)
    again = reduced(settled(first), [], boundaries)
    assert not any(owed(session) for session in again)
    assert [s.session_id for s in again] == [s.session_id for s in first]
    assert [(s.counters, s.closed_by) for s in again] == [(s.counters, s.closed_by) for s in first]
    once_more = reduced(settled(first), found, boundaries)
    assert not any(owed(session) for session in once_more)


@settings(max_examples=150)
@given(
    rounds=st.lists(
        st.tuples(st.lists(readings, max_size=5), st.lists(st.integers(0, 600), max_size=2)),
        max_size=5,
    )
)
def test_what_was_settled_stands(rounds: list[tuple[list[Observation], list[int]]]) -> None:
    """Late restarts, other homes, other authorisations: a settled session is never renamed."""
    standing: list[Session] = []
    boundaries: set[int] = set()
    for found, times in rounds:
        boundaries |= {at(time) for time in times}
        now = {s.session_id: s for s in reduced(standing, found, sorted(boundaries))}
        for before in standing:
            if before.usages:
                after = now[before.session_id]
                assert (after.settled, after.home) == (before.settled, before.home)
                assert join(after.counters, before.counters) == after.counters
        standing = settled(list(now.values()))
