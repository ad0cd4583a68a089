"""Servers that can stand in for each other: which is asked first, and who is asked after it.

A conversation stays with the server that began it, as its State says; another would not know it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from opencarrier.access.hub.proxying import hidden_for
from opencarrier.access.upstream.model import Lost, Reply, Upstream
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.hidden import Hop
from opencarrier.access.wire.radius import AUTHENTICATOR_OCTETS, Attribute
from opencarrier.kernel.entropy import Entropy

CONVERSATIONS_MAX: Final = 65_536
PATIENCE_S: Final = 5.0
"""How long one server may take before the next is asked: an access point waits ten or twenty."""

PATIENCES: Final = 4
"""So many times as long may all servers take together: nobody waits after that."""


Named = Callable[[str], None]


class Pool:
    """Asks the servers of one name, the living first, the next one where one is lost.

    `outcomes` counts by server and outcome; the labels are as many as there are servers.
    """

    def __init__(
        self,
        servers: Sequence[Upstream],
        entropy: Entropy,
        *,
        patience_s: float = PATIENCE_S,
        conversations_max: int = CONVERSATIONS_MAX,
    ) -> None:
        assert servers, "somebody is to be asked"
        self._servers = tuple(servers)
        self._entropy = entropy
        self._patience_s = patience_s
        self._conversations_max = conversations_max
        self._conversations: OrderedDict[bytes, str] = OrderedDict()
        self.outcomes: Counter[tuple[str, str]] = Counter()

    @property
    def servers(self) -> Sequence[Upstream]:
        """The servers in their configured order."""
        return self._servers

    @property
    def alive(self) -> bool:
        """Whether any of them answers, as far as is known."""
        return any(server.alive for server in self._servers)

    async def ask(
        self, code: int, attributes: Sequence[Attribute], came: Hop, by: Named | None = None
    ) -> Reply | Lost:
        """Return the first reply; what the last server was lost of where all are.

        `by` is told the name of the server that gave it.

        Passwords in `attributes` are hidden as they came. What was in a conversation when its
        server went is lost: the access point begins anew, with the next server.
        """
        lost = Lost.UNREACHABLE
        loop = asyncio.get_running_loop()
        until_s = loop.time() + PATIENCES * self._patience_s
        for server in self._order(attributes):
            left_s = until_s - loop.time()
            if left_s <= 0:
                break
            try:
                asking = self._ask(server, code, attributes, came)
                reply = await asyncio.wait_for(asking, min(self._patience_s, left_s))
            except TimeoutError:
                reply = Lost.TIMEOUT
            if isinstance(reply, Reply):
                self.outcomes[server.name, "answered"] += 1
                self._note(server, reply)
                if by is not None:
                    by(server.name)
                return reply
            self.outcomes[server.name, reply.value] += 1
            lost = reply
        return lost

    async def _ask(
        self, server: Upstream, code: int, attributes: Sequence[Attribute], came: Hop
    ) -> Reply | Lost:
        if code != Code.ACCESS_REQUEST:
            return await server.request(code, attributes)
        authenticator = self._entropy.octets("access/authenticator", AUTHENTICATOR_OCTETS)
        again = hidden_for(attributes, came, Hop(server.secret, authenticator))
        return await server.request(code, again, authenticator=authenticator)

    def _order(self, attributes: Sequence[Attribute]) -> list[Upstream]:
        state = next((value for kind, value in attributes if kind == Type.STATE), None)
        first = "" if state is None else self._conversations.get(_key(state), "")
        return sorted(  # the configured order decides the rest
            self._servers,
            key=lambda server: (not (server.name == first and server.alive), not server.alive),
        )

    def _note(self, server: Upstream, reply: Reply) -> None:
        state = reply.packet.get(Type.STATE)
        if reply.packet.code != Code.ACCESS_CHALLENGE or state is None or len(self._servers) == 1:
            return
        while len(self._conversations) >= self._conversations_max:
            self._conversations.popitem(last=False)
        self._conversations[_key(state)] = server.name


def _key(state: bytes) -> bytes:
    return sha256(state).digest()[:16]
