"""Disconnect and CoA for a station of this venue, passed on to its access point (RFC 5176).

The home knows a session as the agent told it; the access point is told by the names it gave itself.
"""

from __future__ import annotations

from typing import Final

from opencarrier.access.agent.agent import NodeAgent
from opencarrier.access.agent.model import AccessPoint
from opencarrier.access.agent.sessions import NUL, Session, station_of
from opencarrier.access.dynamic import HOP, ErrorCause, nak, passed_on, sound, without
from opencarrier.access.orders.reach import Reach
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Attribute, Packet, text
from opencarrier.spine.parties import RadiusClient

_NAMES: Final = frozenset(
    {
        int(Type.NAS_IDENTIFIER),
        int(Type.NAS_IP_ADDRESS),
        int(Type.NAS_IPV6_ADDRESS),
        int(Type.OPERATOR_NAME),
        int(Type.ACCT_SESSION_ID),
        int(Type.USER_NAME),
        int(Type.CHARGEABLE_USER_IDENTITY),
        int(Type.CLASS),
    }
)
"""What names node or session: an access point may have lost it, or call it otherwise."""


class NodeOrders:
    """Answers the hub's orders, as an `Answerer`.

    Only an access point that has asked since the start is known by its address, unless it can have
    but one; whoever ordered something is told otherwise that there is no route, and asks again.
    """

    def __init__(self, agent: NodeAgent, reach: Reach) -> None:
        self._agent = agent
        self._reach = reach

    async def __call__(self, octets: bytes, client: RadiusClient) -> bytes:
        """Answer one order; `PeerError` where it is not genuine."""
        packet = sound(octets, client)
        found = self._session(packet)
        if found is None:
            return nak(packet, ErrorCause.SESSION_CONTEXT_NOT_FOUND, client.secret)
        point, session = found
        address = self._agent.address_of(point)
        if address is None:
            return nak(packet, ErrorCause.REQUEST_NOT_ROUTABLE, client.secret)
        line = self._reach.udp(point.name, address, point.secret)
        return await passed_on(packet, _for_access_point(packet, session), line, client.secret)

    def _session(self, packet: Packet) -> tuple[AccessPoint, Session] | None:
        """Return the one open session that all the packet's names fit, None where there is none."""
        node = packet.get(Type.NAS_IDENTIFIER)
        found = [
            (point, session)
            for point in self._agent.points
            if node is None or node == point.nas_identifier.encode()
            for _, session in self._agent.store.open_sessions(point.name)
            if _fits(session, packet)
        ]
        return found[0] if len(found) == 1 else None


def _fits(session: Session, packet: Packet) -> bool:
    """Say whether a session is the one an order names; an order that names none fits none."""
    accepted = session.accepted
    names = (
        (Type.ACCT_SESSION_ID, session.acct_session_id.encode()),
        (Type.USER_NAME, accepted.user_name),
        (Type.CHARGEABLE_USER_IDENTITY, accepted.cui),
    )
    told = [(packet.get(kind), known) for kind, known in names]
    told = [(value, known) for value, known in told if value not in (None, NUL)]
    station = station_of(packet)
    if not told and not station:
        return False
    return all(value == known for value, known in told) and station in ("", session.station)


def _for_access_point(packet: Packet, session: Session) -> list[Attribute]:
    return [text(Type.ACCT_SESSION_ID, session.called), *without(packet, _NAMES.union(HOP))]
