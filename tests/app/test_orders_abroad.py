"""A home ends a visitor's session: back over RadSec, through the access network, to the node."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.access.radsec import Pki, until
from tests.access.test_upstream import Home
from tests.app.scene import IMSI, OPC, K, Scene, scene, taken
from tests.app.test_visited_abroad import AP_SECRET, HOME_REALM, NAS, access_network

from opencarrier.access.dynamic import ack, sound
from opencarrier.access.orders.model import State
from opencarrier.access.orders.store import ATTACHES
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import parse
from opencarrier.app.bootstrap import Installation
from opencarrier.app.listening import Radius
from opencarrier.app.passing_on import access_service
from opencarrier.app.radsec_trust import trust_of
from opencarrier.identity.routing import read_server
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Radio, RadioSettings, Report
from opencarrier.sim.usim import Usim
from opencarrier.spine.parties import RadiusClient, Route, RouteKind

pytestmark = pytest.mark.deep

SESSION = "abroad-2"


def running(base: Installation, pki: Pki, name: str, **settings: int) -> Radius:
    """Both servers of an installation with a certificate of its name."""
    files = pki.files(pki.end(name, dns_names=(f"{name}.example",), addresses=("127.0.0.1",)), name)
    base.settings = replace(
        base.settings,
        radius_port=0,
        acct_port=0,
        radsec_port=0,
        radsec_chain=str(files.chain),
        radsec_key=str(files.key),
        radsec_roots=str(files.roots),
        **settings,
    )
    trust = trust_of(base)
    return Radius(base, access_service(base, trust), trust)


def know_the_visitor(home: Scene) -> None:
    identity, visited = home.place.base.identity, home.visited.party_id
    with home.place.base.store.write() as unit:
        name = "dns:front.example"
        taken(identity.clients.add(unit, prefix=name, operator=visited))
        taken(identity.routing.carry(unit, name, operators=[visited], federation=True))
        taken(identity.routing.name_operator(unit, visited, "VISITED:SN"))


def lead_home(away: Installation, port: int) -> None:
    with away.store.write() as unit:
        assert away.identity.routing.remove(unit, HOME_REALM) is None
        route = Route(pattern=HOME_REALM, kind=RouteKind.UPSTREAM, upstream="home")
        server = taken(read_server(f"tls://127.0.0.1:{port}", b""))
        taken(away.identity.routing.add(unit, route, [server]))


async def attach(radio: Radio, home: Scene) -> Attached:
    attached = await radio.attach(AkaPrimePeer(Usim(imsi=IMSI, k=K, opc=OPC), HOME_REALM))
    assert isinstance(attached, Attached), attached
    report = Report(
        status=AcctStatus.START,
        acct_session_id=SESSION,
        event_s=home.clock.now_us() // SECOND_US,
        session_time_s=0,
        octets_in=0,
        octets_out=0,
    )
    await radio.report(report, attached)
    return attached


async def test_a_home_s_order_reaches_the_node_a_visitor_is_at(tmp_path: Path) -> None:
    at_node = RadiusClient(client_id="front", prefix="", secret=AP_SECRET, operator=None)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    transport, node = await loop.create_datagram_endpoint(
        lambda: Home(lambda octets: ack(sound(octets, at_node), [], AP_SECRET)),
        local_addr=("127.0.0.1", 0),
    )
    pki = Pki(tmp_path)
    with scene(tmp_path / "home") as home:
        know_the_visitor(home)
        base = home.place.base
        behind = running(base, pki, "home")
        await behind.start()
        assert behind.radsec is not None
        away = access_network(tmp_path / "away", home, 9)
        lead_home(away, behind.radsec.address[1])
        port = transport.get_extra_info("sockname")[1]
        front = running(away, pki, "front", dynamic_port=port)
        await front.start()
        settings = RadioSettings(
            nas_identifier=NAS,
            secret=AP_SECRET,
            auth=front.udp.auth_address,
            acct=front.udp.acct_address,
        )
        radio = await Radio.open(settings, SeededEntropy(4))
        attached = await attach(radio, home)
        assert attached.keys_match
        await until(lambda: observations(base) > 0)
        authorisation_id = only_authorisation(base)
        with base.store.write() as unit:
            at_us = home.clock.now_us()
            assert base.orders.disconnect(unit, authorisation_id, reason="money", at_us=at_us)
        await until(lambda: state(base) == State.DONE)
        (heard,) = node.heard
        packet = parse(heard)
        assert packet.code == Code.DISCONNECT_REQUEST
        assert packet.text(Type.NAS_IDENTIFIER) == NAS
        assert packet.text(Type.ACCT_SESSION_ID) == SESSION
        radio.close()
        await front.stop()
        await behind.stop()
        away.close()
    transport.close()


def observations(base: Installation) -> int:
    with base.store.read() as unit:
        return base.usage.totals(unit).observations


def only_authorisation(base: Installation) -> bytes:
    with base.store.read() as unit:
        found: bytes = unit.scalars(select(ATTACHES.c.authorisation_id)).one()
    return found


def state(base: Installation) -> str:
    with base.store.read() as unit:
        return base.orders.lines(unit)[0].state
