"""The RadSec server: whoever has a certificate we know may ask, over any number of connections."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from opencarrier.access.dynamic import FULL, Answerer, unsupported
from opencarrier.access.model import Listener, Origin, Transport
from opencarrier.access.radsec.certificates import ANY, Certificate
from opencarrier.access.radsec.connection import CLOSE_S, Connection, handshake_reason
from opencarrier.access.radsec.model import PORT, ConnectionLine, Connections, RadsecLimits
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.server import Send
from opencarrier.access.service import AccessService
from opencarrier.access.upstream.model import Lost
from opencarrier.access.wire.dictionary import Code
from opencarrier.access.wire.duplicates import Address
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import RadiusClient

_log = logging.getLogger(__name__)

BACKLOG = 128
ACCEPT_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RadsecBind:
    """Where to listen, and how often to look after; port 0 lets the system choose."""

    host: str = "127.0.0.1"
    port: int = PORT
    tick_s: float = 1.0
    check_s: float = 5.0
    limits: RadsecLimits = field(default_factory=RadsecLimits)


def network_of(host: str) -> str:
    """Return what handshakes are counted by: an address, of IPv6 the /64 that one host has."""
    found = ip_address(host)
    if isinstance(found, IPv4Address) or found.ipv4_mapped is not None:
        return host
    return str(IPv6Address(int(found) >> 64 << 64))


class RadsecServer:
    """One port of one service; `await start()`, then `address`, `stop()`.

    A connection is a client's as the directory knows it by a name of its certificate, and is closed
    soon after that ends: the client removed, the certificate revoked or over.
    """

    def __init__(
        self,
        service: AccessService,
        trust: Trust,
        bind: RadsecBind,
        *,
        clock: Clock,
        entropy: Entropy,
        dynamic: Answerer = unsupported,
    ) -> None:
        self._service = service
        self._trust = trust
        self._bind = bind
        self._limits = bind.limits
        self._clock = clock
        self._entropy = entropy
        self._dynamic = dynamic
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[Address, Connection] = {}
        self._clients: dict[Connection, RadiusClient] = {}
        self._handshakes: dict[asyncio.Task[None] | None, tuple[socket.socket, str]] = {}
        self.counters = Connections()

    @property
    def address(self) -> Address:
        """Where it listens."""
        assert self._socket is not None
        name = self._socket.getsockname()
        return name[0], name[1]

    async def start(self) -> None:
        """Open the port and begin; `OSError` where it is taken."""
        family = socket.AF_INET6 if ":" in self._bind.host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self._bind.host, self._bind.port))
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        self._socket = listening
        self._service.start(Transport.TLS, self._send)
        self._spawn(self._accept(listening))
        self._spawn(self._tick())

    async def stop(self) -> None:
        """Take nothing more, answer what was received, close."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        await self._service.stop()
        for connection in list(self._clients):
            connection.close("stopping")
        for _ in range(int(CLOSE_S / 0.02)):
            if not self._clients:
                break
            await asyncio.sleep(0.02)

    def lines(self) -> Sequence[ConnectionLine]:
        """The open connections, by peer and address."""
        found = [
            ConnectionLine(
                peer=client.client_id,
                certificate=connection.certificate.label if connection.certificate else "",
                address=f"{connection.address[0]}:{connection.address[1]}",
                tls=connection.tls,
                in_work=connection.in_work,
                requests=connection.requests,
            )
            for connection, client in self._clients.items()
            if connection.alive
        ]
        return sorted(found, key=lambda line: (line.peer, line.address))

    def to(self, client_id: str, host: str = "") -> Connection | None:
        """The connection of a client to ask it in reverse; None without one.

        Several access networks may be one client: one at the address is meant, then the one that
        was used last.
        """
        found = [c for c, client in self._clients.items() if client.client_id == client_id]
        return max(
            (c for c in found if c.alive),
            key=lambda c: (c.address[0] == host, c.active_s),
            default=None,
        )

    def made(self, connection: Connection) -> str:
        """Find out whose connection it is, or say why it is refused."""
        certificate = connection.certificate
        assert certificate is not None
        client = self._client(certificate)
        refusal = self._trust.refusal(certificate, self._now_s) or self._crowd(client)
        if client is None or refusal:
            refusal = refusal or "peer_unknown"
            self.counters.refused[refusal] += 1
            _log.info("RadSec peer %s refused: %s", certificate.label, refusal)
            return refusal
        connection.name = client.client_id
        self._clients[connection] = client
        self._connections[connection.address] = connection
        self.counters.opened += 1
        return ""

    def request(self, connection: Connection, octets: bytes) -> None:
        """Hand a request to the service, or to whoever answers CoA and Disconnect."""
        client = self._clients[connection]
        if octets[0] in (Code.COA_REQUEST, Code.DISCONNECT_REQUEST):
            self._spawn(self._answer_dynamic(connection, octets, client))
            return
        origin = Origin(Listener.ANY, connection.address, Transport.TLS, client)
        reason = self._service.receive(origin, octets)
        if reason:
            raise PeerError(reason)

    def heard(self, connection: Connection) -> None:
        """A client answered in reverse."""

    def gone(self, connection: Connection) -> None:
        """Forget a connection; what its peer was asked in reverse is lost."""
        connection.asked.lose_all(Lost.CLOSED)
        if self._clients.pop(connection, None) is not None:
            self.counters.closed[connection.reason] += 1
        if self._connections.get(connection.address) is connection:
            del self._connections[connection.address]

    @property
    def _now_s(self) -> int:
        return self._clock.now_us() // SECOND_US

    def _client(self, certificate: Certificate) -> RadiusClient | None:
        """The client a certificate names; of one trusted by its CA alone, each is its own."""
        client = self._service.lookup.peer(certificate.names())
        if client is not None and client.prefix == ANY:
            own = f"{client.client_id}/{certificate.fingerprint[:16]}"
            return replace(client, client_id=own)
        return client

    def _crowd(self, client: RadiusClient | None) -> str:
        """Why a client gets no more connections, empty where it does."""
        if client is None:
            return ""
        limits = self._limits
        kept = limits.reserve if client.prefix == ANY else 0
        if len(self._clients) >= limits.connections_max - kept:
            return "connections_full"
        own = sum(one.client_id == client.client_id for one in self._clients.values())
        return "peer_connections_full" if own >= limits.per_peer_max else ""

    def _send(self, send: Send) -> None:
        connection = self._connections.get(send.origin.address)
        if connection is None:
            self._service.metrics.dropped["connection_gone"] += 1
            return
        connection.answer(send.datagram)

    async def _answer_dynamic(
        self, connection: Connection, octets: bytes, client: RadiusClient
    ) -> None:
        try:
            connection.answer(await self._dynamic(octets, client))
        except PeerError as error:
            if error.reason == FULL:
                self._service.metrics.dropped[FULL] += 1
            else:
                connection.close(error.reason)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as error:  # descriptors used up: others may be given back
                _log.warning("RadSec: %s", error)
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            self._begin(accepted, network_of(address[0]))

    def _begin(self, accepted: socket.socket, network: str) -> None:
        """Begin a handshake; where there is no room the oldest gives way."""
        begun, limits = list(self._handshakes.values()), self._limits
        if [one for _, one in begun].count(network) >= limits.handshakes_per_address_max:
            self.counters.refused["handshakes_full"] += 1
            accepted.close()
            return
        if len(begun) >= limits.handshakes_max:
            oldest, _ = self._handshakes.pop(next(iter(self._handshakes)))
            with suppress(OSError):  # it may be over by itself
                oldest.shutdown(socket.SHUT_RDWR)
        task = self._spawn(self._handshake(accepted))
        self._handshakes[task] = accepted, network
        task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _handshake(self, accepted: socket.socket) -> None:
        """Let in whom the certificates in force let in; each connection takes those of its time."""
        loop = asyncio.get_running_loop()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            await loop.connect_accepted_socket(
                lambda: Connection(self, self._limits, self._entropy),
                accepted,
                ssl=self._trust.server,
                ssl_handshake_timeout=self._limits.handshake_s,
                ssl_shutdown_timeout=CLOSE_S,
            )
        except OSError as error:
            displaced = asyncio.current_task() not in self._handshakes
            reason = "handshake_displaced" if displaced else handshake_reason(error)
            self.counters.refused[reason] += 1
            accepted.close()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._bind.tick_s)
            looks: list[Callable[[], object]] = [self._trust.refresh]
            looks += [partial(self._look_after, one, loop.time()) for one in self._clients]
            for look in looks:
                try:
                    look()
                except Exception:
                    _log.exception("RadSec: connections are looked after again")

    def _look_after(self, connection: Connection, now_s: float) -> None:
        connection.tick(now_s)
        if now_s - connection.checked_s >= self._bind.check_s:
            self._check(connection)
            connection.checked_s = now_s

    def _check(self, connection: Connection) -> None:
        """Close a connection whose peer would not be let in any more."""
        assert connection.certificate is not None
        refusal = self._trust.refusal(connection.certificate, self._now_s)
        client = self._client(connection.certificate)
        if client is None or client.client_id != connection.name:
            refusal = refusal or "peer_unknown"
        if client is None or refusal:
            connection.close(refusal)
        else:
            self._clients[connection] = client

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
