"""A server asked over TLS: connections that are watched, renewed and dialled again.

A request is sent once; what was under way when a connection broke is sent again, the same octets,
over the one that follows. Whoever asks over it in reverse (CoA) is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

from opencarrier.access.dynamic import FULL, Answerer, unsupported
from opencarrier.access.radsec.certificates import Expected
from opencarrier.access.radsec.connection import CLOSE_S, Connection, handshake_reason
from opencarrier.access.radsec.model import PORT, SECRET, Connections, RadsecLimits
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.upstream.asking import Asking, AskLimits, Channel
from opencarrier.access.upstream.identifiers import Identifiers, Question, UnderWay
from opencarrier.access.upstream.model import Lost
from opencarrier.access.upstream.timers import RECONNECTION, Backoff, Health, Probe, Watchdog
from opencarrier.access.wire.dictionary import Code
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId, RadiusClient

CONNECT_S = 5.0
"""How long a server may take to be found and to take a connection, before the handshake."""

EXTRA_S = 60.0
"""A connection beside the first that is not used so long is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RadsecServerAt:
    """Where a server is, who it has to be, and how it is watched.

    `address` is dialled instead of `host` where it was looked up already.
    """

    host: str
    port: int = PORT
    address: str = ""
    expected: Expected = field(default_factory=Expected)
    operator: PartyId | None = None
    status_server: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a connection is kept: its limits, the waits between attempts, how often to look after."""

    connection: RadsecLimits = field(default_factory=RadsecLimits)
    again: Backoff = RECONNECTION
    tick_s: float = 1.0


class RadsecUpstream(Asking):
    """A server over up to `channels_max` connections; one is kept open, others as they are needed.

    When our certificates change, each connection is replaced: the new one takes what comes, the
    old one ends with its last reply.
    """

    def __init__(
        self,
        name: str,
        at: RadsecServerAt,
        trust: Trust,
        *,
        clock: Clock,
        entropy: Entropy,
        limits: AskLimits | None = None,
        tuning: Tuning | None = None,
        dynamic: Answerer = unsupported,
    ) -> None:
        super().__init__(name, SECRET, limits or AskLimits(), entropy)
        self.at = at
        self.trust = trust
        self.clock = clock
        self.tuning = tuning or Tuning()
        self.connection_limits = replace(self.tuning.connection, idle_s=inf)
        self._dynamic = dynamic
        self._links: list[_Link] = []
        self.counters = Connections()

    @property
    def entropy(self) -> Entropy:
        """Where chance comes from."""
        return self._entropy

    @property
    def silence_s(self) -> float:
        """After which silence a connection is probed."""
        return self._limits.silence_s

    @property
    def alive(self) -> bool:
        """Whether it can be asked; until the first attempt is over it is believed to."""
        return any(link.is_alive for link in self._links) or not self._links

    async def start(self) -> None:
        """Dial, if nobody did; requests wait until the first attempt is over."""
        if not self._links:
            self._add()

    async def stop(self) -> None:
        """Give up what waits, and close."""
        await self._end()
        for link in self._links:
            link.close("stopping")

    def ready(self) -> None:
        """Note that a link can be used: what waits may go."""
        self._pump()

    def unreachable(self) -> None:
        """Note that a link cannot be: where none can, nobody waits in vain."""
        if not any(link.is_ready or link.is_trying for link in self._links):
            self._give_up_queue(Lost.UNREACHABLE)

    def succeed(self, link: _Link) -> _Link:
        """Dial anew beside a link whose certificates are no longer ours."""
        successor = _Link(self, is_extra=link.is_extra)
        self._links.insert(0, successor)
        self._spawn(successor.run())
        return successor

    def over(self, link: _Link) -> None:
        """Forget a link that is at its end."""
        self._links.remove(link)

    def answer(self, connection: Connection, octets: bytes) -> None:
        """Answer what the server asks in reverse."""
        self._spawn(self._answer(connection, octets))

    async def _answer(self, connection: Connection, octets: bytes) -> None:
        client = RadiusClient(
            client_id=self.name, prefix="", secret=SECRET, operator=self.at.operator or PartyId("")
        )
        try:
            connection.answer(await self._dynamic(octets, client))
        except PeerError as error:
            if error.reason == FULL:
                self.unsound[FULL] += 1
            else:
                connection.close(error.reason)

    def _channels(self) -> Sequence[Channel]:
        return self._links

    def _more(self) -> None:
        """Dial once more where all are full; a connection that is being dialled is waited for."""
        if any(link.is_trying for link in self._links):
            return
        if not any(link.is_ready for link in self._links):
            self._give_up_queue(Lost.UNREACHABLE)
        elif len(self._links) < self._limits.channels_max:
            self._add()

    def _add(self) -> None:
        link = _Link(self, is_extra=bool(self._links))
        self._links.append(link)
        self._spawn(link.run())


class _Link(Channel):
    """One connection after another, with the requests that outlive them."""

    def __init__(self, upstream: RadsecUpstream, *, is_extra: bool) -> None:
        super().__init__(Identifiers(SECRET, required=False))
        self._upstream = upstream
        self.is_extra = is_extra
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._closed = asyncio.Event()
        self._successor: _Link | None = None
        self._retiring = False
        self._reloads = 0
        self._used_s = self._loop.time()
        self._watchdog = Watchdog(self._used_s, silence_s=upstream.silence_s)
        self._has_heard = False
        self._has_failed = False
        self.is_trying = True

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests."""
        return self._connection is not None and self._connection.alive and not self._retiring

    @property
    def is_alive(self) -> bool:
        """Whether it is up or dialled with good hope, and the server does not keep silent."""
        is_hoped = self.is_trying and not self._has_failed
        return self._watchdog.health is Health.OKAY and (is_hoped or self.is_ready)

    def send(self, one: UnderWay) -> None:
        """Send once: TLS loses nothing while it is up."""
        assert self._connection is not None
        self._used_s = self._loop.time()
        self._connection.send(one.octets)

    def close(self, reason: str) -> None:
        """Close the connection there is."""
        if self._connection is not None:
            self._connection.close(reason)

    async def run(self) -> None:
        """Dial, serve until it breaks, dial again: at once if it was of use, else after a wait."""
        waits = self._upstream.tuning.again.waits(self._upstream.entropy)
        while not self._is_over:
            connection = await self._dial()
            if connection is not None:
                await self._serve(connection)
            self._has_failed = not self._has_heard
            if self._has_heard:
                waits = self._upstream.tuning.again.waits(self._upstream.entropy)
                continue
            self.is_trying = False
            self.identifiers.lose_all(Lost.CLOSED)
            self._upstream.unreachable()
            if not self._is_over:
                await asyncio.sleep(next(waits))
        self.identifiers.lose_all(Lost.CLOSED)
        self._upstream.over(self)

    def made(self, connection: Connection) -> str:
        """Check who the server is."""
        assert connection.certificate is not None
        now_s = self._upstream.clock.now_us() // SECOND_US
        refusal = self._upstream.at.expected.refusal(connection.certificate)
        return refusal or self._upstream.trust.refusal(connection.certificate, now_s)

    def request(self, connection: Connection, octets: bytes) -> None:
        """Have a request in reverse answered."""
        if octets[0] not in (Code.COA_REQUEST, Code.DISCONNECT_REQUEST):
            raise PeerError("code", f"code {octets[0]} from a server")
        self._upstream.answer(connection, octets)

    def heard(self, connection: Connection) -> None:
        """Note a reply."""
        self._has_heard = True
        self._watchdog.heard(self._loop.time())

    def gone(self, connection: Connection) -> None:
        """Note the end of the connection."""
        self._upstream.counters.closed[connection.reason] += 1
        self._connection = None
        self._closed.set()

    @property
    def _is_over(self) -> bool:
        has_no_use = self.is_extra and len(self.identifiers) == 0
        used = self._reloads > 0 or self._closed.is_set()
        return self._retiring or self._successor is not None or (has_no_use and used)

    async def _dial(self) -> Connection | None:
        """Connect; None, with the reason counted, where that fails or the server is another."""
        upstream, trust = self._upstream, self._upstream.trust
        self.is_trying, self._has_heard = True, False
        self._closed.clear()
        reloads = trust.reloads
        try:
            async with asyncio.timeout(CONNECT_S + upstream.connection_limits.handshake_s):
                connection = await self._connect(trust.client)
        except OSError as error:
            upstream.counters.refused[handshake_reason(error)] += 1
            self._closed.set()
            return None
        if not connection.alive:
            upstream.counters.refused[connection.reason] += 1
            return None
        upstream.counters.opened += 1
        self._connection, self._reloads = connection, reloads
        return connection

    async def _connect(self, context: ssl.SSLContext) -> Connection:
        upstream = self._upstream
        _, connection = await self._loop.create_connection(
            lambda: Connection(
                self, upstream.connection_limits, upstream.entropy, self.identifiers
            ),
            upstream.at.address or upstream.at.host,
            upstream.at.port,
            ssl=context,
            server_hostname=upstream.at.host,
            ssl_handshake_timeout=upstream.connection_limits.handshake_s,
            ssl_shutdown_timeout=CLOSE_S,
        )
        return connection

    async def _serve(self, connection: Connection) -> None:
        """Send again what was under way, take what waits, and look after it until it ends."""
        for one in self.identifiers.under_way():
            connection.send(one.octets)
        self._watchdog.opened(self._loop.time())
        self.is_trying = False
        self._upstream.ready()
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._upstream.tuning.tick_s):
                    await self._closed.wait()
            self._tick(connection)

    def _tick(self, connection: Connection) -> None:
        now_s, trust = self._loop.time(), self._upstream.trust
        connection.tick(now_s)
        trust.refresh()
        if self._reloads != trust.reloads and self._successor is None:
            self._successor = self._upstream.succeed(self)
        if self._successor is not None and self._successor.is_ready:
            self._retiring = True
        if self._retiring or (self.is_extra and now_s - self._used_s > EXTRA_S):
            if len(self.identifiers) == 0:
                connection.close("retired")
        elif self._upstream.at.status_server:
            self._probe(connection, self._watchdog.tick(now_s))

    def _probe(self, connection: Connection, probe: Probe) -> None:
        if probe is Probe.CLOSE:
            connection.abort("watchdog")
        elif probe is Probe.ASK and not self.identifiers.is_full:
            question = Question.of(
                Code.STATUS_SERVER, [], None, self._upstream.entropy, lambda outcome: None
            )
            one = self.identifiers.begin(question)
            connection.send(one.octets)
            self._loop.call_later(
                2 * self._upstream.silence_s, self.identifiers.lose, one, Lost.TIMEOUT
            )
