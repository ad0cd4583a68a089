"""A venue in one process: an access point, the agent on real sockets, and a home behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from tests.access.fakes import NAS, REALM, SECRET, Bench, ListSink, usim

from opencarrier.access.agent.agent import NodeAgent
from opencarrier.access.agent.counters import PortReading
from opencarrier.access.agent.model import AccessPoint, AgentSettings, Source, Venue
from opencarrier.access.agent.service import AgentPorts, AgentService
from opencarrier.access.agent.store import AgentStore
from opencarrier.access.model import Listener, Origin, Transport
from opencarrier.access.server import Send
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.wire.authenticators import access_request, accounting_request
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import Attribute, Packet, parse, text
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.signatures import KeySigner
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import (
    Attached,
    Link,
    NoAnswerError,
    Patience,
    Radio,
    RadioSettings,
    Rejected,
    Report,
)

AP_SECRET = b"between the access point and the agent"
STATION = "02-00-00-00-00-01"
OPERATOR_NAME = "4EXAMPLE:FR"
NODE = KeySigner(b"\x07" * 32)


@dataclass
class Home:
    """The home's access server behind the agent, which may be away or silent."""

    bench: Bench = field(default_factory=Bench)
    name: str = "home"
    secret: bytes = SECRET
    alive: bool = True
    mode: str = "answers"
    requests: list[Packet] = field(default_factory=list)
    waiting: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def start(self) -> None:
        self.service = self.bench.service()
        self.service.start(Transport.UDP, self._send)

    @property
    def reports(self) -> list[Packet]:
        return [packet for packet in self.requests if packet.code == Code.ACCOUNTING_REQUEST]

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        if self.mode == "away":
            await asyncio.sleep(0.005)
            return Lost.UNREACHABLE
        if self.mode == "silent":
            await asyncio.sleep(3_600)
        if code == Code.ACCESS_REQUEST:
            assert authenticator is not None
            datagram = access_request(1, authenticator, attributes, SECRET)
        else:
            datagram = accounting_request(1, attributes, SECRET)
        packet = parse(datagram)
        if packet.text(Type.ACCT_SESSION_ID) in self.refused:
            await asyncio.sleep(0.005)
            return Lost.TIMEOUT
        self.requests.append(packet)
        reply = await self._exchange(code, datagram)
        return Reply(reply, packet.authenticator, SECRET)

    async def _exchange(self, code: int, datagram: bytes) -> Packet:
        number = len(self.requests)
        listener = Listener.AUTH if code == Code.ACCESS_REQUEST else Listener.ACCT
        self.waiting[number] = asyncio.get_running_loop().create_future()
        self.service.receive(Origin(listener, ("127.0.0.1", number)), datagram)
        return parse(await asyncio.wait_for(self.waiting[number], 5))

    def _send(self, send: Send) -> None:
        self.waiting[send.origin.address[1]].set_result(send.datagram)


class StationRadio(Radio):
    """An access point that names its station, and lies or forgets as it is told."""

    station = STATION
    nas_identifier = "the maker's own name"

    def _who(self) -> list[Attribute]:
        return [
            text(Type.NAS_IDENTIFIER, self.nas_identifier),
            text(Type.CALLING_STATION_ID, self.station),
        ]

    async def send(self, attributes: Sequence[Attribute]) -> Packet:
        return await self._acct.accounting(attributes)

    async def tell(self, report: Report, *more: Attribute) -> Packet:
        """Report without Class, CUI or User-Name, as some access points do."""
        return await self.send([*report.attributes(), *self._who(), *more])


@dataclass
class Kernel:
    """Interfaces that count what they are told."""

    ports: dict[str, PortReading] = field(default_factory=dict)

    def set(self, octets_in: int, octets_out: int, *, interface: int = 3) -> None:
        self.ports["lan1"] = PortReading(
            interface=interface, octets_in=octets_in, octets_out=octets_out
        )

    def read(self, name: str, station: str = "") -> PortReading | None:
        return self.ports.get(name)


@dataclass
class Scene:
    """Everything a test needs within reach."""

    file: Path
    home: Home = field(default_factory=Home)
    kernel: Kernel = field(default_factory=Kernel)
    settings: AgentSettings = field(
        default_factory=lambda: AgentSettings(retry_first_s=0.01, retry_max_s=0.02, sample_s=60)
    )
    source: Source = Source.REPORTED
    patience: Patience = field(default_factory=lambda: Patience(first_s=2, tries=2))

    @property
    def sink(self) -> ListSink:
        sink = self.home.bench.sink
        assert isinstance(sink, ListSink)
        return sink

    @property
    def now_us(self) -> int:
        return self.home.bench.clock.now_us()

    def wait(self, seconds: int) -> None:
        """Let time go by for everybody's clock."""
        self.home.bench.clock.set(self.now_us + seconds * SECOND_US)

    def agent(self) -> NodeAgent:
        point = AccessPoint(
            name="ap1",
            prefix=ip_network("127.0.0.0/8"),
            secret=AP_SECRET,
            nas_identifier=NAS,
            source=self.source,
            port="" if self.source is Source.REPORTED else "lan1",
        )
        return NodeAgent(
            points=[point],
            venue=Venue(operator_name=OPERATOR_NAME),
            signer=NODE,
            store=AgentStore(self.file),
            read_port=self.kernel.read,
            settings=self.settings,
        )

    def service(self) -> AgentService:
        ports = AgentPorts(
            upstream=self.home, clock=self.home.bench.clock, entropy=SeededEntropy(3)
        )
        return AgentService(self.agent(), ports, self.settings)

    async def attach(self) -> Attached | Rejected:
        return await self.radio.attach(AkaPrimePeer(usim(), REALM))

    async def delivered(self, count: int) -> list[Packet]:
        """Wait until the home has had this many reports."""
        for _ in range(500):
            if len(self.home.reports) >= count and not self.running.agent.store.waiting():
                return self.home.reports
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(self.home.reports)} of {count} reports were delivered")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[StationRadio]:
        """Run the agent over its file, with an access point that speaks to it."""
        if not hasattr(self.home, "service"):
            self.home.start()
        self.running = self.service()
        server = UdpServer(self.running, Bind(auth_port=0, acct_port=0))
        await server.start()
        settings = RadioSettings(
            nas_identifier="x",
            secret=AP_SECRET,
            auth=server.auth_address,
            acct=server.acct_address,
            patience=self.patience,
        )
        links = [await Link.open(address, settings) for address in (settings.auth, settings.acct)]
        self.radio = StationRadio(settings, SeededEntropy(4), *links)
        try:
            yield self.radio
        finally:
            self.radio.close()
            await server.stop()
            self.running.agent.store.close()


def start(name: str = "s1", **more: int) -> Report:
    return Report(status=AcctStatus.START, acct_session_id=name, **more)


def interim(name: str = "s1", **more: int) -> Report:
    return Report(status=AcctStatus.INTERIM_UPDATE, acct_session_id=name, **more)


def stop(name: str = "s1", **more: int) -> Report:
    return Report(status=AcctStatus.STOP, acct_session_id=name, **more)


__all__ = ["NoAnswerError", "Scene", "interim", "start", "stop"]
