"""What an Access-Request says is offered: quality, consortium class, price in band. Pure.

An access point says it when it asks; what it says nothing of, or nothing that is known here, is not
offered, and the agreement alone decides.
"""

from __future__ import annotations

from typing import Final

from opencarrier.access.wire.dictionary import (
    WBA,
    WBA_LINEAR_VOLUME_RATE,
    WBA_OFFERED_SERVICE,
    WFA,
    WFA_ROAMING_CONSORTIUM,
)
from opencarrier.access.wire.radius import Packet
from opencarrier.spine.access import Offered, Quote
from opencarrier.spine.records import Qos, RcoiClass

SETTLEMENT_FREE: Final = bytes.fromhex("5a03ba")
SETTLED: Final = bytes.fromhex("baa2d0")
RATE_OCTETS: Final = 8
BOLIVARS: Final = "VES"
"""The currency whose rate is told in whole units."""

_NANO: Final = 10**9
_QUALITIES: Final = {
    f"OpenRoaming {qos.name.capitalize()}".encode(): qos for qos in Qos if qos is not Qos.NONE
}
_CLASSES: Final = {
    SETTLEMENT_FREE: RcoiClass.SETTLEMENT_FREE,
    SETTLED: RcoiClass.SETTLED,
}


def offered(packet: Packet) -> Offered:
    """Read what Wi-Fi is offered; `PeerError` where a vendor's attributes are malformed.

    Source: WBA RADIUS VSAs 12 and 15, Hotspot 2.0 VSA 6, the base of an OpenRoaming RCOI.
    """
    wba = dict(reversed(list(packet.vendor(WBA))))
    consortium = dict(reversed(list(packet.vendor(WFA)))).get(WFA_ROAMING_CONSORTIUM, b"")
    return Offered(
        qos=_QUALITIES.get(wba.get(WBA_OFFERED_SERVICE, b""), Qos.NONE),
        rcoi=_CLASSES.get(consortium[: len(SETTLED)], RcoiClass.NONE),
        quote=_quote(wba.get(WBA_LINEAR_VOLUME_RATE, b"")),
    )


def _quote(value: bytes) -> Quote | None:
    """Read three letters of a currency, an index, and 32 bits of nano-units per 1,024 octets."""
    letters = value[:3]
    if len(value) != RATE_OCTETS or not letters.isalpha() or not letters.isupper():
        return None
    currency, told = letters.decode("ascii"), int.from_bytes(value[4:], "big")
    return Quote(currency, told * _NANO if currency == BOLIVARS else told)
