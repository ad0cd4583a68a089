"""The way back: Disconnect and CoA of a home go to whoever serves its session (RFC 8559).

A home reaches only what it let in itself: the access points, or access networks behind us, whose
request it answered with an Access-Accept, by their NAS-Identifier, else their address; and there
no session that is known to be another home's, or ours.
An order that names no Acct-Session-Id reaches only whom the home let in: all that it tells of the
person, the station or a pseudonym, is to be that home's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from opencarrier.access.hub.dialling import Dialled
from opencarrier.access.model import Transport
from opencarrier.access.openroaming.attributes import orders_of_a_stranger
from opencarrier.access.upstream.asking import AskLimits
from opencarrier.access.upstream.model import Upstream
from opencarrier.access.upstream.udp import UdpUpstream
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Packet
from opencarrier.kernel.entropy import Entropy
from opencarrier.spine.parties import RadiusClient

DYNAMIC_PORT: Final = 3799
SERVED_MAX: Final = 65_536
SOCKETS_MAX: Final = 64
OURS: Final = ""
"""Whose the sessions are that we let in as a home: no server is called so."""

SAME_NAME_MAX: Final = 8
"""Clients whose access points have one name: nobody has to know of the others."""

REQUEST_S: Final = 10.0

Connected = Callable[[str, str], Upstream | None]
"""The connection of a RadSec client, by its name and address; None where it has none."""


_PSEUDONYMS: Final = (Type.CHARGEABLE_USER_IDENTITY, Type.USER_NAME)
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Served:
    """Who asked for a session that a home let in: its client, its address, over what.

    `inward`: the home's servers are our own.
    """

    client: RadiusClient
    address: str
    transport: Transport
    inward: bool = False


class WayBack:
    """Remembers who serves whose sessions; what was used longest ago is forgotten first."""

    def __init__(
        self,
        entropy: Entropy,
        *,
        port: int = DYNAMIC_PORT,
        served_max: int = SERVED_MAX,
        sockets_max: int = SOCKETS_MAX,
    ) -> None:
        self._entropy = entropy
        self._port = port
        self._served_max = served_max
        self._sockets_max = sockets_max
        self._served: OrderedDict[tuple[str, bytes], tuple[Served, ...]] = OrderedDict()
        self._owners: OrderedDict[tuple[str, bytes, bytes], str] = OrderedDict()
        self._people: OrderedDict[tuple[str, bytes, int, bytes], str] = OrderedDict()
        self._sockets: OrderedDict[tuple[str, bytes], Dialled] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()
        self.connected: Connected = lambda *_: None

    def __len__(self) -> int:
        """How many homes' access points are remembered."""
        return len(self._served)

    def note(
        self, home: str, request: Packet, served: Served, answer: Packet | None = None
    ) -> None:
        """Remember that a home, by its server's name, let in what was asked for here, and whom."""
        name, client = _name(request), served.client.client_id
        if name is None:
            return
        others = self._served.pop((home, name), ())
        others = tuple(one for one in others if one.client.client_id != client)
        self._make_room(self._served)
        self._served[home, name] = (served, *others[: SAME_NAME_MAX - 1])
        session = request.get(Type.ACCT_SESSION_ID)
        if session is not None:
            self._own(self._owners, (client, name, session), home)
        said = [(Type.CALLING_STATION_ID, request), *((kind, answer) for kind in _PSEUDONYMS)]
        for kind, packet in said:
            value = None if packet is None else packet.get(kind)
            if value:
                self._own(self._people, (client, name, int(kind), value), home)

    def keep_own(self, request: Packet, client: RadiusClient) -> None:
        """Remember that we let in ourselves what was asked for here: no other home's order ends it.

        What another home let the same station in with before is over.
        """
        name, session = _name(request), request.get(Type.ACCT_SESSION_ID)
        station = request.get(Type.CALLING_STATION_ID)
        if name is not None and session:
            self._own(self._owners, (client.client_id, name, session), OURS)
        if name is not None and station:
            kind = int(Type.CALLING_STATION_ID)
            self._own(self._people, (client.client_id, name, kind, station), OURS)

    def _own(self, owners: OrderedDict[_Key, str], key: _Key, home: str) -> None:
        owners.pop(key, None)
        self._make_room(owners)
        owners[key] = home

    def _make_room(self, memory: OrderedDict[Any, Any]) -> None:
        while len(memory) >= self._served_max:
            memory.popitem(last=False)

    def find(self, packet: Packet, home: RadiusClient) -> Upstream | None:
        """Return who is to be asked, None where the home let nobody in, or not this session."""
        served = self._serving(packet, home)
        if served is None:
            return None
        if served.transport is Transport.TLS:
            return self.connected(served.client.client_id, served.address)
        return self._socket(served.address, served.client.secret)

    def allows(self, packet: Packet, home: RadiusClient) -> bool:
        """Whether a home may change a session so: one of the federation gives no orders of ours."""
        served = self._serving(packet, home)
        if served is None or served.inward or served.client.carries:
            return True
        return not orders_of_a_stranger(packet.attributes)

    def _serving(self, packet: Packet, home: RadiusClient) -> Served | None:
        """Who serves a session: of several clients with access points of one name who said so."""
        name, session = _name(packet), packet.get(Type.ACCT_SESSION_ID)
        found: Served | None = None
        for served in () if name is None else self._served.get((home.client_id, name), ()):
            client = served.client.client_id
            if session is None:
                if self._knows(packet, (client, name or b""), home.client_id):
                    return served
                continue
            owner = self._owners.get((client, name or b"", session))
            if owner == home.client_id:
                return served
            if owner is None and found is None:
                found = served
        return found

    def _knows(self, packet: Packet, node: tuple[str, bytes], home: str) -> bool:
        """Say whether an order tells of a person, and nothing that is not a home's own."""
        told = [
            (*node, int(kind), value)
            for kind in (Type.CALLING_STATION_ID, *_PSEUDONYMS)
            if (value := packet.get(kind)) is not None
        ]
        return bool(told) and all(self._people.get(key) == home for key in told)

    async def stop(self) -> None:
        """Close the sockets."""
        while self._sockets:
            self._close_oldest()
        await asyncio.gather(*self._closing)

    def _socket(self, address: str, secret: bytes) -> Upstream:
        key = (address, secret)
        found = self._sockets.pop(key, None)
        if found is None:
            while len(self._sockets) >= self._sockets_max:
                self._close_oldest()
            found = Dialled(
                UdpUpstream(
                    address,
                    (address, self._port),
                    secret,
                    entropy=self._entropy,
                    limits=AskLimits(request_s=REQUEST_S),
                    status_server=False,
                )
            )
        self._sockets[key] = found
        return found

    def _close_oldest(self) -> None:
        _, oldest = self._sockets.popitem(last=False)
        task = asyncio.get_running_loop().create_task(oldest.stop())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _name(packet: Packet) -> bytes | None:
    """What tells access points apart: NAS-Identifier, else an address, which is no text."""
    for kind in (Type.NAS_IDENTIFIER, Type.NAS_IP_ADDRESS, Type.NAS_IPV6_ADDRESS):
        value = packet.get(kind)
        if value:
            return value if kind == Type.NAS_IDENTIFIER else bytes((0, kind)) + value
    return None
