"""Who may talk to us, asked from the directory and remembered for a moment.

Every packet needs its client and node; a change reaches the running server within `ttl_s`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from opencarrier.access.hub.routes import Routes, Target
from opencarrier.spine.parties import Node, PartyId, RadiusClient, RadiusServer
from opencarrier.spine.ports import Directory

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")
Reader = Callable[[], AbstractContextManager["Connection"]]
Ask = Callable[["Connection"], T | None]


class DirectoryCache:
    """Answers of the directory, found or not, each at most `ttl_s` old.

    At `entries_max` everything is forgotten: an attacker's many names cost reads, not memory.
    """

    def __init__(
        self,
        directory: Directory,
        read: Reader,
        *,
        monotonic: Callable[[], float],
        ttl_s: float,
        entries_max: int,
    ) -> None:
        self._directory = directory
        self._read = read
        self._monotonic = monotonic
        self._ttl_s = ttl_s
        self._entries_max = entries_max
        self._clients: dict[str, tuple[float, RadiusClient | None]] = {}
        self._peers: dict[str, tuple[float, RadiusClient | None]] = {}
        self._routes: dict[str, tuple[float, Routes | None]] = {}
        self._served: dict[str, tuple[float, bool | None]] = {}
        self._servers: dict[str, tuple[float, Sequence[RadiusServer] | None]] = {}
        self._at: dict[str, tuple[float, Sequence[RadiusServer] | None]] = {}
        self._named: dict[str, tuple[float, PartyId | None]] = {}
        self._wba_ids: dict[str, tuple[float, str | None]] = {}
        self._nodes: dict[str, tuple[float, Node | None]] = {}

    def client(self, source: str) -> RadiusClient | None:
        """The RADIUS client of a source address."""
        return self._cached(
            self._clients, source, lambda unit: self._directory.client(unit, source)
        )

    def peer(self, names: Sequence[str]) -> RadiusClient | None:
        """The RADIUS client of the first of a certificate's names that is known."""
        return self._cached(self._peers, names[0], lambda unit: self._directory.peer(unit, names))

    def node(self, nas_identifier: str) -> Node | None:
        """The node a NAS-Identifier names."""
        return self._cached(
            self._nodes, nas_identifier, lambda unit: self._directory.node(unit, nas_identifier)
        )

    def target(self, realm: str, client: RadiusClient) -> Target:
        """Where a realm goes that a client asks for."""
        return self._routing().of(realm, federation=client.federation, local=self.serves)

    def debtor(self, realm: str) -> Target:
        """Where accounting goes that is owed to a realm's home."""
        return self._routing().of(realm, federation=False, local=self.serves)

    def serves(self, realm: str) -> bool:
        """Whether a realm's subscribers are here."""
        served = self._cached(
            self._served, realm, lambda unit: self._directory.serves(unit, realm) or None
        )
        return served is not None

    def servers(self, upstream: str) -> Sequence[RadiusServer]:
        """The servers of an upstream."""
        found = self._cached(
            self._servers, upstream, lambda unit: self._directory.servers(unit, upstream)
        )
        return found or ()

    def servers_at(self, host: str) -> Sequence[RadiusServer]:
        """The servers of our routes that are asked at an address."""
        found = self._cached(self._at, host, lambda unit: self._found_at(unit, host))
        return found or ()

    def _found_at(self, unit: Connection, host: str) -> Sequence[RadiusServer] | None:
        names = dict.fromkeys(route.upstream for route in self._directory.routes(unit))
        servers = (one for name in names if name for one in self._directory.servers(unit, name))
        return [one for one in servers if one.host == host] or None

    def operator_named_by_wba(self, wba_id: str) -> PartyId | None:
        """The operator the federation calls so."""
        return self._cached(
            self._named, wba_id, lambda unit: self._directory.operator_named_by_wba(unit, wba_id)
        )

    def wba_id(self, operator: PartyId) -> str | None:
        """How the federation calls an operator."""
        return self._cached(
            self._wba_ids, operator, lambda unit: self._directory.wba_id(unit, operator)
        )

    def _routing(self) -> Routes:
        routes = self._cached(self._routes, "", lambda unit: Routes(self._directory.routes(unit)))
        assert routes is not None
        return routes

    def _cached(
        self, entries: dict[str, tuple[float, T | None]], name: str, ask: Ask[T]
    ) -> T | None:
        now_s = self._monotonic()
        entry = entries.get(name)
        if entry is not None and entry[0] > now_s:
            return entry[1]
        with self._read() as unit:
            value = ask(unit)
        if len(entries) >= self._entries_max:
            entries.clear()
        entries[name] = (now_s + self._ttl_s, value)
        return value
