"""Two installations and an access point: a visitor's use becomes the operator's own money.

The access network passes packets on to the home, which knows its operator but none of its nodes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.app.scene import IMSI, OPC, SECOND_US, START_US, K, Scene, scene, taken

from opencarrier.access.hub import store as owed
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.app.bootstrap import Installation, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.app.passing_on import access_service, passing_status
from opencarrier.identity.routing import read_server
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.receipts.verify import Verifier
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Radio, RadioSettings, Report
from opencarrier.sim.usim import Usim
from opencarrier.spine.parties import PartyId, Route, RouteKind, foreign_node

HOME_REALM = "wlan.mnc093.mcc208.3gppnetwork.org"
SECRET = b"between both installations"
AP_SECRET = b"of the access point beside it"
NAS = "roof-7"


def two_ports() -> int:
    for _ in range(50):
        with (
            socket.socket(type=socket.SOCK_DGRAM) as one,
            socket.socket(type=socket.SOCK_DGRAM) as two,
        ):
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two ports in a row are free")


def know_the_visitor(home: Scene) -> None:
    """At the home: who the access network is, not which nodes it has."""
    identity = home.place.base.identity
    with home.place.base.store.write() as unit:
        taken(
            identity.clients.add(
                unit, prefix="127.0.0.0/8", secret=SECRET, operator=home.visited.party_id
            )
        )
        carried = [home.visited.party_id]
        taken(identity.routing.carry(unit, "127.0.0.0/8", operators=carried, federation=True))
        taken(identity.routing.name_operator(unit, home.visited.party_id, "VISITED:SN"))


def access_network(folder: Path, home: Scene, port: int) -> Installation:
    """An installation of the visited operator's own, with one access point and one route."""
    base = open_installation(
        Folder(folder), Settings(cycle_s=0), clock=home.clock, entropy=SeededEntropy(9)
    )
    identity = base.identity
    with base.store.write() as unit:
        for one, plmns in ((home.home, ["20893"]), (home.visited, [])):
            taken(
                identity.register.add_operator(
                    unit,
                    name=one.name,
                    jurisdiction=one.jurisdiction,
                    plmns=plmns,
                    address=one.address,
                    party_id=one.party_id,
                )
            )
        host = taken(identity.register.add_host(unit, name="Roof"))
        visited = home.visited.party_id
        taken(identity.register.add_node(unit, node_id=NAS, operator=visited, host=host.party_id))
        taken(identity.clients.add(unit, prefix="127.0.0.0/8", secret=AP_SECRET, operator=visited))
        taken(identity.routing.name_operator(unit, visited, "VISITED:SN"))
        route = Route(pattern=HOME_REALM, kind=RouteKind.UPSTREAM, upstream=HOME_REALM)
        server = taken(read_server(f"udp://127.0.0.1:{port}", SECRET))
        taken(identity.routing.add(unit, route, [server]))
    return base


@asynccontextmanager
async def served(server: UdpServer) -> AsyncIterator[UdpServer]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def use(radio: Radio, clock: FixedClock, octets: int) -> Attached:
    peer = AkaPrimePeer(Usim(imsi=IMSI, k=K, opc=OPC), HOME_REALM)
    attached = await radio.attach(peer)
    assert isinstance(attached, Attached), attached
    for status, part in ((AcctStatus.START, 0), (AcctStatus.STOP, octets)):
        clock.set(clock.now_us() + 60 * SECOND_US)
        report = Report(
            status=status,
            acct_session_id="abroad-1",
            event_s=clock.now_us() // SECOND_US,
            session_time_s=60 if part else 0,
            octets_in=0,
            octets_out=part,
        )
        await radio.report(report, attached)
    return attached


async def test_a_visitors_use_is_paid_to_the_operator_whose_node_nobody_registered(
    tmp_path: Path,
) -> None:
    with scene(tmp_path / "home") as home:
        know_the_visitor(home)
        port = two_ports()
        away = access_network(tmp_path / "away", home, port)
        front = access_service(away, None)
        here = Bind(auth_port=port, acct_port=port + 1)
        async with (
            served(UdpServer(home.place.base.access(), here)),
            served(UdpServer(front, Bind(auth_port=0, acct_port=0))) as ap,
        ):
            settings = RadioSettings(
                nas_identifier=NAS, secret=AP_SECRET, auth=ap.auth_address, acct=ap.acct_address
            )
            radio = await Radio.open(settings, SeededEntropy(4))
            attached = await use(radio, home.clock, 1_024_000)
            assert attached.keys_match
            radio.close()
            await delivered(away)
            with away.store.read() as unit:
                told = passing_status(front.passing, unit)
        assert told["delivered"] == 2
        assert told["owed"] == []
        node = foreign_node(home.visited.party_id, NAS)
        await asyncio.to_thread(home.settle)
        place = home.place
        assert home.closed is not None
        with place.base.store.read() as unit:
            [usage_id] = place.clearing.usages(unit, home.closed.cycle.cycle_id)
            usage = place.base.usage.usage(unit, usage_id)
            [signed] = place.clearing.positions(unit, home.closed.cycle.cycle_id)
            text = place.issuer.issue(unit, usage_id)
            rated = place.base.rating.rated(unit, usage_id)
        assert usage is not None
        assert rated is not None
        assert (usage.node_id, usage.visited) == (node.node_id, home.visited.party_id)
        assert rated.host == home.visited.party_id
        assert signed.position.debtor == home.home.party_id
        assert signed.position.creditor == home.visited.party_id
        assert signed.position.amount_minor > 0
        assert isinstance(text, str)
        verdict = Verifier(place.manifest, place.client).verify(text)
        assert verdict.included
        assert verdict.final
        same_record_at(away, usage.counters_to.octets_out, home.home.party_id)
        away.close()


def same_record_at(away: Installation, octets: int, home: PartyId) -> None:
    """The visited side's own record of the use, which the exchange compares."""
    with away.store.write() as unit:
        [own] = away.usage.cut(
            unit, cycle_id=derive("test/cycle"), cut_us=START_US + 7_200 * SECOND_US
        )
    assert own.counters_to.octets_out == octets
    assert (own.home, own.node_id) == (home, NAS)
    assert own.authorisation_id is not None


async def delivered(away: Installation) -> None:
    for _ in range(1000):
        with away.store.read() as unit:
            if not owed.lines(unit, limit=1):
                return
        await asyncio.sleep(0.01)
    raise AssertionError("it is still owed")


@pytest.mark.parametrize("name", ["4OTHER:SN", "1visited.example"])
async def test_an_operator_the_client_does_not_carry_is_refused(tmp_path: Path, name: str) -> None:
    from opencarrier.access.visited import visited_node
    from opencarrier.access.wire.dictionary import Code, Type
    from opencarrier.access.wire.radius import Packet, text

    with scene(tmp_path / "home") as home:
        know_the_visitor(home)
        base = home.place.base
        with base.store.write() as unit:
            taken(base.identity.routing.name_operator(unit, home.home.party_id, "OTHER:SN"))
        with base.store.read() as unit:
            directory = base.identity.directory
            client = directory.client(unit, "127.0.0.1")
            assert client is not None

            class Lookup:
                def node(self, nas: str):
                    return directory.node(unit, nas)

                def operator_named_by_wba(self, wba_id: str):
                    return directory.operator_named_by_wba(unit, wba_id)

            attributes = (text(Type.NAS_IDENTIFIER, NAS), text(Type.OPERATOR_NAME, name))
            packet = Packet(Code.ACCESS_REQUEST, 1, bytes(16), attributes)
            found = visited_node(packet, client, Lookup())
        if name.startswith("4"):
            assert found is None
        else:
            assert found == foreign_node(home.visited.party_id, NAS)
