"""UDP 3799: where an access network takes Disconnect and CoA of its homes (RFC 5176)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from opencarrier.access.dynamic import Answerer
from opencarrier.access.wire.duplicates import Address, DuplicateCache, Key, Seen
from opencarrier.access.wire.radius import HEADER_OCTETS
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import RadiusClient

PORT = 3799
IN_WORK_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicBind:
    """Where to listen; port 0 lets the system choose."""

    host: str = "127.0.0.1"
    port: int = PORT


class DynamicServer(asyncio.DatagramProtocol):
    """One port; `await start()`, then `address`, `stop()`. A repeat gets the same answer."""

    def __init__(
        self, answer: Answerer, clients: Callable[[str], RadiusClient | None], bind: DynamicBind
    ) -> None:
        self._answer = answer
        self._clients = clients
        self._bind = bind
        self._duplicates = DuplicateCache()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self.answered = 0
        self.dropped: Counter[str] = Counter()

    @property
    def address(self) -> Address:
        """Where it listens."""
        assert self._transport is not None
        name = self._transport.get_extra_info("sockname")
        return name[0], name[1]

    async def start(self) -> None:
        """Open the port; `OSError` where it is taken."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(
            lambda: self, local_addr=(self._bind.host, self._bind.port)
        )

    async def stop(self) -> None:
        """Take nothing more and close."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take a request, unless it is a stranger's, a repeat, or one too many."""
        client = self._clients(addr[0])
        if client is None:
            self.dropped["client_unknown"] += 1
            return
        if len(data) < HEADER_OCTETS:
            self.dropped["packet_short"] += 1
            return
        if len(self._tasks) >= IN_WORK_MAX:
            self.dropped["queue_full"] += 1
            return
        key = (addr[0], addr[1], data[1], data[4:HEADER_OCTETS])
        seen = self._duplicates.begin(key, asyncio.get_running_loop().time())
        if isinstance(seen, bytes):
            self._send(seen, addr)
        elif seen is Seen.NEW:
            task = asyncio.get_running_loop().create_task(self._work(data, client, key, addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, octets: bytes, client: RadiusClient, key: Key, addr: Address) -> None:
        try:
            reply = await self._answer(octets, client)
        except PeerError as error:
            self._duplicates.forget(key)
            self.dropped[error.reason] += 1
            return
        self._duplicates.answer(key, reply)
        self.answered += 1
        self._send(reply, addr)

    def _send(self, octets: bytes, addr: Address) -> None:
        if self._transport is not None:
            self._transport.sendto(octets, addr)
