"""MS-CHAPv2 as the server checks it (RFC 2759), with the NT hash as the password's only form.

DES comes from pycryptodome: OpenSSL keeps it in its legacy provider, which wheels of `cryptography`
do not load.
"""

from __future__ import annotations

import hmac
from hashlib import sha1

from Crypto.Cipher import DES

from opencarrier.kernel.passwords import NT_HASH_OCTETS, md4

CHALLENGE_OCTETS = 16
NT_RESPONSE_OCTETS = 24

_SIGNING = b"Magic server to client signing constant"
_ITERATION = b"Pad to make it do more than one iteration"


def challenge_hash(peer: bytes, authenticator: bytes, user_name: bytes) -> bytes:
    """The 8 octets both challenges and the user name make (RFC 2759 section 8.2)."""
    return sha1(peer + authenticator + user_name).digest()[:8]  # noqa: S324 - the standard's


def nt_response(
    password_hash: bytes, *, peer: bytes, authenticator: bytes, user_name: bytes
) -> bytes:
    """What the peer answers (RFC 2759 section 8.1): three DES encryptions of the challenge hash."""
    assert len(password_hash) == NT_HASH_OCTETS
    key = password_hash + bytes(5)
    block = challenge_hash(peer, authenticator, user_name)
    parts = (_des_key(key[n : n + 7]) for n in (0, 7, 14))
    return b"".join(DES.new(part, DES.MODE_ECB).encrypt(block) for part in parts)  # noqa: S304


def response_is_right(
    response: bytes,
    password_hash: bytes,
    *,
    peer: bytes,
    authenticator: bytes,
    user_name: bytes,
) -> bool:
    """Whether a peer's NT-Response is the password's, compared in constant time."""
    wanted = nt_response(password_hash, peer=peer, authenticator=authenticator, user_name=user_name)
    return hmac.compare_digest(response, wanted)


def authenticator_response(
    password_hash: bytes, response: bytes, *, peer: bytes, authenticator: bytes, user_name: bytes
) -> bytes:
    """`S=` and 40 hex digits that prove the server knows the password (RFC 2759 section 8.7)."""
    hash_of_hash = md4(password_hash)
    digest = sha1(hash_of_hash + response + _SIGNING).digest()  # noqa: S324
    block = challenge_hash(peer, authenticator, user_name)
    return b"S=" + sha1(digest + block + _ITERATION).hexdigest().upper().encode()  # noqa: S324


def _des_key(seven: bytes) -> bytes:
    """Spread 56 bits over 8 octets; the lowest bit of each is parity, which DES ignores."""
    bits = int.from_bytes(seven, "big")
    return bytes((bits >> (49 - 7 * n) & 0x7F) << 1 for n in range(8))
