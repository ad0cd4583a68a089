"""Two more `Class` attributes: which authorisation this is, and the digest of what was agreed.

Both sides keep them: the home with the authorisation, the visited operator with the Access-Accept
it came in, and every Accounting-Request carries them back, so that neither can say afterwards that
another rate was accepted. They are in clear; nothing in them tells who the subscriber is.

    granted  2 | authorisation id (16) | granted_us (8) | expires_us (8)
    digest   3 | SHA-256 (32) over the canonical encoding of what was agreed
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from opencarrier.kernel.encoding import encode
from opencarrier.spine.access import Grant, Offered, Rate
from opencarrier.spine.parties import PartyId

GRANTED: Final = 2
DIGEST: Final = 3
AUTHORISATION_OCTETS: Final = 16
GRANTED_OCTETS: Final = 1 + AUTHORISATION_OCTETS + 2 * 8


def classes(grant: Grant) -> tuple[bytes, bytes]:
    """Return the two values for a grant."""
    granted = grant.authorisation_id + _us(grant.granted_us) + _us(grant.expires_us)
    digest = terms_digest(
        grant.authorisation_id,
        home=grant.home,
        visited=grant.visited,
        offered=grant.offered,
        rate=grant.rate,
        expires_us=grant.expires_us,
    )
    return bytes((GRANTED,)) + granted, bytes((DIGEST,)) + digest


def authorisation_of(value: bytes) -> bytes | None:
    """Return the authorisation that a `Class` names in clear, None where it is another kind."""
    named = len(value) == GRANTED_OCTETS and value[0] == GRANTED
    return value[1 : 1 + AUTHORISATION_OCTETS] if named else None


def terms_digest(
    authorisation_id: bytes,
    *,
    home: PartyId,
    visited: PartyId,
    offered: Offered,
    rate: Rate | None,
    expires_us: int,
) -> bytes:
    """Hash what both sides know of an authorisation: who, what quality and class, what rate."""
    quote = None if rate is None else rate.quote
    return sha256(
        encode(
            [
                "opencarrier/authorised",
                authorisation_id,
                home,
                visited,
                int(offered.qos),
                int(offered.rcoi),
                "" if quote is None else quote.currency,
                0 if quote is None else quote.nano_per_kib,
                expires_us,
            ]
        )
    ).digest()


def _us(at_us: int) -> bytes:
    return at_us.to_bytes(8, "big")
