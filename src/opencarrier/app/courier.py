"""Brings webhooks to their endpoints: each at its own pace, so that a dead one holds up nobody.

A message is sent until it was heard, over TLS to an address that was looked at before it is
connected to. What was sent is noted after the answer: killed in between, it is sent again under the
same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from opencarrier import __version__
from opencarrier.app.bootstrap import Installation
from opencarrier.app.config import ConfigError, Settings
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.spine.spans import Kind, Root, Within, current
from opencarrier.webhooks.addresses import Network, Target, is_allowed, read_networks, read_url
from opencarrier.webhooks.model import ANSWER_OCTETS_MAX, Obstacle, Outcome
from opencarrier.webhooks.rules import signature
from opencarrier.webhooks.service import Attempt

_log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
ATTEMPT_S: Final = 10.0
"""For all of an attempt: the name, the connection, what is sent, and what is answered."""

CONTENT_S: Final = 1.0
"""For what follows the head of an answer: that it was heard is known by then."""

AT_ONCE_MAX: Final = 32
"""Endpoints that are sent to at the same time."""

IN_A_ROW_MAX: Final = 50
"""Messages to one endpoint before others have their turn."""

TURN_S: Final = 10.0
"""After this no further one is begun."""

HEAD_OCTETS_MAX: Final = 16_384
INTERIM_MAX: Final = 4
"""Answers that announce another one (1xx)."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Courier:
    """Looks each second what is due; `resolve` asks for a name's addresses."""

    def __init__(self, base: Installation, resolve: Resolve | None = None) -> None:
        self._base = base
        self._resolve = resolve or self._addresses
        self._names = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="courier-names")
        self._networks = networks_of(base.settings)
        self._tls = trust_in(base.settings)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._turns: dict[str, int] = {}
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Look until stopped; what goes wrong is logged, and tried again."""
        while not self._stopped.is_set():
            try:
                await self.look()
            except Exception:
                _log.exception("the courier goes on after an error")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), LOOK_S)
        for task in self._busy.values():
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        self._names.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """End `run`; what is on its way is sent again after the next start."""
        self._stopped.set()

    async def look(self) -> None:
        """Begin with each endpoint that something is due at and that nobody is busy with.

        Whose last turn is longest ago comes first, so those that answer slowly hold up nobody.
        """
        due = await asyncio.to_thread(self._due)
        newest = max(self._turns.values(), default=0)
        self._turns = {one: self._turns.get(one, 0) for one in due}
        for endpoint in sorted(due, key=self._turns.__getitem__):
            if endpoint not in self._busy and len(self._busy) < AT_ONCE_MAX:
                newest += 1
                self._turns[endpoint] = newest
                task = asyncio.create_task(self._serve(endpoint))
                self._busy[endpoint] = task
                task.add_done_callback(partial(self._done, endpoint))

    def _done(self, endpoint: str, _: asyncio.Task[None]) -> None:
        del self._busy[endpoint]

    async def drain(self) -> None:
        """Wait until nobody is busy."""
        while self._busy:
            await asyncio.gather(*self._busy.values())

    def _due(self) -> Sequence[str]:
        with self._base.store.read() as unit:
            return self._base.webhooks.due(unit)

    async def _serve(self, endpoint: str) -> None:
        """Send what is due at an endpoint, one after the other, until it fails or had its turn."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + TURN_S
        try:
            for _ in range(IN_A_ROW_MAX):
                attempt = await asyncio.to_thread(self._next, endpoint)
                if attempt is None:
                    return
                outcome = await self.send(attempt)
                crashpoint("courier.sent")
                await asyncio.to_thread(self._note, attempt, outcome)
                crashpoint("courier.noted")
                if loop.time() >= ends_s:
                    return
        except Exception:
            _log.exception("a webhook's endpoint is tried again after an error")

    def _next(self, endpoint: str) -> Attempt | None:
        with self._base.store.read() as unit:
            return self._base.webhooks.next(unit, endpoint)

    def _note(self, attempt: Attempt, outcome: Outcome) -> None:
        with self._base.store.write() as unit:
            self._base.webhooks.tried(unit, attempt, outcome)

    async def send(self, attempt: Attempt) -> Outcome:
        """Send a message once; whatever is in the way is an outcome."""
        span = self._base.spans.begin(Root.HTTP, "POST webhook", Kind.CLIENT)
        if span is None:
            return await self._send(attempt)
        with Within(span):
            outcome = await self._send(attempt)
            span.note("http.request.method", "POST")
            if outcome.status:
                span.note("http.response.status_code", outcome.status)
            if not outcome.heard:
                span.fail(str(outcome.status or outcome.answer.partition(":")[0]))
            return outcome

    async def _send(self, attempt: Attempt) -> Outcome:
        target = read_url(attempt.endpoint.url)
        assert not isinstance(target, Refusal), "an endpoint's URL was read when it was registered"
        try:
            async with asyncio.timeout(ATTEMPT_S):
                address = await self._address(target, attempt.endpoint.party)
                if address is None:
                    return Outcome.failed(Obstacle.ADDRESS)
                return await self._asked(target, address, self._request(target, attempt))
        except TimeoutError:
            return Outcome.failed(Obstacle.NO_ANSWER, f"within {ATTEMPT_S:.0f} s")
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            return failure_of(error)

    async def _address(self, target: Target, party: PartyId) -> str | None:
        """Return the address to connect to: every address of the name has to be allowed.

        What somebody names leads into no networks but those that are its own to reach.
        """
        networks = self._networks.get(party, ())
        found = await self._resolve(target.host, target.port)
        allowed = [is_allowed(one, networks, tls=target.tls) for one in found]
        return found[0] if found and all(allowed) else None

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Ask for a name's addresses; one whose servers are silent holds a thread of our own."""
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._names, ask)
        return [str(place[4][0]) for place in found]

    def _request(self, target: Target, attempt: Attempt) -> bytes:
        at_s = self._base.real.clock.now_us() // SECOND_US
        message = attempt.message
        signed = signature(attempt.secrets, message.message, at_s, message.body)
        host = f"[{target.host}]" if ":" in target.host else target.host
        span = current.get()
        lines = (
            f"POST {target.path} HTTP/1.1",
            f"Host: {host}:{target.port}",
            f"User-Agent: opencarrier/{__version__}",
            "Content-Type: application/json",
            f"Content-Length: {len(message.body)}",
            f"webhook-id: {message.message}",
            f"webhook-timestamp: {at_s}",
            f"webhook-signature: {signed}",
            *(() if span is None else (f"traceparent: {span.traceparent}",)),
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + message.body

    async def _asked(self, target: Target, address: str, request: bytes) -> Outcome:
        """Connect to the very address that was looked at, ask, and read as much as is kept."""
        reader, writer = await asyncio.open_connection(
            address,
            target.port,
            ssl=self._tls if target.tls else None,
            server_hostname=target.host if target.tls else None,
            limit=HEAD_OCTETS_MAX,
        )
        try:
            writer.write(request)
            await writer.drain()
            status, length = await _head(reader)
            return Outcome(status=status, answer=await _beginning(reader, length))
        finally:
            writer.transport.abort()


def networks_of(settings: Settings) -> Mapping[PartyId, tuple[Network, ...]]:
    """Return whose webhooks may go where besides the public; `ConfigError` for no network."""
    try:
        return read_networks(settings.webhook_networks)
    except ValueError as error:
        raise ConfigError(f"webhook_networks: {error}") from None


def trust_in(settings: Settings) -> ssl.SSLContext:
    """Return whom webhooks believe over TLS: the system's authorities, and ours where there are.

    `ConfigError` where the file of `webhook_roots` is none of certificates.
    """
    trust = ssl.create_default_context()
    if settings.webhook_roots:
        try:
            trust.load_verify_locations(cafile=settings.webhook_roots)
        except OSError as error:
            raise ConfigError(f"webhook_roots: {settings.webhook_roots}: {error}") from None
    return trust


def failure_of(error: Exception) -> Outcome:
    """Return what was in the way, by what the attempt ended with."""
    match error:
        case ssl.SSLCertVerificationError():
            obstacle = _DISTRUST.get(error.verify_code, Obstacle.UNTRUSTED)
            return Outcome.failed(obstacle, error.verify_message)
        case ssl.SSLError():
            return Outcome.failed(Obstacle.TLS, error.reason or "")
        case socket.gaierror():
            return Outcome.failed(Obstacle.NAME, error.strerror or "")
        case OSError():
            return Outcome.failed(Obstacle.UNREACHED, error.strerror or type(error).__name__)
        case EOFError():
            return Outcome.failed(Obstacle.NOT_HTTP, "closed before an answer came to its end")
        case asyncio.LimitOverrunError():
            return Outcome.failed(Obstacle.NOT_HTTP, f"a head of more than {HEAD_OCTETS_MAX}")
    return Outcome.failed(Obstacle.NOT_HTTP, str(error))


_DISTRUST: Final = {
    9: Obstacle.EXPIRED,
    10: Obstacle.EXPIRED,
    62: Obstacle.OTHER_NAME,
    64: Obstacle.OTHER_NAME,
}
"""By OpenSSL's codes of X509_STORE_CTX_get_error: not yet valid, expired, name, address."""


async def _head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Read the head of the final answer; return its status, and how much of its content is kept.

    A redirection is not followed.
    """
    for _ in range(INTERIM_MAX + 1):
        head = await reader.readuntil(b"\r\n\r\n")
        version, _, rest = head.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise ValueError("the answer is not HTTP/1.1")
        status = int(rest[:3])
        if status >= 200:
            found = _LENGTH.search(head)
            length = 0 if status == 204 else int(found[1]) if found else ANSWER_OCTETS_MAX
            return status, min(length, ANSWER_OCTETS_MAX)
    raise ValueError("the answer does not come to an end")


_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)


async def _beginning(reader: asyncio.StreamReader, length: int) -> str:
    """Read so much of an answer's content as text, as far as it comes soon."""
    found = bytearray()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CONTENT_S):
            while piece := await reader.read(length - len(found)):
                found += piece
    text = found.decode(errors="replace")
    return "".join(one if one.isprintable() else " " for one in text).strip()
