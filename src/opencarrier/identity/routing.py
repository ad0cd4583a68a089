"""Routes of realms and the RADIUS servers they lead to; who speaks for others, and their names."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from opencarrier.identity import rules, store
from opencarrier.identity.directory import Directory, server_place
from opencarrier.identity.model import IdentityReason
from opencarrier.identity.vault import Vault
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import ANY_OPERATOR, PartyId, Route, RouteKind

SERVERS_MAX: Final = 8
"""That can stand in for each other."""

ROUTES_MAX: Final = 4_096
CARRIED_MAX: Final = 64
RADSEC_SECRET: Final = b"radsec"
_PORTS: Final = {"tls": 2083, "udp": 1812}
_SERVER: Final = re.compile(
    r"(?:(?P<transport>tls|udp)://)?"
    r"(?P<host>\[[0-9a-f:]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(?P<port>[0-9]{1,5}))?"
)
_REALM: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)+|\*")
_WBA_ID: Final = re.compile(r"[A-Z0-9._-]{1,64}:[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A server as it is added: where it is, over what, and its secret (of RadSec always the one).

    Over UDP authentication is asked at `port`, accounting one above it.
    """

    transport: str
    host: str
    port: int
    secret: bytes = field(repr=False)


class Routing:
    """Adds and removes routes; says which clients carry others, within the caller's unit."""

    def __init__(self, directory: Directory, vault: Vault) -> None:
        self._directory = directory
        self._vault = vault

    def add(
        self, unit: Connection, route: Route, servers: Sequence[Wanted] = ()
    ) -> Route | Refusal:
        """Add a route with its servers; the same again changes nothing, another is refused.

        A route `via` another's servers brings none along.
        """
        pattern = route.pattern.lower()
        if not _REALM.fullmatch(pattern) or len(pattern) > rules.REALM_LENGTH_MAX:
            return Refusal(IdentityReason.INVALID_REALM, f"{pattern!r} is no realm, *.SUFFIX or *")
        refusal = self._objection(unit, route, servers)
        if refusal is not None:
            return refusal
        known = self._directory.route(unit, pattern)
        made = Route(pattern=pattern, kind=route.kind, upstream=route.upstream, inward=route.inward)
        if known is not None:
            return self._same(unit, known, made, servers)
        unit.execute(
            insert(store.routes).values(
                pattern=pattern,
                kind=made.kind.value,
                upstream=made.upstream or None,
                inward=made.inward,
            )
        )
        for place, server in enumerate(servers):
            self._add_server(unit, made.upstream, place, server)
        words = [f"{s.transport}:{s.host}:{s.port}" for s in servers]
        self._directory.changed(
            unit, "route", pattern, made.kind.value, made.upstream, int(made.inward), *words
        )
        return made

    def remove(self, unit: Connection, pattern: str) -> Refusal | None:
        """Remove a route, and servers no other route leads to."""
        known = self._directory.route(unit, pattern.lower())
        if known is None:
            return Refusal(IdentityReason.UNKNOWN_ROUTE, pattern)
        unit.execute(delete(store.routes).where(store.routes.c.pattern == known.pattern))
        left = select(store.routes.c.pattern).where(store.routes.c.upstream == known.upstream)
        if known.upstream and unit.execute(left).first() is None:
            unit.execute(delete(store.servers).where(store.servers.c.upstream == known.upstream))
        self._directory.changed(unit, "route-removed", known.pattern)
        return None

    def carry(
        self, unit: Connection, client_id: str, *, operators: Iterable[str], federation: bool
    ) -> tuple[str, ...] | Refusal:
        """Say which operators' packets a client carries (`*`: any's), and whether it is outside.

        Nodes of an operator it carries need not be known here.
        """
        if store.client_by_id(unit, client_id) is None:
            return Refusal(IdentityReason.UNKNOWN_CLIENT, client_id)
        carried = tuple(sorted(set(operators)))
        if len(carried) > CARRIED_MAX:
            return Refusal(IdentityReason.INVALID_PARTY, f"{len(carried)} of {CARRIED_MAX}")
        for operator in carried:
            if operator != ANY_OPERATOR and not self._is_operator(unit, operator):
                return Refusal(IdentityReason.UNKNOWN_OPERATOR, operator)
        unit.execute(
            update(store.clients)
            .where(store.clients.c.client_id == client_id)
            .values(carries=" ".join(carried), federation=federation)
        )
        self._directory.changed(unit, "carry", client_id, int(federation), *carried)
        return carried

    def name_operator(self, unit: Connection, operator: PartyId, wba_id: str) -> str | Refusal:
        """Give an operator the name the federation knows it by, `EXAMPLE:US`."""
        name = wba_id.upper()
        if not _WBA_ID.fullmatch(name):
            return Refusal(IdentityReason.INVALID_NAME, f"{wba_id!r} is not like EXAMPLE:US")
        owner = self._directory.operator_named_by_wba(unit, name, whole=True)
        if owner is not None and owner != operator:
            return Refusal(IdentityReason.WBA_ID_TAKEN, f"{name} is {owner}")
        if owner is None:
            unit.execute(insert(store.wba_ids).values(wba_id=name, operator=operator))
            self._directory.changed(unit, "wba-id", name, operator)
        return name

    def _is_operator(self, unit: Connection, party: str) -> bool:
        return self._directory.operator(unit, PartyId(party)) is not None

    def _objection(
        self, unit: Connection, route: Route, servers: Sequence[Wanted]
    ) -> Refusal | None:
        if len(servers) > SERVERS_MAX:
            return Refusal(IdentityReason.INVALID_SERVER, f"{len(servers)} of {SERVERS_MAX}")
        for server in servers:
            refusal = rules.checked_radius_secret(server.secret)
            if refusal is not None:
                return refusal
        there = servers or self._directory.servers(unit, route.upstream)
        if route.kind is RouteKind.UPSTREAM and not there:
            return Refusal(IdentityReason.UNKNOWN_ROUTE, f"no servers under {route.upstream}")
        if len(self._directory.routes(unit)) >= ROUTES_MAX:
            return Refusal(IdentityReason.INVALID_SERVER, f"{ROUTES_MAX} routes")
        return None

    def _same(
        self, unit: Connection, known: Route, made: Route, servers: Sequence[Wanted]
    ) -> Route | Refusal:
        there = self._directory.servers(unit, known.upstream)
        same = all(
            (old.transport, old.host, old.port) == (new.transport, new.host, new.port)
            and hmac.compare_digest(old.secret, new.secret)
            for old, new in zip(there, servers, strict=False)
        )
        if known == made and same and (not servers or len(there) == len(servers)):
            return known
        return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_ROUTE, known.pattern)

    def _add_server(self, unit: Connection, upstream: str, place: int, server: Wanted) -> None:
        name = f"{upstream}#{place}"
        unit.execute(
            insert(store.servers).values(
                server_id=name,
                upstream=upstream,
                place=place,
                transport=server.transport,
                host=server.host,
                port=server.port,
                secret_sealed=self._vault.seal(unit, server_place(name), server.secret),
            )
        )


def read_server(text: str, secret: bytes) -> Wanted | Refusal:
    """Read `tls://HOST:PORT` or `udp://HOST:PORT`; without a word before it, it is RadSec."""
    found = _SERVER.fullmatch(text.lower())
    if found is None:
        return Refusal(IdentityReason.INVALID_SERVER, f"{text!r} is not like tls://HOST:2083")
    transport = found["transport"] or "tls"
    port = int(found["port"]) if found["port"] else _PORTS[transport]
    if not 0 < port < 65_535:
        return Refusal(IdentityReason.INVALID_SERVER, f"port {port}")
    host = found["host"].strip("[]")
    return Wanted(transport, host, port, RADSEC_SECRET if transport == "tls" else secret)
