"""How whoever serves a session is reached: UDP 3799, or the connection it asks us over."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from opencarrier.access.upstream.asking import AskLimits
from opencarrier.access.upstream.model import Upstream
from opencarrier.access.upstream.udp import UdpUpstream
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Packet
from opencarrier.kernel.entropy import Entropy
from opencarrier.spine.parties import RadiusClient

PORT = 3799
SERVERS_MAX = 64
"""Access points with a socket of ours open; the one used last keeps it longest."""

PLACES_MAX = 10_000
REQUEST_S = 10.0


def nobody(client_id: str, host: str) -> Upstream | None:
    """Say that no client is connected: where there is no RadSec."""
    return None


class Reach:
    """Makes what can be asked of an address, and lets go of what is not used."""

    def __init__(
        self,
        *,
        entropy: Entropy,
        connected: Callable[[str, str], Upstream | None] = nobody,
        port: int = PORT,
        request_s: float = REQUEST_S,
    ) -> None:
        """`connected` finds the connection of a TLS client, by its name and address."""
        self.connected = connected
        self._entropy = entropy
        self._port = port
        self._limits = AskLimits(request_s=request_s)
        self._servers: OrderedDict[tuple[str, bytes], UdpUpstream] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    def udp(self, name: str, host: str, secret: bytes) -> Upstream:
        """The access point at an address, under the secret it asks us with."""
        key = (host, secret)
        server = self._servers.pop(key, None)
        if server is None:
            server = UdpUpstream(
                name,
                (host, self._port),
                secret,
                entropy=self._entropy,
                limits=self._limits,
                status_server=False,
            )
        self._servers[key] = server
        if len(self._servers) > SERVERS_MAX:
            _, oldest = self._servers.popitem(last=False)
            task = asyncio.get_running_loop().create_task(oldest.stop())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return server

    async def stop(self) -> None:
        """Close every socket."""
        for server in self._servers.values():
            await server.stop()
        self._servers.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)


class Places:
    """Where each access point was heard last: what a `DynamicProxy` finds it by.

    Only who has asked us is known, so a restart forgets; whoever ordered something is then told
    that there is no route, and asks again.
    """

    def __init__(self, reach: Reach, *, places_max: int = PLACES_MAX) -> None:
        self._reach = reach
        self._places_max = places_max
        self._places: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def saw(self, nas_identifier: str, host: str, secret: bytes) -> None:
        """Note an access point's packet."""
        self._places[nas_identifier] = (host, secret)
        self._places.move_to_end(nas_identifier)
        if len(self._places) > self._places_max:
            self._places.popitem(last=False)

    def find(self, packet: Packet, client: RadiusClient) -> Upstream | None:
        """The access point a request names, None for one not heard of."""
        name = (packet.get(Type.NAS_IDENTIFIER) or b"").decode("utf-8", "replace")
        place = self._places.get(name)
        return None if place is None else self._reach.udp(name, *place)
