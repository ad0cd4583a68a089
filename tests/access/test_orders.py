"""Orders to access networks: kept, sent until answered, judged; over UDP and back over RadSec."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.access.fakes import (
    HOME,
    NAS,
    NODE,
    NOW_US,
    SECRET,
    VISITED,
    FakePolicy,
    FakeUnits,
    peer_error,
)
from tests.access.radsec import ENTROPY, raising_nothing, until
from tests.access.test_upstream import Home

from opencarrier.access.dynamic import DynamicProxy, ErrorCause, ack, nak, sound
from opencarrier.access.dynamic_udp import DynamicBind, DynamicServer
from opencarrier.access.model import Listener, Origin, Transport
from opencarrier.access.orders import book as books
from opencarrier.access.orders.attaching import attach_of
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.model import Attach, Kind, Order, OrderLine, State
from opencarrier.access.orders.reach import SERVERS_MAX, Places, Reach
from opencarrier.access.orders.rules import Verdict, attributes, code, verdict
from opencarrier.access.orders.sending import OrderSender
from opencarrier.access.orders.store import metadata
from opencarrier.access.server import Ticket
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.upstream.udp import UdpUpstream
from opencarrier.access.wire.authenticators import request
from opencarrier.access.wire.dictionary import WBA, Code, Type
from opencarrier.access.wire.radius import Packet, integer, parse, text
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.spine.access import AuthorisationRequest, Change, Grant
from opencarrier.spine.parties import RadiusClient, Subscriber
from opencarrier.spine.people import Person
from opencarrier.spine.usage import Observation, Status

CLIENT = RadiusClient(client_id="cafe", prefix="127.0.0.1/32", secret=SECRET, operator=VISITED)
HOUR_US = 3_600 * SECOND_US
CHANGE = Change(filter_id="free", session_timeout_s=60, rate_octets_per_s=125_000)


def attach(number: int = 1, *, acct: str = "a1", transport: str = "udp") -> Attach:
    return Attach(
        authorisation_id=bytes([number]) * 16,
        client_id="cafe",
        transport=transport,
        host="127.0.0.1",
        nas_identifier=NAS,
        acct_session_id=acct,
        cui=f"cui-{number}",
        expires_us=NOW_US + HOUR_US,
    )


def observation(number: int, status: Status, session: str) -> Observation:
    return Observation(
        status=status,
        home=HOME,
        visited=VISITED,
        nas_key=NAS,
        node_id="node_1",
        authorisation_id=bytes([number]) * 16,
        acct_session_id=session,
        counters=None,
        subject="s",
        event_us=NOW_US,
        terminate_cause=None,
        reporter=VISITED,
        source="udp:127.0.0.1:1",
        packet_digest=bytes(32),
    )


def units(path: Path | None = None) -> FakeUnits:
    made = FakeUnits(path)
    metadata.create_all(made.engine)
    return made


class Orders(RuleBasedStateMachine):
    """Few sessions, every order; the model is what each session's open order is."""

    def __init__(self) -> None:
        super().__init__()
        self.units = units()
        self.book = OrderBook()
        self.now_us = NOW_US
        self.attached: dict[int, str] = {}
        self.open: dict[int, Kind] = {}

    numbers = st.integers(1, 3)

    @rule(number=numbers, acct=st.sampled_from(["", "a1"]))
    def let_in(self, number: int, acct: str) -> None:
        if number not in self.attached:
            with self.units.write() as unit:
                self.book.attached(unit, [attach(number, acct=acct)])
            self.attached[number] = acct

    @rule(number=numbers)
    def disconnect(self, number: int) -> None:
        with self.units.write() as unit:
            known = self.book.disconnect(
                unit, bytes([number]) * 16, reason="test", at_us=self.now_us
            )
        assert known is (number in self.attached)
        if known:
            self.open[number] = Kind.DISCONNECT

    @rule(number=numbers, or_end=st.booleans())
    def change(self, number: int, or_end: bool) -> None:
        with self.units.write() as unit:
            known = self.book.change(
                unit,
                bytes([number]) * 16,
                CHANGE,
                reason="test",
                at_us=self.now_us,
                or_end=or_end,
            )
        assert known is (number in self.attached)
        if known:
            self.open.setdefault(number, Kind.CHANGE)

    @rule(number=numbers, session=st.sampled_from(["a1", "a2"]))
    def starts(self, number: int, session: str) -> None:
        with self.units.write() as unit:
            self.book.observed(unit, [observation(number, Status.START, session)])
        if number in self.attached:
            self.attached[number] = session

    @rule(number=numbers, session=st.sampled_from(["a1", "a2"]))
    def stops(self, number: int, session: str) -> None:
        with self.units.write() as unit:
            self.book.observed(unit, [observation(number, Status.STOP, session)])
        if self.attached.get(number) in ("", session):
            self.open.pop(number, None)

    @precondition(lambda self: self.open)
    @rule(state=st.sampled_from(list(State)[:4]), refused=st.booleans())
    def answers(self, state: State, refused: bool) -> None:
        self.now_us += 400 * SECOND_US
        with self.units.write() as unit:
            due = self.book.due(unit, self.now_us)
            for order in due:
                self.book.settle(unit, order, Verdict(state, "test", None, 5), at_us=self.now_us)
                number = order.attach.authorisation_id[0]
                if state is State.REFUSED and order.or_end:
                    self.open[number] = Kind.DISCONNECT
                elif state is not State.OPEN:
                    del self.open[number]

    @invariant()
    def what_is_due_is_what_is_open(self) -> None:
        with self.units.write() as unit:
            due = self.book.due(unit, self.now_us + 399 * SECOND_US)
            if self.now_us + 399 * SECOND_US >= NOW_US + HOUR_US:
                self.open.clear()
        found = {order.attach.authorisation_id[0]: order.kind for order in due}
        assert found == self.open
        assert len(due) == len(found), "one open order a session"
        for order in due:
            assert order.change == (CHANGE if order.kind is Kind.CHANGE else Change())


TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)


def test_orders_are_sent_a_few_at_once_and_forgotten_in_the_end() -> None:
    made, book = units(), OrderBook()
    with made.write() as unit:
        for number in range(1, 101):
            book.attached(unit, [attach(number)])
            book.disconnect(unit, bytes([number]) * 16, reason="money", at_us=NOW_US)
        assert len(book.due(unit, NOW_US)) == books.DUE_MAX
        person = Person(party_id=HOME, authorisations=(bytes([7]) * 16,))
        held = book.held(unit, person)
        assert [len(rows) for rows in held.values()] == [1, 1]
        book.erase(unit, person)
        assert [len(rows) for rows in book.held(unit, person).values()] == [0, 0]
        assert len(book.lines(unit)) == 99
        assert book.lines(unit, limit=1)[0].authorisation_id == (bytes([100]) * 16).hex()
        book.sweep(unit, NOW_US + HOUR_US + books.ATTACH_KEPT_US + 1)
        assert book.due(unit, NOW_US + HOUR_US) == []
        book.sweep(unit, NOW_US + books.ORDER_KEPT_US + 1)
        assert book.lines(unit) == []


def order(kind: Kind, *, acct: str = "a1", tries: int = 0) -> Order:
    change = CHANGE if kind is Kind.CHANGE else Change()
    return Order(
        order_id=1, attach=attach(acct=acct), kind=kind, change=change, or_end=False, tries=tries
    )


def test_an_order_names_its_session_and_no_more() -> None:
    named = attributes(order(Kind.DISCONNECT), NOW_US)
    assert named == [
        text(Type.NAS_IDENTIFIER, NAS),
        text(Type.ACCT_SESSION_ID, "a1"),
        integer(Type.EVENT_TIMESTAMP, NOW_US // SECOND_US),
    ]
    unnamed = attributes(order(Kind.DISCONNECT, acct=""), NOW_US)
    assert unnamed[1] == text(Type.CHARGEABLE_USER_IDENTITY, "cui-1")
    assert code(order(Kind.DISCONNECT)) == Code.DISCONNECT_REQUEST
    packet = parse(request(code(order(Kind.CHANGE)), 1, attributes(order(Kind.CHANGE), 1), SECRET))
    assert packet.code == Code.COA_REQUEST
    assert packet.text(Type.FILTER_ID) == "free"
    assert packet.integer(Type.SESSION_TIMEOUT) == 60
    plain = replace(order(Kind.DISCONNECT), attach=replace(attach(), nas_identifier=""))
    for address, kind in (("c0000201", Type.NAS_IP_ADDRESS), ("20" * 16, Type.NAS_IPV6_ADDRESS)):
        known = replace(plain, attach=replace(plain.attach, nas_address=address))
        assert attributes(known, NOW_US)[0] == (int(kind), bytes.fromhex(address))
    assert attributes(plain, NOW_US) == named[1:]
    bps = (1_000_000).to_bytes(4, "big")
    assert list(packet.vendor(WBA)) == [(7, bps), (8, bps)]


def replied(answer: Callable[[Packet], bytes]) -> Reply:
    asked = parse(request(Code.COA_REQUEST, 1, [], SECRET))
    return Reply(parse(answer(asked)), asked.authenticator, SECRET)


@pytest.mark.parametrize(
    ("outcome", "tries", "expected"),
    [
        (replied(lambda p: ack(p, [], SECRET)), 1, Verdict(State.DONE, "ack")),
        (
            replied(lambda p: nak(p, ErrorCause.SESSION_CONTEXT_NOT_FOUND, SECRET)),
            1,
            Verdict(State.OVER, "nak", 503),
        ),
        (
            replied(lambda p: nak(p, ErrorCause.UNSUPPORTED_ATTRIBUTE, SECRET)),
            1,
            Verdict(State.REFUSED, "nak", 401),
        ),
        (
            replied(lambda p: nak(p, ErrorCause.RESOURCES_UNAVAILABLE, SECRET)),
            2,
            Verdict(State.OPEN, "nak", 506, 10),
        ),
        (Lost.TIMEOUT, 1, Verdict(State.OPEN, "timeout", None, 5)),
        (Lost.UNREACHABLE, 7, Verdict(State.OPEN, "unreachable", None, 300)),
        (Lost.CLOSED, 4_000, Verdict(State.OPEN, "closed", None, 300)),
    ],
)
def test_an_answer_is_judged(outcome: Reply | Lost, tries: int, expected: Verdict) -> None:
    assert verdict(outcome, tries) == expected


def sender(made: FakeUnits, clock: FixedClock, port: int, connected: Any = None) -> OrderSender:
    return OrderSender(
        OrderBook(),
        made,
        reach=Reach(entropy=ENTROPY, connected=lambda *_: connected, port=port, request_s=0.3),
        clients=lambda host: CLIENT if host == "127.0.0.1" else None,
        clock=clock,
        tick_s=0.05,
    )


async def test_an_order_survives_a_restart_until_it_is_acknowledged(
    tmp_path: Path,
) -> None:
    loop = asyncio.get_running_loop()
    transport, nas = await loop.create_datagram_endpoint(
        lambda: Home(lambda octets: None), local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    clock, book = FixedClock(NOW_US), OrderBook()
    first = units(tmp_path / "orders.sqlite")
    with first.write() as unit:
        book.attached(unit, [attach()])
        assert book.disconnect(unit, bytes([1]) * 16, reason="money", at_us=NOW_US)
    with raising_nothing():
        before = sender(first, clock, port)
        assert await before.tick() == 1
        assert await before.tick() == 0, "its turn has not come again"
        first.engine.dispose()
        nas.answer = lambda octets: ack(sound(octets, CLIENT), [], SECRET)
        second = units(tmp_path / "orders.sqlite")
        clock.set(NOW_US + 6 * SECOND_US)
        after = sender(second, clock, port)
        task = asyncio.create_task(after.run())

        def line() -> OrderLine:
            with second.read() as unit:
                return book.lines(unit)[0]

        await until(lambda: line().state == State.DONE)
        assert (line().tries, line().answer, line().reason) == (2, "ack", "money")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    transport.close()


async def test_an_order_no_packet_can_carry_holds_up_no_other() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Home(lambda octets: ack(sound(octets, CLIENT), [], SECRET)),
        local_addr=("127.0.0.1", 0),
    )
    made, book = units(), OrderBook()
    with made.write() as unit:
        book.attached(unit, [attach(1), attach(2), attach(3)])
        for number, change in (
            (1, Change(session_timeout_s=2**32)),
            (2, Change(filter_id="x" * 254)),
        ):
            book.change(unit, bytes([number]) * 16, change, reason="test", at_us=NOW_US)
        book.disconnect(unit, bytes([3]) * 16, reason="money", at_us=NOW_US)
    sending = sender(made, FixedClock(NOW_US), transport.get_extra_info("sockname")[1])
    assert await sending.tick() == 3
    with made.read() as unit:
        states = [(line.reason, line.state) for line in book.lines(unit)]
    assert states == [("money", State.DONE), ("test", State.OPEN), ("test", State.OPEN)]
    assert await sending.tick() == 0
    transport.close()


async def test_an_order_goes_back_over_the_connection_its_session_came_over() -> None:
    class Connected:
        asked: list[tuple[int, Any]] = []  # noqa: RUF012

        async def request(self, code: int, attributes: Any) -> Reply:
            self.asked.append((code, attributes))
            return replied(lambda p: nak(p, ErrorCause.UNSUPPORTED_ATTRIBUTE, SECRET))

    made, book = units(), OrderBook()
    with made.write() as unit:
        book.attached(unit, [attach(transport="tls")])
        book.change(unit, bytes([1]) * 16, CHANGE, reason="free tier", at_us=NOW_US, or_end=True)
    lone = sender(made, FixedClock(NOW_US), 9)
    assert await lone.tick() == 1
    with made.write() as unit:
        assert book.lines(unit)[0].answer == "unreachable"
    back = sender(made, FixedClock(NOW_US + 6 * SECOND_US), 9, Connected())
    assert await back.tick() == 1
    with made.write() as unit:
        ended, changed = book.lines(unit)
    assert (changed.state, changed.error_cause) == (State.REFUSED, 401)
    assert (ended.kind, ended.state, ended.reason) == ("disconnect", "open", "change_refused")
    assert await back.tick() == 1
    assert [code for code, _ in Connected.asked] == [Code.COA_REQUEST, Code.DISCONNECT_REQUEST]


def test_what_is_let_in_is_known_by_what_the_request_said() -> None:
    grant = FakePolicy().authorise(
        None,  # type: ignore[arg-type]
        AuthorisationRequest(
            subscriber=Subscriber(party_id=HOME, home=HOME, plan_id="p"),
            visited=VISITED,
            node=NODE,
            at_us=NOW_US,
        ),
    )
    assert isinstance(grant, Grant)
    named = [text(Type.NAS_IDENTIFIER, NAS), text(Type.ACCT_SESSION_ID, "a1")]
    junk = [([*named[:1], (44, octets)], "") for octets in (b"\xff", b"a\0")]
    for attributes_, acct in ((named, "a1"), (named[:1], ""), *junk):
        packet = parse(request(Code.ACCESS_REQUEST, 1, attributes_, SECRET))
        origin = Origin(Listener.ANY, ("192.0.2.1", 7), Transport.TLS, CLIENT)
        ticket = Ticket(origin, ("", 0, 1, b""), packet, CLIENT, NODE)
        found = attach_of(ticket, grant, b"c" * 32)
        assert (found.transport, found.host, found.client_id) == ("tls", "192.0.2.1", "cafe")
        assert (found.nas_identifier, found.acct_session_id) == (NAS, acct)
        assert found.expires_us == grant.expires_us
        assert found.cui
    at = [(int(Type.NAS_IP_ADDRESS), b"\xc0\x00\x02\x01")]
    unnamed = replace(ticket, packet=parse(request(Code.ACCESS_REQUEST, 1, at, SECRET)))
    found = attach_of(unnamed, grant, b"c" * 32)
    assert (found.nas_identifier, found.nas_address) == ("", "c0000201")


async def test_an_access_network_passes_orders_on_and_answers_for_who_does_not() -> None:
    loop = asyncio.get_running_loop()
    transport, nas = await loop.create_datagram_endpoint(
        lambda: Home(lambda octets: None), local_addr=("127.0.0.1", 0)
    )
    at_nas = b"of the access point"
    own = RadiusClient(client_id="home", prefix="", secret=at_nas, operator=VISITED)
    port = transport.get_extra_info("sockname")[1]
    reach = Reach(entropy=ENTROPY, port=port, request_s=0.3)
    places = Places(reach, places_max=2)
    for name in ("forgotten", "other", NAS):
        places.saw(name, "127.0.0.1", at_nas)

    clock = FixedClock(NOW_US)
    server = DynamicServer(
        DynamicProxy(places.find, clock=clock, last_hop=True),
        lambda host: CLIENT,
        DynamicBind(port=0),
    )
    await server.start()
    home = UdpUpstream("network", server.address, SECRET, entropy=ENTROPY, status_server=False)
    state = (int(Type.PROXY_STATE), b"home")

    async def ask(nas_identifier: str, at_us: int = NOW_US) -> Packet | Lost:
        stamp = integer(Type.EVENT_TIMESTAMP, at_us // SECOND_US)
        outcome = await home.request(
            Code.DISCONNECT_REQUEST, [text(Type.NAS_IDENTIFIER, nas_identifier), stamp, state]
        )
        return outcome.packet if isinstance(outcome, Reply) else outcome

    with raising_nothing():
        silent = await ask(NAS)
        assert isinstance(silent, Packet)
        assert silent.integer(Type.ERROR_CAUSE) == ErrorCause.OTHER_PROXY_PROCESSING_ERROR
        unrouted = await ask("forgotten")
        assert isinstance(unrouted, Packet)
        assert unrouted.integer(Type.ERROR_CAUSE) == ErrorCause.REQUEST_NOT_ROUTABLE
        nas.answer = lambda octets: ack(sound(octets, own), [], at_nas)
        done = await ask(NAS)
        assert isinstance(done, Packet)
        assert done.code == Code.DISCONNECT_ACK
        for answered in (silent, unrouted, done):
            assert answered.all(Type.PROXY_STATE) == (b"home",)
        passed = parse(nas.heard[-1])
        assert passed.get(Type.PROXY_STATE) is None
        assert passed.get(Type.NAS_IDENTIFIER) is None, (
            "what the access point calls itself is its own"
        )
        old = asyncio.create_task(ask(NAS, NOW_US - 301 * SECOND_US))
        await until(lambda: server.dropped["event_timestamp"] == 1)
        old.cancel()
        assert peer_error(sound, request(Code.STATUS_SERVER, 1, [], SECRET), CLIENT) == "code"
    await home.stop()
    for number in range(SERVERS_MAX + 1):
        reach.udp("many", f"127.0.1.{number}", b"s")
    assert reach.udp("many", "127.0.1.64", b"s") is reach.udp("again", "127.0.1.64", b"s")
    await reach.stop()
    await server.stop()
    transport.close()
