"""More `Class` attributes: which authorisation this is, what was agreed, the home's word for it.

Both sides keep them: the home with the authorisation, the visited operator with the Access-Accept
it came in, and every Accounting-Request carries them back, so that neither can say afterwards that
another rate was accepted. They are in clear; nothing in them tells who the subscriber is.

    granted    2 | authorisation id (16) | granted_us (8) | expires_us (8)
    digest     3 | SHA-256 (32) over the canonical encoding of what was agreed
    signature  4 | the home's signature (65) over the digest, where a rate was accepted
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.signatures import SIGNATURE_OCTETS
from opencarrier.spine.access import AUTHORISATION_OCTETS, Grant

GRANTED: Final = 2
DIGEST: Final = 3
SIGNED: Final = 4
_INSTANT_OCTETS: Final = 8
_GRANTED_OCTETS: Final = AUTHORISATION_OCTETS + 2 * _INSTANT_OCTETS
_LENGTHS: Final = {GRANTED: _GRANTED_OCTETS, DIGEST: ID_OCTETS, SIGNED: SIGNATURE_OCTETS}


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsToken:
    """What these say of an authorisation, read back; the signature is empty where there is none."""

    authorisation_id: bytes
    granted_us: int
    expires_us: int
    digest: Id
    signature: bytes


def classes(grant: Grant) -> tuple[bytes, ...]:
    """Return the values for a grant."""
    granted = grant.authorisation_id + _us(grant.granted_us) + _us(grant.expires_us)
    signed = (bytes((SIGNED,)) + grant.signature,) if grant.signature else ()
    return bytes((GRANTED,)) + granted, bytes((DIGEST,)) + grant.terms, *signed


def read(values: Iterable[bytes]) -> TermsToken | None:
    """Find them among a packet's Class values, the first of each; None without both in clear."""
    found: dict[int, bytes] = {}
    for value in values:
        if value and len(value) == 1 + _LENGTHS.get(value[0], -1):
            found.setdefault(value[0], value[1:])
    granted, digest = found.get(GRANTED), found.get(DIGEST)
    if granted is None or digest is None:
        return None
    instants = granted[AUTHORISATION_OCTETS:]
    return TermsToken(
        authorisation_id=granted[:AUTHORISATION_OCTETS],
        granted_us=int.from_bytes(instants[:_INSTANT_OCTETS], "big"),
        expires_us=int.from_bytes(instants[_INSTANT_OCTETS:], "big"),
        digest=Id(digest),
        signature=found.get(SIGNED, b""),
    )


def authorisation_of(value: bytes) -> bytes | None:
    """Return the authorisation that a `Class` names in clear, None where it is another kind."""
    named = len(value) == 1 + _GRANTED_OCTETS and value[0] == GRANTED
    return value[1 : 1 + AUTHORISATION_OCTETS] if named else None


def _us(at_us: int) -> bytes:
    return at_us.to_bytes(_INSTANT_OCTETS, "big")
