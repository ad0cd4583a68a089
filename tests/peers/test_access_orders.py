"""Disconnect and CoA with foreign peers: radclient asks us, FreeRADIUS and hostapd answer us."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
from tests.access.fakes import IMSI, NAS, REALM, SECRET, VISITED, FakeUnits, usim
from tests.access.radsec import ENTROPY, until
from tests.peers import test_access_wired as wired
from tests.peers.test_access_radsec import free_port, program, run

from opencarrier.access.dynamic import ErrorCause, ack, nak, sound
from opencarrier.access.dynamic_udp import DynamicBind, DynamicServer
from opencarrier.access.hub.backward import Served, WayBack
from opencarrier.access.hub.incoming import OrdersOverUdp
from opencarrier.access.model import Transport
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.model import Attach, State
from opencarrier.access.orders.reach import Reach
from opencarrier.access.orders.sending import OrderSender
from opencarrier.access.orders.store import metadata
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Packet, text
from opencarrier.app.system import SystemClock
from opencarrier.kernel.clock import SECOND_US
from opencarrier.sim.usim import ControlSim
from opencarrier.spine.access import Change
from opencarrier.spine.parties import RadiusClient, RadiusServer

RADCLIENT, RADIUSD = (
    shutil.which(name, path="/usr/bin:/usr/sbin") for name in ("radclient", "freeradius")
)
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not (RADCLIENT and RADIUSD), reason="freeradius or radclient is missing"),
]

HOME = RadiusClient(client_id="home", prefix="127.0.0.1/32", secret=b"testing123", operator=VISITED)


async def test_radclient_s_requests_are_answered_as_their_sessions_are_known() -> None:
    seen: list[Packet] = []

    async def answer(octets: bytes, client: RadiusClient) -> bytes:
        packet = sound(octets, client)
        seen.append(packet)
        if packet.text(Type.ACCT_SESSION_ID) == "gone":
            return nak(packet, ErrorCause.SESSION_CONTEXT_NOT_FOUND, client.secret)
        return ack(packet, [], client.secret)

    server = DynamicServer(answer, lambda host: HOME, DynamicBind(port=0))
    await server.start()
    at = f"127.0.0.1:{server.address[1]}"
    for kind, session, word in (
        ("disconnect", "a1", "Disconnect-ACK"),
        ("disconnect", "gone", "Disconnect-NAK"),
        ("coa", "a1", "CoA-ACK"),
        ("coa", "gone", "CoA-NAK"),
    ):
        words = f'Acct-Session-Id = "{session}"\nProxy-State = 0x6f6e65\nProxy-State = 0x74776f\n'
        told = await run(RADCLIENT or "", "-x", at, kind, "testing123", stdin=words.encode())
        assert f"Received {word}" in told, told
        assert told.index("0x6f6e65") < told.index("0x74776f")
        assert ("Error-Cause = Session-Context-Not-Found" in told) is (session == "gone"), told
    wrong = await run(
        RADCLIENT or "",
        *("-x", "-r", "1", "-t", "1", at, "disconnect", "wrong"),
        stdin=b'Acct-Session-Id = "a1"\n',
    )
    assert "Received" not in wrong
    assert server.dropped == {"request_authenticator": 1}
    assert len(seen) == 4
    await server.stop()


async def test_radclient_orders_at_our_port_what_freeradius_behind_us_does(tmp_path: Path) -> None:
    """A home's radclient asks us; the access point behind us is FreeRADIUS."""
    behind = free_port(socket.SOCK_DGRAM)
    (tmp_path / "radiusd.conf").write_text(
        FREERADIUS.format(folder=tmp_path, port=behind, secret=f'"{SECRET.decode()}"')
    )
    home = RadiusServer(
        upstream="home",
        place=0,
        transport="udp",
        host="127.0.0.1",
        port=1812,
        secret=b"testing123",
    )
    way = WayBack(ENTROPY, port=behind)
    station = text(Type.CALLING_STATION_ID, "02-00-00-00-00-01")
    request = Packet(Code.ACCESS_REQUEST, 1, bytes(16), (text(Type.NAS_IDENTIFIER, NAS), station))
    ap = RadiusClient(client_id="ap", prefix="", secret=SECRET, operator=VISITED)
    served = Served(ap, "127.0.0.1", Transport.UDP, inward=True)  # a server of our own
    way.note("127.0.0.1:1812", request, served)
    orders = OrdersOverUdp(
        way, lambda host: [home] if host == home.host else [], clock=SystemClock()
    )
    server = DynamicServer(orders, orders.client, DynamicBind(port=0))
    await server.start()
    at = f"127.0.0.1:{server.address[1]}"
    own = f'NAS-Identifier = "{NAS}"\nCalling-Station-Id = "02-00-00-00-00-01"\n'
    hop = "Proxy-State = 0x6f6e65\n"
    foreign = f'NAS-Identifier = "{NAS}"\nCalling-Station-Id = "02-00-00-00-00-02"\n'
    command = (RADIUSD or "", "-f", "-l", "stdout", "-d", str(tmp_path))
    async with program(tmp_path / "log", *command):
        await until(lambda: "Ready to process" in (tmp_path / "log").read_text())
        for kind, words, told in (
            ("disconnect", own, "Received Disconnect-ACK"),
            ("coa", own + 'Filter-Id = "free"\n', "Received CoA-ACK"),
            ("coa", own + 'Filter-Id = "unheard of"\n', "Unsupported-Attribute"),
            ("disconnect", foreign, "Proxy-Request-Not-Routable"),
            (
                "disconnect",
                own + hop + "Message-Authenticator = 0x00\n",
                "0x6f6e65",
            ),
        ):
            said = await run(RADCLIENT or "", "-x", at, kind, "testing123", stdin=words.encode())
            assert told in said, said
        unsigned = (own + hop).encode()
        alone = ("-x", "-r", "1", "-t", "1", at, "disconnect", "testing123")
        said = await run(RADCLIENT or "", *alone, stdin=unsigned)
        assert "Received" not in said
    assert server.dropped == {"message_authenticator_missing": 1}
    await server.stop()
    await way.stop()


FREERADIUS = """
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
security {{
  allow_core_dumps = no
}}
modules {{
  always ok {{
    rcode = ok
  }}
  always reject {{
    rcode = reject
  }}
}}
client here {{
  ipaddr = 127.0.0.1
  secret = {secret}
}}
server default {{
  listen {{
    type = coa
    ipaddr = 127.0.0.1
    port = {port}
  }}
  recv-coa {{
    if (&request:Filter-Id && &request:Filter-Id == "free") {{
      ok
    }}
    elsif (!&request:Filter-Id) {{
      ok
    }}
    else {{
      update reply {{
        Error-Cause := Unsupported-Attribute
      }}
      reject
    }}
  }}
}}
"""


def attach(number: int, acct: str) -> Attach:
    return Attach(
        authorisation_id=bytes([number]) * 16,
        client_id="cafe",
        transport="udp",
        host="127.0.0.1",
        nas_identifier=NAS,
        acct_session_id=acct,
        cui="",
        expires_us=SystemClock().now_us() + 3_600 * SECOND_US,
    )


def sender(units: FakeUnits, port: int) -> OrderSender:
    client = RadiusClient(client_id="cafe", prefix="", secret=SECRET, operator=VISITED)
    return OrderSender(
        OrderBook(),
        units,
        reach=Reach(entropy=ENTROPY, port=port),
        clients=lambda host: client,
        clock=SystemClock(),
    )


async def test_freeradius_as_an_access_network_takes_our_orders(tmp_path: Path) -> None:
    port, book = free_port(socket.SOCK_DGRAM), OrderBook()
    (tmp_path / "radiusd.conf").write_text(
        FREERADIUS.format(folder=tmp_path, port=port, secret=f'"{SECRET.decode()}"')
    )
    units = FakeUnits()
    metadata.create_all(units.engine)
    at_us = SystemClock().now_us()
    with units.write() as unit:
        for number in (1, 2, 3):
            book.attached(unit, [attach(number, f"a{number}")])
        book.disconnect(unit, bytes([1]) * 16, reason="money", at_us=at_us)
        for number, name in ((2, "free"), (3, "unheard of")):
            change = Change(filter_id=name, rate_octets_per_s=1_000)
            book.change(unit, bytes([number]) * 16, change, reason="tier", at_us=at_us)
    command = (RADIUSD or "", "-f", "-l", "stdout", "-d", str(tmp_path))
    async with program(tmp_path / "log", *command):
        await until(lambda: "Ready to process" in (tmp_path / "log").read_text())
        assert await sender(units, port).tick() == 3
    with units.read() as unit:
        lines = {line.authorisation_id[:2]: line for line in book.lines(unit)}
    assert (lines["02"].state, lines["02"].answer) == (State.DONE, "ack")
    assert (lines["03"].state, lines["03"].error_cause) == (State.REFUSED, 401)
    assert (lines["01"].kind, lines["01"].state) == ("disconnect", State.DONE)


@pytest.mark.skipif(bool(wired.MISSING), reason=f"not installed: {', '.join(wired.MISSING)}")
@pytest.mark.skipif(
    not wired.MISSING and not wired._namespaces_allowed(),
    reason="making network namespaces needs root",
)
@pytest.mark.parametrize("by", [(), ("radclient",)])
async def test_hostapd_drops_the_station_we_order_it_to(
    tmp_path: Path, by: tuple[str, ...]
) -> None:
    """By an order of ours, and by one of a home's that reaches it through our own port."""
    with wired.cable() as ends:
        told = await _dropped(tmp_path, ends, *by)
    assert "ack" in told
    assert "done" in told


async def _dropped(folder: Path, ends: wired.Cable, *by: str) -> str:
    hostapd_conf, wpa_conf = folder / "hostapd.conf", folder / "wpa.conf"
    hostapd_conf.write_text(
        wired.HOSTAPD + "radius_das_port=3799\nradius_das_time_window=300\n"
        f"radius_das_client=127.0.0.1 {SECRET.decode()}\n"
        "radius_das_require_event_timestamp=1\n"
        "radius_das_require_message_authenticator=1\n"
    )
    wpa_conf.write_text(
        f"ctrl_interface={folder / 'ctrl'}\nap_scan=0\nexternal_sim=1\n"
        "network={\n key_mgmt=IEEE8021X\n eapol_flags=0\n eap=AKA'\n"
        f' identity="6{IMSI}@{REALM}"\n}}\n'
    )
    log = {name: folder / f"{name}.log" for name in ("server", "hostapd", "wpa", "order")}
    ports = (str(wired.AUTH_PORT), str(wired.ACCT_PORT))
    serve = (sys.executable, str(wired.ROOT / "tests/access/serve.py"), *ports)
    order = (sys.executable, str(wired.ROOT / "tests/peers/order.py"))
    async with wired.daemon(ends.ap, *serve, log=log["server"]) as server:
        await wired.seen(log["server"], "ready")
        async with wired.daemon(ends.ap, "hostapd", str(hostapd_conf), log=log["hostapd"]):
            await wired.seen(log["server"], '"ON"')
            wpa = ("wpa_supplicant", "-D", "wired", "-i", "ocsta0", "-c", str(wpa_conf))
            card = ControlSim(usim(), folder / "ctrl" / "ocsta0")
            async with wired.daemon(ends.phone, *wpa, log=log["wpa"]):
                await card.attach()
                started = await wired.seen(log["server"], '"START"')
                session = wired_session(started)
                async with wired.daemon(ends.ap, *order, session, *by, log=log["order"]):
                    said = await wired.seen(log["order"], "answer")
                stopped = await wired.seen(log["server"], '"STOP"')
                assert f'"{session}"' in stopped
                card.close()
            server.stdin.close()
    return said


def wired_session(lines: str) -> str:
    found = [json.loads(line) for line in lines.splitlines() if '"START"' in line]
    session: str = found[0]["session"]
    return session
