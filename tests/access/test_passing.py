"""An access point, a hub and a home: two services of ours, nothing shared but packets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.access.fakes import (
    HOME,
    KEYS,
    NAS,
    NOW_US,
    REALM,
    SECRET,
    VISITED,
    Bench,
    ListSink,
    usim,
)

from opencarrier.access.class_token import ClassRing
from opencarrier.access.discovery.model import Answer, DiscoverySettings, Kind, Naptr, Question, Srv
from opencarrier.access.hub import store
from opencarrier.access.hub.backward import WayBack
from opencarrier.access.hub.model import HubSettings
from opencarrier.access.hub.neighbours import Address
from opencarrier.access.model import AccessKeys, AccessSettings, Listener, Origin, Transport
from opencarrier.access.openroaming.attributes import SILENT, Told, attributes_of, told
from opencarrier.access.openroaming.names import wbaid
from opencarrier.access.server import Send
from opencarrier.access.service import AccessPorts, AccessService
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.wire import eap
from opencarrier.access.wire.authenticators import (
    access_request,
    accounting_request,
    check_response,
    open_mppe_key,
)
from opencarrier.access.wire.dictionary import (
    MICROSOFT,
    WFA,
    WFA_ROAMING_CONSORTIUM,
    Code,
    Type,
)
from opencarrier.access.wire.radius import (
    Attribute,
    Packet,
    eap_message,
    integer,
    parse,
    text,
    vendor,
)
from opencarrier.app.store import Store
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.spine.access import Quote, Rate
from opencarrier.spine.parties import (
    RadiusClient,
    RadiusServer,
    Route,
    RouteKind,
    foreign_node,
    operator_of_node,
)
from opencarrier.spine.records import Qos

HOME_SECRET = b"between hub and home"
WBA_ID = "VISITED:FR"
AP = ("127.0.0.1", 40_001)
HOME_KEYS = AccessKeys(ring=ClassRing.of(b"h" * 32), cui_key=b"k" * 32)
ELSEWHERE = "elsewhere.test"


@dataclass
class Wire:
    """A server as the hub sees it: packets go straight into the home's service."""

    home: AccessService
    client: RadiusClient
    address: Address
    down: bool = False
    alive: bool = True
    sent: list[Packet] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.address.server.host

    @property
    def secret(self) -> bytes:
        return self.client.secret

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        if self.down:
            return Lost.UNREACHABLE
        number = len(self.sent) % 256
        if code == Code.ACCESS_REQUEST:
            random = authenticator or number.to_bytes(16, "big")
            octets = access_request(number, random, attributes, self.secret)
        else:
            octets = accounting_request(number, attributes, self.secret)
        self.sent.append(parse(octets))
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        WAITING[octets[4:20]] = answered
        self.home.receive(Origin(Listener.ANY, ("tls", 1), Transport.TLS, self.client), octets)
        reply = await answered
        packet = parse(reply)
        check_response(reply, packet, self.secret, octets[4:20])
        return Reply(packet, octets[4:20], self.secret)

    async def stop(self) -> None:
        pass


WAITING: dict[bytes, asyncio.Future[bytes]] = {}


@dataclass
class Scene:
    """The three, and what the access point heard."""

    folder: Path
    home: Bench = field(default_factory=lambda: Bench(sink=ListSink()))
    hub: Bench = field(default_factory=lambda: Bench(sink=ListSink()))
    wires: list[Wire] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    identifier: int = 0
    dns: dict[Question, Answer] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    offering: Told = SILENT
    worker: int | None = None

    @asynccontextmanager
    async def running(self, *routes: Route) -> AsyncIterator[AccessService]:
        self.home_service = service(self.home, HOME_KEYS)
        self.hub.directory.routing = list(routes)
        self.hub.directory.neighbours = [server("home.test", 0)]
        self.hub.directory.wba_ids = {VISITED: WBA_ID}
        self.home.directory.wba_ids = {VISITED: WBA_ID}
        self.hub.directory.clients[0] = client(prefix="127.0.0.0/8", secret=SECRET, **self.client)
        self.hub.units = Store(self.folder / "hub.sqlite")  # type: ignore[assignment]
        with self.hub.units.write() as unit:
            store.metadata.create_all(unit)
        settings = AccessSettings(
            worker=self.worker,
            directory_ttl_s=0.0,
            offering=self.offering,
            hub=HubSettings(**{"patience_s": 1.0, **self.limits}),
            discovery=DiscoverySettings(private=True),
        )
        self.way_back = WayBack(SeededEntropy(6))
        hub = service(
            self.hub,
            KEYS,
            settings,
            connect=self.connect,
            ask_dns=self.ask,
            way_back=self.way_back,
        )
        self.home_service.start(Transport.TLS, self.home_sends)
        hub.start(Transport.UDP, lambda send: self.heard.append(send.datagram))
        try:
            yield hub
        finally:
            await hub.stop()
            await self.home_service.stop()

    def home_sends(self, send: Send) -> None:
        authenticators = [wire.sent[-1].authenticator for wire in self.wires if wire.sent]
        for authenticator in authenticators:
            waiting = WAITING.get(authenticator)
            if waiting is not None and not waiting.done():
                waiting.set_result(send.datagram)

    def connect(self, address: Address) -> Wire:
        known = client(prefix="dns:hub.test", secret=HOME_SECRET, carries=("*",), federation=True)
        self.wires.append(Wire(self.home_service, known, address))
        return self.wires[-1]

    async def ask(self, question: Question) -> Answer:
        return self.dns.get(question, Answer((), 60))

    async def send(self, hub: AccessService, listener: Listener, octets: bytes) -> Packet:
        before = len(self.heard)
        hub.receive(Origin(listener, AP), octets)
        for _ in range(2000):
            if len(self.heard) > before:
                break
            await asyncio.sleep(0.001)
        reply = self.heard[-1]
        packet = parse(reply)
        check_response(reply, packet, SECRET, octets[4:20])
        return packet

    async def access(self, hub: AccessService, *attributes: Attribute) -> tuple[Packet, bytes]:
        self.identifier += 1
        authenticator = self.identifier.to_bytes(16, "big")
        octets = access_request(
            self.identifier, authenticator, [text(Type.NAS_IDENTIFIER, NAS), *attributes], SECRET
        )
        return await self.send(hub, Listener.AUTH, octets), authenticator

    async def account(
        self, hub: AccessService, status: int, octets: int, *more: Attribute, realm: str = REALM
    ) -> Packet:
        self.identifier += 1
        attributes = [
            text(Type.NAS_IDENTIFIER, NAS),
            text(Type.USER_NAME, f"pseudonym@{realm}"),
            text(Type.ACCT_SESSION_ID, "session-1"),
            integer(Type.ACCT_STATUS_TYPE, status),
            integer(Type.ACCT_INPUT_OCTETS, octets),
            *more,
        ]
        packet = accounting_request(self.identifier, attributes, SECRET)
        return await self.send(hub, Listener.ACCT, packet)

    def owed(self) -> int:
        with self.hub.units.read() as unit:
            return len(unit.execute(select(store.outbox)).all())


def client(**more: Any) -> RadiusClient:
    return RadiusClient(client_id=more["prefix"], operator=VISITED, **more)


def server(host: str, place: int) -> RadiusServer:
    return RadiusServer(
        upstream="home", place=place, transport="tls", host=host, port=2083, secret=b"radsec"
    )


def service(
    bench: Bench, keys: AccessKeys, settings: AccessSettings | None = None, **more: Any
) -> AccessService:
    ports = AccessPorts(
        units=bench.units,
        directory=bench.directory,
        vectors=bench.vectors,
        policy=bench.policy,
        sink=bench.sink,
        clock=bench.clock,
        entropy=SeededEntropy(len(more)),
        payments=bench.payments,
        **more,
    )
    return AccessService(ports, keys, settings or AccessSettings(directory_ttl_s=0.0))


TO_HOME = Route(pattern=REALM, kind=RouteKind.UPSTREAM, upstream="home")
DISCOVER = Route(pattern="*", kind=RouteKind.DISCOVER)


async def attach(scene: Scene, hub: AccessService) -> tuple[Packet, bytes, AkaPrimePeer]:
    peer = AkaPrimePeer(usim(), REALM)
    name = text(Type.USER_NAME, peer.permanent)
    packet, authenticator = await scene.access(hub, name, *eap_message(peer.identity()))
    while packet.code == Code.ACCESS_CHALLENGE:
        response = peer.respond(packet.joined(Type.EAP_MESSAGE) or b"")
        assert response is not None
        state = (int(Type.STATE), packet.get(Type.STATE) or b"")
        packet, authenticator = await scene.access(hub, name, *eap_message(response), state)
    peer.respond(packet.joined(Type.EAP_MESSAGE) or b"")
    return packet, authenticator, peer


async def test_a_phone_gets_on_through_a_hub_and_both_have_the_same_record(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    async with scene.running(TO_HOME) as hub:
        packet, authenticator, peer = await attach(scene, hub)
        assert packet.code == Code.ACCESS_ACCEPT
        assert peer.finished == "success"
        keys = [value for _, value in packet.vendor(MICROSOFT)]
        opened = [open_mppe_key(value, SECRET, authenticator) for value in keys]
        assert peer.keys is not None
        assert opened == [peer.keys.msk[:32], peer.keys.msk[32:64]]
        assert not packet.all(Type.PROXY_STATE)
        sent = scene.wires[0].sent[0]
        assert sent.all(Type.OPERATOR_NAME) == (b"4VISITED:FR",)
        assert len(sent.all(Type.PROXY_STATE)) == 1
        granted = scene.home.policy.granted[0]
        assert (granted.visited, granted.node_id) == (VISITED, NODE_AT_HOME)
        assert len(scene.way_back) == 1
        token = [(int(Type.CLASS), value) for value in packet.all(Type.CLASS)]
        for status, octets in ((1, 0), (3, 700), (2, 900)):
            answer = await scene.account(hub, status, octets, *token)
            assert answer.code == Code.ACCOUNTING_RESPONSE
        await until_delivered(scene)
    ours, theirs = scene.hub.sink.observations, scene.home.sink.observations
    assert [o.counters.octets_in for o in theirs if o.counters] == [0, 700, 900]

    def name_of(observation: Any) -> tuple[object, ...]:
        return (
            observation.visited,
            observation.home,
            observation.nas_key,
            observation.acct_session_id,
            observation.counters,
            observation.reporter,
        )

    assert [name_of(o) for o in ours] == [name_of(o) for o in theirs]
    assert {o.authorisation_id for o in ours} == {None}
    assert {o.authorisation_id for o in theirs} == {granted.authorisation_id}


NODE_AT_HOME = "node_cafe_1"


ORDERS: tuple[Attribute, ...] = (
    integer(Type.SERVICE_TYPE, 6),  # Administrative
    (64, b"\x00\x00\x00\x0d"),  # Tunnel-Type: VLAN
    (65, b"\x00\x00\x00\x06"),
    (81, b"1"),  # Tunnel-Private-Group-ID
    (22, b"0.0.0.0/0 192.0.2.66 1"),  # Framed-Route
    (92, b"permit in ip from any to any"),  # NAS-Filter-Rule
    text(Type.FILTER_ID, "management"),
    vendor(9, 1, b"shell:priv-lvl=15"),
)
"""What would have an access point treat a device as one of the house."""


@pytest.mark.parametrize("inward", [False, True])
async def test_another_home_gives_our_access_points_no_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inward: bool
) -> None:
    """A server of our own may put a device into a VLAN, one of the federation may not."""
    plain = Wire.request

    async def request(self: Wire, code: int, attributes: Any, **more: Any) -> Reply | Lost:
        reply = await plain(self, code, attributes, **more)
        assert isinstance(reply, Reply)
        came = reply.packet
        grown = (*came.attributes, *ORDERS)
        return replace(reply, packet=Packet(came.code, came.identifier, came.authenticator, grown))

    monkeypatch.setattr(Wire, "request", request)
    scene = Scene(tmp_path)
    async with scene.running(replace(TO_HOME, inward=inward)) as hub:
        packet, _, peer = await attach(scene, hub)
        assert peer.finished == "success"
        told = [one for one in packet.attributes if one in ORDERS]
        assert told == (list(ORDERS) if inward else [])
        assert packet.get(Type.CHARGEABLE_USER_IDENTITY)
        assert len(packet.all(Type.CLASS)) == 3
        assert packet.integer(Type.SESSION_TIMEOUT) == 3600
        left_out = hub.metrics.left_out
        assert left_out["Attr-81"] == (0 if inward else 2)  # of the challenge and the accept
        assert sum(left_out.values()) == (0 if inward else 2 * len(ORDERS))


async def until_delivered(scene: Scene, delivered: Callable[[], bool] = lambda: True) -> None:
    """Wait until nothing is owed; what is counted, is counted after that."""
    for _ in range(2000):
        if scene.owed() == 0 and delivered():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it is still owed, or not counted")


async def test_a_home_that_is_away_costs_no_accounting_and_no_silence(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running(TO_HOME) as hub:
        await attach(scene, hub)
        scene.wires[0].down = True
        assert (await scene.account(hub, 1, 0)).code == Code.ACCOUNTING_RESPONSE
        assert (await scene.account(hub, 3, 700)).code == Code.ACCOUNTING_RESPONSE
        rejected, _ = await scene.access(
            hub, text(Type.USER_NAME, f"0@{REALM}"), *eap_message(b"\x02\x07\x00\x05\x01")
        )
        assert rejected.code == Code.ACCESS_REJECT
        assert rejected.joined(Type.EAP_MESSAGE) == eap.encode_eap(eap.EapCode.FAILURE, 7)
        assert hub.metrics.rejects == {"upstream_unreachable": 1}
    assert scene.owed() == 2
    scene.wires.clear()
    scene.hub.clock.set(NOW_US + 60_000_000)
    async with scene.running(TO_HOME) as hub:
        assert (await scene.account(hub, 2, 900)).code == Code.ACCOUNTING_RESPONSE
        assert hub.passing is not None
        metrics = hub.passing.hub.metrics
        await until_delivered(scene, lambda: metrics.delivered >= 3)
        assert metrics.delivered == 3
    assert [o.counters.octets_in for o in scene.home.sink.observations] == [0, 700, 900]


async def test_what_is_kept_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    scene = Scene(tmp_path, limits={"outbox_rows_max": 1})
    async with scene.running(TO_HOME) as hub:
        await scene.account(hub, 1, 0, realm="other.test")
        assert scene.owed() == 0
        scene.home_service.receive = lambda *_: None  # type: ignore[method-assign,assignment]
        await scene.account(hub, 1, 0)
        assert scene.owed() == 1
        before = len(scene.hub.sink.observations)
        hub.receive(
            Origin(Listener.ACCT, AP),
            accounting_request(
                99,
                [
                    text(Type.NAS_IDENTIFIER, NAS),
                    text(Type.USER_NAME, f"x@{REALM}"),
                    text(Type.ACCT_SESSION_ID, "session-2"),
                    integer(Type.ACCT_STATUS_TYPE, 1),
                ],
                SECRET,
            ),
        )
        for _ in range(500):
            if hub.metrics.dropped:
                break
            await asyncio.sleep(0.002)
        assert hub.metrics.dropped == {"store_failed": 1}
        assert len(scene.hub.sink.observations) == before


@pytest.mark.parametrize(
    ("realm", "reason"),
    [("nobody.test", "realm_unknown"), ("sub." + REALM, "realm_unknown")],
)
async def test_an_unknown_realm_is_rejected_at_once(
    tmp_path: Path, realm: str, reason: str
) -> None:
    scene = Scene(tmp_path)
    async with scene.running(TO_HOME) as hub:
        name = text(Type.USER_NAME, f"anonymous@{realm}")
        packet, _ = await scene.access(hub, name, *eap_message(b"\x02\x07\x00\x05\x01"))
        assert packet.code == Code.ACCESS_REJECT
        assert reason.encode() in b"".join(packet.all(Type.REPLY_MESSAGE))
        assert hub.metrics.rejects == {reason: 1}
        assert not scene.wires
        await scene.account(hub, 1, 0, realm=realm)  # our own access point's use goes to suspense
        assert hub.metrics.unrouted == {reason: 1}
        assert scene.hub.sink.observations[0].home is None


async def test_the_federation_gains_nothing_through_us(tmp_path: Path) -> None:
    scene = Scene(tmp_path, client={"federation": True})
    async with scene.running(TO_HOME, DISCOVER) as hub:
        for realm in (REALM, ELSEWHERE):
            name = text(Type.USER_NAME, f"anonymous@{realm}")
            packet, _ = await scene.access(hub, name, *eap_message(b"\x02\x07\x00\x05\x01"))
            assert packet.code == Code.ACCESS_REJECT
        assert hub.metrics.rejects == {"realm_not_served": 2}
        hub.receive(
            Origin(Listener.ACCT, AP),
            accounting_request(
                1,
                [
                    text(Type.NAS_IDENTIFIER, NAS),
                    text(Type.USER_NAME, f"x@{ELSEWHERE}"),
                    text(Type.ACCT_SESSION_ID, "s"),
                    integer(Type.ACCT_STATUS_TYPE, 1),
                ],
                SECRET,
            ),
        )
        assert hub.metrics.dropped == {"realm_not_served": 1}
        assert not scene.wires


@pytest.mark.parametrize("said", ["4VICTIM:US", "1victim.example", "4VISITED:FR"])
@pytest.mark.parametrize("carries", [(), (VISITED,)])
async def test_no_access_point_is_passed_on_as_somebody_else_s(
    tmp_path: Path, said: str, carries: tuple[str, ...]
) -> None:
    scene = Scene(tmp_path, client={"carries": carries})
    name, operator = text(Type.USER_NAME, f"x@{REALM}"), text(Type.OPERATOR_NAME, said)
    hidden = text(Type.OPERATOR_NAME, "4VICTIM:US")  # behind one that may be
    async with scene.running(TO_HOME) as hub:
        eap_start = eap_message(b"\x02\x07\x00\x05\x01")
        answer, _ = await scene.access(hub, name, *eap_start, operator, hidden)
        if carries and said == "4VICTIM:US":
            assert answer.code == Code.ACCESS_REJECT
            assert not scene.wires
            return
        await scene.account(hub, 1, 0, operator, hidden)
        await until_delivered(scene)
        [wire] = scene.wires
        named = [packet.all(Type.OPERATOR_NAME) for packet in wire.sent]
        assert named == [(b"4VISITED:FR",)] * 2


async def test_what_access_points_of_ours_offer_is_told_and_held_to(tmp_path: Path) -> None:
    """Bank and rates are added to settled service; a rate nobody offered lets nobody on."""
    bank, rate = wbaid("BANK:US"), Rate(0, Quote("USD", 1_900))
    scene = Scene(tmp_path, offering=Told(qos=Qos.SILVER, financial_clearing=bank, rates=(rate,)))
    settled = vendor(WFA, WFA_ROAMING_CONSORTIUM, bytes.fromhex("baa2d00000"))
    peer = AkaPrimePeer(usim(), REALM)
    async with scene.running(TO_HOME) as hub:
        await attach(scene, hub)
        free = told(scene.wires[0].sent[-1])
        assert (free.qos, free.financial_clearing, free.rates) == (Qos.SILVER, None, ())
        asked: list[Told] = []
        dearer = replace(rate, quote=Quote("USD", 1_901))
        for accepted, code in ((rate, Code.ACCESS_ACCEPT), (dearer, Code.ACCESS_REJECT)):
            said = attributes_of(Told(financial_clearing=bank, rates=(accepted,)))
            answer = Packet(Code.ACCESS_ACCEPT, 1, bytes(16), tuple(said))

            async def accepts(
                _: int, attributes: Sequence[Attribute], answer: Packet = answer, **__: object
            ) -> Reply:
                asked.append(told(Packet(1, 1, bytes(16), tuple(attributes))))
                return Reply(answer, bytes(16), HOME_SECRET)

            scene.wires[0].request = accepts  # type: ignore[method-assign,assignment]
            name = text(Type.USER_NAME, peer.permanent)
            packet, _ = await scene.access(hub, name, *eap_message(peer.identity()), settled)
            assert packet.code == code
        assert [one.rates for one in asked] == [(rate,), (rate,)]
        assert {one.financial_clearing for one in asked} == {bank}


async def test_settled_service_that_the_home_does_not_clear_is_not_served(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    settled = vendor(WFA, WFA_ROAMING_CONSORTIUM, bytes.fromhex("baa2d00000"))
    peer = AkaPrimePeer(usim(), REALM)
    async with scene.running(TO_HOME) as hub:
        reply = Reply(Packet(Code.ACCESS_ACCEPT, 1, bytes(16), ()), bytes(16), HOME_SECRET)
        await attach(scene, hub)

        async def accepts(*_: object, **__: object) -> Reply:
            return reply

        scene.wires[0].request = accepts  # type: ignore[method-assign]
        name = text(Type.USER_NAME, peer.permanent)
        packet, _ = await scene.access(hub, name, *eap_message(peer.identity()), settled)
        assert packet.code == Code.ACCESS_REJECT
        assert hub.metrics.rejects == {"financial_clearing_missing": 1}
        packet, _ = await scene.access(hub, name, *eap_message(peer.identity()))
        assert packet.code == Code.ACCESS_ACCEPT


async def test_a_realm_leads_to_its_servers_by_the_dns(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    pointer = Naptr(1, 1, "s", "aaa+auth:radius.tls.tcp", "", "_x.home.test")
    public = "wlan.mnc001.mcc001.pub.3gppnetwork.org"
    scene.dns = {
        Question(public, Kind.NAPTR): Answer((pointer,), 300),
        Question("_x.home.test", Kind.SRV): Answer((Srv(1, 1, 3000, "a.home.test"),), 300),
        Question("a.home.test", Kind.A): Answer(("127.0.0.1",), 300),
    }
    async with scene.running(DISCOVER, Route(pattern=REALM, kind=RouteKind.DISCOVER)) as hub:
        packet, _, peer = await attach(scene, hub)
        assert packet.code == Code.ACCESS_ACCEPT
        assert peer.finished == "success"
        asked = scene.wires[0].address
        assert (asked.server.host, asked.server.port) == ("a.home.test", 3000)
        assert (asked.address, asked.realm) == ("127.0.0.1", REALM)
        name = text(Type.USER_NAME, f"anonymous@{ELSEWHERE}")
        packet, _ = await scene.access(hub, name, *eap_message(b"\x02\x07\x00\x05\x01"))
        assert packet.code == Code.ACCESS_REJECT
        assert hub.metrics.rejects == {"realm_unknown": 1}


async def test_a_repeat_shares_what_is_on_its_way(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running(TO_HOME) as hub:
        name = text(Type.USER_NAME, f"anonymous@{REALM}")
        attributes = [text(Type.NAS_IDENTIFIER, NAS), name, *eap_message(b"\x02\x07\x00\x05\x01")]
        octets = access_request(1, b"r" * 16, attributes, SECRET)
        hub.receive(Origin(Listener.AUTH, AP), octets)
        first = await scene.send(hub, Listener.AUTH, octets)
        again = await scene.send(hub, Listener.AUTH, octets)
        assert first == again
        assert len(scene.wires[0].sent) == 1
        assert len(scene.heard) == 2
        assert hub.metrics.duplicates == 2


async def test_of_several_processes_one_delivers_what_is_owed(tmp_path: Path) -> None:
    second = Scene(tmp_path, worker=1)
    async with second.running(TO_HOME) as hub:
        assert (await second.account(hub, 2, 900)).code == Code.ACCOUNTING_RESPONSE
        assert hub.passing is not None
        assert not await asyncio.wait_for(stays_owed(second), 5)
    first = Scene(tmp_path, home=second.home, worker=0)
    async with first.running(TO_HOME):
        await until_delivered(first)
    assert [o.counters.octets_in for o in second.home.sink.observations] == [900]


async def stays_owed(scene: Scene) -> bool:
    """Whether something is delivered within ten looks of the loop."""
    for _ in range(10):
        await asyncio.sleep(0.01)
    return scene.owed() == 0


async def test_what_never_comes_back_does_not_hold_up_the_end(tmp_path: Path) -> None:
    scene = Scene(tmp_path, limits={"stop_s": 0.01, "patience_s": 3_600.0})
    async with scene.running(TO_HOME) as hub:
        scene.home_service.receive = lambda *_: None  # type: ignore[method-assign,assignment]
        name = text(Type.USER_NAME, f"anonymous@{REALM}")
        attributes = [text(Type.NAS_IDENTIFIER, NAS), name, *eap_message(b"\x02\x07\x00\x05\x01")]
        hub.receive(Origin(Listener.AUTH, AP), access_request(1, b"r" * 16, attributes, SECRET))
        await asyncio.sleep(0)
    assert not scene.heard


async def test_a_packet_that_was_here_before_is_a_loop(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running(TO_HOME) as hub:
        name = text(Type.USER_NAME, f"anonymous@{REALM}")
        message = eap_message(b"\x02\x07\x00\x05\x01")
        await scene.access(hub, name, *message)
        ours = (int(Type.PROXY_STATE), scene.wires[0].sent[0].all(Type.PROXY_STATE)[0])
        packet, _ = await scene.access(hub, name, *message, ours)
        assert packet.code == Code.ACCESS_REJECT
        assert packet.all(Type.PROXY_STATE) == (ours[1],)
        assert hub.metrics.rejects["proxy_loop"] == 1
        assert len(scene.wires[0].sent) == 1


async def test_the_identity_we_asked_for_may_lead_elsewhere(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running(TO_HOME) as hub:
        asked, _ = await scene.access(hub, (int(Type.EAP_MESSAGE), b""))
        assert asked.code == Code.ACCESS_CHALLENGE
        state = (int(Type.STATE), asked.get(Type.STATE) or b"")
        peer = AkaPrimePeer(usim(), REALM)
        identifier = (asked.joined(Type.EAP_MESSAGE) or b"")[1]
        name = text(Type.USER_NAME, peer.permanent)
        packet, _ = await scene.access(hub, name, *eap_message(peer.identity(identifier)), state)
        assert packet.code == Code.ACCESS_CHALLENGE
        assert scene.wires[0].sent[0].get(Type.STATE) is None
        assert len(hub.server.sessions) == 0


async def test_an_unknown_node_is_the_operators_own_where_it_is_carried(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    other = foreign_node(VISITED, "nobody's")
    assert operator_of_node(other.node_id) == VISITED == other.host
    async with scene.running(TO_HOME) as hub:
        del scene.home.directory.nodes[NAS]
        packet, _, _ = await attach(scene, hub)
        assert packet.code == Code.ACCESS_ACCEPT
        grant = scene.home.policy.granted[0]
        assert grant.node_id == foreign_node(VISITED, NAS).node_id
        assert grant.visited == VISITED
        scene.wires[0].client = client(prefix="dns:x", secret=HOME_SECRET, carries=(HOME,))
        packet, _, _ = await attach(scene, hub)
        assert packet.code == Code.ACCESS_REJECT  # it may not bring this operator's
        assert scene.home_service.metrics.rejects == {"nas_identifier_refused": 1}
