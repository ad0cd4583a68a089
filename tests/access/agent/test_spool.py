"""Reports through an outage: kept, in order, once, with their times right, within limits."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.access.agent.scene import NoAnswerError, Scene, StationRadio, interim, start, stop
from tests.access.fakes import NOW_US
from tests.access.radsec import until

from opencarrier.access.agent.holders import Held
from opencarrier.access.agent.sessions import Accepted, Session
from opencarrier.access.agent.statement import flaws, statement_of
from opencarrier.access.agent.store import AgentStore, Waiting, sendable
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import PACKET_OCTETS_MAX, Packet, integer
from opencarrier.kernel.clock import SECOND_US
from opencarrier.sim.radio import Patience, Report

NOW_S = NOW_US // SECOND_US


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "node.sqlite", patience=Patience(first_s=0.3, tries=1))


def told(packet: Packet) -> tuple[str | None, int | None]:
    return packet.text(Type.ACCT_SESSION_ID), packet.integer(Type.ACCT_STATUS_TYPE)


async def answered(radio: StationRadio, report: Report) -> bool:
    try:
        await radio.tell(report)
    except NoAnswerError:
        return False
    return True


async def test_an_outage_and_a_restart_in_it_change_nothing(scene: Scene) -> None:
    scene.home.mode = "away"
    async with scene.open() as radio:
        await radio.tell(start("s1"), integer(Type.ACCT_DELAY_TIME, 2))
        scene.wait(60)
        await radio.tell(interim("s1", session_time_s=60, octets_in=10))
        await radio.tell(start("s2"))
    async with scene.open() as radio:
        scene.wait(40)
        await radio.tell(stop("s1", session_time_s=100, octets_in=20))
        scene.home.mode = "answers"
        packets = await scene.delivered(4)
    of_one = [packet for packet in packets if packet.text(Type.ACCT_SESSION_ID) == "s1"]
    assert [packet.integer(Type.ACCT_STATUS_TYPE) for packet in of_one] == [1, 3, 2]
    assert [packet.integer(Type.EVENT_TIMESTAMP) for packet in of_one] == [
        NOW_S - 2,
        NOW_S + 60,
        NOW_S + 100,
    ]
    assert [packet.integer(Type.ACCT_DELAY_TIME) for packet in of_one] == [102, 40, 0]
    facts = [f for f in scene.sink.observations if f.acct_session_id == "s1"]
    assert [fact.event_us for fact in facts] == [
        (NOW_S + at_s) * SECOND_US for at_s in (-2, 60, 100)
    ]


async def test_one_report_the_home_never_takes_stops_no_other(scene: Scene) -> None:
    scene.settings = replace(scene.settings, sending_max=1)
    scene.home.refused = {"poison"}
    async with scene.open() as radio:
        await radio.tell(start("poison"))
        for number in range(5):
            await radio.tell(start(f"s{number}"))
        for _ in range(300):
            left = scene.running.agent.store.waiting()
            if len(left) == 1:
                break
            await asyncio.sleep(0.01)
    assert sorted(name or "" for name, _ in map(told, scene.home.reports)) == [
        f"s{number}" for number in range(5)
    ]
    assert len(left) == 1


async def test_a_full_spool_gives_up_what_is_said_again_and_then_takes_no_more(
    scene: Scene,
) -> None:
    """Room for the first few reports: interims make way for a Stop, then nothing is answered."""
    scene.home.mode = "away"
    scene.settings = replace(scene.settings, spool_octets_max=PACKET_OCTETS_MAX + 1_500)
    async with scene.open() as radio:
        await radio.tell(start("s1"))
        at_s = 0
        while not scene.running.metrics.dropped["report_superseded"]:
            at_s += 60
            assert at_s < 3_600
            await radio.tell(interim("s1", session_time_s=at_s, octets_in=at_s))
        assert not all([await answered(radio, start(f"t{number}")) for number in range(8)])
        assert scene.running.metrics.dropped["spool_full"] >= 1
        assert scene.running.agent.store.spooled_octets <= scene.settings.spool_octets_max
        acknowledged = scene.running.metrics.acknowledged
        superseded = scene.running.metrics.dropped["report_superseded"]
        scene.home.mode = "answers"
        packets = await scene.delivered(acknowledged - superseded)
    of_one = [packet for packet in packets if packet.text(Type.ACCT_SESSION_ID) == "s1"]
    assert of_one[0].integer(Type.ACCT_STATUS_TYPE) == AcctStatus.START
    assert of_one[-1].integer(Type.ACCT_INPUT_OCTETS) == at_s


async def test_a_report_older_than_the_limit_is_given_up_and_counted(scene: Scene) -> None:
    scene.home.mode = "away"
    async with scene.open() as radio:
        await radio.tell(start("s1"))
        scene.wait(scene.settings.spool_age_max_s)
        scene.running.agent.housekeep(scene.now_us)
        assert len(scene.running.agent.store.waiting()) == 1
        scene.wait(1)
        scene.running.agent.housekeep(scene.now_us)
        assert scene.running.agent.store.waiting() == []
        assert scene.running.agent.store.spooled_octets == 0
    assert scene.running.metrics.dropped["report_expired"] == 1


async def test_more_open_sessions_than_the_limit_get_no_answer(scene: Scene) -> None:
    scene.settings = replace(scene.settings, sessions_max=2)
    async with scene.open() as radio:
        await radio.tell(start("s1"))
        await radio.tell(start("s2"))
        with pytest.raises(NoAnswerError):
            await radio.tell(start("s3"))
        await radio.tell(stop("s1", session_time_s=1))
        await radio.tell(start("s3"))
    assert scene.running.metrics.dropped["sessions_full"] == 1


async def test_a_queue_that_is_full_leaves_the_access_point_to_ask_again(scene: Scene) -> None:
    scene.settings = replace(scene.settings, accounting_queue_max=0)
    async with scene.open() as radio:
        with pytest.raises(NoAnswerError):
            await radio.tell(start("s1"))
    assert scene.running.metrics.dropped["accounting_queue_full"] == 1


async def test_a_packet_with_no_room_left_is_dropped(scene: Scene) -> None:
    filling = [(int(Type.CONNECT_INFO), b"x" * 253)] * 15
    async with scene.open() as radio:
        with pytest.raises(NoAnswerError):
            await radio.tell(start("s1"), *filling)
    assert scene.running.metrics.dropped["packet_full"] == 1


async def test_a_stop_sent_again_does_not_end_the_next_session_of_its_name(scene: Scene) -> None:
    """Its answer was lost, and the access point calls the next session the same."""
    async with scene.open() as radio:
        await radio.tell(start("s1"))
        scene.wait(100)
        await radio.tell(stop("s1", session_time_s=100, octets_in=500))
        scene.wait(5)
        await radio.tell(start("s1"))
        scene.wait(5)
        late = integer(Type.ACCT_DELAY_TIME, 10)
        await radio.tell(stop("s1", session_time_s=100, octets_in=500), late)
        scene.wait(20)
        await radio.tell(stop("s1", session_time_s=25, octets_in=30))
        packets = await scene.delivered(4)
    told: dict[object, list[int | None]] = {}
    for packet in packets:
        signed = statement_of(packet)
        assert signed is not None
        octets = packet.integer(Type.ACCT_INPUT_OCTETS)
        told.setdefault(signed.statement.chain, []).append(octets)
    assert sorted(told.values()) == [[0, 30], [0, 500]], "each in its order, the two in any"


async def test_a_silent_session_is_closed_and_forgotten_in_the_end(scene: Scene) -> None:
    async with scene.open() as radio:
        await radio.tell(start("s1"))
        await scene.delivered(1)
        agent = scene.running.agent
        scene.wait(scene.settings.session_silence_s)
        agent.housekeep(scene.now_us)
        assert agent.store.count_open() == 1
        scene.wait(1)
        agent.housekeep(scene.now_us)
        assert agent.store.count_open() == 0
        scene.wait(scene.settings.holders_kept_s)
        agent.housekeep(scene.now_us)
        assert agent.store.session("ap1", "s1") is None
        assert list(agent.store.statements()) == []


async def test_a_session_is_one_chain_however_long_it_was_silent(scene: Scene) -> None:
    async with scene.open() as radio:
        await radio.tell(start("s1"))
        await scene.delivered(1)
        agent = scene.running.agent
        for _ in range(2):
            scene.wait(scene.settings.spool_age_max_s)
            agent.housekeep(scene.now_us)
        lasted_s = 2 * scene.settings.spool_age_max_s
        await radio.tell(stop("s1", session_time_s=lasted_s, octets_in=5))
        await scene.delivered(2)
        chain = list(agent.store.statements())
        assert [one.statement.sequence for one in chain] == [0, 1]
        assert flaws(chain) == []
        scene.wait(scene.settings.spool_age_max_s + 1)
        agent.housekeep(scene.now_us)
        assert agent.store.session("ap1", "s1") is None
        assert len(list(agent.store.statements())) == 2


async def test_a_file_that_fails_for_a_moment_stops_no_delivery(scene: Scene) -> None:
    """Its disk is full, or another process holds it: the report goes when that is over."""
    async with scene.open() as radio:
        agent, failed = scene.running.agent, list[str]()

        def failing(name: str, work: Any) -> Any:
            def once(*given: Any) -> Any:
                if name not in failed:
                    failed.append(name)
                    raise sqlite3.OperationalError("disk I/O error")
                return work(*given)

            return once

        agent.delivered = failing("delivered", agent.delivered)
        for name in ("waiting", "next_payment"):
            setattr(agent.store, name, failing(name, getattr(agent.store, name)))
        await radio.tell(start("s1"))
        await until(lambda: agent.store.stock().waiting == 0)
        assert set(failed) == {"delivered", "waiting", "next_payment"}
        assert len(scene.home.reports) == 2, "sent again: nobody knew that it was taken"


async def test_an_access_point_whose_clock_was_never_set_has_one_session(scene: Scene) -> None:
    """By its clock everything of it is over long ago: the session, and who held the address."""
    address = (int(Type.FRAMED_IP_ADDRESS), b"\x0a\x00\x00\x07")
    behind = integer(Type.EVENT_TIMESTAMP, NOW_S - 100 * 86_400)
    async with scene.open() as radio:
        store = scene.running.agent.store
        await radio.tell(start("s1"), address, behind)
        await scene.delivered(1)
        for _ in range(2):
            scene.running.agent.housekeep(scene.now_us)
        scene.wait(60)
        await radio.tell(interim("s1", session_time_s=60, octets_in=5), address, behind)
        await scene.delivered(2)
        scene.running.agent.housekeep(scene.now_us)
        (found,) = store.holders("10.0.0.7", None, scene.now_us)
        assert (found.from_us, found.to_us) == (NOW_US, scene.now_us)
        chain = list(store.statements())
    assert [one.statement.sequence for one in chain] == [0, 1]
    assert flaws(chain) == []


async def test_who_held_an_address_is_known_between_its_first_and_last_mention(
    scene: Scene,
) -> None:
    address = (int(Type.FRAMED_IP_ADDRESS), b"\x0a\x00\x00\x07")
    async with scene.open() as radio:
        attached: Any = await scene.attach()
        await radio.tell(start("s1"), address)
        scene.wait(60)
        await radio.tell(stop("s1", session_time_s=60))
        store = scene.running.agent.store
        end_us = scene.now_us
        (found,) = store.holders("10.0.0.7", None, end_us)
        assert (found.from_us, found.to_us) == (end_us - 60 * SECOND_US, end_us)
        assert found.cui == attached.cui
        assert store.holders("10.0.0.7", None, end_us + 1) == []
        assert store.holders("10.0.0.7", None, found.from_us - 1) == []
        assert store.holders("10.0.0.8", None, end_us) == []
        scene.wait(scene.settings.holders_kept_s)
        scene.running.agent.housekeep(scene.now_us)
        assert len(store.holders("10.0.0.7", None, end_us)) == 1
        scene.wait(1)
        scene.running.agent.housekeep(scene.now_us)
        assert store.holders("10.0.0.7", None, end_us) == []
        for file in scene.file.parent.glob(f"{scene.file.name}*"):
            assert attached.cui not in file.read_bytes()


def test_ports_of_one_address_are_different_holders(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "node.sqlite")
    with store.write():
        for number, ports in enumerate(((1024, 2047), (2048, 4095)), start=1):
            session = Session(
                access_point="ap1",
                acct_session_id=f"s{number}",
                station=f"{number}",
                started_us=0,
                heard_us=0,
                accepted=Accepted(),
            )
            store.hold(number, session, Held("192.0.2.1", *ports), 5)
    for port, stations in ((1023, []), (1024, ["1"]), (2047, ["1"]), (2048, ["2"]), (4096, [])):
        assert [one.station for one in store.holders("192.0.2.1", port, 5)] == stations
    assert len(store.holders("192.0.2.1", None, 5)) == 2


def test_an_address_is_found_however_it_is_written(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "node.sqlite")
    session = Session(
        access_point="ap1",
        acct_session_id="s1",
        station="1",
        started_us=0,
        heard_us=0,
        accepted=Accepted(),
    )
    with store.write():
        store.hold(1, session, Held("2001:db8::7"), 5)
    for written in ("2001:db8::7", "2001:DB8::7", "2001:db8:0:0:0:0:0:7"):
        assert len(store.holders(written, None, 5)) == 1
    assert store.holders("2001:db8::8", None, 5) == []


def test_the_log_is_emptied_as_soon_as_nobody_reads(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    store = AgentStore(path)
    with store.write():
        store.accept("ap1", "1", Accepted(), 5)
        store.accept("ap1", "2", Accepted(), 5)
    log = path.with_name("node.sqlite-wal")
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM accepted").fetchall()
    with store.write():
        store.accept("ap1", "1", Accepted(), 6)
    store.wipe()
    assert log.stat().st_size > 0
    reader.close()
    store.wipe()
    assert log.stat().st_size == 0
    store.close()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    AgentStore(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "node.sqlite")

    def fail() -> None:
        with store.write():
            store.spool("ap1", 1, 1, [], received_us=0, delay_s=0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.waiting() == []
    assert store.spooled_octets == 0


rows = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from([None, 1, 2, 3])), min_size=1, max_size=24
)


@given(rows, st.integers(1, 4), st.randoms(use_true_random=False))
def test_whatever_is_sent_when_the_order_holds(
    made: list[tuple[str, int | None]], most: int, dice: Any
) -> None:
    """A model of the delivery: everything arrives, each session's and around On in its order."""
    left = [
        Waiting(number, point, None if session is None else session + 10 * ord(point), 0, 0, ())
        for number, (point, session) in enumerate(made)
    ]
    arrived: list[Waiting] = []
    flying: list[Waiting] = []
    while left:
        flying += sendable(left, frozenset(row.number for row in flying), most - len(flying))
        assert flying
        assert len(flying) <= most
        landed = dice.choice(flying)
        flying.remove(landed)
        left.remove(landed)
        arrived.append(landed)
    for index, later in enumerate(arrived):
        for earlier in arrived[:index]:
            same = earlier.access_point == later.access_point
            bound = None in (earlier.session, later.session) or earlier.session == later.session
            if same and bound:
                assert earlier.number < later.number
