"""Order a session's end at port 3799 of this host: SESSION. It prints what became of it.

With `radclient` after it a home's radclient orders it, at a port of ours before that.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

if __package__ is None:  # run by path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.access.fakes import NAS, SECRET, VISITED, FakeUnits
from tests.access.radsec import ENTROPY
from tests.peers.test_access_orders import RADCLIENT, attach, metadata, sender
from tests.peers.test_access_radsec import run

from opencarrier.access.dynamic_udp import DynamicBind, DynamicServer
from opencarrier.access.hub.backward import Served, WayBack
from opencarrier.access.hub.incoming import OrdersOverUdp
from opencarrier.access.model import Transport
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.reach import PORT
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Packet, text
from opencarrier.app.system import SystemClock
from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.parties import RadiusClient, RadiusServer

HOME_PORT = 3798
HOME = RadiusServer(
    upstream="home", place=0, transport="udp", host="127.0.0.1", port=1812, secret=b"testing123"
)


async def by_radclient(session: str) -> None:
    """Let a home's radclient order it of us, who pass it on to where it let somebody in."""
    way = WayBack(ENTROPY, port=PORT)
    name = text(Type.NAS_IDENTIFIER, NAS)
    ap = RadiusClient(client_id="ap", prefix="", secret=SECRET, operator=VISITED)
    asked = Packet(Code.ACCESS_REQUEST, 1, bytes(16), (name,))
    way.note("127.0.0.1:1812", asked, Served(ap, "127.0.0.1", Transport.UDP))
    orders = OrdersOverUdp(way, lambda host: [HOME], clock=SystemClock())
    server = DynamicServer(orders, orders.client, DynamicBind(port=HOME_PORT))
    await server.start()
    words = f'NAS-Identifier = "{NAS}"\nAcct-Session-Id = "{session}"\n'
    words += f"Event-Timestamp = {SystemClock().now_us() // SECOND_US}\n"
    told = await run(
        RADCLIENT or "",
        *("-x", f"127.0.0.1:{HOME_PORT}", "disconnect", "testing123"),
        stdin=words.encode(),
    )
    done = "Received Disconnect-ACK" in told
    print("answer ack done" if done else f"answer {told}", flush=True)
    await server.stop()
    await way.stop()


async def main(session: str) -> None:
    units, book = FakeUnits(), OrderBook()
    metadata.create_all(units.engine)
    with units.write() as unit:
        book.attached(unit, [attach(1, session)])
        at_us = SystemClock().now_us()
        book.disconnect(unit, bytes([1]) * 16, reason="test", at_us=at_us)
    await sender(units, PORT).tick()
    with units.read() as unit:
        line = book.lines(unit)[0]
    print(f"answer {line.answer} {line.state} {line.error_cause}", flush=True)


if __name__ == "__main__":
    asyncio.run((by_radclient if "radclient" in sys.argv[2:] else main)(sys.argv[1]))
