"""Dynamic authorization, its packets: Disconnect and CoA, asked and answered (RFC 5176, RFC 8559).

A home asks; an access network answers for its access points, or passes on to them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence
from enum import IntEnum

from opencarrier.access.upstream.model import Lost, Upstream
from opencarrier.access.wire.authenticators import check_accounting_request, response
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Attribute, Packet, integer, is_fitting, parse
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import RadiusClient

WINDOW_S = 300
"""An Event-Timestamp further off is a replay (RFC 5176 section 6.3)."""

FULL = "packet_full"
"""Why a sound request has no answer: what has to go back leaves no room for one."""

REQUESTS = (Code.DISCONNECT_REQUEST, Code.COA_REQUEST)
HOP = (Type.PROXY_STATE, Type.MESSAGE_AUTHENTICATOR)
"""What belongs to one hop."""

_PLACE = (Type.NAS_IDENTIFIER, Type.NAS_IP_ADDRESS, Type.NAS_IPV6_ADDRESS, Type.OPERATOR_NAME)

Answerer = Callable[[bytes, RadiusClient], Awaitable[bytes]]
"""Answers a request with a signed reply, or raises `PeerError`: then nothing is sent."""


class ErrorCause(IntEnum):
    """Why an access network does not do what it was asked (RFC 5176 section 3.5)."""

    UNSUPPORTED_ATTRIBUTE = 401
    MISSING_ATTRIBUTE = 402
    NAS_IDENTIFICATION_MISMATCH = 403
    INVALID_REQUEST = 404
    UNSUPPORTED_SERVICE = 405
    UNSUPPORTED_EXTENSION = 406
    ADMINISTRATIVELY_PROHIBITED = 501
    REQUEST_NOT_ROUTABLE = 502
    SESSION_CONTEXT_NOT_FOUND = 503
    SESSION_CONTEXT_NOT_REMOVABLE = 504
    OTHER_PROXY_PROCESSING_ERROR = 505
    RESOURCES_UNAVAILABLE = 506


async def unsupported(octets: bytes, client: RadiusClient) -> bytes:
    """Answer as who does no dynamic authorization here (RFC 6614 section 3.4)."""
    return nak(sound(octets, client), ErrorCause.UNSUPPORTED_EXTENSION, client.secret)


def sound(octets: bytes, client: RadiusClient) -> Packet:
    """Accept a Disconnect-Request or CoA-Request of a client, or raise `PeerError`."""
    packet = parse(octets)
    if packet.code not in REQUESTS:
        raise PeerError("code", f"code {packet.code}")
    check_accounting_request(octets, packet, client.secret)
    return packet


def ack(packet: Packet, attributes: Sequence[Attribute], secret: bytes) -> bytes:
    """A Disconnect-ACK or CoA-ACK; Proxy-State goes back in order."""
    return reply(Code(packet.code + 1), packet, attributes, secret)


def nak(packet: Packet, cause: ErrorCause, secret: bytes) -> bytes:
    """A Disconnect-NAK or CoA-NAK with its Error-Cause; Proxy-State goes back in order."""
    return reply(Code(packet.code + 2), packet, [integer(Type.ERROR_CAUSE, cause)], secret)


def reply(code: int, packet: Packet, attributes: Sequence[Attribute], secret: bytes) -> bytes:
    """A signed answer; where Proxy-State leaves no room it says less, yes or no at the least.

    `PeerError` where not even that fits behind the Proxy-State of the request.
    """
    states = [a for a in packet.attributes if a[0] == Type.PROXY_STATE]
    causes = [a for a in attributes if a[0] == Type.ERROR_CAUSE]
    for said in (attributes, causes, ()):
        if is_fitting([*said, *states]):
            return response(code, packet, said, secret)
    raise PeerError(FULL, f"{len(states)} Proxy-State")


async def passed_on(
    packet: Packet, attributes: Sequence[Attribute], upstream: Upstream, secret: bytes
) -> bytes:
    """Ask whoever serves a session, and answer as it does; what no packet carries is refused."""
    if not is_fitting(attributes):
        return nak(packet, ErrorCause.INVALID_REQUEST, secret)
    outcome = await upstream.request(packet.code, attributes)
    if isinstance(outcome, Lost):
        return nak(packet, ErrorCause.OTHER_PROXY_PROCESSING_ERROR, secret)
    return reply(outcome.packet.code, packet, without(outcome.packet, HOP), secret)


class DynamicProxy:
    """Passes requests on to whoever serves the session, and the answer back (RFC 8559).

    `find` names where to: whoever serves the session, or nobody; then the answer is that there is
    no route. What stays unanswered there is answered here. On the last hop what names the access
    point goes away: it may call itself otherwise.
    """

    def __init__(
        self,
        find: Callable[[Packet, RadiusClient], Upstream | None],
        *,
        clock: Clock | None = None,
        last_hop: bool = False,
        allows: Callable[[Packet, RadiusClient], bool] = lambda packet, client: True,
    ) -> None:
        """Without a clock nothing is too old: over TLS nobody can repeat what another said.

        `allows` says whether a client may order that; what it may not is refused.
        """
        self._find = find
        self._allows = allows
        self._clock = clock
        self._left_out = HOP + (_PLACE if last_hop else ())

    async def __call__(self, octets: bytes, client: RadiusClient) -> bytes:
        """Answer one request."""
        packet = sound(octets, client)
        self._check_fresh(packet)
        upstream = self._find(packet, client)
        if upstream is None:
            return nak(packet, ErrorCause.REQUEST_NOT_ROUTABLE, client.secret)
        if not self._allows(packet, client):
            return nak(packet, ErrorCause.ADMINISTRATIVELY_PROHIBITED, client.secret)
        return await passed_on(packet, without(packet, self._left_out), upstream, client.secret)

    def _check_fresh(self, packet: Packet) -> None:
        stamped_s = packet.integer(Type.EVENT_TIMESTAMP)
        if self._clock is None or stamped_s is None:
            return
        now_s = self._clock.now_us() // SECOND_US
        if abs(now_s - stamped_s) > WINDOW_S:
            raise PeerError("event_timestamp", f"{stamped_s} at {now_s}")


def without(packet: Packet, left_out: Container[int]) -> list[Attribute]:
    """The attributes of a packet but for those of some types."""
    return [(kind, value) for kind, value in packet.attributes if kind not in left_out]
