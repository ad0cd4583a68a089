"""Keccak-256 as the EVM computes it (the padding before FIPS 202, so not SHA3-256)."""

from __future__ import annotations

try:
    from sha3 import keccak_256 as _keccak_256

    def keccak(data: bytes) -> bytes:
        """Return the 32-octet Keccak-256 digest."""
        return bytes(_keccak_256(data).digest())

except ImportError:  # no wheel of safe-pysha3 for this interpreter: seven times slower, same digest
    from Crypto.Hash import keccak as _keccak

    def keccak(data: bytes) -> bytes:
        """Return the 32-octet Keccak-256 digest."""
        return bytes(_keccak.new(digest_bits=256, data=data).digest())
