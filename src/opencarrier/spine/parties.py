"""Who takes part, as every room may know them: opaque ids, never an IMSI or a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType

from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import Address

PartyId = NewType("PartyId", str)
"""Opaque and stable: a prefix for people (`op_`, `host_`, `sub_`, `tax_`) and 32 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """An operator: home of its subscribers, visited by others', member of the clearing domain."""

    party_id: PartyId
    name: str
    address: Address
    jurisdiction: str
    realms: tuple[str, ...]
    plmns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Whoever owns nodes and is paid for their use, at its payout address if it named no other."""

    party_id: PartyId
    name: str
    payout: Address


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Beneficiary:
    """An address that has a part of what a host earns, in millionths."""

    payout: Address
    share_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An access point or cell, named on the wire by its NAS-Identifier."""

    node_id: str
    nas_identifier: str
    operator: PartyId
    host: PartyId


_FOREIGN: Final = re.compile(r"(op_[0-9a-f]{32})\.[0-9a-f]{24}")


def foreign_node(operator: PartyId, nas_key: str) -> Node:
    """Return an operator's node that nobody registered here: its host is the operator itself.

    The id follows from operator and NAS key, so nothing has to be kept of it.
    """
    digest = derive("node/foreign", operator, nas_key)[:12].hex()
    return Node(
        node_id=f"{operator}.{digest}", nas_identifier=nas_key, operator=operator, host=operator
    )


def operator_of_node(node_id: str) -> PartyId | None:
    """Return whose an unregistered node is by its id, None for any other id."""
    found = _FOREIGN.fullmatch(node_id)
    return None if found is None else PartyId(found[1])


ANY_OPERATOR: Final = "*"
"""In place of names: whoever it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiusClient:
    """A RADIUS client: whom it is, its shared secret, its operator.

    `prefix` is a source prefix (CIDR) over UDP, a name of its certificate over TLS (`dns:HOST`).
    `require_message_authenticator` None leaves it to the server's setting; `limit_proxy_state`
    refuses a Proxy-State that nothing protects (CVE-2024-3596). `carries` are the operators whose
    packets it brings besides its own, `*` anybody's; `federation` says that it is a peer outside.
    """

    client_id: str
    prefix: str
    secret: bytes
    operator: PartyId
    require_message_authenticator: bool | None = None
    limit_proxy_state: bool = True
    carries: tuple[str, ...] = ()
    federation: bool = False

    def carries_for(self, operator: PartyId) -> bool:
        """Whether it brings an operator's packets, of nodes that need not be known here."""
        return operator in self.carries or ANY_OPERATOR in self.carries

    def __repr__(self) -> str:
        """Name the client, never its secret."""
        return f"RadiusClient({self.client_id}, {self.prefix})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiusServer:
    """A RADIUS server we ask: `tls` or `udp`, where it is, and its shared secret over UDP.

    `upstream` names the servers that can stand in for each other, `place` their order.
    """

    upstream: str
    place: int
    transport: str
    host: str
    port: int
    secret: bytes

    def __repr__(self) -> str:
        """Name the server, never its secret."""
        return f"RadiusServer({self.upstream}, {self.transport}://{self.host}:{self.port})"


class RouteKind(StrEnum):
    """Who answers for a route's realms."""

    UPSTREAM = "upstream"
    DISCOVER = "discover"
    LOCAL = "local"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a realm's packets go: `pattern` is a realm, `*.SUFFIX` or `*`.

    `inward` says that what comes from the federation may go there too: to servers of our own.
    """

    pattern: str
    kind: RouteKind
    upstream: str = ""
    inward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A person or device with a home operator and a retail plan; credentials stay in `identity`."""

    party_id: PartyId
    home: PartyId
    plan_id: str
