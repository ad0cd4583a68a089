"""The servers that are asked, connected when first needed: of upstreams, and discovered ones."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from opencarrier.access.discovery.model import Nothing
from opencarrier.access.discovery.service import Discovery
from opencarrier.access.hub.model import HubSettings
from opencarrier.access.hub.pool import Pool
from opencarrier.access.hub.routes import Discover, Via
from opencarrier.access.upstream.model import Upstream
from opencarrier.kernel.entropy import Entropy
from opencarrier.spine.parties import RadiusServer

RADSEC_SECRET = b"radsec"
DISCOVERED = "discovered"
"""The label of every discovered server in counters: realms are strangers' words."""


class Neighbour(Upstream, Protocol):
    """A server that can be asked, and let go of."""

    async def stop(self) -> None:
        """Close what leads there."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is; of a discovered one the realm its certificate has to speak for."""

    server: RadiusServer
    address: str = ""
    realm: str = ""


Connect = Callable[[Address], Neighbour]
"""Makes a client of a server; it dials when first asked."""

Servers = Callable[[str], Sequence[RadiusServer]]
"""The servers of an upstream as they are configured now."""


@dataclass(slots=True)
class _Entry:
    addresses: tuple[Address, ...]
    neighbours: tuple[Neighbour, ...]
    pool: Pool
    used_s: float


@dataclass(frozen=True, slots=True)
class NeighbourLine:
    """A server as `status` shows it."""

    upstream: str
    server: str
    alive: bool


class Neighbours:
    """Pools by target, made when asked for, made anew when what is configured changed.

    Discovered ones are bounded and closed when nobody asked for a while.
    """

    def __init__(
        self,
        servers: Servers,
        connect: Connect,
        discovery: Discovery | None,
        *,
        entropy: Entropy,
        monotonic: Callable[[], float],
        settings: HubSettings,
    ) -> None:
        self._servers = servers
        self._connect = connect
        self._discovery = discovery
        self._entropy = entropy
        self._monotonic = monotonic
        self._settings = settings
        self._named: dict[str, _Entry] = {}
        self._discovered: OrderedDict[str, _Entry] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()
        self._past: Counter[tuple[str, str, str]] = Counter()

    async def pool(self, target: Via | Discover, asker: str = "") -> Pool | str:
        """Return whom to ask, or the reason why there is nobody; `asker` wants to know."""
        if isinstance(target, Via):
            return self._of_upstream(target.upstream)
        if self._discovery is None:
            return "discovery_off"
        found = await self._discovery.find(target.realm, asker=asker, accounting=target.accounting)
        if isinstance(found, Nothing):
            return found.reason
        addresses = tuple(
            Address(
                RadiusServer(
                    upstream=DISCOVERED,
                    place=place,
                    transport="tls",
                    host=peer.host,
                    port=peer.port,
                    secret=RADSEC_SECRET,
                ),
                address,
                target.realm,
            )
            for place, peer in enumerate(found.peers)
            for address in peer.addresses
        )
        return self._of_realm(target, addresses)

    def lines(self) -> list[NeighbourLine]:
        """Return the servers that were asked, by upstream."""
        entries = [*sorted(self._named.items()), *sorted(self._discovered.items())]
        return [
            NeighbourLine(name, neighbour.name, neighbour.alive)
            for name, entry in entries
            for neighbour in entry.neighbours
        ]

    def outcomes(self) -> Counter[tuple[str, str, str]]:
        """Return counts by upstream, server and outcome; discovered servers share one label."""
        found = Counter(self._past)
        for name, entry in self._named.items():
            found += _counted(name, entry)
        for entry in self._discovered.values():
            found += _counted(DISCOVERED, entry)
        return found

    async def stop(self) -> None:
        """Close every connection."""
        for name in list(self._named):
            self._let_go(name, self._named.pop(name))
        for realm in list(self._discovered):
            self._let_go(DISCOVERED, self._discovered.pop(realm))
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._closing)

    def _of_upstream(self, name: str) -> Pool | str:
        addresses = tuple(Address(server) for server in self._servers(name))
        entry = self._named.get(name)
        if entry is None or entry.addresses != addresses:
            if entry is not None:
                self._let_go(name, self._named.pop(name))
            if not addresses:
                return "upstream_unknown"
            entry = self._named[name] = self._made(addresses)
        return entry.pool

    def _of_realm(self, target: Discover, addresses: tuple[Address, ...]) -> Pool:
        realm = self._name_of(target, addresses)
        entry = self._discovered.pop(realm, None)
        if entry is None or entry.addresses != addresses:
            if entry is not None:
                self._let_go(DISCOVERED, entry)
            entry = self._made(addresses)
        entry.used_s = self._monotonic()
        self._discovered[realm] = entry
        self._trim()
        return entry.pool

    def _name_of(self, target: Discover, addresses: tuple[Address, ...]) -> str:
        """Where accounting goes to the servers of authentication, it shares their connections."""
        shared = self._discovered.get(target.realm)
        apart = target.accounting and (shared is None or shared.addresses != addresses)
        return f"{target.realm} (accounting)" if apart else target.realm

    def _trim(self) -> None:
        """Close what was used longest ago, beyond the bound or idle."""
        idle_s = self._monotonic() - self._settings.discovered_idle_s
        while self._discovered:
            realm, entry = next(iter(self._discovered.items()))
            if len(self._discovered) <= self._settings.discovered_max and entry.used_s > idle_s:
                return
            self._let_go(DISCOVERED, self._discovered.pop(realm))

    def _made(self, addresses: tuple[Address, ...]) -> _Entry:
        neighbours = tuple(self._connect(address) for address in addresses)
        pool = Pool(neighbours, self._entropy, patience_s=self._settings.patience_s)
        return _Entry(addresses, neighbours, pool, self._monotonic())

    def _let_go(self, name: str, entry: _Entry) -> None:
        self._past += _counted(name, entry)
        for neighbour in entry.neighbours:
            task = asyncio.get_running_loop().create_task(neighbour.stop())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _counted(name: str, entry: _Entry) -> Counter[tuple[str, str, str]]:
    discovered = name == DISCOVERED
    found: Counter[tuple[str, str, str]] = Counter()
    for (server, outcome), count in entry.pool.outcomes.items():
        found[name, DISCOVERED if discovered else server, outcome] += count
    return found
