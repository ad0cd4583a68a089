"""The agent's small HTTP server: a request a connection, few of them, none for long."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from opencarrier.access.agent.request import END, HEAD_OCTETS_MAX, Head, read_head
from opencarrier.app.node_desk import Answer, Asker, NodeDesk, PaymentSettings, problem
from opencarrier.app.turnstile import Manners, Turnstile
from opencarrier.channels.wire import BODY_OCTETS_MAX
from opencarrier.kernel.refusals import PeerError

_log = logging.getLogger(__name__)

BACKLOG: Final = 64
FROM_ONE: Final = Manners(per_s=10.0, burst=40.0)
FROM_ALL: Final = Manners(per_s=200.0, burst=400.0)
"""How many connections are looked at, of one address and of all: RADIUS is served beside them."""


class NodeHttp:
    """Listens for devices; `await start()`, then `stop()`."""

    def __init__(
        self,
        desk: NodeDesk,
        settings: PaymentSettings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk = desk
        self._settings = settings
        self._arrivals = [Turnstile(manners, monotonic) for manners in (FROM_ONE, FROM_ALL)]
        self._open: Counter[int | None] = Counter()
        self._lines: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._server is not None
        host, port, *_ = self._server.sockets[0].getsockname()
        return host, port

    async def start(self) -> None:
        """Listen; `OSError` where the port is taken."""
        self._server = await asyncio.start_server(
            self._connected,
            self._settings.host,
            self._settings.port,
            limit=HEAD_OCTETS_MAX,
            backlog=BACKLOG,
        )

    async def stop(self) -> None:
        """Listen no more, and end what is open; a payment in work is waited for."""
        assert self._server is not None
        self._server.close()
        for writer in self._lines.values():
            writer.transport.abort()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = writer.get_extra_info("peername")
        asker = None
        if peer is not None and self._admits(peer[0]):
            asker = self._desk.asker(peer[0])
        if asker is None or self._crowded(asker):
            writer.transport.abort()
            return
        self._lines[task] = writer
        self._open[asker.number] += 1
        try:
            async with asyncio.timeout(self._settings.request_s):
                writer.write(_written(await self._answered(asker, reader)))
                await writer.drain()
        except (TimeoutError, OSError, EOFError):
            pass
        except Exception:
            _log.exception("a device's request failed")
        finally:
            self._open[asker.number] -= 1
            if not self._open[asker.number]:
                del self._open[asker.number]
            del self._lines[task]
            writer.close()

    def _admits(self, source: str) -> bool:
        """Say whether another connection is looked at: whose it is has to be asked for."""
        from_one, from_all = self._arrivals
        return from_one.passes(source.encode()) and from_all.passes(b"")

    def _crowded(self, asker: Asker) -> bool:
        settings, total = self._settings, self._open.total()
        each = self._open[asker.number] >= settings.connections_each_max
        return each or total >= settings.connections_max

    async def _answered(self, asker: Asker, reader: asyncio.StreamReader) -> Answer:
        try:
            head, body = await self._read(reader)
            if not self._desk.hears(asker):
                return problem(429, "too_often", "come back in a second")
            if body is None:
                return problem(413, "body_size", f"at most {BODY_OCTETS_MAX} octets")
            return await self._desk.answer(asker, head, body)
        except asyncio.LimitOverrunError:
            return problem(431, "head_size", f"at most {HEAD_OCTETS_MAX} octets")
        except PeerError as error:
            return problem(400, error.reason, error.detail)

    async def _read(self, reader: asyncio.StreamReader) -> tuple[Head, bytes | None]:
        head = read_head(await reader.readuntil(END))
        if head.length > BODY_OCTETS_MAX:
            return head, None
        return head, await reader.readexactly(head.length)


def _written(answer: Answer) -> bytes:
    body = json.dumps(answer.document).encode()
    kind = "application/problem+json" if answer.status >= 400 else "application/json"
    lines = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + END + body
