"""The key a device proves its session with towards its home, once it is on (RFC 5295).

A usage-specific root key of the EMSK: device and home derive it from the same authentication,
the access point between them, who knows only the MSK, cannot. Nothing is sent.
"""

from __future__ import annotations

from typing import Final

from opencarrier.access.wire.aka_keys import prf_prime

LABEL: Final = b"channels@opencarrier"
OCTETS: Final = 64
EMSK_OCTETS: Final = 64


def session_key(emsk: bytes) -> bytes:
    """Return PRF+(EMSK, label | NUL | length) with HMAC-SHA-256 (RFC 5295 section 3.1.2).

    RFC 9048 calls the same function PRF'.
    """
    assert len(emsk) == EMSK_OCTETS, "an EMSK has 64 octets"
    return prf_prime(emsk, LABEL + b"\x00" + OCTETS.to_bytes(2, "big"), OCTETS)
