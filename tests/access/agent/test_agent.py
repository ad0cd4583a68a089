"""The agent between an access point with its faults and a home that holds to the standards."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.access.agent.scene import (
    NODE,
    OPERATOR_NAME,
    STATION,
    Home,
    Scene,
    interim,
    start,
    stop,
)
from tests.access.fakes import NAS, NOW_US, REALM, usim

from opencarrier.access.agent.counters import WORD, Flag
from opencarrier.access.agent.model import Source
from opencarrier.access.agent.statement import Signed, judge, statement_of
from opencarrier.access.model import Listener, Origin
from opencarrier.access.wire.authenticators import accounting_request
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import Packet, integer, text
from opencarrier.kernel.clock import SECOND_US
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Rejected, Report

NOW_S = NOW_US // SECOND_US


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "node.sqlite")


def octets(packet: Packet) -> tuple[int, int]:
    def joined(low: Type, high: Type) -> int:
        return (packet.integer(high) or 0) * WORD + (packet.integer(low) or 0)

    return (
        joined(Type.ACCT_INPUT_OCTETS, Type.ACCT_INPUT_GIGAWORDS),
        joined(Type.ACCT_OUTPUT_OCTETS, Type.ACCT_OUTPUT_GIGAWORDS),
    )


async def test_a_phone_gets_on_and_its_use_arrives_mended(scene: Scene) -> None:
    """The access point drops Class and CUI, truncates User-Name, and has a name of its own."""
    async with scene.open() as radio:
        attached = await scene.attach()
        assert isinstance(attached, Attached)
        assert attached.keys_match
        assert attached.user_name is not None
        truncated = (int(Type.USER_NAME), attached.user_name[:8])
        for report in (
            start(event_s=NOW_S),
            interim(event_s=NOW_S + 60, session_time_s=60, octets_in=10, octets_out=70),
            stop(event_s=NOW_S + 90, session_time_s=90, octets_in=20, octets_out=90),
        ):
            await radio.tell(report, truncated)
        packets = await scene.delivered(3)
    asked = scene.home.requests[0]
    assert asked.get(Type.OPERATOR_NAME) == OPERATOR_NAME.encode()
    for packet in packets:
        assert packet.get(Type.NAS_IDENTIFIER) == NAS.encode()
        assert packet.get(Type.OPERATOR_NAME) == OPERATOR_NAME.encode()
        assert packet.all(Type.CLASS) == attached.classes
        assert packet.all(Type.USER_NAME) == (attached.user_name,)
        assert packet.all(Type.CHARGEABLE_USER_IDENTITY) == (attached.cui,)
    assert [octets(packet) for packet in packets] == [(0, 0), (10, 70), (20, 90)]
    facts = scene.sink.observations
    assert [fact.status.name for fact in facts] == ["START", "INTERIM", "STOP"]
    assert {fact.authorisation_id for fact in facts} == {
        scene.home.bench.policy.granted[0].authorisation_id
    }
    assert scene.running.metrics.repaired["class"] == 3


async def test_what_the_access_point_has_is_left_as_it_is(scene: Scene) -> None:
    async with scene.open() as radio:
        attached = await scene.attach()
        assert isinstance(attached, Attached)
        radio.nas_identifier = NAS
        await radio.report(start(event_s=NOW_S), attached)
        (packet,) = await scene.delivered(1)
    assert packet.all(Type.CLASS) == attached.classes
    assert not scene.running.metrics.repaired


async def test_a_newer_class_of_the_access_points_own_stays(scene: Scene) -> None:
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start(event_s=NOW_S), (int(Type.CLASS), b"newer than we know"))
        (packet,) = await scene.delivered(1)
    assert packet.all(Type.CLASS) == (b"newer than we know",)


async def test_a_changing_session_id_is_one_session(scene: Scene) -> None:
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start("first", event_s=NOW_S))
        await radio.tell(
            interim("second", event_s=NOW_S + 60, session_time_s=60, octets_in=5, octets_out=5)
        )
        await radio.tell(
            stop("third", event_s=NOW_S + 90, session_time_s=90, octets_in=9, octets_out=9)
        )
        packets = await scene.delivered(3)
    assert [packet.text(Type.ACCT_SESSION_ID) for packet in packets] == ["first"] * 3
    assert octets(packets[-1]) == (9, 9)
    assert scene.running.metrics.repaired["session_id_repaired"] == 2


@pytest.mark.parametrize("session_time_s", [None, 60 + 121])
async def test_another_beginning_is_another_session(
    scene: Scene, session_time_s: int | None
) -> None:
    async with scene.open() as radio:
        await radio.tell(start("first", event_s=NOW_S))
        more = {} if session_time_s is None else {"session_time_s": session_time_s}
        await radio.tell(interim("second", event_s=NOW_S + 60, octets_in=5, **more))
        packets = await scene.delivered(2)
    assert [packet.text(Type.ACCT_SESSION_ID) for packet in packets] == ["first", "second"]


async def test_octets_wrap_without_gigawords_and_are_counted_on(scene: Scene) -> None:
    shown = [WORD - 1_000, 500, 1_000]
    async with scene.open() as radio:
        await radio.tell(start(event_s=NOW_S))
        for number, value in enumerate(shown):
            at_s = 60 * (number + 1)
            await radio.tell(
                interim(event_s=NOW_S + at_s, session_time_s=at_s),
                integer(Type.ACCT_INPUT_OCTETS, value),
                integer(Type.ACCT_OUTPUT_OCTETS, 7),
            )
        packets = await scene.delivered(4)
    assert [octets(packet)[0] for packet in packets[1:]] == [
        WORD - 1_000,
        WORD + 500,
        WORD + 1_000,
    ]
    found = [statement_of(packet) for packet in packets]
    assert [one is not None and Flag.WRAPPED in one.statement.flags for one in found] == [
        False,
        False,
        True,
        False,
    ]


async def test_an_access_point_that_counts_anew_loses_nothing(scene: Scene) -> None:
    async with scene.open() as radio:
        await radio.tell(start(event_s=NOW_S))
        for at_s, told_s, value in ((60, 60, 9_000), (120, 5, 400), (180, 65, 900)):
            await radio.tell(
                interim(event_s=NOW_S + at_s, session_time_s=told_s, octets_in=value, octets_out=1)
            )
        packets = await scene.delivered(4)
    assert [octets(packet)[0] for packet in packets[1:]] == [9_000, 9_400, 9_900]
    assert [packet.integer(Type.ACCT_SESSION_TIME) for packet in packets[1:]] == [60, 65, 125]


async def test_what_is_old_is_acknowledged_and_goes_no_further(scene: Scene) -> None:
    late = interim(event_s=NOW_S + 30, session_time_s=30, octets_in=3)
    newer = interim(event_s=NOW_S + 60, session_time_s=60, octets_in=6)
    end = stop(event_s=NOW_S + 90, session_time_s=90, octets_in=9)
    async with scene.open() as radio:
        await radio.tell(start(event_s=NOW_S))
        for report in (newer, late, newer, end, end, newer):
            await radio.tell(report, integer(Type.ACCT_DELAY_TIME, 3))
        packets = await scene.delivered(3)
    assert [octets(packet)[0] for packet in packets] == [0, 6, 9]
    assert scene.running.metrics.acknowledged == 7


async def test_a_session_id_used_again_is_a_new_session(scene: Scene) -> None:
    async with scene.open() as radio:
        for at_s in (0, 500):
            await radio.tell(start(event_s=NOW_S + at_s))
            await radio.tell(interim(event_s=NOW_S + at_s + 9, session_time_s=9, octets_in=4))
        packets = await scene.delivered(4)
    told: dict[object, list[tuple[int, int]]] = {}
    for packet in packets:
        signed = statement_of(packet)
        assert signed is not None
        said = (signed.statement.sequence, octets(packet)[0])
        told.setdefault(signed.statement.chain, []).append(said)
    assert list(told.values()) == [[(0, 0), (1, 4)]] * 2, "each in its order, the two in any"


async def test_two_sessions_of_one_name_in_one_second_have_each_its_chain(scene: Scene) -> None:
    """An honest node is never found to have said two things."""
    async with scene.open() as radio:
        for octets_in in (1, 2, 3):
            await radio.tell(start(event_s=NOW_S))
            await radio.tell(stop(event_s=NOW_S, session_time_s=0, octets_in=octets_in))
        await scene.delivered(6)
        chains: dict[object, list[Signed]] = {}
        for signed in scene.running.agent.store.statements():
            chains.setdefault(signed.statement.chain, []).append(signed)
    assert len(chains) == 3
    assert all(judge(chain, [NODE.address]) == [] for chain in chains.values())


async def test_octets_come_from_the_kernel_where_none_are_reported(scene: Scene) -> None:
    scene.source = Source.AUTO
    scene.kernel.set(1_000_000, 2_000_000)
    async with scene.open() as radio:
        await radio.tell(start(event_s=NOW_S))
        scene.kernel.set(1_000_500, 2_000_900)
        await radio.tell(interim(event_s=NOW_S + 60, session_time_s=60))
        scene.kernel.set(40, 30, interface=4)
        await radio.tell(interim(event_s=NOW_S + 90, session_time_s=90))
        scene.kernel.set(100, 70, interface=4)
        scene.running.agent.sample()
        scene.kernel.ports.clear()
        await radio.tell(stop(event_s=NOW_S + 99, session_time_s=99))
        packets = await scene.delivered(4)
    assert [octets(packet) for packet in packets] == [
        (0, 0),
        (500, 900),
        (540, 930),
        (600, 970),
    ]
    last = statement_of(packets[-1])
    assert last is not None
    assert last.statement.flags == Flag.KERNEL | Flag.PORT_LOST


async def test_octets_the_access_point_reports_go_before_the_kernels(scene: Scene) -> None:
    scene.source = Source.AUTO
    scene.kernel.set(0, 0)
    async with scene.open() as radio:
        await radio.tell(start(event_s=NOW_S))
        scene.kernel.set(777, 777)
        await radio.tell(interim(event_s=NOW_S + 60, session_time_s=60, octets_in=5, octets_out=6))
        packets = await scene.delivered(2)
    assert octets(packets[-1]) == (5, 6)


async def test_reported_octets_are_not_looked_at_where_the_kernel_is_asked_for(
    scene: Scene,
) -> None:
    scene.source = Source.KERNEL
    scene.kernel.set(0, 0)
    async with scene.open() as radio:
        await radio.tell(start(event_s=NOW_S, octets_in=0, octets_out=0))
        scene.kernel.set(777, 778)
        await radio.tell(interim(event_s=NOW_S + 60, session_time_s=60, octets_in=5, octets_out=6))
        packets = await scene.delivered(2)
    assert octets(packets[-1]) == (777, 778)


async def test_every_report_carries_a_statement_the_home_can_check(scene: Scene) -> None:
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start(event_s=NOW_S))
        for at_s in (60, 120):
            await radio.tell(interim(event_s=NOW_S + at_s, session_time_s=at_s, octets_in=at_s))
        await radio.tell(stop(event_s=NOW_S + 130, session_time_s=130, octets_in=200))
        packets = await scene.delivered(4)
        kept = list(scene.running.agent.store.statements("s1"))
    sent = [one for packet in packets if (one := statement_of(packet))]
    assert sent == kept
    assert judge(sent, [NODE.address]) == []
    assert {one.signature.kid for one in sent} == {NODE.address}


async def test_an_access_point_that_restarts_says_so_and_its_sessions_end(scene: Scene) -> None:
    async with scene.open() as radio:
        await radio.tell(start(event_s=NOW_S))
        await radio.tell(Report(status=AcctStatus.ACCOUNTING_ON, event_s=NOW_S + 9))
        packets = await scene.delivered(2)
        assert scene.running.agent.store.count_open() == 0
    assert packets[1].integer(Type.ACCT_STATUS_TYPE) == AcctStatus.ACCOUNTING_ON
    assert packets[1].get(Type.NAS_IDENTIFIER) == NAS.encode()
    assert statement_of(packets[1]) is None


async def test_a_wrong_secret_an_unknown_address_and_garbage_are_dropped(scene: Scene) -> None:
    async with scene.open():
        agent = scene.running.agent
        own, stranger = ("127.0.0.1", 9), ("192.0.2.1", 9)
        forged = accounting_request(1, start().attributes(), b"wrong")
        for origin, datagram in (
            (Origin(Listener.ACCT, own), forged),
            (Origin(Listener.AUTH, own), forged),
            (Origin(Listener.ACCT, stranger), forged),
            (Origin(Listener.ACCT, own), b"garbage"),
        ):
            scene.running.receive(origin, datagram)
        assert dict(agent.metrics.dropped) == {
            "request_authenticator": 1,
            "code": 1,
            "access_point_unknown": 1,
            "packet_short": 1,
        }


@pytest.mark.parametrize(
    ("mode", "reason"), [("away", "hub_unreachable"), ("silent", "hub_silent")]
)
async def test_nobody_waits_in_vain_for_a_hub_that_is_away(
    tmp_path: Path, mode: str, reason: str
) -> None:
    scene = Scene(tmp_path / "node.sqlite", home=Home(mode=mode))
    scene.settings = replace(scene.settings, authentication_limit_s=0.05)
    async with scene.open():
        assert await scene.attach() == Rejected(reason=reason)
    assert scene.running.metrics.rejects == {reason: 1}


async def test_more_questions_than_the_limit_are_turned_away_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "node.sqlite", home=Home(mode="silent"))
    scene.settings = replace(scene.settings, authentications_max=2, authentication_limit_s=0.3)
    async with scene.open() as radio:
        phones = [radio.attach(AkaPrimePeer(usim(), REALM)) for _ in range(3)]
        answers = await asyncio.gather(*phones)
    reasons = sorted(answer.reason for answer in answers if isinstance(answer, Rejected))
    assert reasons == ["busy", "hub_silent", "hub_silent"]


async def test_a_station_is_known_in_every_writing_of_its_address(scene: Scene) -> None:
    async with scene.open() as radio:
        attached = await scene.attach()
        assert isinstance(attached, Attached)
        radio.station = STATION.replace("-", ":").upper()
        await radio.tell(start(event_s=NOW_S))
        (packet,) = await scene.delivered(1)
    assert packet.all(Type.CLASS) == attached.classes
    assert text(Type.CALLING_STATION_ID, radio.station) in packet.attributes
