"""The cut over a database: which usages come out, when, and under which ids."""

from __future__ import annotations

import pytest

from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine import ids
from opencarrier.spine.usage import ZERO, Counters, Rung, Sought, Status
from opencarrier.usage import service as service_module
from opencarrier.usage.model import Anomaly, Stream

from .worlds import (
    AUTH,
    AUTH_2,
    HOME,
    HOME_2,
    NAS,
    VISITED,
    World,
    at,
    cycle_id,
    restart,
    seen,
    total,
    used,
)

START, STOP, INTERIM = Status.START, Status.STOP, Status.INTERIM


def whole(acct: str = "0001", **more: object) -> list:
    return [
        seen(START, 0, acct=acct, **more),
        seen(INTERIM, 60, (60, 100, 1000), acct=acct, **more),
        seen(STOP, 90, (90, 150, 2000), acct=acct, **more),
    ]


def test_a_whole_session_is_one_usage(world: World) -> None:
    assert world.record(*whole()) == 3
    (usage,) = world.cut()
    assert used(usage) == (90, 150, 2000)
    assert (usage.start_us, usage.end_us) == (at(0), at(90))
    assert usage.closed_by == "stop"
    assert usage.rung is Rung.CO_SIGNED
    assert not usage.weak
    assert usage.session_id == ids.session_id(AUTH, NAS, "0001")
    assert usage.usage_id == ids.usage_id(usage.session_id, ZERO, usage.counters_to)
    assert (usage.home, usage.visited, usage.node_id) == (HOME, VISITED, "node-ap-1")
    with world.unit() as unit:
        assert world.service.usage(unit, usage.usage_id) == usage
        assert world.service.usages_of(unit, usage.session_id) == [usage]
        session = world.service.session(unit, usage.session_id)
        assert session is not None
        assert world.service.sessions_of(unit, AUTH) == (session,)
        assert session.settled == usage.counters_to
        assert len(list(world.service.evidence(unit, session.stream))) == 3


def test_copies_are_one_observation(world: World) -> None:
    assert world.record(*whole()) == 3
    assert world.record(*whole(), *whole()) == 0
    assert world.record(*whole(source="pcap:x@1")) == 0
    assert len(world.cut()) == 1
    assert world.record(*whole()) == 0
    assert world.cut() == ()


def test_deltas_over_cuts_add_up(world: World) -> None:
    start, interim, stop = whole()
    world.record(start)
    assert world.cut(10) == ()
    world.record(interim)
    (first,) = world.cut(60)
    assert (first.closed_by, used(first)) == ("", (60, 100, 1000))
    world.record(stop)
    (second,) = world.cut(100)
    assert (second.closed_by, used(second)) == ("stop", (30, 50, 1000))
    assert (first.start_us, first.end_us) == (at(0), at(60))
    assert (second.start_us, second.end_us) == (at(60), at(90))
    assert first.counters_to == second.counters_from
    assert first.session_id == second.session_id


def test_the_same_cycle_again_is_the_same_usages(world: World) -> None:
    world.record(*whole(), *whole("0002"))
    first = world.cut()
    assert [usage.usage_id for usage in first] == sorted(usage.usage_id for usage in first)
    world.record(*whole("0003"))
    assert world.cut_again(1) == first
    assert len(world.cut()) == 1
    assert world.cut_again(1) == first


def test_an_empty_cycle_stays_empty(world: World) -> None:
    assert world.cut() == ()
    world.record(*whole())
    assert world.cut_again(1) == ()
    assert len(world.cut()) == 1


def test_what_is_ahead_of_the_cut_waits(world: World) -> None:
    world.record(*whole(), restart(95))
    (first,) = world.cut(60)
    assert used(first) == (60, 100, 1000)
    assert first.closed_by == ""
    assert world.cut(89) == ()
    (second,) = world.cut(90)
    assert used(second) == (30, 50, 1000)
    with world.unit() as unit:
        assert world.service.totals(unit).observations_pending == 1
    world.cut(95)
    with world.unit() as unit:
        assert world.service.totals(unit).observations_pending == 0


def test_a_late_observation_inside_the_settled_range_is_evidence_only(world: World) -> None:
    start, interim, stop = whole()
    world.record(start, stop)
    assert len(world.cut()) == 1
    assert world.record(interim) == 1
    assert world.cut() == ()


def test_a_lost_stop_is_closed_by_silence_from_the_last_interim() -> None:
    world = World(silence_us=180 * SECOND_US)
    start, interim, stop = whole()
    world.record(start, interim)
    (usage,) = world.cut(60 + 181)
    assert (usage.closed_by, usage.end_us, used(usage)) == ("rule", at(60), (60, 100, 1000))
    world.record(stop)
    (late,) = world.cut(400)
    assert (late.closed_by, used(late)) == ("stop", (30, 50, 1000))
    assert late.counters_from == usage.counters_to


@pytest.mark.parametrize(("cut_at", "closed_by"), [(240, ""), (241, "rule")])
def test_the_limit_of_silence(cut_at: int, closed_by: str) -> None:
    world = World(silence_us=180 * SECOND_US)
    world.record(*whole()[:2])
    (usage,) = world.cut(cut_at)
    assert usage.closed_by == closed_by


def test_silence_closes_what_had_nothing_new() -> None:
    world = World(silence_us=180 * SECOND_US)
    world.record(*whole()[:2])
    (usage,) = world.cut(60)
    world.cut(240)
    with world.unit() as unit:
        assert world.service.totals(unit).sessions_open == 1
    assert world.cut(241) == ()
    with world.unit() as unit:
        session = world.service.session(unit, usage.session_id)
        assert session is not None
        assert session.closed_by == "rule"
        assert world.service.totals(unit).sessions_open == 0


@pytest.mark.parametrize("status", [Status.ON, Status.OFF])
def test_a_restart_closes_what_began_before_it(world: World, status: Status) -> None:
    world.record(*whole()[:2], *whole("0002")[:2], restart(61, nas="ap-2"))
    world.cut(61)
    with world.unit() as unit:
        assert world.service.totals(unit).sessions_open == 2
    world.record(restart(70, status=status))
    assert world.cut(70) == ()
    with world.unit() as unit:
        assert world.service.totals(unit).sessions_open == 0
    world.record(*whole())
    (usage,) = world.cut(100)
    assert (usage.closed_by, used(usage)) == ("stop", (30, 50, 1000))


def test_a_restart_in_the_same_cut_closes(world: World) -> None:
    world.record(restart(70), *whole()[:2], restart(-5))
    (usage,) = world.cut(100)
    assert usage.closed_by == "rule"


def test_a_name_reused_after_a_restart_is_another_session(world: World) -> None:
    weak = {"auth": None}
    again = [
        seen(START, 200, **weak),
        seen(INTERIM, 260, (60, 100, 1000), **weak),
        seen(STOP, 290, (90, 150, 2000), **weak),
    ]
    world.record(*whole(**weak), restart(150), *again)
    usages = world.cut()
    assert [used(usage) for usage in usages] == [(90, 150, 2000)] * 2
    assert {usage.session_id for usage in usages} == {
        ids.weak_session_id(HOME, VISITED, NAS, "0001", epoch_us=epoch_us)
        for epoch_us in (0, at(150))
    }
    assert all(usage.weak and usage.rung is Rung.ONE_SIDED for usage in usages)


def test_a_late_restart_decides_by_its_event_time(world: World) -> None:
    weak = {"auth": None}
    world.record(seen(START, 200, **weak))
    assert world.cut(210) == ()
    world.record(seen(INTERIM, 260, (60, 1, 1), **weak), restart(150))
    (usage,) = world.cut(300)
    assert usage.session_id == ids.weak_session_id(HOME, VISITED, NAS, "0001", epoch_us=at(150))
    with world.unit() as unit:
        assert world.service.totals(unit).sessions == 1


def test_what_was_cut_keeps_its_identity(world: World) -> None:
    weak = {"auth": None}
    world.record(seen(START, 200, **weak), seen(INTERIM, 260, (60, 1, 1), **weak))
    (first,) = world.cut(270)
    world.record(seen(STOP, 290, (90, 5, 5), **weak), restart(150))
    (second,) = world.cut(300)
    assert second.session_id == first.session_id
    assert second.counters_from == first.counters_to


def test_a_start_a_little_before_its_access_points_restart_time_holds_together(
    world: World,
) -> None:
    """Whole seconds jitter: an interim whose birth falls before the On still belongs after it."""
    weak = {"auth": None}
    world.record(
        restart(100),
        seen(START, 100.2, **weak),
        seen(INTERIM, 160, (61, 10, 10), **weak),
        seen(STOP, 200, (100, 20, 20), **weak),
    )
    (usage,) = world.cut()
    assert used(usage) == (100, 20, 20)
    assert usage.session_id == ids.weak_session_id(HOME, VISITED, NAS, "0001", epoch_us=at(100))


def test_a_second_authorisation_does_not_pay_for_the_first(world: World) -> None:
    """Re-authentication: the access point counts on under the same Acct-Session-Id."""
    readings = [
        seen(START, 0),
        seen(INTERIM, 60, (60, 100, 1000)),
        seen(INTERIM, 120, (120, 150, 2000), auth=AUTH_2),
        seen(STOP, 180, (180, 200, 3000), auth=AUTH_2),
    ]
    world.record(*readings)
    usages = {usage.authorisation_id: usage for usage in world.cut()}
    assert used(usages[AUTH]) == (60, 100, 1000)
    assert used(usages[AUTH_2]) == (120, 100, 2000)
    assert usages[AUTH].closed_by == "rule"
    assert usages[AUTH_2].closed_by == "stop"
    assert usages[AUTH_2].counters_from == usages[AUTH].counters_to
    assert usages[AUTH].end_us == usages[AUTH_2].start_us == at(60)
    split = World()
    found = []
    for reading in readings:
        split.record(reading)
        found += split.cut()
    assert total(found) == (180, 200, 3000)
    assert total([u for u in found if u.authorisation_id == AUTH_2]) == (120, 100, 2000)


def test_a_class_dropped_on_the_way_is_the_same_session(world: World) -> None:
    world.record(
        seen(START, 0, auth=None),
        seen(INTERIM, 60, (60, 100, 1000)),
        seen(STOP, 90, (90, 150, 2000), auth=None),
    )
    (usage,) = world.cut()
    assert used(usage) == (90, 150, 2000)
    assert usage.session_id == ids.session_id(AUTH, NAS, "0001")


def test_a_class_that_comes_after_a_cut_takes_over(world: World) -> None:
    world.record(seen(START, 0, auth=None), seen(INTERIM, 60, (60, 100, 1000), auth=None))
    (weak,) = world.cut(70)
    world.record(seen(STOP, 90, (90, 150, 2000)))
    (strong,) = world.cut(100)
    assert weak.weak
    assert not strong.weak
    assert total([weak, strong]) == (90, 150, 2000)


def test_another_home_under_the_same_name_is_another_session(world: World) -> None:
    world.record(
        *whole(auth=None),
        seen(START, 500, auth=None, home=HOME_2),
        seen(STOP, 560, (60, 7, 8), auth=None, home=HOME_2),
    )
    usages = {usage.home: usage for usage in world.cut()}
    assert used(usages[HOME]) == (90, 150, 2000)
    assert used(usages[HOME_2]) == (60, 7, 8)


def test_an_unknown_home_still_yields_a_usage(world: World) -> None:
    world.record(*whole(auth=None, home=None))
    (usage,) = world.cut()
    assert usage.home is None
    assert used(usage) == (90, 150, 2000)


def test_without_octets_the_duration_counts(world: World) -> None:
    world.record(seen(START, 0), seen(STOP, 65, (65, 0, 0)))
    (usage,) = world.cut()
    assert used(usage) == (65, 0, 0)


def test_nothing_used_is_no_usage(world: World) -> None:
    world.record(seen(START, 0), seen(STOP, 0, (0, 0, 0)))
    assert world.cut() == ()
    with world.unit() as unit:
        assert world.service.totals(unit).sessions_open == 0


@pytest.mark.parametrize(
    ("readings", "highest", "anomaly"),
    [
        ([(60, 100, 1000), (70, 90, 1100)], (70, 100, 1100), Anomaly.OCTETS_FELL),
        ([(60, 10, 4_000_000_000), (70, 20, 5_000)], (70, 20, 4_000_000_000), Anomaly.WRAPPED),
        ([(60, 4_000_000_000, 1), (70, 5_000, 2)], (70, 4_000_000_000, 2), Anomaly.WRAPPED),
        ([(60, 0, 5_000_000_000), (70, 0, 100)], (70, 0, 5_000_000_000), Anomaly.OCTETS_FELL),
        ([(60, 0, 4_200_000_000), (70, 0, 4_300_000_000)], (70, 0, 4_300_000_000), Anomaly.NONE),
    ],
)
def test_counters_that_fall_or_wrap(
    world: World, readings: list, highest: tuple, anomaly: Anomaly
) -> None:
    world.record(seen(START, 0), *(seen(INTERIM, r[0], r) for r in readings))
    (usage,) = world.cut()
    assert used(usage) == highest
    with world.unit() as unit:
        session = world.service.session(unit, usage.session_id)
    assert session is not None
    assert session.anomalies == anomaly


def test_a_wrap_over_a_cut_is_marked(world: World) -> None:
    world.record(seen(INTERIM, 60, (60, 1, 4_000_000_000)))
    (first,) = world.cut()
    world.record(seen(INTERIM, 70, (70, 1, 300)))
    (second,) = world.cut()
    assert total([first, second]) == (70, 1, 4_000_000_000)
    with world.unit() as unit:
        session = world.service.session(unit, first.session_id)
    assert session is not None
    assert session.anomalies == Anomaly.WRAPPED


def test_session_time_that_goes_back_is_marked(world: World) -> None:
    world.record(seen(START, 0), seen(INTERIM, 120, (120, 5, 5)), seen(INTERIM, 180, (30, 6, 6)))
    (usage,) = world.cut()
    assert used(usage) == (120, 6, 6)
    with world.unit() as unit:
        session = world.service.session(unit, usage.session_id)
    assert session is not None
    assert Anomaly.SESSION_TIME_FELL in session.anomalies


def test_more_after_a_stop_is_counted_and_marked(world: World) -> None:
    world.record(*whole(), seen(INTERIM, 95, (95, 200, 2000)))
    (usage,) = world.cut()
    assert used(usage) == (95, 200, 2000)
    assert usage.closed_by == "stop"
    with world.unit() as unit:
        session = world.service.session(unit, usage.session_id)
    assert session is not None
    assert session.anomalies == Anomaly.MORE_AFTER_STOP


def test_octets_without_session_time_stay_together(world: World) -> None:
    world.record(
        seen(START, 0, auth=None),
        seen(INTERIM, 60, (0, 10, 10), auth=None),
        seen(INTERIM, 120, (0, 20, 20)),
        seen(STOP, 180, (0, 30, 30)),
    )
    (usage,) = world.cut()
    assert used(usage) == (0, 30, 30)
    assert (usage.start_us, usage.end_us) == (at(0), at(180))


def test_more_streams_than_are_held_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "STREAMS_MAX", 3)
    for n in range(10):
        world.record(*whole(f"{n:04}", auth=bytes([n]) * 16))
    assert len(world.cut()) == 10
    with world.unit() as unit:
        totals = world.service.totals(unit)
    assert (totals.sessions, totals.observations, totals.usages) == (10, 30, 10)
    assert (totals.cuts, totals.sessions_open, totals.observations_pending) == (1, 0, 0)


def test_totals_count_what_no_cut_has_seen(world: World) -> None:
    world.record(*whole(), *whole("0002")[:2])
    with world.unit() as unit:
        totals = world.service.totals(unit)
    assert (totals.sessions, totals.sessions_open, totals.observations) == (2, 1, 5)
    world.cut(100)
    world.record(seen(STOP, 110, (110, 150, 2000), acct="0002"))
    with world.unit() as unit:
        totals = world.service.totals(unit)
    assert (totals.sessions, totals.sessions_open, totals.observations_pending) == (2, 0, 1)


def test_the_preview_sees_what_a_cut_would(world: World) -> None:
    stream = Stream(VISITED, NAS, "0001")
    world.record(*whole(auth=None), restart(-3))
    with world.unit() as unit:
        (session,) = world.service.preview(unit, [stream])[stream]
    (usage,) = world.cut()
    assert session.session_id == usage.session_id
    assert session.counters == usage.counters_to
    with world.unit() as unit:
        (after,) = world.service.preview(unit, [stream])[stream]
    assert after.counters == after.settled == usage.counters_to


def test_counters_beyond_storage_are_our_callers_mistake(world: World) -> None:
    with pytest.raises(ArithmeticError):
        world.record(seen(INTERIM, 1, (1, 0, 1 << 63)))


def test_largest_counters_are_kept(world: World) -> None:
    world.record(seen(STOP, 1, ((1 << 32) - 1, (1 << 63) - 1, (1 << 63) - 1)))
    (usage,) = world.cut()
    assert usage.counters_to == Counters(
        session_time_s=(1 << 32) - 1, octets_in=(1 << 63) - 1, octets_out=(1 << 63) - 1
    )


def test_a_usage_of_an_unknown_id_is_none(world: World) -> None:
    with world.unit() as unit:
        assert world.service.usage(unit, cycle_id(9)) is None
        assert world.service.session(unit, cycle_id(9)) is None


@pytest.mark.parametrize("first", [0, 1])
def test_of_copies_that_tell_another_time_the_earliest_is_read(world, first):
    world.record(seen(Status.START, first, subject=str(first)))
    assert world.record(seen(Status.START, 1 - first, subject=str(1 - first))) == 0
    world.record(seen(Status.INTERIM, 60, (60, 5, 7)))
    (usage,) = world.cut()
    assert (usage.start_us, usage.subject) == (at(0), "0")


def test_what_a_cut_has_taken_no_copy_moves(world):
    world.record(seen(Status.START, 1), seen(Status.INTERIM, 60, (60, 5, 7)))
    (usage,) = world.cut(100)
    assert world.record(seen(Status.START, 0)) == 0
    world.record(seen(Status.STOP, 120, (120, 6, 8)))
    (later,) = world.cut(200)
    assert usage.start_us == at(1)
    assert (later.start_us, used(later)) == (at(60), (60, 1, 1))


def test_what_was_counted_under_an_authorisation_before(world: World) -> None:
    """Of the session itself, whose name another had before it began."""
    interim = Status.INTERIM
    now = seen(interim, 5_000, (2_000, 900, 90), auth=AUTH_2)
    world.record(
        seen(interim, 2_000, (1_000, 800, 80)),
        seen(interim, 3_300, (300, 100, 10)),
        seen(interim, 3_900, (900, 500, 50)),
        seen(interim, 3_950, (950, 600, 60), acct="0002"),
        seen(interim, 4_000, (1_000, 550, 55), auth=None),
        seen(interim, 4_500, (1_500, 700, 70), auth=AUTH_2),
        seen(interim, 5_500, (2_500, 950, 95), auth=b"C" * 16),
        now,
    )
    with world.unit() as unit:
        assert world.service.octets_before(unit, now) == 550
        assert world.service.octets_before(unit, seen(interim, 3_300, (300, 100, 10))) == 0


def test_when_a_session_was_heard_last_and_whether_that_ended_it(world: World) -> None:
    interim = Status.INTERIM
    world.record(
        seen(Status.START, 0),
        seen(interim, 60, (60, 1, 1)),
        seen(interim, 90, (90, 1, 1), auth=AUTH_2),
        seen(interim, 70, (70, 1, 1), acct="0002", auth=b"C" * 16),
        seen(Status.STOP, 70, (70, 1, 1), acct="0002", auth=b"C" * 16),
    )
    first = seen(Status.START, 0)
    assert first.authorisation_id is not None

    def sought(authorisation: bytes, name: str, since_s: int = 0) -> Sought:
        return Sought(authorisation, first.nas_key, name, at(since_s))

    asked = [
        sought(first.authorisation_id, first.acct_session_id, 95),
        sought(AUTH_2, ""),
        sought(b"C" * 16, "0002"),
        sought(b"D" * 16, first.acct_session_id, 90),
        sought(b"E" * 16, first.acct_session_id, 89),
    ]
    with world.unit() as unit:
        found = world.service.last_heard(unit, asked)
    assert found == {
        first.authorisation_id: (at(90), True),
        AUTH_2: (at(90), False),
        b"C" * 16: (at(70), True),
        b"E" * 16: (at(90), True),
    }, "a session that goes on under another authorisation is over for the one before"
