"""A session is cut where its terms change: at the microsecond, and its parts are the whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from tests.rating.roaming import line, rate, roaming

from opencarrier.kernel.clock import FixedClock, Window
from opencarrier.kernel.ids import Id
from opencarrier.rating.model import Tariff
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v1 import WholesaleLegs
from opencarrier.rating.rules.v2.charges import LineTerms
from opencarrier.spine.access import WIFI
from opencarrier.spine.parties import Node, PartyId
from opencarrier.spine.records import Service
from opencarrier.spine.usage import ZERO, Counters, Observation, Status, Stretch, Usage
from opencarrier.usage.ingest import Ingest, IngestOrder
from opencarrier.usage.service import UsageService

from . import capture
from .decoder import AccessDecoder
from .worlds import AUTH, FAR_US, HOME, VISITED, World, at, cycle_id, seen, total

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = Path(os.environ.get("OPENCARRIER_TEST_DATA", DATA)) / "wba-accounting-download-5gb.pcap"
TARIFF = Tariff(
    window=Window(0, FAR_US * 2),
    unit="octets_total",
    step=10_240,
    price_nano=1_777,
    minimum_minor=4_000,
    tax_ppm=77_000,
    tax_included=True,
    host_ppm=617_000,
)

ROAMING = roaming(
    line(
        services=(Service.WIFI,), first_step=60 << 10, price_nano=1_777, fixed_minor=4_321,
        minimum_minor=4_400, currency="EUR", tax_ppm=77_000, host_ppm=617_000,
    ),
    rates=(rate(rate=1_083_517, decimals=6),),
    protocol_ppm=9_000,
)  # fmt: skip
LINE_TERMS = LineTerms(
    head=ROAMING.head, line=ROAMING.lines[0], exchange=ROAMING.rates[0], offered=WIFI
)


@dataclass
class Terms:
    """Terms that change at some instants, for everybody."""

    instants: list[int] = field(default_factory=list)
    asked: list[Stretch] = field(default_factory=list)

    def changes(self, unit: Connection, stretches: Sequence[Stretch]) -> Mapping[Id, Sequence[int]]:
        self.asked += stretches
        found = {
            item.session_id: [t for t in sorted(self.instants) if item.start_us < t < item.end_us]
            for item in stretches
        }
        return {session: instants for session, instants in found.items() if instants}


def changing(*instants: int) -> World:
    world = World()
    world.service = UsageService(terms=Terms(list(instants)))
    return world


def parts(usages: Sequence[Usage]) -> list[Usage]:
    return sorted(usages, key=lambda usage: (usage.start_us, usage.counters_from))


def legs(usages: Sequence[Usage]) -> WholesaleLegs:
    """Sum what usages cost by one tariff, each as the difference of two cumulatives."""
    return _summed(usages, lambda counters: v1.wholesale_legs(TARIFF, 9_000, counters))


def legs_by_line(usages: Sequence[Usage]) -> WholesaleLegs:
    """Sum what usages cost by a line of a roaming agreement in another currency."""
    return _summed(usages, LINE_TERMS.legs)


def _summed(usages: Sequence[Usage], price: Callable[[Counters], WholesaleLegs]) -> WholesaleLegs:
    found = price(ZERO)
    for usage in usages:
        found += price(usage.counters_to) - price(usage.counters_from)
    return found


def test_what_was_used_by_then_lies_between_the_readings_around_it() -> None:
    world = changing(at(14), at(20))
    world.record(
        seen(Status.START, 0, (0, 0, 0)),
        seen(Status.INTERIM, 10, (10, 1_000, 50)),
        seen(Status.STOP, 20.5, (20, 2_050, 51)),
    )
    first, second, third = parts(world.cut())
    assert (first.counters_to.octets_in, second.counters_to.octets_in) == (1_400, 2_000)
    assert (first.counters_to.octets_out, second.counters_to.octets_out) == (50, 50)  # down
    assert (first.counters_to.session_time_s, second.counters_to.session_time_s) == (13, 19)
    assert [(one.start_us, one.end_us) for one in (first, second, third)] == [
        (at(0), at(14)),
        (at(14), at(20)),
        (at(20), at(20.5)),
    ]
    assert [one.closed_by for one in (first, second, third)] == ["", "", "stop"]


@pytest.mark.parametrize(
    ("instant", "cut"),
    [(at(10), False), (at(10) + 1, True), (at(20) - 1, True), (at(20), False)],
)
def test_a_change_at_the_edge_of_what_is_cut_cuts_nothing(instant: int, cut: bool) -> None:
    world = changing(instant)
    world.record(seen(Status.START, 0, (0, 0, 0)), seen(Status.INTERIM, 10, (10, 10**8, 0)))
    assert len(world.cut(15)) == 1
    world.record(seen(Status.STOP, 20, (20, 3 * 10**8, 0)))
    found = parts(world.cut())
    assert len(found) == 1 + cut
    assert total(found) == (10, 2 * 10**8, 0)
    if cut:
        assert found[0].end_us == found[1].start_us == instant


def test_a_part_in_which_nothing_was_used_is_none() -> None:
    world = changing(at(9), at(10) + 1)
    world.record(
        seen(Status.START, 0, (0, 0, 0)),
        seen(Status.INTERIM, 10, (0, 0, 0)),
        seen(Status.STOP, 20, (10, 700, 0)),
    )
    (found,) = world.cut()
    assert (found.start_us, found.closed_by) == (at(10) + 1, "stop")


def test_the_same_cycle_again_gives_the_same_parts() -> None:
    world = changing(at(15))
    world.record(seen(Status.START, 0, (0, 0, 0)), seen(Status.STOP, 20, (20, 2_000, 3)))
    first = world.cut_again(1)
    world.service = UsageService(terms=Terms([at(7)]))
    assert world.cut_again(1) == first


def test_only_what_may_change_is_asked_for() -> None:
    world = changing()
    assert isinstance(world.service.terms, Terms)
    world.record(
        seen(Status.START, 0, (0, 0, 0)),
        seen(Status.STOP, 20, (20, 2_000, 3)),
        seen(Status.STOP, 20, (20, 2_000, 3), auth=None, acct="x", home=None),
    )
    assert len(world.cut()) == 2
    (asked,) = world.service.terms.asked
    assert (asked.home, asked.visited, asked.authorisation_id) == (HOME, VISITED, AUTH)
    assert (asked.start_us, asked.end_us) == (at(0), at(20))


STEPS = st.lists(
    st.tuples(st.integers(1, 90), st.integers(0, 10**7), st.integers(0, 10**7)),
    min_size=1,
    max_size=8,
)
INSTANTS = st.lists(st.integers(0, 720 * 10**6).map(lambda us: at(0) + us), max_size=4)


def life(steps: Sequence[tuple[int, int, int]]) -> list[Observation]:
    """Return a session's readings: each some seconds and octets after the one before."""
    second, octets_in, octets_out = 0, 0, 0
    sent = [seen(Status.START, 0, (0, 0, 0))]
    for number, (more, more_in, more_out) in enumerate(steps, start=1):
        second, octets_in, octets_out = second + more, octets_in + more_in, octets_out + more_out
        status = Status.STOP if number == len(steps) else Status.INTERIM
        sent.append(seen(status, second, (second, octets_in, octets_out)))
    return sent


@settings(max_examples=25)
@given(STEPS, INSTANTS, st.lists(st.integers(0, 720), max_size=4), st.randoms())
def test_parts_are_the_whole_however_cycles_and_packets_fall(
    steps: list[tuple[int, int, int]], instants: list[int], cycles: list[int], random: object
) -> None:
    """Neither order, copies nor where cycles end move what was used by an instant."""
    sent = life(steps)
    once, often = changing(*instants), changing(*instants)
    shuffled = sent * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    once.record(*shuffled)
    expected = parts(once.cut())
    found: list[Usage] = []
    for cycle_s in [*sorted(cycles), 10**6]:
        often.record(*[item for item in sent if item.event_us <= at(cycle_s)])
        found += often.cut(cycle_s)
    found = parts(found)
    assert total(found) == total(expected)
    for before, after in pairwise(found):
        assert before.counters_to == after.counters_from
        assert before.end_us <= after.start_us
    by_then = {usage.end_us: usage.counters_to for usage in found}
    for usage in expected:
        assert by_then[usage.end_us] == usage.counters_to
    assert legs(found) == legs(expected) == v1.wholesale_legs(TARIFF, 9_000, _last(sent))


def _last(sent: Sequence[Observation]) -> Counters:
    counters = sent[-1].counters
    assert counters is not None
    return counters


def interims(sent: Sequence[tuple[int, tuple[int, int, int]]]) -> list[Observation]:
    start_s = capture.START_S
    made = [seen(Status.START, 0, (0, 0, 0))]
    made += [seen(Status.INTERIM, at_s - start_s, counters) for at_s, counters in sent[:-1]]
    return [*made, seen(Status.STOP, sent[-1][0] - start_s, sent[-1][1])]


def test_177_interims_cost_what_one_stop_does() -> None:
    """A cycle after each reading, and cuts between equal terms: to the unit, leg by leg."""
    sent = []
    for number in range(1, capture.INTERIMS + 1):
        seconds = number * 10
        octets = (capture.OCTETS_IN, capture.OCTETS_OUT)
        used = [whole * seconds // capture.SESSION_TIME_S for whole in octets]
        sent.append((capture.START_S + seconds, (seconds, used[0], used[1])))
    whole = (capture.SESSION_TIME_S, capture.OCTETS_IN, capture.OCTETS_OUT)
    sent.append((capture.START_S + capture.SESSION_TIME_S, whole))
    often = changing(*[at(second) + 1 for second in range(0, 1_773, 97)])
    found: list[Usage] = []
    for observation in interims(sent):
        often.record(observation)
        found += often.cut((observation.event_us - at(0)) // 10**6)
    once = World()
    once.record(interims(sent)[-1])
    (stop,) = once.cut()
    assert len(found) == capture.INTERIMS + 1 + 19
    assert total(found) == total([stop]) == whole
    assert legs(found) == legs([stop])
    assert legs_by_line(found) == legs_by_line([stop])


def test_the_real_captures_177_interims_cost_what_one_stop_does(tmp_path: Path) -> None:
    if not REAL.exists():
        pytest.skip(f"no real capture: {REAL.name} is not in OPENCARRIER_TEST_DATA")
    world = World()
    door = Ingest(
        usage=world.service,
        decoder=AccessDecoder(),
        transactions=world.engine.begin,
        home_of=lambda _, realm: None,
        clock=FixedClock(FAR_US + 10**15),
    )
    host = PartyId("host_" + "d" * 32)
    node = Node(node_id="node-1", nas_identifier="ap-1", operator=VISITED, host=host)
    report = door.run([REAL], IngestOrder(node=node, home=HOME))
    assert report.packets == 179
    far_us = FAR_US + 10**15
    with world.unit() as unit:
        (stop,) = world.service.cut(unit, cycle_id=cycle_id(1), cut_us=far_us)
        session = world.service.session(unit, stop.session_id)
        assert session is not None
        sent = sorted(world.service.evidence(unit, session.stream), key=lambda one: one.event_us)
    often = changing(*[session.birth_us + 97_000_001 * number for number in range(1, 19)])
    found: list[Usage] = []
    for number, observation in enumerate(sent):
        often.record(observation)
        with often.unit() as unit:
            cycle = cycle_id(number)
            found += often.service.cut(unit, cycle_id=cycle, cut_us=observation.event_us)
    assert len(sent) == 179
    assert len(found) > capture.INTERIMS
    assert total(found) == total([stop]) == (1_773, 147_699_750, 5_682_218_308)
    assert legs_by_line(found) == legs_by_line([stop])
    assert legs(found) == legs([stop])
    assert legs_by_line(found) == legs_by_line([stop])
