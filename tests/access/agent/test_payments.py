"""Payments of devices on their way to the home: beside reports, through outages, judged."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from tests.access import test_passing as passing
from tests.access.agent.scene import Scene, interim, start, stop
from tests.access.fakes import NAS, peer_error
from tests.access.radsec import until

from opencarrier.access.agent import store as stores
from opencarrier.access.agent.payments import (
    PART_OCTETS_MAX,
    SPEAK_BURST,
    SPEAK_EVERY_US,
    Carried,
    State,
    Verdict,
    carried_of,
    session_id_at,
    verdict_of,
)
from opencarrier.access.agent.sessions import Accepted
from opencarrier.access.agent.statement import ENTERPRISE, flaws, statement_of
from opencarrier.access.agent.store import CHANNELS_PER_SESSION_MAX, AgentStore
from opencarrier.access.recording import Recorder
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import PACKET_OCTETS_MAX, Packet, vendor
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError, Reason, Refusal
from opencarrier.spine.ids import session_id as session_id_of

CHANNEL = b"c" * 32


class Why(Reason):
    STALE = 1


@dataclass
class Payments:
    """The home's channel book, as far as access sees it."""

    taken: list[tuple[bytes, bytes, Id]] = field(default_factory=list)
    refuses: Refusal | None = None
    breaks: bool = False
    fails: bool = False

    def carried(self, unit, voucher, ack, *, session_id, node_id, at_us):
        assert node_id
        if self.fails:
            unit.execute(text("INSERT INTO observation (digest) VALUES ('half done')"))
            raise ArithmeticError("a mistake of ours")
        if self.breaks:
            raise PeerError("carried_payment", "form")
        if self.refuses is None:
            self.taken.append((voucher, ack, session_id))
        return self.refuses


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path / "node.sqlite")
    made.home.bench.payments = Payments()
    return made


def book(scene: Scene) -> Payments:
    return scene.home.bench.payments


def carried(number: int) -> Carried:
    return Carried(b"voucher %d" % number, b"ack %d" % number)


async def pay(scene: Scene, number: int, *, patience_s: float = 2.0, channel: bytes = CHANNEL):
    brought = await scene.running.pay(1, channel, carried(number), patience_s)
    assert brought is not None
    return brought


async def test_a_payment_goes_at_once_with_a_report_of_the_agents_own(scene: Scene) -> None:
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start())
        await radio.tell(interim(session_time_s=60, octets_in=5, octets_out=7))
        await scene.delivered(2)
        brought = await pay(scene, 1)
        assert (brought.state, brought.reason) == (State.TAKEN, "")
        assert len(await scene.delivered(3)) == 3
        await radio.tell(stop(session_time_s=70, octets_in=6, octets_out=8))
        reports = await scene.delivered(4)
        last = await pay(scene, 2)
        assert last.state is State.TAKEN, "an ack of the end may come after the Stop"
    again = reports[2]
    grant = scene.home.bench.policy.granted[0]
    session_id = session_id_of(grant.authorisation_id, NAS, "s1")
    assert [one[2] for one in book(scene).taken] == [session_id, session_id]
    assert again.integer(Type.ACCT_STATUS_TYPE) == AcctStatus.INTERIM_UPDATE
    for kind in (Type.ACCT_SESSION_TIME, Type.ACCT_INPUT_OCTETS, Type.ACCT_OUTPUT_OCTETS):
        assert again.integer(kind) == reports[1].integer(kind), "it says again what was told"
    signed = [statement_of(packet) for packet in scene.home.reports]
    assert flaws([one for one in signed if one]) == []
    assert [one.statement.sequence for one in signed if one] == [0, 1, 2, 3, 4]
    classes = reports[0].all(Type.CLASS)
    assert session_id_at(classes, NAS, "s1") == session_id
    assert session_id_at((b"\x02short",), NAS, "s1") is None


async def test_the_newest_waits_through_an_outage_and_a_restart(scene: Scene) -> None:
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start())
        await scene.delivered(1)
        scene.home.mode = "away"
        for number in (1, 2, 3):
            assert (await pay(scene, number, patience_s=0.01)).state is State.WAITING
        await radio.tell(interim(session_time_s=60))
        stock = scene.running.agent.store.stock()
        assert (stock.payments_waiting, stock.waiting) == (1, 2), "one report of the agent's own"
    async with scene.open():
        scene.home.mode = "answers"
        await scene.delivered(3)
        (brought,) = scene.running.agent.store.payments(1)
        assert brought.state is State.TAKEN
    assert [voucher for voucher, *_ in book(scene).taken] == [b"voucher 3"]


async def test_a_payment_that_came_while_another_was_on_its_way_goes_next(scene: Scene) -> None:
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start())
        await scene.delivered(1)
        both = await asyncio.gather(
            *(scene.running.pay(1, CHANNEL, carried(number), 2.0) for number in (1, 2))
        )
        assert both[0] is None, "a newer one took its place"
        assert both[1] is not None
        assert both[1].state is State.TAKEN
        await until(lambda: scene.running.agent.store.stock().payments_waiting == 0)
    assert book(scene).taken[-1][0] == b"voucher 2"


async def test_what_the_home_says_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start())
        book(scene).refuses = Refusal(Why.STALE)
        refused = await pay(scene, 1)
        assert (refused.state, refused.reason) == (State.REFUSED, "stale")
        book(scene).fails, units = True, scene.home.bench.units
        assert (await pay(scene, 5)).reason == "internal_error"
        with units.engine.begin() as unit:
            assert unit.execute(text("SELECT * FROM observation")).all() == []
        assert len(scene.home.reports) == len(scene.sink.observations), "no report was lost for it"
        book(scene).fails, book(scene).breaks = False, True
        assert (await pay(scene, 2)).reason == "carried_payment"
        service = scene.home.service
        ports = replace(service._ports, payments=None)
        service._recorder = replace(service._recorder, ports=ports)
        assert (await pay(scene, 3)).reason == "not_taken_here"
        monkeypatch.setattr(Recorder, "_take_payment", lambda *_: None)
        assert (await pay(scene, 4)).state is State.PASSED_ON, "a hub says nothing of it"
        counted = scene.home.service.metrics.payments
        assert counted == {
            "stale": 1, "internal_error": 1, "carried_payment": 1, "not_taken_here": 1,
        }  # fmt: skip


async def test_a_session_of_nobody_known_pays_nothing(scene: Scene) -> None:
    """Without the home's Class there is no session a payment could be of."""
    async with scene.open() as radio:
        await radio.tell(start())
        assert (await pay(scene, 1)).state is State.PASSED_ON
    assert book(scene).taken == []


async def test_a_full_spool_lets_payments_wait(scene: Scene) -> None:
    scene.settings = replace(scene.settings, spool_octets_max=PACKET_OCTETS_MAX)
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start())
        await scene.delivered(1)
        scene.home.mode = "away"
        await radio.tell(start("s2"))
        assert (await pay(scene, 1, patience_s=0.01)).state is State.WAITING
        assert scene.running.agent.store.stock().waiting == 1
        scene.home.mode = "answers"
        await until(lambda: book(scene).taken != [])


async def test_what_can_never_be_sent_is_refused_and_not_tried_for_ever(scene: Scene) -> None:
    async with scene.open() as radio:
        await radio.tell(start())
        await scene.delivered(1)
        store = scene.running.agent.store
        found = store.session("ap1", "s1")
        assert found is not None
        number, session = found
        full = replace(session, accepted=Accepted(classes=(bytes(253),) * 14))
        with store.write():
            store.put_session(number, full, "s1")
        assert (await pay(scene, 1)).reason == "packet_full"
        with store.write():
            store.put_session(number, session, "s1")
        scene.running.agent.points.clear()
        assert (await pay(scene, 2)).reason == "access_point_gone"
    assert len(scene.home.reports) == 1


async def test_a_session_that_fell_silent_is_not_opened_again_by_its_payment(scene: Scene) -> None:
    """Its access point restarted while the home was away: the payment goes, nobody is there."""
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start())
        await scene.delivered(1)
        store = scene.running.agent.store
        with store.write():
            store.close_sessions(access_point="ap1", before_us=2**62)
        assert (await pay(scene, 1)).state is State.TAKEN
        assert len(await scene.delivered(2)) == 2
        assert store.open_sessions() == []


async def test_through_a_hub_it_is_for_the_home_alone(tmp_path: Path) -> None:
    """A hop passes it on unchanged, and answers before the home has heard: without a verdict."""
    between, brought = passing.Scene(tmp_path), carried(1)
    between.home.payments, between.hub.payments = Payments(), Payments()
    async with between.running(passing.TO_HOME) as hub:
        accept, *_ = await passing.attach(between, hub)
        token = [(int(Type.CLASS), value) for value in accept.all(Type.CLASS)]
        answer = await between.account(hub, 3, 700, *token, *brought.attributes())
        assert verdict_of(answer) is None
        await passing.until_delivered(between)
    grant = between.home.policy.granted[0]
    session_id = session_id_of(grant.authorisation_id, NAS, "session-1")
    assert between.home.payments.taken == [(brought.voucher, brought.ack, session_id)]
    assert between.hub.payments.taken == []


async def test_a_session_is_reported_anew_only_so_often(scene: Scene) -> None:
    """Turns come back with time; what waits for one is the newest payment."""
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start())
        for number in range(SPEAK_BURST):
            assert (await pay(scene, number)).state is State.TAKEN
        for number in (100, 101):
            assert (await pay(scene, number, patience_s=0.01)).state is State.WAITING
        assert len(scene.home.reports) == 1 + SPEAK_BURST
        scene.wait(SPEAK_EVERY_US // SECOND_US)
        assert (await pay(scene, 102)).state is State.TAKEN
    assert [one[0] for one in book(scene).taken[-2:]] == [b"voucher 19", b"voucher 102"]


async def test_a_session_keeps_the_newest_of_a_few_channels(scene: Scene) -> None:
    scene.home.mode = "away"
    async with scene.open() as radio:
        await radio.tell(start())
        for number in range(CHANNELS_PER_SESSION_MAX + 2):
            await pay(scene, number, patience_s=0.001, channel=bytes(31) + bytes((number,)))
        kept = scene.running.agent.store.payments(1)
    assert [one.carried for one in kept] == [carried(number) for number in (5, 4, 3, 2)]


def test_a_file_of_the_version_before_gets_its_new_table(tmp_path: Path) -> None:
    file = tmp_path / "node.sqlite"
    old = sqlite3.connect(file)
    old.executescript(f"{stores._STEPS[0]};PRAGMA user_version=1;")
    old.close()
    store = AgentStore(file)
    assert store.payments(1) == []
    store.close()
    newer = sqlite3.connect(file)
    newer.execute("PRAGMA user_version=9")
    newer.close()
    with pytest.raises(sqlite3.DatabaseError, match="version 9"):
        AgentStore(file)


@given(st.binary(max_size=60), st.integers(1, 6))
@settings(max_examples=50)
def test_whatever_stands_in_the_attributes_is_read_or_a_peers_mistake(
    octets: bytes, kind: int
) -> None:
    packet = Packet(Code.ACCOUNTING_REQUEST, 0, bytes(16), (vendor(ENTERPRISE, kind, octets),))
    for read in (carried_of, verdict_of):
        assert peer_error(read, packet) in ("parsed", "carried_payment", "payment_verdict")


def test_attributes_are_read_back() -> None:
    most = Carried(b"v" * PART_OCTETS_MAX, b"a" * PART_OCTETS_MAX)
    packet = Packet(Code.ACCOUNTING_REQUEST, 0, bytes(16), tuple(most.attributes()))
    assert carried_of(packet) == most
    for verdict in (Verdict(most.digest), Verdict(most.digest, "ack_stale")):
        answer = replace(packet, attributes=(verdict.attribute(),))
        assert verdict_of(answer) == verdict
    assert carried_of(answer) is None
    assert verdict_of(packet) is None
