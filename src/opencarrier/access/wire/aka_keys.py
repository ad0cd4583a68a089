"""The keys of EAP-AKA (RFC 4187 section 7) and EAP-AKA' (RFC 9048 section 3.3), as pure functions.

EAP-AKA takes them from the generator of FIPS 186-2 change notice 1, which runs SHA-1's compression
function without SHA-1's padding. No library offers that function by itself, so it stands here; a
full authentication runs it eight times.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_WORD: Final = 0xFFFFFFFF
_SHA_1_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_SHA_1_OCTETS = 20
_SHA_1_BLOCK_OCTETS = 64


@dataclass(frozen=True, slots=True)
class Keys:
    """What both sides derive in one authentication; re-authentication goes on from `k_re`.

    In EAP-AKA `k_re` is the master key MK.
    """

    k_encr: bytes = field(repr=False)
    k_aut: bytes = field(repr=False)
    k_re: bytes = field(repr=False)
    msk: bytes = field(repr=False)
    emsk: bytes = field(repr=False)


def prf_prime(key: bytes, seed: bytes, octets: int) -> bytes:
    """PRF' of RFC 9048 section 3.4.1, which is the second half of HKDF (RFC 5869 section 2.3)."""
    return HKDFExpand(SHA256(), octets, seed).derive(key)


def aka_prime_keys(ck: bytes, ik: bytes, identity: bytes) -> Keys:
    """The keys of a full EAP-AKA' authentication, from CK' and IK' (RFC 9048 section 3.3)."""
    material = prf_prime(ik + ck, b"EAP-AKA'" + identity, 208)
    return Keys(
        material[:16], material[16:48], material[48:80], material[80:144], material[144:208]
    )


def aka_prime_keys_again(keys: Keys, identity: bytes, counter: int, nonce_s: bytes) -> Keys:
    """The keys of a fast EAP-AKA' re-authentication (RFC 9048 section 3.3)."""
    seed = b"EAP-AKA' re-auth" + identity + counter.to_bytes(2, "big") + nonce_s
    material = prf_prime(keys.k_re, seed, 128)
    return Keys(keys.k_encr, keys.k_aut, keys.k_re, material[:64], material[64:])


def aka_keys(ck: bytes, ik: bytes, identity: bytes) -> Keys:
    """The keys of a full EAP-AKA authentication (RFC 4187 section 7)."""
    master = sha1(identity + ik + ck, usedforsecurity=False).digest()
    material = fips_186_2_prf(master, 160)
    return Keys(material[:16], material[16:32], master, material[32:96], material[96:160])


def aka_keys_again(keys: Keys, identity: bytes, counter: int, nonce_s: bytes) -> Keys:
    """The keys of a fast EAP-AKA re-authentication (RFC 4187 section 7)."""
    seed = identity + counter.to_bytes(2, "big") + nonce_s + keys.k_re
    material = fips_186_2_prf(sha1(seed, usedforsecurity=False).digest(), 128)
    return Keys(keys.k_encr, keys.k_aut, keys.k_re, material[:64], material[64:])


def fips_186_2_prf(key: bytes, octets: int) -> bytes:
    """The generator of FIPS 186-2 appendix 3.1, change notice 1, with G of SHA-1 and b of 160."""
    assert len(key) == _SHA_1_OCTETS
    padding = bytes(_SHA_1_BLOCK_OCTETS - _SHA_1_OCTETS)
    out = b""
    while len(out) < octets:
        block = _sha_1_compressed(key + padding)
        out += block
        following = 1 + int.from_bytes(key, "big") + int.from_bytes(block, "big")
        key = (following % (1 << 160)).to_bytes(_SHA_1_OCTETS, "big")
    return out[:octets]


def _sha_1_compressed(block: bytes) -> bytes:
    """One run of SHA-1's compression function from its start value (FIPS 180-4 section 6.1.2)."""
    words = list(struct.unpack(">16I", block))
    for t in range(16, 80):
        x = words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]
        words.append((x << 1 | x >> 31) & _WORD)
    a, b, c, d, e = _SHA_1_START
    for w in words[:20]:
        total = (a << 5 | a >> 27) + (d ^ (b & (c ^ d))) + e + w + 0x5A827999
        a, b, c, d, e = total & _WORD, a, (b << 30 | b >> 2) & _WORD, c, d
    for w in words[20:40]:
        total = (a << 5 | a >> 27) + (b ^ c ^ d) + e + w + 0x6ED9EBA1
        a, b, c, d, e = total & _WORD, a, (b << 30 | b >> 2) & _WORD, c, d
    for w in words[40:60]:
        total = (a << 5 | a >> 27) + (b & c | d & (b | c)) + e + w + 0x8F1BBCDC
        a, b, c, d, e = total & _WORD, a, (b << 30 | b >> 2) & _WORD, c, d
    for w in words[60:]:
        total = (a << 5 | a >> 27) + (b ^ c ^ d) + e + w + 0xCA62C1D6
        a, b, c, d, e = total & _WORD, a, (b << 30 | b >> 2) & _WORD, c, d
    end = zip(_SHA_1_START, (a, b, c, d, e), strict=True)
    return struct.pack(">5I", *((x + y) & _WORD for x, y in end))
