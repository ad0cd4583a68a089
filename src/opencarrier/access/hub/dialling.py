"""Makes the client of a server that a route or the DNS names: RadSec, or two ports of UDP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from opencarrier.access.dynamic import Answerer, unsupported
from opencarrier.access.hub.neighbours import Address, Neighbour
from opencarrier.access.radsec.certificates import Expected
from opencarrier.access.radsec.client import RadsecServerAt, RadsecUpstream
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.upstream.asking import AskLimits
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.upstream.udp import UdpUpstream
from opencarrier.access.wire.dictionary import Code
from opencarrier.access.wire.radius import Attribute
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.entropy import Entropy

TLS = "tls"


class Dialler:
    """Dials servers when they are first asked; without certificates there is no RadSec."""

    def __init__(
        self,
        trust: Trust | None,
        *,
        clock: Clock,
        entropy: Entropy,
        limits: AskLimits | None = None,
        dynamic: Answerer = unsupported,
    ) -> None:
        self._trust = trust
        self._clock = clock
        self._entropy = entropy
        self._limits = limits or AskLimits()
        self._dynamic = dynamic

    def connect(self, address: Address) -> Neighbour:
        """Return the client of a server; of a discovered one the realm has to be spoken for."""
        server = address.server
        name = f"{server.host}:{server.port}"
        if server.transport != TLS:
            auth, acct = (
                UdpUpstream(
                    name,
                    (server.host, server.port + above),
                    server.secret,
                    entropy=self._entropy,
                    limits=self._limits,
                )
                for above in (0, 1)
            )
            return _TwoPorts(Dialled(auth), Dialled(acct))
        if self._trust is None:
            return _Nowhere(name)
        at = RadsecServerAt(
            host=server.host,
            port=server.port,
            address=address.address,
            expected=Expected(host=server.host, realm=address.realm),
        )
        return _OverTls(
            RadsecUpstream(
                name,
                at,
                self._trust,
                clock=self._clock,
                entropy=self._entropy,
                limits=self._limits,
                dynamic=self._dynamic,
            )
        )


class _OverTls:
    """A RadSec server: one client for everything."""

    def __init__(self, upstream: RadsecUpstream) -> None:
        self._upstream = upstream
        self._started = False
        self.name = upstream.name
        self.secret = upstream.secret

    @property
    def alive(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._upstream.alive

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        """Ask, dialling first where nobody asked before."""
        if not self._started:
            self._started = True
            await self._upstream.start()
        return await self._upstream.request(code, attributes, authenticator=authenticator)

    async def stop(self) -> None:
        """Close the connections."""
        await self._upstream.stop()


class Dialled:
    """One port of a UDP server, whose socket is opened when it is first asked."""

    def __init__(self, upstream: UdpUpstream) -> None:
        self._upstream = upstream
        self._starting: asyncio.Task[None] | None = None
        self.name = upstream.name
        self.secret = upstream.secret

    @property
    def alive(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._upstream.alive

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        """Ask, opening the socket first."""
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._upstream.start())
        try:
            await asyncio.shield(self._starting)
        except OSError:
            self._starting = None
            return Lost.UNREACHABLE
        return await self._upstream.request(code, attributes, authenticator=authenticator)

    async def stop(self) -> None:
        """Close the socket."""
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
            await self._upstream.stop()


class _TwoPorts:
    """A UDP server: authentication at one port, accounting at the next."""

    def __init__(self, auth: Dialled, acct: Dialled) -> None:
        self._auth, self._acct = auth, acct
        self.name = auth.name
        self.secret = auth.secret

    @property
    def alive(self) -> bool:
        """Whether its authentication answers, as far as is known."""
        return self._auth.alive

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        """Ask at the port of the code."""
        port = self._acct if code == Code.ACCOUNTING_REQUEST else self._auth
        return await port.request(code, attributes, authenticator=authenticator)

    async def stop(self) -> None:
        """Close the sockets."""
        await self._auth.stop()
        await self._acct.stop()


class _Nowhere:
    """A RadSec server that cannot be dialled: no certificates are set."""

    secret = b""
    alive = False

    def __init__(self, name: str) -> None:
        self.name = name

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        """Say that there is no way there."""
        return Lost.UNREACHABLE

    async def stop(self) -> None:
        """Nothing is open."""
