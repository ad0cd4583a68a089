"""Disconnect and CoA that homes send to our UDP 3799: of servers we ask over UDP, no others.

A home sends from the address it is asked at, under the secret it answers with (RFC 5176 section
2.3). What carries a Proxy-State needs a Message-Authenticator too (CVE-2024-3596).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from opencarrier.access.dynamic import DynamicProxy, sound
from opencarrier.access.hub.backward import WayBack
from opencarrier.access.upstream.model import Upstream
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Packet
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId, RadiusClient, RadiusServer

UDP = "udp"


class OrdersOverUdp:
    """Answers a `DynamicServer`: `client` says who is at an address, a call answers a request."""

    def __init__(
        self, way_back: WayBack, servers: Callable[[str], Sequence[RadiusServer]], *, clock: Clock
    ) -> None:
        """`servers` finds those that are asked at an address."""
        self._way_back = way_back
        self._servers = servers
        self._proxy = DynamicProxy(self._find, clock=clock, allows=self._allows)

    def client(self, host: str) -> RadiusClient | None:
        """Who may order something from an address; None where nobody is asked over UDP there."""
        found = self._at(host)
        if not found:
            return None
        return RadiusClient(
            client_id=_name(found[0]), prefix=host, secret=found[0].secret, operator=PartyId("")
        )

    async def __call__(self, octets: bytes, client: RadiusClient) -> bytes:
        """Answer one request."""
        packet = sound(octets, client)
        signed = packet.get(Type.MESSAGE_AUTHENTICATOR) is not None
        if packet.get(Type.PROXY_STATE) is not None and not signed:
            raise PeerError("message_authenticator_missing")
        return await self._proxy(octets, client)

    def _find(self, packet: Packet, client: RadiusClient) -> Upstream | None:
        """Who serves the session, where any server at the address let it in."""
        for home in self._homes(client):
            found = self._way_back.find(packet, home)
            if found is not None:
                return found
        return None

    def _allows(self, packet: Packet, client: RadiusClient) -> bool:
        return all(self._way_back.allows(packet, home) for home in self._homes(client))

    def _homes(self, client: RadiusClient) -> list[RadiusClient]:
        """The servers at a client's address that have its secret."""
        return [
            replace(client, client_id=_name(server))
            for server in self._at(client.prefix)
            if server.secret == client.secret
        ]

    def _at(self, host: str) -> list[RadiusServer]:
        return [one for one in self._servers(host) if one.transport == UDP]


def _name(server: RadiusServer) -> str:
    """The name by which the way back knows a server."""
    return f"{server.host}:{server.port}"
