"""At whose node a packet arose: the client's own, or one of an operator that it carries."""

from __future__ import annotations

from typing import Protocol

from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Packet
from opencarrier.spine.parties import Node, PartyId, RadiusClient, foreign_node

WBA_NAMESPACE = b"4"
"""Of Operator-Name: what follows is a WBAID (RFC 5580 section 4.1, IANA)."""


class Lookup(Protocol):
    """Who is who, as far as this is needed."""

    def node(self, nas_identifier: str) -> Node | None:
        """The node a NAS-Identifier names."""
        ...

    def operator_named_by_wba(self, wba_id: str) -> PartyId | None:
        """The operator the federation calls so."""
        ...


def visited_node(packet: Packet, client: RadiusClient, lookup: Lookup) -> Node | None:
    """Return the node a packet arose at, None where the client may not bring it.

    Operator-Name says whose it is where the client carries others. Such an operator's nodes need
    not be known here: its NAS-Identifier, else NAS-IP-Address, tells them apart.
    """
    operator = _operator(packet, client, lookup)
    if operator is None or not (operator == client.operator or client.carries_for(operator)):
        return None
    name = packet.get(Type.NAS_IDENTIFIER)
    text = "" if name is None else _text(name)
    known = lookup.node(text) if text else None
    if known is not None and known.operator == operator:
        return known
    if not client.carries_for(operator):
        return None
    key = text or _address(packet)
    return foreign_node(operator, key) if key else None


def vouched(packet: Packet, node: Node, lookup: Lookup) -> Packet:
    """Return a packet as it may be passed on: whom it names is its node's operator, or nobody.

    A home believes us whose access network it is; what an access point says of it proves nothing.
    """
    names = packet.all(Type.OPERATOR_NAME)
    if all(_named(name, lookup) == node.operator for name in names):
        return packet
    return packet.without(Type.OPERATOR_NAME)


def _operator(packet: Packet, client: RadiusClient, lookup: Lookup) -> PartyId | None:
    name = packet.get(Type.OPERATOR_NAME)
    if not client.carries or name is None or name[:1] != WBA_NAMESPACE:
        return client.operator
    return _named(name, lookup)


def _named(name: bytes, lookup: Lookup) -> PartyId | None:
    if name[:1] != WBA_NAMESPACE:
        return None
    return lookup.operator_named_by_wba(_text(name[1:]))


def _text(octets: bytes) -> str:
    """What is no text, as a NUL is none, is replaced: no name of ours has that in it."""
    return octets.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _address(packet: Packet) -> str:
    octets = packet.get(Type.NAS_IP_ADDRESS) or packet.get(Type.NAS_IPV6_ADDRESS)
    return "" if octets is None else f"ip:{octets.hex()}"
