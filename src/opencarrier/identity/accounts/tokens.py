"""Tokens of 256 bits for links and sessions: their plain hash tells nothing of them."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from opencarrier.kernel.entropy import Entropy

TOKEN_OCTETS = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def fresh(entropy: Entropy, what: str) -> str:
    """Return a new token of 43 characters."""
    return urlsafe_b64encode(entropy.octets(what, TOKEN_OCTETS)).decode()[:43]


def digest(what: str, token: str) -> bytes | None:
    """Return what is kept of a token; None for what can be none."""
    if not _TOKEN.fullmatch(token):
        return None
    return sha256(f"opencarrier {what} {token}".encode()).digest()
