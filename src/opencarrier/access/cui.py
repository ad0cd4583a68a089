"""Chargeable-User-Identity: one pseudonym per subscriber and visited operator (RFC 4372)."""

from __future__ import annotations

from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from opencarrier.kernel.encoding import encode
from opencarrier.spine.parties import PartyId

CUI_OCTETS = 16
KEY_OCTETS = 32


@lru_cache(maxsize=8)
def _keyed(key: bytes) -> HMAC:
    """The home's key, hashed once for all its subscribers."""
    return HMAC(key, SHA256())


def chargeable_user_identity(key: bytes, subscriber: str, visited: PartyId) -> str:
    """32 hex digits: stable for one visited operator, unlinkable across operators.

    It is a truncated HMAC-SHA-256 under a key only the home has, so two visited operators that
    compare their records cannot tell that they served the same person.
    """
    assert len(key) == KEY_OCTETS
    message = encode(["opencarrier/cui", subscriber, visited])
    keyed = _keyed(key).copy()
    keyed.update(message)
    return keyed.finalize()[:CUI_OCTETS].hex()


def named_subject(key: bytes, name: str, visited: PartyId) -> str:
    """Return what use is kept under where no Class came: a digest of whom the packet names."""
    return chargeable_user_identity(key, f"user:{name}", visited)
