"""Whose signatures stand under a digest."""

from __future__ import annotations

from collections.abc import Sequence

from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address, Signature, verify


def signers_of(
    digest: bytes,
    signatures: Sequence[Signature],
    needed: Sequence[Address],
    allowed: Sequence[Address],
) -> tuple[Address, ...]:
    """Return whose signatures hold, ascending.

    `PeerError` for one that does not hold, for a needed one that is missing, and for one of a key
    that is not allowed or stands twice.
    """
    signers = [signature.kid for signature in signatures]
    if len(set(signers)) != len(signers) or not set(signers) <= set(allowed):
        raise PeerError("signature", "a signature is another key's, or stands twice")
    if not all(verify(digest, signature) for signature in signatures):
        raise PeerError("signature", "a signature does not hold")
    if not set(needed) <= set(signers):
        raise PeerError("signature", "a signature that this rung needs is missing")
    return tuple(sorted(signers))
