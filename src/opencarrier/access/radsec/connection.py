"""One TLS connection, the same at both ends: requests and replies go both ways over it.

Who does not read what it asked for is not read from either, and is cut off in the end; what is
malformed or not signed with the shared secret closes it (RFC 6613 section 2.6.4).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Protocol, cast

from opencarrier.access.radsec import certificates
from opencarrier.access.radsec.certificates import Certificate
from opencarrier.access.radsec.framing import Framer, Window
from opencarrier.access.radsec.model import SECRET, RadsecLimits
from opencarrier.access.upstream.identifiers import Identifiers, Question
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.upstream.timers import REQUEST_S
from opencarrier.access.wire.dictionary import Code
from opencarrier.access.wire.duplicates import Address
from opencarrier.access.wire.radius import Attribute
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError

CLOSE_S = 2.0
"""How long a peer may take to agree that a connection is over."""

REQUESTS = frozenset(
    (
        Code.ACCESS_REQUEST,
        Code.ACCOUNTING_REQUEST,
        Code.STATUS_SERVER,
        Code.DISCONNECT_REQUEST,
        Code.COA_REQUEST,
    )
)


class End(Protocol):
    """Whose end of the connection this is."""

    def made(self, connection: Connection) -> str:
        """Take a connection whose handshake is done, or say why not."""
        ...

    def request(self, connection: Connection, octets: bytes) -> None:
        """Take a request; it is answered by `answer`, or a `PeerError` closes the connection."""
        ...

    def heard(self, connection: Connection) -> None:
        """Note a reply that came."""
        ...

    def gone(self, connection: Connection) -> None:
        """Note that it is closed; `reason` says why."""
        ...


class Connection(asyncio.Protocol):
    """Packets in and out; also an `Upstream`: the peer can be asked over it."""

    def __init__(
        self,
        end: End,
        limits: RadsecLimits,
        entropy: Entropy,
        asked: Identifiers | None = None,
    ) -> None:
        """`asked` is what was asked over an earlier connection and still waits."""
        self._end = end
        self._limits = limits
        self._entropy = entropy
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._framer = Framer()
        self._window = Window(limits.in_work_max)
        self._stalled_since_s: float | None = None
        self._working = False
        self.asked = asked if asked is not None else Identifiers(SECRET, required=False)
        self.active_s = self.checked_s = self._loop.time()
        self.requests = 0
        self.reason = ""
        self.name = ""
        self.certificate: Certificate | None = None
        self.address: Address = ("", 0)

    @property
    def secret(self) -> bytes:
        """The shared secret."""
        return SECRET

    @property
    def alive(self) -> bool:
        """Whether it is open."""
        return self._transport is not None and not self.reason

    @property
    def tls(self) -> str:
        """The protocol version, `TLSv1.3`."""
        assert self._transport is not None
        return self._transport.get_extra_info("ssl_object").version() or ""

    @property
    def in_work(self) -> int:
        """How many of the peer's requests have no reply yet."""
        return len(self._window)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look at the certificate, then begin or close."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._limits.write_octets_max)
        peer = transport.get_extra_info("peername") or ("", 0)
        self.address = (peer[0], peer[1])
        tls = cast("ssl.SSLObject", transport.get_extra_info("ssl_object"))
        try:
            self.certificate = certificates.read(tls.getpeercert(binary_form=True) or b"")
        except PeerError as error:
            self.close(error.reason)
            return
        refusal = self._end.made(self)
        if refusal:
            self.close(refusal)

    def data_received(self, data: bytes) -> None:
        """Take octets off the stream."""
        self._framer.feed(data)
        self._work()

    def pause_writing(self) -> None:
        """Note that the peer does not read."""
        self._stalled_since_s = self._loop.time()

    def resume_writing(self) -> None:
        """Go on: the peer reads again."""
        self._stalled_since_s = None
        self._loop.call_soon(self._work)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; what the peer was asked is for `gone` to decide."""
        if not self.reason:
            self.reason = "reset" if exc else "peer_closed"
        self._end.gone(self)
        self._transport = None

    def close(self, reason: str) -> None:
        """Close once what was written is sent; the first reason counts."""
        if self._transport is not None and not self.reason:
            self.reason = reason
            self._transport.close()

    def answer(self, octets: bytes) -> None:
        """Send a reply to one of the peer's requests."""
        self._window.end()
        self.send(octets)
        if not self._working:
            self._loop.call_soon(self._work)

    def send(self, octets: bytes) -> None:
        """Send a packet, unless the connection is closing."""
        if self._transport is not None and not self.reason:
            self._transport.write(octets)

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        """Ask the peer over this connection, once: TLS loses nothing while it is up."""
        if not self.alive:
            return Lost.CLOSED
        if self.asked.is_full:
            return Lost.QUEUE_FULL
        done: asyncio.Future[Reply | Lost] = self._loop.create_future()

        def settle(outcome: Reply | Lost) -> None:
            if not done.done():  # whoever asked may no longer wait
                done.set_result(outcome)

        question = Question.of(code, attributes, authenticator, self._entropy, settle)
        one = self.asked.begin(question)
        timer = self._loop.call_later(REQUEST_S, self.asked.lose, one, Lost.TIMEOUT)
        self.send(one.octets)
        try:
            return await done
        finally:
            timer.cancel()
            self.asked.lose(one, Lost.CLOSED)

    def tick(self, now_s: float) -> None:
        """Once a second: give up what waits too long, close what is idle or does not read."""
        self._window.expire(now_s)
        if self._stalled_since_s is not None:
            if now_s - self._stalled_since_s > self._limits.stalled_s:
                self.abort("slow_reader")
        elif now_s - self.active_s > self._limits.idle_s:
            self.close("idle")
        self._work()

    def abort(self, reason: str) -> None:
        """Close at once: what is still to be written would wait for ever."""
        if self._transport is not None:
            self.reason = self.reason or reason
            self._transport.abort()

    @property
    def _is_held(self) -> bool:
        return bool(self.reason) or self._stalled_since_s is not None or self._window.is_full

    def _work(self) -> None:
        """Take packets until none is whole or no more may be in work, then read or do not."""
        if self._working or self._transport is None:
            return
        self._working = True
        try:
            while not self._is_held and (octets := self._framer.next()) is not None:
                self._packet(octets)
        except PeerError as error:
            self.close(error.reason)
        finally:
            self._working = False
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _packet(self, octets: bytes) -> None:
        self.active_s = self._loop.time()
        if octets[0] in REQUESTS:
            self.requests += 1
            self._window.begin(self.active_s)
            self._end.request(self, octets)
        elif self.asked.reply(octets) is not None:
            self._end.heard(self)


def handshake_reason(error: OSError) -> str:
    """Why there is no connection, in OpenSSL's words: `certificate_revoked`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "_".join(error.verify_message.lower().split())
    if isinstance(error, ssl.SSLError):
        return (error.reason or "tls").lower()
    if isinstance(error, ConnectionRefusedError):
        return "connection_refused"
    if isinstance(error, TimeoutError):
        return "connect_timeout"
    timeout = isinstance(error, ConnectionAbortedError)  # so asyncio calls its own
    return "handshake_timeout" if timeout else "handshake_lost"
