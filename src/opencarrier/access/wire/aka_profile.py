"""What EAP-AKA and EAP-AKA' do differently; everything else is one machine (RFC 4187, RFC 9048)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from opencarrier.access.wire.aka_keys import (
    Keys,
    aka_keys,
    aka_keys_again,
    aka_prime_keys,
    aka_prime_keys_again,
)
from opencarrier.access.wire.eap import EapType


@dataclass(frozen=True, slots=True)
class Profile:
    """A method's type, its digest in AT_MAC and AT_CHECKCODE, its identities and its keys.

    Identities begin with one digit each: the permanent one, pseudonyms, and those of fast
    re-authentication.
    """

    kind: EapType
    digest: str
    permanent: bytes
    pseudonym: bytes
    reauthentication: bytes
    keys: Callable[[bytes, bytes, bytes], Keys]
    keys_again: Callable[[Keys, bytes, int, bytes], Keys]


AKA = Profile(EapType.AKA, "sha1", b"0", b"2", b"4", aka_keys, aka_keys_again)

AKA_PRIME = Profile(
    EapType.AKA_PRIME, "sha256", b"6", b"7", b"8", aka_prime_keys, aka_prime_keys_again
)
