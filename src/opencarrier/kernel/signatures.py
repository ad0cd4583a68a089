"""secp256k1 signatures that name their key; the key's name is its EVM address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType, Protocol

import coincurve

from opencarrier.kernel.keccak import keccak

Address = NewType("Address", str)
"""An EVM address in lower case, `0x` and 40 hex digits; it names the key (`kid`) of a signature."""

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
SIGNATURE_OCTETS = 65


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature over a 32-octet digest: r, s, v (27 or 28), and the key it claims."""

    kid: Address
    octets: bytes


class Signer(Protocol):
    """Whoever holds a key: a file in the demo, a KMS or HSM in production."""

    @property
    def address(self) -> Address:
        """The key's name."""
        ...

    def sign(self, digest: bytes) -> Signature:
        """Sign a 32-octet digest."""
        ...


class KeySigner:
    """A signer that holds the secret itself; it never shows it."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        self._key = coincurve.PrivateKey(secret)
        self.address = address_of(self._key.public_key.format(compressed=False))

    def __repr__(self) -> str:
        """Name the key, never its secret."""
        return f"KeySigner({self.address})"

    def sign(self, digest: bytes) -> Signature:
        """Sign a 32-octet digest (deterministic nonce, low s)."""
        assert len(digest) == 32, "sign a digest of 32 octets"
        raw = self._key.sign_recoverable(digest, hasher=None)
        return Signature(self.address, raw[:64] + bytes((27 + raw[64],)))


def address_of(public_key: bytes) -> Address:
    """Return the EVM address of an uncompressed public key (65 octets)."""
    assert len(public_key) == 65, "an uncompressed public key has 65 octets"
    return Address("0x" + keccak(public_key[1:])[12:].hex())


def checksummed(address: Address) -> str:
    """Write an address with its checksum in the case of its letters, as others want it (EIP-55)."""
    digits = address.removeprefix("0x")
    marks = keccak(digits.encode()).hex()
    cased = (d.upper() if int(mark, 16) >= 8 else d for d, mark in zip(digits, marks, strict=False))
    return "0x" + "".join(cased)


def recover(digest: bytes, octets: bytes) -> Address | None:
    """Return who signed a digest, or None for a malformed or malleable (high s) signature."""
    assert len(digest) == 32, "signatures are over a digest of 32 octets"
    if len(octets) != SIGNATURE_OCTETS or octets[64] not in (27, 28):
        return None
    if int.from_bytes(octets[32:64], "big") > _HALF_ORDER:
        return None
    try:
        recoverable = octets[:64] + bytes((octets[64] - 27,))
        key = coincurve.PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    except ValueError:
        return None
    return address_of(key.format(compressed=False))


def verify(digest: bytes, signature: Signature) -> bool:
    """Say whether the key the signature names did sign the digest."""
    return recover(digest, signature.octets) == signature.kid


def address_word(address: Address) -> bytes:
    """Return an address as the 32-octet word the contract ABI has for it."""
    octets = bytes.fromhex(address.removeprefix("0x"))
    assert len(octets) == 20, "an address has 20 octets"
    return bytes(12) + octets
