"""Asks a recursive name server: UDP, TCP where the answer is cut, the next server in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from opencarrier.access.discovery import answers
from opencarrier.access.discovery.model import Answer, Question
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError

Server = tuple[str, int]
DNS_PORT = 53
TRIES = 2
WAIT_S = 1.0


class Resolver:
    """Asks name servers in their order; each question has a socket and an identifier of its own."""

    def __init__(
        self, servers: Sequence[Server], entropy: Entropy, *, wait_s: float = WAIT_S
    ) -> None:
        assert servers, "somebody is to be asked"
        self._servers = tuple(servers)
        self._entropy = entropy
        self._wait_s = wait_s

    async def ask(self, question: Question) -> Answer:
        """Return the answer, or one that says why there is none; it never raises."""
        failed = "dns_timeout"
        for server in self._servers * TRIES:
            try:
                return await asyncio.wait_for(self._ask(server, question), self._wait_s)
            except PeerError as error:
                failed = error.reason
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                continue
        return Answer((), 0, failed=failed)

    async def _ask(self, server: Server, question: Question) -> Answer:
        identifier = int.from_bytes(self._entropy.octets("access/dns", 2), "big")
        answer = await _over_udp(server, question, identifier)
        if isinstance(answer, answers.Cut):
            answer = await _over_tcp(server, question, identifier)
        if isinstance(answer, answers.Cut):
            raise PeerError("dns_truncated")
        return answer


class _Waiting(asyncio.DatagramProtocol):
    """Takes the first datagram that answers the question; what does not is passed over."""

    def __init__(self, question: Question, identifier: int) -> None:
        self._question = question
        self._identifier = identifier
        self.answer: asyncio.Future[Answer | answers.Cut] = (
            asyncio.get_running_loop().create_future()
        )

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.answer.done():
            return
        try:
            self.answer.set_result(answers.read(data, self._question, self._identifier))
        except PeerError as error:
            if error.reason != "dns_mismatch":
                self.answer.set_exception(error)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _over_udp(server: Server, question: Question, identifier: int) -> Answer | answers.Cut:
    transport, waiting = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Waiting(question, identifier), remote_addr=server
    )
    try:
        transport.sendto(answers.write(question, identifier))
        return await waiting.answer
    finally:
        transport.close()


async def _over_tcp(server: Server, question: Question, identifier: int) -> Answer | answers.Cut:
    reader, writer = await asyncio.open_connection(*server)
    try:
        query = answers.write(question, identifier)
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return answers.read(await reader.readexactly(size), question, identifier)
    finally:
        writer.close()


def system_servers() -> tuple[Server, ...]:
    """Return the name servers this machine asks; none where it names none."""
    from dns.resolver import NoResolverConfiguration
    from dns.resolver import Resolver as SystemResolver

    try:
        return tuple((str(address), DNS_PORT) for address in SystemResolver().nameservers)
    except NoResolverConfiguration:
        return ()
