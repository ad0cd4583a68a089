"""The UDP adapter: two listeners, loopback unless told otherwise, a graceful stop."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from opencarrier.access.affinity import Affinity
from opencarrier.access.model import Listener, Origin, Transport
from opencarrier.access.server import Send
from opencarrier.access.wire.duplicates import Address

if TYPE_CHECKING:
    from opencarrier.access.service import Sender

RECEIVE_BUFFER_OCTETS = 4 * 1024 * 1024
"""The default of 208 KiB loses 4.5 % of a burst of 512 requests in flight."""

DATAGRAM_OCTETS_MAX = 65_535
DATAGRAMS_PER_TURN = 64
"""How many datagrams one listener may take before the other and the writer have their turn."""

AUTH_PORT = 1812
ACCT_PORT = 1813


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Where to listen; port 0 lets the system choose."""

    host: str = "127.0.0.1"
    auth_port: int = AUTH_PORT
    acct_port: int = ACCT_PORT
    shared: bool = False
    """Whether other processes listen on the same ports."""


class Counted(Protocol):
    """Counters of a service; what is dropped is counted by reason."""

    @property
    def dropped(self) -> Counter[str]:
        """Packets that got no reply, by reason."""
        ...


class Served(Protocol):
    """What is behind the sockets: an access server, or the agent at a venue."""

    @property
    def metrics(self) -> Counted:
        """What it counted."""
        ...

    def start(self, transport: Transport, sender: Sender) -> None:
        """Begin work; replies go out by `sender`."""
        ...

    async def stop(self) -> None:
        """Finish what was received, answer it, and end."""
        ...

    def receive(self, origin: Origin, datagram: bytes) -> object:
        """Take one packet; what is said of it is of no use over UDP."""
        ...


class UdpServer:
    """Both ports of one service; `await start()`, then `auth_address`, `acct_address`, `stop()`.

    It reads what waits on a socket in one go: asyncio's own endpoint takes one datagram a turn of
    the loop, which at full load costs more than the packet's own work.
    """

    def __init__(self, service: Served, bind: Bind, affinity: Affinity | None = None) -> None:
        self._service = service
        self._bind = bind
        self._affinity = affinity
        self._sockets: dict[Listener, socket.socket] = {}

    @property
    def auth_address(self) -> Address:
        """Where authentication is answered."""
        return self._address(Listener.AUTH)

    @property
    def acct_address(self) -> Address:
        """Where accounting is answered."""
        return self._address(Listener.ACCT)

    async def start(self) -> None:
        """Open both sockets and begin; `OSError` where a port is taken."""
        ports = {Listener.AUTH: self._bind.auth_port, Listener.ACCT: self._bind.acct_port}
        try:
            for listener, port in ports.items():
                self._sockets[listener] = self._open(port)
        except OSError:
            self._close()
            raise
        self._service.start(Transport.UDP, self._send)
        if self._affinity is not None:
            self._affinity.start(self._take)
        loop = asyncio.get_running_loop()
        for listener, sock in self._sockets.items():
            loop.add_reader(sock, self._read, listener, sock)

    async def stop(self) -> None:
        """Take nothing more, answer what was received, close the sockets."""
        await self._service.stop()
        self._close()

    def _open(self, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._bind.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            _raise_receive_buffer(sock)
            if self._bind.shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((self._bind.host, port))
        except OSError:
            sock.close()
            raise
        return sock

    def _read(self, listener: Listener, sock: socket.socket) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                datagram, source = sock.recvfrom(DATAGRAM_OCTETS_MAX)
            except BlockingIOError:
                return
            except OSError:
                self._service.metrics.dropped["socket_error"] += 1
                continue
            address = (source[0], source[1])
            if listener is Listener.AUTH and self._elsewhere(datagram, address):
                continue
            self._service.receive(Origin(listener, address), datagram)

    def _elsewhere(self, datagram: bytes, address: Address) -> bool:
        return self._affinity is not None and self._affinity.handed_over(datagram, address)

    def _take(self, datagram: bytes, address: Address) -> None:
        self._service.receive(Origin(Listener.AUTH, address), datagram)

    def _send(self, send: Send) -> None:
        """Send, or leave it to the client's repeat, which the duplicate cache answers."""
        try:
            self._sockets[send.origin.listener].sendto(send.datagram, send.origin.address)
        except OSError:
            self._service.metrics.dropped["socket_error"] += 1

    def _address(self, listener: Listener) -> Address:
        name = self._sockets[listener].getsockname()
        return name[0], name[1]

    def _close(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in self._sockets.values():
            loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()


def _raise_receive_buffer(sock: socket.socket) -> None:
    """Ask for the large buffer; as root beyond the system's limit, else up to it."""
    force = getattr(socket, "SO_RCVBUFFORCE", None)
    if force is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, RECEIVE_BUFFER_OCTETS)
        except PermissionError:
            pass
        else:
            return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
