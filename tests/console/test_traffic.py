"""What flows now: a board that agrees with a slow model, whatever the order, and stays bounded."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.app.console.story import KEPT_MAX, Happening, Story
from opencarrier.app.console.traffic import (
    BUCKET_US,
    BUCKETS_MAX,
    SILENT_US,
    Traffic,
)
from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters, Observation, Status

START_US = 1_000 * BUCKET_US
OP = PartyId("op_" + "0" * 32)


def seen(
    name: str, status: Status, *, octets: int = 0, time_s: int = 0, nas: str = "ap"
) -> Observation:
    counters = Counters(
        session_time_s=time_s, octets_in=octets // 3, octets_out=octets - octets // 3
    )
    return Observation(
        status=status,
        home=OP,
        visited=OP,
        nas_key=nas,
        node_id=nas,
        authorisation_id=None,
        acct_session_id=name,
        counters=None if status in (Status.ON, Status.OFF) else counters,
        subject="pseudonym",
        event_us=START_US + time_s * SECOND_US,
        terminate_cause=None,
        reporter=OP,
        source="test",
        packet_digest=bytes(32),
    )


def test_a_session_begins_is_used_and_ends():
    board = Traffic()
    kinds = []
    for status, octets, time_s in (
        (Status.START, 0, 0),
        (Status.INTERIM, 600, 300),
        (Status.INTERIM, 600, 600),
        (Status.STOP, 1_000, 900),
    ):
        pulse = board.report(seen("one", status, octets=octets, time_s=time_s))
        assert pulse is not None
        kinds.append((pulse.kind, pulse.octets))
    assert kinds == [("began", 0), ("used", 600), ("used", 0), ("ended", 400)]
    assert board.standing(START_US) == 0


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from([Status.INTERIM, Status.STOP]),
            st.integers(0, 10**12),
            st.integers(0, 20_000),
        ),
        max_size=20,
    )
)
def test_octets_are_those_of_the_highest_reports(reports):
    """Between Stops, what flowed is the highest counter: repeated and falling ones add nothing."""
    board, highest, expected = Traffic(), {}, 0
    for name, status, octets, time_s in reports:
        before = highest.get(name, 0)
        expected += max(octets - before, 0)
        highest[name] = max(octets, before)
        if status is Status.STOP:
            del highest[name]
        board.report(seen(name, status, octets=octets, time_s=time_s))
    shown = board.flows(START_US + 40_000 * SECOND_US, buckets=BUCKETS_MAX)
    assert sum(flow.octets for flow in shown) == expected
    assert all(flow.octets >= 0 for flow in shown)


def test_use_lies_in_the_time_in_which_it_was_used():
    board = Traffic()
    board.report(seen("one", Status.INTERIM, octets=401, time_s=1_199))
    flows = board.flows(START_US + 1_199 * SECOND_US, buckets=5)
    assert [flow.octets for flow in flows] == [0, 100, 100, 100, 101]
    assert flows[1].at_us == START_US


def test_what_is_silent_or_restarted_stands_no_more():
    board = Traffic()
    for nas in ("ap", "other"):
        board.report(seen("one", Status.START, nas=nas))
    assert board.report(seen("", Status.ON)) is None
    assert board.nodes(START_US, limit=5) == [("other", 1)]
    assert board.standing(START_US + SILENT_US) == 1
    assert board.standing(START_US + SILENT_US + 1) == 0


def test_the_board_is_bounded():
    """One session more than it holds forgets the one that was silent longest; old time goes too."""
    board = Traffic(sessions_max=3)
    for number in range(4):
        board.report(seen(f"s{number}", Status.START, nas=f"ap{number}"))
    assert sorted(dict(board.nodes(START_US, limit=9))) == ["ap1", "ap2", "ap3"]
    for number in range(2 * BUCKETS_MAX):
        late = seen("long", Status.INTERIM, octets=number + 1)
        board.report(replace(late, event_us=START_US + number * BUCKET_US))
    assert len(board._buckets) == BUCKETS_MAX


def test_a_story_keeps_the_newest():
    story = Story()
    for number in range(KEPT_MAX + 1):
        story.add(Happening(at_us=number, kind="said", what="x"))
    told = story.newest(KEPT_MAX + 9)
    assert (told[0].at_us, told[-1].at_us, len(told)) == (KEPT_MAX, 1, KEPT_MAX)
    assert len(story.newest(3)) == 3
