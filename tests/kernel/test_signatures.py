"""Signatures name their key; only one form of each is accepted."""

import pytest
from eth_account import Account
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import (
    Address,
    KeySigner,
    Signature,
    checksummed,
    recover,
    verify,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DIGEST = keccak(b"digest")
SIGNER = KeySigner(bytes(31) + b"\x07")


def test_keccak_is_the_evms() -> None:
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak(b"").hex() == empty


@given(st.integers(1, ORDER - 1), st.binary(min_size=32, max_size=32))
def test_a_signature_names_its_signer_and_eth_account_agrees(secret: int, digest: bytes) -> None:
    signer = KeySigner(secret.to_bytes(32, "big"))
    signature = signer.sign(digest)
    account = Account.from_key(secret.to_bytes(32, "big"))
    assert signer.address == account.address.lower()
    assert signature.octets == bytes(account.unsafe_sign_hash(digest).signature)
    assert recover(digest, signature.octets) == signer.address
    assert verify(digest, signature)


def test_any_flipped_bit_of_a_signature_breaks_it() -> None:
    octets = SIGNER.sign(DIGEST).octets
    for at in range(len(octets) * 8):
        flipped = bytearray(octets)
        flipped[at // 8] ^= 1 << at % 8
        assert recover(DIGEST, bytes(flipped)) != SIGNER.address, at


def test_the_malleable_twin_is_refused() -> None:
    octets = SIGNER.sign(DIGEST).octets
    high = ORDER - int.from_bytes(octets[32:64], "big")
    twin = octets[:32] + high.to_bytes(32, "big") + bytes((55 - octets[64],))
    assert recover(DIGEST, twin) is None


@pytest.mark.parametrize("v", [0, 1, 2, 3, 26, 29, 30, 31, 32, 255])
def test_a_wrong_v_is_refused(v: int) -> None:
    assert recover(DIGEST, SIGNER.sign(DIGEST).octets[:64] + bytes((v,))) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        bytes(64),
        bytes(66),
        bytes(64) + b"\x1b",
        b"\xff" * 32 + bytes(31) + b"\x01\x1b",
        bytes(31) + b"\x01" + bytes(32) + b"\x1b",
        bytes(32) + bytes(31) + b"\x01\x1c",
    ],
)
def test_garbage_is_nobodys_signature(octets: bytes) -> None:
    assert recover(DIGEST, octets) is None


@given(st.binary(max_size=70))
def test_no_octets_make_recover_fail(octets: bytes) -> None:
    """Whatever a peer sends is an address or None, never an exception."""
    recovered = recover(DIGEST, octets)
    assert recovered is None or (recovered.startswith("0x") and len(recovered) == 42)


def test_another_claimed_key_or_digest_does_not_verify() -> None:
    signature = SIGNER.sign(DIGEST)
    stranger = KeySigner(bytes(31) + b"\x08")
    assert not verify(DIGEST, Signature(stranger.address, signature.octets))
    assert not verify(keccak(b"other"), signature)


def test_a_signer_never_shows_its_secret() -> None:
    assert repr(SIGNER) == f"KeySigner({SIGNER.address})"


def test_a_digest_has_32_octets() -> None:
    with pytest.raises(AssertionError):
        SIGNER.sign(b"short")
    with pytest.raises(AssertionError):
        recover(b"short", bytes(65))


def test_a_checksum_is_the_standards() -> None:
    """The first example of EIP-55."""
    plain = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
    assert checksummed(Address(plain)) == "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@given(st.binary(min_size=20, max_size=20))
def test_a_checksum_is_what_another_library_writes(octets: bytes) -> None:
    assert checksummed(Address("0x" + octets.hex())) == to_checksum_address(octets)
