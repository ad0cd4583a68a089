"""What an Access-Request says is offered: quality, consortium class, rates, place. Pure.

An access point says it when it asks; what it says nothing of, or nothing that is known here, is not
offered, and the agreement alone decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from opencarrier.access.openroaming.attributes import SILENT, Told, told
from opencarrier.access.openroaming.location import Location, location_of
from opencarrier.access.openroaming.obligations import added
from opencarrier.access.openroaming.rcoi import class_of
from opencarrier.access.wire.dictionary import WFA, WFA_ROAMING_CONSORTIUM, Type
from opencarrier.access.wire.radius import Packet
from opencarrier.spine.access import WIFI, Offered, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An access network's side of a session to be."""

    offered: Offered = WIFI
    said: Told = SILENT
    location: Location | None = None

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The prices it may be served at."""
        return self.said.rates


NOTHING = Offer()
"""Wi-Fi of which nothing else is said."""

_TELLING: Final = frozenset(
    map(
        int,
        (Type.OPERATOR_NAME, Type.VENDOR_SPECIFIC, Type.LOCATION_INFORMATION, Type.LOCATION_DATA),
    )
)
"""What an offer can stand in; most access points send none of it."""


def offer_of(packet: Packet, own_bases: Iterable[bytes] = ()) -> Offer:
    """Read what is offered; `PeerError` where an attribute is malformed.

    Source: WBA RADIUS-VSA, Hotspot 2.0 VSA 6 (the consortium a device came by), RFC 5580.
    """
    if not packet.has(_TELLING):
        return NOTHING
    said = told(packet)
    consortium = dict(reversed(list(packet.vendor(WFA)))).get(WFA_ROAMING_CONSORTIUM, b"")
    return Offer(
        offered=Offered(qos=said.qos, rcoi=class_of(consortium, own_bases)),
        said=said,
        location=location_of(packet),
    )


def with_added(asked: Offer, own: Told) -> Offer:
    """Return what is offered where an access network adds what its access points leave unsaid."""
    said, offered = asked.said, asked.offered
    more = added(said, offered.rcoi, own)
    qos = offered.qos or more.qos
    said = replace(said, rates=said.rates + more.rates, qos=qos)
    return replace(asked, said=said, offered=replace(offered, qos=qos))
