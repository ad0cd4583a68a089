"""What a request that is let in says of where its session is served: a pure rule."""

from __future__ import annotations

from opencarrier.access.cui import chargeable_user_identity
from opencarrier.access.orders.model import Attach
from opencarrier.access.server import Ticket
from opencarrier.access.wire.dictionary import Type
from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.access import Grant


def attach_of(ticket: Ticket, grant: Grant, cui_key: bytes) -> Attach:
    """Return who asked for a session, from where, and what the session is called there."""
    packet = ticket.packet
    name = _text(packet.get(Type.NAS_IDENTIFIER))
    is_heard = ticket.node is not None and ticket.node.nas_identifier == name
    return Attach(
        authorisation_id=grant.authorisation_id,
        client_id=ticket.client.client_id,
        transport=ticket.origin.transport.value,
        host=ticket.origin.address[0],
        nas_identifier=name,
        nas_address=(
            packet.get(Type.NAS_IP_ADDRESS) or packet.get(Type.NAS_IPV6_ADDRESS) or b""
        ).hex(),
        acct_session_id=_text(packet.get(Type.ACCT_SESSION_ID)),
        cui=chargeable_user_identity(cui_key, grant.subscriber, grant.visited),
        expires_us=grant.expires_us,
        interim_interval_s=grant.interim_interval_s,
        look_us=grant.granted_us + grant.interim_interval_s * SECOND_US if is_heard else None,
        heard_us=grant.granted_us,
    )


def _text(value: bytes | None) -> str:
    """What stands in an attribute; what is no UTF-8 names nothing, nor does what holds a NUL."""
    if value is None or 0 in value:
        return ""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return ""
