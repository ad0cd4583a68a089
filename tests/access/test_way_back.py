"""Disconnect and CoA of a home find the access point it let somebody in at, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from tests.access.fakes import KEYS, NAS, NOW_US, REALM, SECRET, VISITED, Bench, usim
from tests.access.radsec import ENTROPY, Pki, known_as
from tests.access.test_passing import HOME_KEYS

from opencarrier.access.dynamic import DynamicProxy, ErrorCause, ack, sound
from opencarrier.access.hub import store
from opencarrier.access.hub.backward import SAME_NAME_MAX, Served, WayBack
from opencarrier.access.hub.dialling import Dialler
from opencarrier.access.hub.incoming import OrdersOverUdp
from opencarrier.access.model import AccessSettings, Transport
from opencarrier.access.radsec.server import RadsecBind, RadsecServer
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.service import AccessPorts, AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire.authenticators import request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Attribute, Packet, encode, integer, parse, text
from opencarrier.app.system import SystemClock
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import PeerError
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Radio, RadioSettings
from opencarrier.spine.parties import RadiusClient, RadiusServer, Route, RouteKind

HOME = RadiusClient(client_id="home.test:2083", prefix="", secret=b"radsec", operator=VISITED)
OTHER = RadiusClient(client_id="other.test:2083", prefix="", secret=b"radsec", operator=VISITED)
AP = RadiusClient(client_id="ap", prefix="127.0.0.0/8", secret=SECRET, operator=VISITED)
STATE: Attribute = (int(Type.PROXY_STATE), b"the home's own")


class AccessPoint(asyncio.DatagramProtocol):
    """Ends whatever session it is told to."""

    def __init__(self) -> None:
        self.heard: list[Packet] = []
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(sound(data, AP))
        assert self.transport is not None
        self.transport.sendto(ack(self.heard[-1], [], SECRET), addr)


@asynccontextmanager
async def access_point(served_max: int = 2) -> AsyncIterator[tuple[AccessPoint, WayBack]]:
    loop = asyncio.get_running_loop()
    transport, point = await loop.create_datagram_endpoint(AccessPoint, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    way = WayBack(SeededEntropy(1), port=port, served_max=served_max, sockets_max=1)
    try:
        yield point, way
    finally:
        await way.stop()
        transport.close()


def asked(nas: str, *more: Attribute) -> Packet:
    return Packet(Code.ACCESS_REQUEST, 1, bytes(16), (text(Type.NAS_IDENTIFIER, nas), *more))


def disconnect(nas: str, *more: Attribute) -> bytes:
    attributes = [text(Type.NAS_IDENTIFIER, nas), text(Type.ACCT_SESSION_ID, "s1"), STATE, *more]
    return request(Code.DISCONNECT_REQUEST, 7, attributes, HOME.secret)


def over_udp(address: str = "127.0.0.1") -> Served:
    return Served(AP, address, Transport.UDP)


async def test_a_home_reaches_whom_it_let_in_and_nobody_else_does() -> None:
    async with access_point() as (point, way):
        proxy = DynamicProxy(way.find, clock=FixedClock(NOW_US))
        way.note(HOME.client_id, asked("cafe-1"), over_udp())
        reply = parse(await proxy(disconnect("cafe-1"), HOME))
        assert reply.code == Code.DISCONNECT_ACK
        assert reply.all(Type.PROXY_STATE) == (STATE[1],)
        [heard] = point.heard
        assert heard.text(Type.ACCT_SESSION_ID) == "s1"
        assert not heard.all(Type.PROXY_STATE)
        for octets, home in ((disconnect("cafe-1"), OTHER), (disconnect("cafe-2"), HOME)):
            refused = parse(await proxy(octets, home))
            assert refused.code == Code.DISCONNECT_NAK
            assert refused.integer(Type.ERROR_CAUSE) == ErrorCause.REQUEST_NOT_ROUTABLE
        assert len(point.heard) == 1


async def test_no_home_ends_what_is_known_to_be_another_s_session() -> None:
    async with access_point() as (_, way):
        way.note(OTHER.client_id, asked("cafe-1"), over_udp())
        way.note(HOME.client_id, asked("cafe-1", text(Type.ACCT_SESSION_ID, "s1")), over_udp())
        assert way.find(parse(disconnect("cafe-1")), HOME) is not None
        assert way.find(parse(disconnect("cafe-1")), OTHER) is None
        for number in range(2):
            session = text(Type.ACCT_SESSION_ID, f"n{number}")
            way.note(HOME.client_id, asked("cafe-1", session), over_udp())
        assert way.find(parse(disconnect("cafe-1")), OTHER) is not None, "no more is remembered"


STATION, PSEUDONYM = text(Type.CALLING_STATION_ID, "02-00-00-00-00-01"), b"of the home"
LET_IN = Packet(
    Code.ACCESS_ACCEPT, 1, bytes(16), ((int(Type.CHARGEABLE_USER_IDENTITY), PSEUDONYM),)
)


def unnamed(*told: Attribute) -> Packet:
    attributes = [text(Type.NAS_IDENTIFIER, "cafe-1"), *told]
    return parse(request(Code.DISCONNECT_REQUEST, 7, attributes, HOME.secret))


async def test_without_a_session_s_name_a_home_reaches_only_whom_it_let_in() -> None:
    """Two homes have people at one access point; neither names sessions."""
    other_station = text(Type.CALLING_STATION_ID, "02-00-00-00-00-02")
    cui = (int(Type.CHARGEABLE_USER_IDENTITY), PSEUDONYM)
    async with access_point(served_max=8) as (_, way):
        way.note(HOME.client_id, asked("cafe-1", STATION), over_udp(), LET_IN)
        way.note(OTHER.client_id, asked("cafe-1", other_station), over_udp())
        for told, found in (
            ((), False),
            ((STATION,), True),
            ((cui,), True),
            ((STATION, cui), True),
            ((other_station,), False),
            ((STATION, text(Type.USER_NAME, "of another")), False),
            ((text(Type.CALLING_STATION_ID, "unheard of"),), False),
        ):
            assert (way.find(unnamed(*told), HOME) is not None) is found, told
        assert way.find(unnamed(other_station), OTHER) is not None
        for stranger in (STATION, cui):
            assert way.find(unnamed(stranger), OTHER) is None
        way.note(OTHER.client_id, asked("cafe-1", STATION), over_udp())
        assert way.find(unnamed(STATION), HOME) is None, "the station went over to another home"


AT_HOME = [
    RadiusServer(
        upstream="home", place=place, transport=kind, host="127.0.0.1", port=port, secret=secret
    )
    for place, (kind, port, secret) in enumerate(
        (("tls", 2083, b"radsec"), ("udp", 1812, b"between us"), ("udp", 1912, b"between us"))
    )
]


def over_3799(way: WayBack) -> OrdersOverUdp:
    def servers(host: str) -> list[RadiusServer]:
        return [one for one in AT_HOME if one.host == host]

    return OrdersOverUdp(way, servers, clock=FixedClock(NOW_US))


async def test_over_udp_a_home_orders_from_where_it_is_asked() -> None:
    async with access_point() as (point, way):
        orders = over_3799(way)
        assert orders.client("127.0.0.2") is None
        home = orders.client("127.0.0.1")
        assert home is not None
        assert home.secret == b"between us"
        way.note("127.0.0.1:1912", asked("cafe-1", STATION), over_udp())
        named = [text(Type.NAS_IDENTIFIER, "cafe-1"), STATION]
        for code, attributes, answer in (
            (Code.DISCONNECT_REQUEST, named, Code.DISCONNECT_ACK),
            (Code.COA_REQUEST, [*named, text(Type.FILTER_ID, "free")], Code.COA_NAK),
            (Code.COA_REQUEST, [*named, integer(Type.SESSION_TIMEOUT, 9)], Code.COA_ACK),
            (Code.DISCONNECT_REQUEST, [named[0]], Code.DISCONNECT_NAK),
        ):
            octets = request(code, 7, [*attributes, STATE], home.secret)
            assert parse(await orders(octets, home)).code == answer
        assert len(point.heard) == 2
        for octets, reason in (
            (bare([*named, STATE], b"between us"), "message_authenticator_missing"),
            (request(Code.COA_REQUEST, 7, named, b"another"), "request_authenticator"),
            (
                request(Code.COA_REQUEST, 7, [integer(Type.EVENT_TIMESTAMP, 9)], b"between us"),
                "event_timestamp",
            ),
        ):
            with pytest.raises(PeerError, match=reason):
                await orders(octets, home)


async def test_access_points_of_one_name_are_told_apart_by_who_served_the_session() -> None:
    """Another's access network may call its own like yours: your sessions stay yours to end."""
    way, sought = WayBack(SeededEntropy(1)), []
    way.connected = lambda client, host: sought.append(client)
    for client, session in (("honest", "s1"), ("hostile", "s2"), ("third", "")):
        asked_for = asked("cafe-1", *([text(Type.ACCT_SESSION_ID, session)] if session else []))
        one = replace(AP, client_id=client)
        way.note(HOME.client_id, asked_for, Served(one, "192.0.2.1", Transport.TLS))
    way.note(OTHER.client_id, asked("cafe-1", text(Type.ACCT_SESSION_ID, "s1")), over_udp())
    for session in ("s1", "s2", "unknown"):
        order = Packet(Code.DISCONNECT_REQUEST, 1, bytes(16), (
            text(Type.NAS_IDENTIFIER, "cafe-1"), text(Type.ACCT_SESSION_ID, session)
        ))  # fmt: skip
        way.find(order, HOME)
    assert sought == ["honest", "hostile", "third"]
    for number in range(20):
        one = replace(AP, client_id=f"n{number}")
        way.note(HOME.client_id, asked("cafe-1"), Served(one, "192.0.2.1", Transport.TLS))
    assert len(way._served[HOME.client_id, b"cafe-1"]) == SAME_NAME_MAX


@pytest.mark.parametrize("inward", [False, True])
async def test_another_home_orders_nothing_of_our_network(inward: bool) -> None:
    vlan = (81, b"1")
    async with access_point() as (point, way):
        proxy = DynamicProxy(way.find, allows=way.allows)
        served = replace(over_udp(), inward=inward)
        way.note(HOME.client_id, asked("cafe-1"), served)
        named = [text(Type.NAS_IDENTIFIER, "cafe-1"), text(Type.ACCT_SESSION_ID, "s1"), STATE]
        good = [*named, integer(Type.SESSION_TIMEOUT, 60)]
        for attributes, code in (
            (good, Code.COA_ACK),
            ([*good, vlan], Code.COA_ACK if inward else Code.COA_NAK),
        ):
            answer = parse(await proxy(request(Code.COA_REQUEST, 1, attributes, b"radsec"), HOME))
            assert answer.code == code
            if code == Code.COA_NAK:
                assert answer.integer(Type.ERROR_CAUSE) == 501
        assert len(point.heard) == 1 + inward


async def test_an_access_point_without_a_name_is_found_by_its_address() -> None:
    async with access_point() as (_, way):
        at = (int(Type.NAS_IP_ADDRESS), b"\xc0\x00\x02\x01")
        way.note(HOME.client_id, Packet(Code.ACCESS_REQUEST, 1, bytes(16), (at,)), over_udp())
        for kind, value, found in (
            (*at, True),
            (Type.NAS_IP_ADDRESS, b"\xc0\x00\x02\x02", False),
            (Type.NAS_IDENTIFIER, at[1], False),
            (Type.NAS_IDENTIFIER, b"", False),
        ):
            told = ((int(kind), value), text(Type.ACCT_SESSION_ID, "s1"))
            packet = Packet(Code.DISCONNECT_REQUEST, 1, bytes(16), told)
            assert (way.find(packet, HOME) is not None) is found


def filled(*more: Attribute, room: int = 0) -> list[Attribute]:
    """Attributes that fill a signed request but for `room` octets with Proxy-State."""
    left = 4096 - 20 - 18 - room - sum(len(value) + 2 for _, value in more)
    sizes = [253] * (left // 255) + ([left % 255 - 2] if left % 255 >= 2 else [])
    return [*more, *((int(Type.PROXY_STATE), bytes(size)) for size in sizes)]


async def test_whatever_a_request_brings_along_its_answer_fits_a_packet_or_there_is_none() -> None:
    """A home fills its orders with Proxy-State, or with what leaves no room for a signature."""
    name, session = text(Type.NAS_IDENTIFIER, "cafe-1"), text(Type.ACCT_SESSION_ID, "s1")
    async with access_point() as (point, way):
        proxy = DynamicProxy(way.find)
        way.note(HOME.client_id, asked("cafe-1"), over_udp())
        for room, nas in ((0, "cafe-1"), (5, "cafe-1"), (6, "cafe-1"), (0, "cafe-2")):
            attributes = filled(text(Type.NAS_IDENTIFIER, nas), session, room=room)
            answer = parse(await proxy(request(Code.COA_REQUEST, 1, attributes, b"radsec"), HOME))
            assert answer.code == (Code.COA_ACK if nas == "cafe-1" else Code.COA_NAK)
            assert [a for a in answer.attributes if a[0] == Type.PROXY_STATE] == attributes[2:]
        # A request needs no Message-Authenticator (RFC 5176); with ours in front it has to fit.
        whole = filled(name, session, room=-18)
        with pytest.raises(PeerError, match="packet_full"):
            await proxy(bare(whole), HOME)
        others = [(int(Type.REPLY_MESSAGE), value) for _, value in whole[2:]]
        answer = parse(await proxy(bare([name, session, *others]), HOME))
        assert (answer.code, answer.integer(Type.ERROR_CAUSE)) == (Code.COA_NAK, 404)
        assert len(point.heard) == 4


def bare(attributes: list[Attribute], secret: bytes = b"radsec") -> bytes:
    """A CoA-Request without Message-Authenticator."""
    octets = encode(Code.COA_REQUEST, 1, bytes(16), attributes)
    return octets[:4] + md5(octets + secret).digest() + octets[20:]


async def test_over_radsec_the_access_networks_connection_is_asked() -> None:
    way = WayBack(SeededEntropy(1))
    way.note(HOME.client_id, asked("cafe-1"), Served(AP, "192.0.2.1", Transport.TLS))
    sought: list[tuple[str, str]] = []

    def connected(client_id: str, host: str) -> None:
        sought.append((client_id, host))

    way.connected = connected
    packet = parse(disconnect("cafe-1"))
    assert way.find(packet, HOME) is None
    assert sought == [("ap", "192.0.2.1")]


async def test_what_is_remembered_and_open_is_bounded() -> None:
    async with access_point() as (_, way):
        for number in range(3):
            way.note(HOME.client_id, asked(f"cafe-{number}"), over_udp(f"127.0.0.{number + 1}"))
        assert len(way) == 2
        assert way.find(parse(disconnect("cafe-0")), HOME) is None
        first = way.find(parse(disconnect("cafe-1")), HOME)
        assert way.find(parse(disconnect("cafe-1")), HOME) is first
        assert way.find(parse(disconnect("cafe-2")), HOME) is not None
        assert way.find(parse(disconnect("cafe-1")), HOME) is not first
        way.note(HOME.client_id, Packet(Code.ACCESS_REQUEST, 1, bytes(16), ()), over_udp())
        assert len(way) == 2


async def test_an_access_point_that_is_not_there_is_told_of() -> None:
    nas, way = "cafe-1", WayBack(SeededEntropy(1), port=1)
    way.note(HOME.client_id, asked(nas), over_udp())
    proxy = DynamicProxy(way.find, clock=FixedClock(NOW_US))
    asking = asyncio.create_task(proxy(disconnect(nas), HOME))
    await asyncio.sleep(0.05)
    upstream = way.find(parse(disconnect(nas)), HOME)
    assert upstream is not None
    await way.stop()
    reply = parse(await asking)
    assert reply.code == Code.DISCONNECT_NAK
    assert reply.integer(Type.ERROR_CAUSE) == ErrorCause.OTHER_PROXY_PROCESSING_ERROR


async def test_over_radsec_in_reverse_a_home_ends_what_it_let_in(tmp_path: Path) -> None:
    """All of it but the phone's air: a home with certificates, us, and an access point."""
    pki = Pki(tmp_path)
    names = {"dns_names": ("home.test",), "addresses": ("127.0.0.1",)}
    theirs = Trust(pki.files(pki.end("home", **names), "home"))
    ours = Trust(pki.files(pki.end("access", dns_names=("access.test",)), "access"))
    home, us = Bench(), Bench(clock=FixedClock(NOW_US))
    home.directory.clients = [known_as("dns:access.test", VISITED)]
    clock = SystemClock()
    server = RadsecServer(
        AccessService(ports_of(home), HOME_KEYS, AccessSettings()),
        theirs,
        RadsecBind(port=0, tick_s=0.1),
        clock=clock,
        entropy=ENTROPY,
    )
    await server.start()
    us.directory.routing = [Route(pattern=REALM, kind=RouteKind.UPSTREAM, upstream="home")]
    us.directory.neighbours = [
        RadiusServer(
            upstream="home",
            place=0,
            transport="tls",
            host="127.0.0.1",
            port=server.address[1],
            secret=b"radsec",
        )
    ]
    async with access_point() as (point, way):
        dynamic = DynamicProxy(way.find, clock=clock)
        dialler = Dialler(ours, clock=clock, entropy=ENTROPY, dynamic=dynamic)
        service = AccessService(
            ports_of(us, connect=dialler.connect, way_back=way), KEYS, AccessSettings()
        )
        store.metadata.create_all(us.units.engine)
        udp = UdpServer(service, Bind(auth_port=0, acct_port=0))
        await udp.start()
        radio = await Radio.open(
            RadioSettings(
                nas_identifier=NAS, secret=SECRET, auth=udp.auth_address, acct=udp.acct_address
            ),
            SeededEntropy(3),
        )
        attached = await radio.attach(AkaPrimePeer(usim(), REALM))
        assert isinstance(attached, Attached), attached
        back = server.to("peer")
        assert back is not None
        wanted = [text(Type.NAS_IDENTIFIER, NAS), text(Type.ACCT_SESSION_ID, "s1")]
        reply = await back.request(Code.DISCONNECT_REQUEST, wanted)
        assert isinstance(reply, Reply), reply
        assert reply.packet.code == Code.DISCONNECT_ACK
        assert [heard.text(Type.ACCT_SESSION_ID) for heard in point.heard] == ["s1"]
        elsewhere = [text(Type.NAS_IDENTIFIER, "other-1"), *wanted[1:]]
        refused = await back.request(Code.DISCONNECT_REQUEST, elsewhere)
        assert isinstance(refused, Reply), refused
        assert refused.packet.code == Code.DISCONNECT_NAK
        radio.close()
        await udp.stop()
    await server.stop()


async def test_another_home_ends_no_session_that_we_let_in_ourselves() -> None:
    """It had somebody at the same access point, and guesses what our session is called."""
    bench, way = Bench(), WayBack(SeededEntropy(1))
    here = replace(AP, client_id=bench.directory.clients[0].client_id)
    way.note(OTHER.client_id, asked(NAS, STATION), replace(over_udp(), client=here))
    for order in (parse(disconnect(NAS)), unnamed(STATION)):
        assert way.find(order, OTHER) is not None
    service = AccessService(ports_of(bench, way_back=way), KEYS, AccessSettings())
    store.metadata.create_all(bench.units.engine)
    udp = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await udp.start()
    radio = await Radio.open(
        RadioSettings(
            nas_identifier=NAS, secret=SECRET, auth=udp.auth_address, acct=udp.acct_address
        ),
        SeededEntropy(3),
    )
    attached = await radio.attach(AkaPrimePeer(usim(), REALM), STATION[1].decode())
    assert isinstance(attached, Attached), attached
    radio.close()
    await udp.stop()
    assert way.find(unnamed(STATION), OTHER) is None, "the station is here now"
    way.keep_own(asked(NAS, text(Type.ACCT_SESSION_ID, "s1")), here)
    assert way.find(parse(disconnect(NAS)), OTHER) is None
    await way.stop()


def ports_of(bench: Bench, **more: Any) -> AccessPorts:
    return AccessPorts(
        units=bench.units,
        directory=bench.directory,
        vectors=bench.vectors,
        policy=bench.policy,
        sink=bench.sink,
        clock=bench.clock,
        entropy=SeededEntropy(len(more)),
        **more,
    )
