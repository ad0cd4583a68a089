"""The process beside an access point: one folder, two UDP ports, one line to the hub.

It imports no more than it needs: it runs on what stands at a venue (`tests/app/test_node_agent.py`
holds the list).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from opencarrier.access.agent.agent import NodeAgent
from opencarrier.access.agent.neighbours import Neighbours
from opencarrier.access.agent.orders import NodeOrders
from opencarrier.access.agent.ports import KernelPorts
from opencarrier.access.agent.service import AgentPorts, AgentService
from opencarrier.access.agent.store import AgentStore
from opencarrier.access.dynamic import Answerer
from opencarrier.access.orders.reach import Reach
from opencarrier.access.radsec.client import RadsecServerAt, RadsecUpstream, Tuning
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.upstream.asking import AskLimits
from opencarrier.access.upstream.model import Lost, Reply, Upstream
from opencarrier.access.upstream.timers import Backoff
from opencarrier.access.upstream.udp import UdpUpstream
from opencarrier.access.wire.dictionary import Code
from opencarrier.access.wire.duplicates import Address
from opencarrier.access.wire.radius import Attribute
from opencarrier.app.folder import FolderError
from opencarrier.app.node_desk import NodeDesk
from opencarrier.app.node_folder import NodeFolder, NodeSettings
from opencarrier.app.node_http import NodeHttp
from opencarrier.app.system import SystemClock, SystemEntropy

_log = logging.getLogger(__name__)

_LIMITS = AskLimits(request_s=15.0)

RECONNECTION = Backoff(first_s=1.0, most_s=8.0)
"""One node is no burden to its hub, and nobody gets on while it waits to dial again."""

TELL_S = 5.0
"""How often the process says how it stands, for `node status`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRunning:
    """An agent that answers: where, and by which key it signs."""

    auth: Address
    acct: Address
    kid: str
    service: AgentService
    payments: Address | None


@asynccontextmanager
async def running(folder: NodeFolder) -> AsyncIterator[NodeRunning]:
    """Serve a folder's access points; on the way out answer what is durable, and close."""
    settings, signer = folder.load(), folder.signer()
    store = AgentStore(folder.store_file)
    ports = KernelPorts()
    reach = Reach(entropy=SystemEntropy(), port=settings.dynamic_port)
    agent = NodeAgent(
        points=settings.points,
        venue=settings.venue,
        signer=signer,
        store=store,
        read_port=ports.read,
        settings=settings.limits,
    )
    try:
        async with asking(settings, NodeOrders(agent, reach)) as hub:
            asked = AgentPorts(upstream=hub, clock=SystemClock(), entropy=SystemEntropy())
            service = AgentService(agent, asked, settings.limits)
            udp = await _listen(service, settings)
            try:
                async with _devices(service, settings) as payments:
                    yield NodeRunning(
                        auth=udp.auth_address,
                        acct=udp.acct_address,
                        kid=signer.address,
                        service=service,
                        payments=payments,
                    )
            finally:
                await udp.stop()
    finally:
        await reach.stop()
        ports.close()
        store.close()


async def serve(folder: NodeFolder, ready: Callable[[NodeRunning], None]) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(folder) as node:
        ready(node)
        try:
            while not stop.is_set():
                folder.tell(standing(node))
                try:
                    async with asyncio.timeout(TELL_S):
                        await stop.wait()
                except TimeoutError:
                    continue
        finally:
            folder.run.unlink(missing_ok=True)


def standing(node: NodeRunning) -> dict[str, object]:
    """Return how a running agent stands, for `status`."""
    stock = node.service.agent.store.stock()
    return {
        "pid": os.getpid(),
        "kid": node.kid,
        "auth_port": node.auth[1],
        "acct_port": node.acct[1],
        "waiting": stock.waiting,
        "waiting_octets": stock.waiting_octets,
        "oldest_us": stock.oldest_us,
        "sessions_open": stock.sessions_open,
        "statements": stock.statements,
        "payments_waiting": stock.payments_waiting,
        "payments_port": None if node.payments is None else node.payments[1],
        "counters": node.service.metrics.as_mapping(),
    }


@asynccontextmanager
async def asking(settings: NodeSettings, orders: Answerer) -> AsyncIterator[Upstream]:
    """Keep the line to the hub; `FolderError` where its files or its name are of no use.

    What the hub orders over RadSec in reverse goes to the access point it is about.
    """
    try:
        hub = _radsec(settings, orders) if settings.hub.files else _Udp(settings)
        await hub.start()
    except (OSError, ValueError) as error:
        raise FolderError(
            f"the hub at {settings.hub.host}:{settings.hub.port}: {error}", "see [hub] in node.toml"
        ) from None
    try:
        yield hub
    finally:
        await hub.stop()


def _radsec(settings: NodeSettings, orders: Answerer) -> RadsecUpstream:
    hub = settings.hub
    assert hub.files is not None
    return RadsecUpstream(
        "hub",
        RadsecServerAt(host=hub.host, port=hub.port, expected=hub.expected),
        Trust(hub.files),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        limits=_LIMITS,
        tuning=Tuning(again=RECONNECTION),
        dynamic=orders,
    )


class _Udp:
    """A server's two ports as one that can be asked."""

    def __init__(self, settings: NodeSettings) -> None:
        hub = settings.hub
        self.name, self.secret = "hub", hub.secret
        self._ports = {
            code: UdpUpstream(
                self.name, (hub.host, port), hub.secret, entropy=SystemEntropy(), limits=_LIMITS
            )
            for code, port in (
                (Code.ACCESS_REQUEST, hub.port),
                (Code.ACCOUNTING_REQUEST, hub.acct_port),
            )
        }

    @property
    def alive(self) -> bool:
        """Whether both ports answer, as far as is known."""
        return all(port.alive for port in self._ports.values())

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        """Ask at the port the code belongs to."""
        port = self._ports[Code(code)]
        return await port.request(code, attributes, authenticator=authenticator)

    async def start(self) -> None:
        """Open a socket to each port."""
        for port in self._ports.values():
            await port.start()

    async def stop(self) -> None:
        """Close them."""
        for port in self._ports.values():
            await port.stop()


@asynccontextmanager
async def _devices(service: AgentService, settings: NodeSettings) -> AsyncIterator[Address | None]:
    """Hear devices where the settings say so."""
    chosen = settings.payments
    if chosen is None:
        yield None
        return
    neighbours = Neighbours()
    station_of = neighbours.station_of if chosen.neighbours else (lambda _: "")
    http = NodeHttp(NodeDesk(service, chosen, station_of=station_of), chosen)
    try:
        await http.start()
    except OSError as error:
        raise FolderError(
            f"devices on {chosen.host}:{chosen.port}: {error.strerror}",
            "choose another port in [payments] of node.toml",
        ) from None
    try:
        yield http.address
    finally:
        await http.stop()
        neighbours.close()


async def _listen(service: AgentService, settings: NodeSettings) -> UdpServer:
    udp = UdpServer(
        service,
        Bind(host=settings.host, auth_port=settings.auth_port, acct_port=settings.acct_port),
    )
    try:
        await udp.start()
    except OSError as error:
        ports = f"{settings.auth_port}/{settings.acct_port}"
        raise FolderError(
            f"RADIUS on {settings.host}:{ports}: {error.strerror}",
            "choose other ports in node.toml",
        ) from None
    return udp
