"""The `Class` attribute: an opaque sealed token that brings the authorisation back in accounting.

Layout: `version (1) | kid (4) | nonce (12) | ciphertext | tag (16)`, AES-256-GCM (SP 800-38D).
Sealed inside: the authorisation id, the tariffs' digest, the home and the CUI. Bound as associated
data: the visited operator and the node, so a token shown by another node does not open.
An access point echoes it octet by octet in all accounting (RFC 2865 section 5.25).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from opencarrier.kernel.encoding import encode
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.access import AUTHORISATION_OCTETS, Grant
from opencarrier.spine.parties import PartyId

VERSION = 4
"""2 to 4 of other lengths are the tokens in clear (`terms_token`)."""

VERSION_BEFORE = 1
"""Sealed by ChaCha20-Poly1305, opened for sessions that began before. No more are made: OpenSSL's
ChaCha20 leaves wide registers of the processor in use, and all of Python after it is slower."""

KID_OCTETS = 4
NONCE_OCTETS = 12
TAG_OCTETS = 16
KEY_OCTETS = 32
DIGEST_OCTETS = 32
TOKEN_OCTETS_MAX = 253
TARIFFS_MAX = 1_024
"""Pairs whose digest is remembered: sessions are many, tariffs few."""
_SEALED = (VERSION, VERSION_BEFORE)
_KEY_LABEL = b"opencarrier/class/4"
_HEADER_OCTETS = 1 + KID_OCTETS
_CLEAR_OCTETS_MIN = AUTHORISATION_OCTETS + DIGEST_OCTETS + 1
_TOKEN_OCTETS_MIN = _HEADER_OCTETS + NONCE_OCTETS + _CLEAR_OCTETS_MIN + TAG_OCTETS


class ClassReason(Reason):
    """Why a Class does not open, in the order the checks are made."""

    NOT_OURS = 1
    UNKNOWN_KEY = 2
    NOT_GENUINE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassClaims:
    """What a genuine token says."""

    authorisation_id: bytes
    home: PartyId
    cui: str
    tariffs_digest: bytes


def tariffs_digest(grant: Grant) -> bytes:
    """One digest for both tariffs that a session is rated by."""
    return _digest_of_both(grant.wholesale_tariff_hash, grant.retail_tariff_hash)


@lru_cache(maxsize=TARIFFS_MAX)
def _digest_of_both(wholesale: bytes, retail: bytes) -> bytes:
    return sha256(encode([wholesale, retail])).digest()


def _binding(header: bytes, visited: PartyId, node_id: str) -> bytes:
    """Unambiguous associated data: the operator's length stands before it."""
    operator = visited.encode()
    return b"".join((header, bytes((len(operator),)), operator, node_id.encode()))


@dataclass(frozen=True, slots=True)
class ClassRing:
    """Keys by kid (4 octets); new tokens use `current`, old ones open while their key is kept."""

    current: bytes
    keys: Mapping[bytes, bytes] = field(repr=False)
    _ciphers: dict[bytes, AESGCM | ChaCha20Poly1305] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.current in self.keys
        for kid, key in self.keys.items():
            assert len(kid) == KID_OCTETS
            assert len(key) == KEY_OCTETS
        ciphers: dict[bytes, AESGCM | ChaCha20Poly1305] = {}
        for kid, key in self.keys.items():
            ciphers[bytes((VERSION,)) + kid] = AESGCM(hmac.digest(key, _KEY_LABEL, "sha256"))
            ciphers[bytes((VERSION_BEFORE,)) + kid] = ChaCha20Poly1305(key)
        object.__setattr__(self, "_ciphers", ciphers)

    @classmethod
    def of(cls, key: bytes, *older: bytes) -> ClassRing:
        """A ring whose kids are the first octets of each key's digest; `key` is the current one."""
        keys = {sha256(b"kid" + k).digest()[:KID_OCTETS]: k for k in (key, *older)}
        assert len(keys) == 1 + len(older)
        return cls(next(iter(keys)), keys)

    def seal(self, grant: Grant, cui: str, entropy: Entropy) -> bytes:
        """Make the token of a grant; at most 253 octets."""
        header = bytes((VERSION,)) + self.current
        nonce = entropy.octets("access/class-nonce", NONCE_OCTETS)
        home = grant.home.encode()
        assert len(home) <= 255
        clear = b"".join(
            (grant.authorisation_id, tariffs_digest(grant), bytes((len(home),)), home, cui.encode())
        )
        binding = _binding(header, grant.visited, grant.node_id)
        token = header + nonce + self._ciphers[header].encrypt(nonce, clear, binding)
        assert len(token) <= TOKEN_OCTETS_MAX
        return token

    def open(self, token: bytes, *, visited: PartyId, node_id: str) -> ClassClaims | Refusal:
        """Read a token shown by a node of an operator, or refuse it; it never raises."""
        if len(token) < _TOKEN_OCTETS_MIN or token[0] not in _SEALED:
            return Refusal(ClassReason.NOT_OURS)
        header = token[:_HEADER_OCTETS]
        cipher = self._ciphers.get(header)
        if cipher is None:
            return Refusal(ClassReason.UNKNOWN_KEY)
        nonce, sealed = (
            token[_HEADER_OCTETS:][:NONCE_OCTETS],
            token[_HEADER_OCTETS + NONCE_OCTETS :],
        )
        try:
            clear = cipher.decrypt(nonce, sealed, _binding(header, visited, node_id))
        except InvalidTag:
            return Refusal(ClassReason.NOT_GENUINE)
        return _claims(clear)


def _claims(clear: bytes) -> ClassClaims:
    digest_end = AUTHORISATION_OCTETS + DIGEST_OCTETS
    home_end = digest_end + 1 + clear[digest_end]
    return ClassClaims(
        authorisation_id=clear[:AUTHORISATION_OCTETS],
        tariffs_digest=clear[AUTHORISATION_OCTETS:digest_end],
        home=PartyId(clear[digest_end + 1 : home_end].decode()),
        cui=clear[home_end:].decode(),
    )
