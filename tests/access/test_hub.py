"""Whose realm it is, what a hop changes, who is asked next, and accounting that is owed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from tests.access.fakes import NOW_US, FakeMonotonic, peer_error

from opencarrier.access.discovery.model import Found, Nothing, Peer
from opencarrier.access.hub import store
from opencarrier.access.hub.model import HubMetrics, HubSettings, Relay, session_of
from opencarrier.access.hub.neighbours import Address, Neighbours
from opencarrier.access.hub.outbox import Outbox
from opencarrier.access.hub.pool import PATIENCES, Pool
from opencarrier.access.hub.proxying import (
    PROXY_STATES_MAX,
    Mark,
    accounting_onward,
    brought_back,
    passed_on,
)
from opencarrier.access.hub.routes import Discover, Local, Routes, Unknown, Via
from opencarrier.access.hub.service import NO_HOP, Hub
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.wire.authenticators import mppe_keys, open_mppe_key
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.hidden import Hop, onward
from opencarrier.access.wire.radius import Attribute, Packet, integer, pack, text, unpack
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.spine.parties import RadiusServer, Route, RouteKind

# Routes.


def via(pattern: str, upstream: str = "u", *, inward: bool = False) -> Route:
    return Route(pattern=pattern, kind=RouteKind.UPSTREAM, upstream=upstream, inward=inward)


ROUTES = Routes(
    [
        via("idp.example", "exact"),
        via("*.example", "suffix"),
        via("*.deep.example", "deep"),
        via("own.test", "behind", inward=True),
        Route(pattern="here.test", kind=RouteKind.LOCAL),
        Route(pattern="no.test", kind=RouteKind.REFUSE),
        Route(pattern="*", kind=RouteKind.DISCOVER),
    ]
)


@pytest.mark.parametrize(
    ("realm", "inside", "outside"),
    [
        ("idp.example", Via("exact"), Unknown("realm_not_served")),
        ("IDP.Example", Via("exact"), Unknown("realm_not_served")),
        ("a.example", Via("suffix"), Unknown("realm_not_served")),
        ("a.deep.example", Via("deep"), Unknown("realm_not_served")),
        ("deep.example", Via("suffix"), Unknown("realm_not_served")),
        ("example", Discover("example"), Unknown("realm_not_served")),
        ("xexample", Discover("xexample"), Unknown("realm_not_served")),
        ("own.test", Via("behind"), Via("behind")),
        ("here.test", Local(), Local()),
        ("ours.test", Local(), Local()),
        ("no.test", Unknown("realm_refused"), Unknown("realm_refused")),
        ("else.test", Discover("else.test"), Unknown("realm_not_served")),
    ],
)
def test_the_most_special_route_decides_and_the_federation_stays_out(
    realm: str, inside: object, outside: object
) -> None:
    def local(name: str) -> bool:
        return name == "ours.test"

    assert ROUTES.of(realm, federation=False, local=local) == inside
    assert ROUTES.of(realm, federation=True, local=local) == outside


@settings(max_examples=60, deadline=None)
@given(st.text("ab.*", max_size=12), st.sampled_from(["a", "*.a", "*.b.a", "*", ""]))
def test_whatever_the_routes_the_federation_is_never_led_back_to_it(
    realm: str, pattern: str
) -> None:
    kinds = [RouteKind.DISCOVER, RouteKind.UPSTREAM]
    routes = Routes(Route(pattern=pattern, kind=kind, upstream="u") for kind in kinds)
    target = routes.of(realm, federation=True, local=lambda _: False)
    assert isinstance(target, Unknown)


def test_without_routes_a_realm_is_ours_or_nobodys() -> None:
    assert Routes().of("a.test", federation=False, local=lambda _: True) == Local()
    nobody = Routes().of("a.test", federation=False, local=lambda _: False)
    assert nobody == Unknown("realm_unknown")
    assert Routes().of(None, federation=False, local=lambda _: True) == Unknown("realm_missing")


# What a hop changes.

MARK = Mark(b"m" * 8)
NAS_HOP, HOME_HOP = Hop(b"nas secret", b"n" * 16), Hop(b"home secret", b"h" * 16)
EAP = (int(Type.EAP_MESSAGE), b"\x02\x07\x00\x06\x0d\x00")


def request(*attributes: Attribute, code: int = Code.ACCESS_REQUEST) -> Packet:
    return Packet(code, 9, NAS_HOP.authenticator, attributes)


def test_what_is_passed_on_is_the_packet_with_our_state_behind_it() -> None:
    states = [(int(Type.PROXY_STATE), b"first"), (int(Type.PROXY_STATE), b"second")]
    name = text(Type.USER_NAME, "anonymous@idp.example")
    signed = (int(Type.MESSAGE_AUTHENTICATOR), bytes(16))
    sent = passed_on(request(name, EAP, states[0], signed, states[1]), MARK, 258)
    ours = (int(Type.PROXY_STATE), b"m" * 8 + b"\x00\x00\x01\x02")
    assert sent == [name, EAP, *states, ours]


def test_a_challenge_that_was_the_authenticator_is_told() -> None:
    sent = passed_on(request((3, bytes(17))), MARK, 0)
    assert (60, NAS_HOP.authenticator) in sent
    with_challenge = passed_on(request((3, bytes(17)), (60, b"x" * 16)), MARK, 0)
    assert [value for kind, value in with_challenge if kind == 60] == [b"x" * 16]


def test_a_loop_and_a_long_way_are_refused() -> None:
    state = int(Type.PROXY_STATE)
    came_back = request((state, b"other"), (state, MARK.octets + b"1234"))
    assert peer_error(passed_on, came_back, MARK, 1) == "proxy_loop"
    assert peer_error(accounting_onward, came_back, MARK, 1, NOW_US) == "proxy_loop"
    for hops, outcome in ((PROXY_STATES_MAX - 1, "parsed"), (PROXY_STATES_MAX, "proxy_states_max")):
        far = request(*[(state, bytes((n,))) for n in range(hops)])
        assert peer_error(passed_on, far, MARK, 1) == outcome


def test_what_no_longer_fits_is_refused() -> None:
    most = 4096 - 20 - 18 - 14
    full = [(int(Type.REPLY_MESSAGE), bytes(253))] * (most // 255)
    rest = most - 255 * len(full) - 2
    assert peer_error(passed_on, request(*full, (200, bytes(rest))), MARK, 1) == "parsed"
    assert peer_error(passed_on, request(*full, (200, bytes(rest + 1))), MARK, 1) == "packet_full"


def test_a_reply_comes_back_with_its_keys_hidden_for_who_asked() -> None:
    msk = bytes(range(64))
    keys = mppe_keys(msk, HOME_HOP.secret, HOME_HOP.authenticator, (b"\x80\x01", b"\x80\x02"))
    name, state = text(Type.USER_NAME, "p@idp.example"), (int(Type.PROXY_STATE), b"any")
    packet = Packet(Code.ACCESS_ACCEPT, 3, b"r" * 16, (name, EAP, *keys, state))
    reply = Reply(packet, HOME_HOP.authenticator, HOME_HOP.secret)
    code, attributes = brought_back(reply, request(state), NAS_HOP.secret)
    assert code == Code.ACCESS_ACCEPT
    assert attributes[:2] == [name, EAP]
    assert not [a for a in attributes if a[0] == Type.PROXY_STATE]
    opened = [
        open_mppe_key(value[6:], NAS_HOP.secret, NAS_HOP.authenticator)
        for kind, value in attributes
        if kind == Type.VENDOR_SPECIFIC
    ]
    assert opened == [msk[:32], msk[32:]]


@pytest.mark.parametrize("code", [Code.ACCOUNTING_RESPONSE, Code.COA_ACK, Code.ACCESS_REQUEST, 99])
def test_a_reply_to_something_else_is_none(code: int) -> None:
    reply = Reply(Packet(code, 3, bytes(16), ()), bytes(16), b"s")
    assert peer_error(brought_back, reply, request(), b"s") == "reply_code"


def test_accounting_says_when_it_happened_however_late_it_is_delivered() -> None:
    packet = request(integer(Type.ACCT_DELAY_TIME, 7), code=Code.ACCOUNTING_REQUEST)
    kept = accounting_onward(packet, MARK, 1, NOW_US)
    assert kept == [integer(Type.EVENT_TIMESTAMP, NOW_US // 10**6), MARK.state(1)]
    stamped = request(integer(Type.EVENT_TIMESTAMP, 5), code=Code.ACCOUNTING_REQUEST)
    assert accounting_onward(stamped, MARK, 1, NOW_US) == kept
    assert unpack(pack(kept)) == kept


# Who is asked.


@dataclass
class Server:
    """A server as the tests need it: it answers, or is lost, and keeps what it was asked."""

    name: str
    secret: bytes = b"home secret"
    alive: bool = True
    lost: Lost | None = None
    state: bytes | None = None
    asked: list[tuple[int, list[Attribute], bytes | None]] = field(default_factory=list)
    hang: bool = False
    stopped: bool = False

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        self.asked.append((code, list(attributes), authenticator))
        if self.hang:
            await asyncio.Event().wait()
        if self.lost is not None:
            return self.lost
        answer = Code.ACCESS_CHALLENGE if code == Code.ACCESS_REQUEST else Code.ACCOUNTING_RESPONSE
        state = () if self.state is None else ((int(Type.STATE), self.state),)
        return Reply(Packet(answer, 1, bytes(16), state), authenticator or bytes(16), self.secret)

    async def stop(self) -> None:
        self.stopped = True


def pool(*servers: Server, **limits: float) -> Pool:
    return Pool(servers, SeededEntropy(1), **limits)  # type: ignore[arg-type]


ACCESS = int(Code.ACCESS_REQUEST)


async def test_the_next_server_is_asked_where_one_is_lost() -> None:
    first, second = Server("first", lost=Lost.TIMEOUT), Server("second")
    both = pool(first, second)
    assert isinstance(await both.ask(ACCESS, [], NAS_HOP), Reply)
    assert both.outcomes == {("first", "timeout"): 1, ("second", "answered"): 1}
    first.lost, first.alive = None, False
    await both.ask(ACCESS, [], NAS_HOP)
    assert len(first.asked) == 1
    second.lost = Lost.CLOSED
    assert isinstance(await both.ask(ACCESS, [], NAS_HOP), Reply)  # a dead one is still tried
    assert len(first.asked) == 2
    first.lost = Lost.UNREACHABLE
    assert await both.ask(ACCESS, [], NAS_HOP) is Lost.UNREACHABLE


async def test_a_server_that_hangs_costs_its_patience_only() -> None:
    slow, quick = Server("slow", hang=True), Server("quick")
    both = pool(slow, quick, patience_s=0.01)
    assert isinstance(await both.ask(ACCESS, [], NAS_HOP), Reply)
    assert both.outcomes["slow", "timeout"] == 1


async def test_servers_that_all_hang_hold_a_request_for_a_bounded_time() -> None:
    many = pool(*[Server(f"slow{n}", hang=True) for n in range(64)], patience_s=0.01)
    assert await many.ask(ACCESS, [], NAS_HOP) is Lost.TIMEOUT
    assert 1 <= many.outcomes.total() <= PATIENCES + 1


async def test_a_conversation_stays_with_its_server_while_it_lives() -> None:
    first, second = Server("first", alive=False), Server("second", state=b"second's")
    both = pool(first, second, conversations_max=1)
    await both.ask(ACCESS, [], NAS_HOP)
    first.alive = True
    state = [(int(Type.STATE), b"second's")]
    await both.ask(ACCESS, state, NAS_HOP)
    assert (len(first.asked), len(second.asked)) == (0, 2)
    await both.ask(ACCESS, [(int(Type.STATE), b"unknown")], NAS_HOP)
    assert len(first.asked) == 1
    first.state = b"first's"
    await both.ask(ACCESS, [], NAS_HOP)  # the table of one forgets the other conversation
    await both.ask(ACCESS, state, NAS_HOP)
    assert len(first.asked) == 3
    second.alive = False
    await both.ask(ACCESS, state, NAS_HOP)
    assert len(first.asked) == 4


async def test_a_password_is_hidden_for_the_server_that_is_asked() -> None:
    server = Server("home")
    clear = b"secret word".ljust(16, b"\0")
    plain = Hop(b"", bytes(16))
    came = onward([(2, clear)], plain, NAS_HOP)  # any two hops undo each other
    await pool(server).ask(ACCESS, came, NAS_HOP)
    _, sent, authenticator = server.asked[0]
    assert authenticator is not None
    assert sent != came
    assert onward(sent, Hop(server.secret, authenticator), plain) == [(2, clear)]


# The hub.


class Servers:
    def __init__(self) -> None:
        self.made: dict[str, Server] = {}
        self.hosts: list[str] = ["a.test"]

    def configured(self, upstream: str) -> list[RadiusServer]:
        return [
            RadiusServer(
                upstream=upstream, place=n, transport="udp", host=host, port=1, secret=b"s"
            )
            for n, host in enumerate(self.hosts)
        ]

    def connect(self, address: Address) -> Server:
        name = f"{address.server.host}/{address.address}/{address.realm}"
        self.made[name] = Server(name)
        return self.made[name]


class Dns:
    def __init__(self) -> None:
        self.answers: dict[str, Found | Nothing] = {}

    async def find(
        self, realm: str, *, asker: str = "", accounting: bool = False
    ) -> Found | Nothing:
        if accounting and f"acct.{realm}" in self.answers:
            return self.answers[f"acct.{realm}"]
        return self.answers.get(realm, Nothing("realm_unknown", 60))


def hub(servers: Servers, dns: Dns | None, clock: FakeMonotonic, **limits: object) -> Hub:
    bounds = HubSettings(**limits)  # type: ignore[arg-type]
    neighbours = Neighbours(
        servers.configured,
        servers.connect,
        dns,  # type: ignore[arg-type]
        entropy=SeededEntropy(2),
        monotonic=clock,
        settings=bounds,
    )
    return Hub(neighbours, bounds)


async def test_an_upstream_is_connected_once_and_anew_when_it_changed() -> None:
    servers = Servers()
    made = hub(servers, None, FakeMonotonic())
    for _ in range(2):
        assert isinstance(await made.ask(Via("u"), ACCESS, [], NO_HOP), Reply)
    assert list(servers.made) == ["a.test//"]
    servers.hosts = ["b.test"]
    await made.ask(Via("u"), ACCESS, [], NO_HOP)
    await asyncio.sleep(0)
    assert servers.made["a.test//"].stopped
    assert made.neighbours.outcomes() == {
        ("u", "a.test//", "answered"): 2,
        ("u", "b.test//", "answered"): 1,
    }
    servers.hosts = []
    assert await made.ask(Via("u"), ACCESS, [], NO_HOP) == "upstream_unknown"
    assert await made.ask(Discover("r.test"), ACCESS, [], NO_HOP) == "discovery_off"
    assert made.metrics.refused == {"upstream_unknown": 1, "discovery_off": 1}
    await made.stop()


async def test_discovered_servers_are_bounded_and_let_go_when_idle() -> None:
    servers, dns, clock = Servers(), Dns(), FakeMonotonic()
    made = hub(servers, dns, clock, discovered_max=2, discovered_idle_s=10)
    for n in range(3):
        dns.answers[f"r{n}.test"] = Found((Peer(f"h{n}.test", 2083, ("192.0.2.1",)),), 60)
        await made.ask(Discover(f"r{n}.test"), ACCESS, [], NO_HOP)
    await asyncio.sleep(0)
    assert [s.stopped for s in servers.made.values()] == [True, False, False]
    assert "h0.test/192.0.2.1/r0.test" in servers.made
    clock.now_s += 11
    await made.ask(Discover("r2.test"), ACCESS, [], NO_HOP)
    await asyncio.sleep(0)
    assert [line.upstream for line in made.neighbours.lines()] == ["r2.test"]
    assert made.neighbours.outcomes() == {("discovered", "discovered", "answered"): 4}
    assert await made.ask(Discover("x.test"), ACCESS, [], NO_HOP) == "realm_unknown"
    await made.stop()
    assert all(s.stopped for s in servers.made.values())


async def test_accounting_shares_the_connections_unless_it_goes_elsewhere() -> None:
    servers, dns = Servers(), Dns()
    made = hub(servers, dns, FakeMonotonic())
    for realm in ("r.test", "acct.s.test", "s.test"):
        dns.answers[realm] = Found((Peer(f"h.{realm}", 2083, ("192.0.2.1",)),), 60)
    for realm in ("r.test", "s.test"):
        for accounting in (False, True):
            await made.ask(Discover(realm, accounting), ACCESS, [], NO_HOP)
    assert sorted(servers.made) == [
        "h.acct.s.test/192.0.2.1/s.test",
        "h.r.test/192.0.2.1/r.test",
        "h.s.test/192.0.2.1/s.test",
    ]
    await made.stop()


async def test_only_so_much_is_on_its_way() -> None:
    servers = Servers()
    made = hub(servers, None, FakeMonotonic(), in_work_max=1, patience_s=0.05)
    await made.ask(Via("u"), ACCESS, [], NO_HOP)
    servers.made["a.test//"].hang = True
    first = asyncio.create_task(made.ask(Via("u"), ACCESS, [], NO_HOP))
    await asyncio.sleep(0)
    assert await made.ask(Via("u"), ACCESS, [], NO_HOP) == "hub_busy"
    assert await first == "upstream_timeout"
    servers.made["a.test//"].hang = False
    assert await made.account(Via("u"), [])


async def test_a_slow_home_leaves_half_of_the_hub_to_others() -> None:
    servers = Servers()
    made = hub(servers, None, FakeMonotonic(), in_work_max=4, patience_s=0.05)
    await made.ask(Via("slow"), ACCESS, [], NO_HOP)
    slow = servers.made["a.test//"]
    slow.hang = True
    waiting = [asyncio.create_task(made.ask(Via("slow"), ACCESS, [], NO_HOP)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await made.ask(Via("slow"), ACCESS, [], NO_HOP) == "target_busy"
    assert isinstance(await made.ask(Via("other"), ACCESS, [], NO_HOP), Reply)
    assert await asyncio.gather(*waiting) == ["upstream_timeout"] * 2
    slow.hang = False
    assert isinstance(await made.ask(Via("slow"), ACCESS, [], NO_HOP), Reply)


async def test_one_client_leaves_half_of_the_hub_to_others() -> None:
    servers = Servers()
    made = hub(servers, None, FakeMonotonic(), in_work_max=4)
    await made.ask(Via("slow"), ACCESS, [], NO_HOP)
    slow = servers.made["a.test//"]
    slow.hang = True
    waiting = [
        asyncio.create_task(made.ask(Via("slow"), ACCESS, [], NO_HOP, asker="one")) for _ in "ab"
    ]
    await asyncio.sleep(0)
    assert await made.ask(Via("other"), ACCESS, [], NO_HOP, asker="one") == "client_busy"
    assert isinstance(await made.ask(Via("other"), ACCESS, [], NO_HOP, asker="two"), Reply)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    slow.hang = False
    assert isinstance(await made.ask(Via("slow"), ACCESS, [], NO_HOP, asker="one"), Reply)


# What is owed.


class Ledger:
    def __init__(self) -> None:
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        store.metadata.create_all(self.engine)
        self.one_at_a_time = Lock()

    @contextmanager
    def write(self):
        with self.one_at_a_time, self.engine.begin() as unit:
            yield unit

    read = write


@dataclass
class Home:
    """A home that takes accounting, or does not."""

    down: bool = False
    poison: bytes = b""
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    async def __call__(self, realm: str, attributes: Sequence[Attribute]) -> bool:
        await asyncio.sleep(0)
        value = attributes[0][1]
        if self.down or value == self.poison:
            return False
        self.heard.append((realm, value))
        return True


def relay(session: str, value: bytes, realm: str = "a.test", at_us: int = NOW_US) -> Relay:
    return Relay(realm, session_of(session), ((1, value),), at_us)


@dataclass
class Scene:
    home: Home = field(default_factory=Home)
    ledger: Ledger = field(default_factory=Ledger)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW_US))
    metrics: HubMetrics = field(default_factory=HubMetrics)

    def outbox(self, **limits: int) -> Outbox:
        bounds = HubSettings(**limits)  # type: ignore[arg-type]
        return Outbox(self.ledger, self.home, self.clock, bounds, self.metrics)

    def keep(self, outbox: Outbox, *relays: Relay) -> None:
        with self.ledger.write() as unit:
            outbox.put(unit, relays)

    def owed(self) -> int:
        with self.ledger.read() as unit:
            return sum(line.packets for line in store.lines(unit, limit=10))

    def pass_s(self, seconds: int) -> None:
        self.clock.set(self.clock.now_us() + seconds * 10**6)


async def drained(outbox: Outbox) -> None:
    while await outbox.deliver_once():
        pass


async def test_accounting_survives_an_outage_and_a_restart_in_its_order() -> None:
    scene = Scene(home=Home(down=True))
    before = scene.outbox(outbox_window=3)
    values = [b"%d" % n for n in range(8)]
    scene.keep(before, *[relay("one", value) for value in values])
    await drained(before)
    assert scene.owed() == 8
    scene.home.down = False
    after = scene.outbox(outbox_window=3)
    await drained(after)
    assert scene.owed() == 8  # the session waits
    scene.pass_s(2)
    await drained(after)
    assert [value for _, value in scene.home.heard] == values
    assert scene.owed() == 0
    assert scene.metrics.delivered == 8


async def test_a_home_that_is_down_is_asked_less_and_less_and_holds_up_nobody() -> None:
    scene = Scene()
    tries: list[str] = []

    async def deliver(realm: str, attributes: Sequence[Attribute]) -> bool:
        tries.append(realm)
        return realm != "down.test"

    limits = HubSettings(backoff_max_s=4)
    outbox = Outbox(scene.ledger, deliver, scene.clock, limits, scene.metrics)
    scene.keep(outbox, relay("1", b"x", "down.test"), relay("2", b"y", "up.test"))
    for _ in range(40):
        await drained(outbox)
        scene.pass_s(1)
    assert tries.count("up.test") == 1
    assert tries.count("down.test") == 2 + len(range(6, 40, 8))  # at 0, 2, 6, then every 8 s
    assert scene.owed() == 1


async def test_a_packet_that_cannot_be_sent_holds_up_its_session_alone() -> None:
    scene = Scene()
    told: list[bytes] = []

    async def deliver(realm: str, attributes: Sequence[Attribute]) -> bool:
        assert attributes[0][1] != b"x", "a mistake of ours"
        told.append(attributes[0][1])
        return True

    outbox = Outbox(scene.ledger, deliver, scene.clock, HubSettings(), scene.metrics)
    scene.keep(outbox, relay("1", b"x"), relay("1", b"y"), relay("2", b"z"))
    for _ in range(3):
        await drained(outbox)
        scene.pass_s(600)
    assert told == [b"z"]
    assert scene.owed() == 2


async def test_what_a_realm_without_a_route_is_owed_is_told_and_goes_when_it_has_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene, routes, week_s = Scene(), {"up.test"}, 7 * 86_400
    limits = HubSettings(backoff_max_s=8, outbox_age_max_s=week_s)
    outbox = Outbox(
        scene.ledger, scene.home, scene.clock, limits, scene.metrics, routed=routes.__contains__
    )
    late = NOW_US + 6 * 86_400 * SECOND_US
    scene.keep(outbox, relay("1", b"x", "lost.test"), relay("2", b"y", "up.test"))
    scene.keep(outbox, relay("1", b"z", "lost.test", at_us=late))
    for _ in range(5):
        await drained(outbox)
        scene.pass_s(8)
    assert scene.home.heard == [("up.test", b"y")]
    assert (scene.owed(), outbox.unrouted) == (2, 1)
    assert [r.message for r in caplog.records if "no route" in r.message] == [
        "no route leads to lost.test: what is owed to it waits 7 days"
    ]
    scene.clock.set(late)
    scene.pass_s(86_401)  # over a week after the first
    await drained(outbox)
    assert (scene.owed(), scene.metrics.given_up) == (1, 1)
    assert caplog.records[-1].levelname == "ERROR"
    routes.add("lost.test")
    scene.pass_s(8)
    await drained(outbox)
    assert scene.home.heard[1:] == [("lost.test", b"z")]
    assert (scene.owed(), outbox.unrouted) == (0, 0)


async def test_one_packet_nobody_takes_holds_up_its_own_session_only() -> None:
    scene = Scene(home=Home(poison=b"bad"))
    outbox = scene.outbox(outbox_window=2, outbox_age_max_s=10)
    scene.keep(outbox, relay("p", b"bad"), relay("p", b"after"))
    scene.keep(outbox, *[relay(f"s{n}", b"%d" % n) for n in range(4)])
    for _ in range(4):
        await drained(outbox)
        scene.pass_s(1)
    assert len(scene.home.heard) == 4
    assert scene.owed() == 2
    for _ in range(30):
        await drained(outbox)
        scene.pass_s(1)
    assert scene.metrics.given_up == 1  # the bad one; what was behind it goes
    assert scene.home.heard[-1] == ("a.test", b"after")
    assert scene.owed() == 0


async def test_an_error_of_ours_with_one_home_holds_up_no_other() -> None:
    scene = Scene()

    async def deliver(realm: str, attributes: Sequence[Attribute]) -> bool:
        if realm == "bad.test":
            raise RuntimeError("ours")
        return await scene.home(realm, attributes)

    outbox = Outbox(scene.ledger, deliver, scene.clock, HubSettings(), scene.metrics)
    scene.keep(outbox, relay("1", b"x", "bad.test"), relay("2", b"y", "good.test"))
    await drained(outbox)
    assert scene.home.heard == [("good.test", b"y")]
    assert scene.owed() == 1


async def test_what_may_be_owed_is_bounded_and_nothing_of_it_is_kept_then() -> None:
    scene = Scene()
    outbox = scene.outbox(outbox_rows_max=3)
    scene.keep(outbox, *[relay("s", b"%d" % n) for n in range(3)])
    with pytest.raises(store.OutboxFullError):
        scene.keep(outbox, relay("s", b"3"))
    assert scene.owed() == 3
    await drained(outbox)
    scene.keep(outbox, relay("s", b"3"))


async def test_what_comes_later_waits_with_its_session_that_was_put_off() -> None:
    scene = Scene(home=Home(poison=b"start"))
    outbox = scene.outbox()
    scene.keep(outbox, relay("one", b"start"), relay("two", b"other"))
    await drained(outbox)
    scene.keep(outbox, relay("one", b"stop"))
    await drained(outbox)
    assert scene.home.heard == [("a.test", b"other")]
    scene.home.poison = b""
    scene.pass_s(2)
    await drained(outbox)
    assert [value for _, value in scene.home.heard] == [b"other", b"start", b"stop"]


def numbers(scene: Scene, realm: str) -> list[int]:
    with scene.ledger.read() as unit:
        return [row.number for row in store.owed(unit, realm, due_us=NOW_US, limit=9)]


async def test_what_one_home_is_owed_long_takes_no_more_room_than_its_rows() -> None:
    scene = Scene(home=Home(poison=b"never"))
    outbox = scene.outbox(outbox_rows_max=3)
    scene.keep(outbox, relay("old", b"never", "down.test"), relay("s", b"0"))
    for n in range(1, 6):  # there is always something under way
        [first, *_] = numbers(scene, "a.test")
        scene.keep(outbox, relay("s", b"%d" % n))
        with scene.ledger.write() as unit:
            store.delivered(unit, [first])
    await drained(outbox)
    assert scene.owed() == 1
    scene.keep(outbox, relay("old", b"a", "down.test"), relay("old", b"b", "down.test"))
    with pytest.raises(store.OutboxFullError):
        scene.keep(outbox, relay("s", b"6"))


async def test_a_home_that_is_slow_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencarrier.access.hub.outbox.SLOW_S", 0.01)
    scene, answer = Scene(), asyncio.Event()
    asked: list[str] = []

    async def deliver(realm: str, attributes: Sequence[Attribute]) -> bool:
        if realm == "slow.test":
            asked.append(realm)
            await answer.wait()
        return await scene.home(realm, attributes)

    outbox = Outbox(scene.ledger, deliver, scene.clock, HubSettings(), scene.metrics)
    scene.keep(outbox, relay("s", b"1", "slow.test"), relay("s", b"2", "slow.test"))
    outbox.start()
    await until(lambda: asked == ["slow.test"])
    for number in range(2):
        scene.keep(outbox, relay(f"q{number}", b"q%d" % number, "quick.test"))
        outbox.wake()
        await until(lambda count=number: len(scene.home.heard) == count + 1)  # type: ignore[misc]
    assert asked == ["slow.test"]  # and it has no second window
    answer.set()
    await until(lambda: scene.owed() == 0)
    assert scene.home.heard[2:] == [("slow.test", b"1"), ("slow.test", b"2")]
    scene.keep(outbox, relay("s", b"3", "slow.test"))
    answer.clear()
    outbox.wake()
    await until(lambda: len(asked) == 3)
    await outbox.stop()
    assert scene.owed() == 1


async def test_more_realms_than_are_looked_at_take_turns() -> None:
    scene = Scene(home=Home(poison=b"never"))
    outbox = scene.outbox(outbox_realms_max=2)
    scene.keep(outbox, *[relay(f"s{n}", b"never", f"a{n}.test") for n in range(4)])
    scene.keep(outbox, relay("s", b"1", "z.test"))
    for _ in range(6):
        await outbox.deliver_once()
    assert scene.home.heard == [("z.test", b"1")]
    assert scene.owed() == 4
    for n in range(2):
        scene.pass_s(100)
        scene.keep(outbox, relay("s", b"%d" % n, "m.test"))
        for _ in range(3):
            await outbox.deliver_once()
    assert scene.home.heard[1:] == [("m.test", b"0"), ("m.test", b"1")]


async def test_the_task_delivers_what_is_kept_while_it_runs() -> None:
    scene = Scene()
    outbox = scene.outbox()
    outbox.start()
    scene.keep(outbox, relay("s", b"1"))
    outbox.wake()
    await until(lambda: scene.home.heard == [("a.test", b"1")])
    await outbox.stop()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")
