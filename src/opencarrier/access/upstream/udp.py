"""A server asked over UDP: sent again until it answers (RFC 5080), watched by Status-Server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import cast

from opencarrier.access.upstream.asking import Asking, AskLimits, Channel
from opencarrier.access.upstream.identifiers import Identifiers, Question, UnderWay
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.upstream.timers import RETRANSMISSION, Backoff, Health, Probe, Watchdog
from opencarrier.access.wire.dictionary import Code
from opencarrier.access.wire.duplicates import Address
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError

TICK_S = 1.0


class UdpUpstream(Asking):
    """One port of a server, asked from up to `channels_max` ports of ours.

    With `status_server` silence is probed; without it an unanswered request makes it suspect.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        secret: bytes,
        *,
        entropy: Entropy,
        limits: AskLimits | None = None,
        status_server: bool = True,
        again: Backoff = RETRANSMISSION,
    ) -> None:
        super().__init__(name, secret, limits or AskLimits(), entropy)
        self._address = address
        self._status_server = status_server
        self._again = again
        self._sockets: list[_Socket] = []
        self._opening = False
        self._watchdog: Watchdog | None = None
        self.repeats = 0

    @property
    def alive(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._watchdog is None or self._watchdog.health is Health.OKAY

    async def start(self) -> None:
        """Open the first socket, if there is none."""
        if self._watchdog is not None:
            return
        loop = asyncio.get_running_loop()
        self._watchdog = Watchdog(loop.time(), silence_s=self._limits.silence_s)
        try:
            await self._open()
        except OSError:
            self._watchdog = None  # the next who asks begins anew
            raise
        if self._status_server:
            self._spawn(self._watch())

    async def stop(self) -> None:
        """Give up what waits, and close."""
        await self._end()
        for one in self._sockets:
            one.close()

    def _channels(self) -> Sequence[Channel]:
        return self._sockets

    def _more(self) -> None:
        if not self._opening and len(self._sockets) < self._limits.channels_max:
            self._opening = True
            self._spawn(self._open_one_more())

    async def _open_one_more(self) -> None:
        try:
            await self._open()
        except OSError:  # what waits has to wait for an identifier
            self.unsound["socket"] += 1
        finally:
            self._opening = False
        self._pump()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        identifiers = Identifiers(self._secret, required=True)
        _, protocol = await loop.create_datagram_endpoint(
            lambda: _Socket(self, identifiers), remote_addr=self._address
        )
        self._sockets.append(protocol)

    def _heard(self) -> None:
        if self._watchdog is not None:
            self._watchdog.heard(asyncio.get_running_loop().time())

    def _waits(self) -> Iterator[float]:
        return self._again.waits(self._entropy)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._watchdog is not None
        while True:
            await asyncio.sleep(min(TICK_S, self._limits.silence_s / 2))
            if self._watchdog.tick(loop.time()) is not Probe.NOTHING:
                self._probe()

    def _probe(self) -> None:
        """Ask for a sign of life, once and without waiting."""
        free = next((one for one in self._sockets if not one.identifiers.is_full), None)
        if free is None:
            return
        question = Question.of(Code.STATUS_SERVER, [], None, self._entropy, _ignored)
        one = free.identifiers.begin(question)
        free.transmit(one)
        loop = asyncio.get_running_loop()
        loop.call_later(self._limits.silence_s, free.identifiers.lose, one, Lost.TIMEOUT)


class _Socket(Channel, asyncio.DatagramProtocol):
    """One source port: connected, so that nobody else's datagrams come in."""

    def __init__(self, upstream: UdpUpstream, identifiers: Identifiers) -> None:
        Channel.__init__(self, identifiers)
        self._upstream = upstream
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def is_ready(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def error_received(self, exc: Exception) -> None:
        self._upstream.unsound["socket"] += 1

    def datagram_received(self, data: bytes, addr: Address) -> None:
        try:
            ended = self.identifiers.reply(data)
        except PeerError as error:
            self._upstream.unsound[error.reason] += 1
            return
        if ended is not None:
            self._upstream._heard()

    def send(self, one: UnderWay) -> None:
        self.transmit(one)
        self._later(one, self._upstream._waits())

    def transmit(self, one: UnderWay) -> None:
        if self._transport is not None:
            self._transport.sendto(one.octets)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _later(self, one: UnderWay, waits: Iterator[float]) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(next(waits), self._repeat, one, waits)

    def _repeat(self, one: UnderWay, waits: Iterator[float]) -> None:
        if self.identifiers.is_under_way(one):
            self._upstream.repeats += 1
            self.transmit(one)
            self._later(one, waits)


def _ignored(outcome: Reply | Lost) -> None:
    """A probe's reply says what it has to by coming."""
