"""What changes in a packet that is passed on, and what does not: sans-IO (RFC 2865 section 2.3).

Proxy-State is added behind what is there and taken off again; Message-Authenticator and hidden
attributes are made anew for each hop (`wire.hidden`); EAP and everything else pass as they are.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.hidden import Hop, backward, onward
from opencarrier.access.wire.radius import Attribute, Packet, integer, is_fitting
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError

MARK_OCTETS: Final = 8
COUNT_OCTETS: Final = 4
PROXY_STATES_MAX: Final = 16
"""Hops a packet may have behind it; a federation needs three or four."""

CHAP_PASSWORD: Final = 3
CHAP_CHALLENGE: Final = 60

ANSWERS: Final = {
    Code.ACCESS_REQUEST: (Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE),
    Code.ACCOUNTING_REQUEST: (Code.ACCOUNTING_RESPONSE,),
    Code.DISCONNECT_REQUEST: (Code.DISCONNECT_ACK, Code.DISCONNECT_NAK),
    Code.COA_REQUEST: (Code.COA_ACK, Code.COA_NAK),
}
"""What each request that is passed on may be answered with."""

_OF_THE_HOP: Final = (Type.MESSAGE_AUTHENTICATOR, Type.PROXY_STATE)
_HIDDEN: Final = (Type.USER_PASSWORD, CHAP_PASSWORD)


@dataclass(frozen=True, slots=True)
class Mark:
    """This installation's sign in Proxy-State: whoever sees it come back is in a loop."""

    octets: bytes

    def __post_init__(self) -> None:
        assert len(self.octets) == MARK_OCTETS

    @classmethod
    def of(cls, key: bytes) -> Mark:
        """The mark of whoever has a key."""
        return cls(hmac.digest(key, b"opencarrier/proxy-mark", "sha256")[:MARK_OCTETS])

    def state(self, count: int) -> Attribute:
        """The Proxy-State of the packet passed on as number `count`."""
        number = count % (1 << 8 * COUNT_OCTETS)
        return int(Type.PROXY_STATE), self.octets + number.to_bytes(COUNT_OCTETS, "big")

    def check(self, packet: Packet) -> None:
        """Raise `PeerError` for a packet that was here before, or is too far from where it began.

        A Proxy-State of ours in a reply is no loop: the check is for requests.
        """
        states = packet.all(Type.PROXY_STATE)
        if any(state.startswith(self.octets) for state in states):
            raise PeerError("proxy_loop")
        if len(states) >= PROXY_STATES_MAX:
            raise PeerError("proxy_states_max", f"{len(states)} hops")


def passed_on(
    packet: Packet, mark: Mark, count: int, more: Sequence[Attribute] = ()
) -> list[Attribute]:
    """Return what the next server is sent of a request, hidden attributes as they came.

    `more` is what is said besides, where the request does not say it.

    `PeerError` for a loop, and for what does not fit a packet any more.
    """
    mark.check(packet)
    attributes = [a for a in packet.attributes if a[0] != Type.MESSAGE_AUTHENTICATOR]
    if packet.get(CHAP_PASSWORD) is not None and packet.get(CHAP_CHALLENGE) is None:
        attributes.append((CHAP_CHALLENGE, packet.authenticator))
    attributes += _unsaid(packet, more)
    attributes.append(mark.state(count))
    see_that_it_fits(attributes)
    return attributes


def hidden_for(attributes: Sequence[Attribute], before: Hop, after: Hop) -> list[Attribute]:
    """Hide a request's password for the next server; the same where there is none."""
    return onward(attributes, before, after)


def brought_back(reply: Reply, request: Packet, secret: bytes) -> tuple[int, list[Attribute]]:
    """Return the code and attributes that answer a request, of the reply it had upstream.

    `PeerError` where the reply does not answer such a request.
    """
    packet = reply.packet
    if packet.code not in ANSWERS[Code(request.code)]:
        raise PeerError("reply_code", f"code {packet.code}")
    attributes = [a for a in packet.attributes if a[0] not in _OF_THE_HOP]
    before = Hop(reply.secret, reply.request_authenticator)
    attributes = backward(attributes, before, Hop(secret, request.authenticator))
    states = [a for a in request.attributes if a[0] == Type.PROXY_STATE]
    see_that_it_fits([*attributes, *states])
    return packet.code, attributes


def accounting_onward(
    packet: Packet, mark: Mark, count: int, at_us: int, more: Sequence[Attribute] = ()
) -> list[Attribute]:
    """Return what of an Accounting-Request is kept to be passed on, however late.

    It says when it happened, `at_us` to the second, so that neither its delay nor a clock that was
    never set decides anything. `PeerError` as in `passed_on`.
    """
    mark.check(packet)
    gone = (
        Type.MESSAGE_AUTHENTICATOR,
        Type.ACCT_DELAY_TIME,
        Type.EVENT_TIMESTAMP,
        *_HIDDEN,
    )
    attributes = [a for a in packet.attributes if a[0] not in gone]
    attributes.append(integer(Type.EVENT_TIMESTAMP, at_us // SECOND_US))
    attributes += _unsaid(packet, more)
    attributes.append(mark.state(count))
    see_that_it_fits(attributes)
    return attributes


def _unsaid(packet: Packet, more: Sequence[Attribute]) -> list[Attribute]:
    """Vendors' attributes stand beside each other: whoever says more has looked within them."""
    return [
        (kind, value)
        for kind, value in more
        if kind == Type.VENDOR_SPECIFIC or packet.get(kind) is None
    ]


def see_that_it_fits(attributes: Sequence[Attribute]) -> None:
    """Raise `PeerError` where attributes and a signature are longer than a packet may be."""
    if not is_fitting(attributes):
        raise PeerError("packet_full", f"{sum(len(value) + 2 for _, value in attributes)} octets")
