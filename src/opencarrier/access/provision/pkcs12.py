"""A key and its certificate as PKCS#12, in the forms that different systems read."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates

from opencarrier.access.provision.model import ClientCertificate

KDF_ROUNDS = 2048


def legacy(credential: ClientCertificate, password: str, *, with_chain: bool = False) -> bytes:
    """Return it under 3DES and SHA-1, the only form that Apple's and older Windows' readers take.

    It hides nothing from who has the file: the password travels in the same profile.
    """
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(KDF_ROUNDS)
        .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(SHA1())  # noqa: S303 - what those readers take
        .build(password.encode())
    )
    return _made(credential, protection, with_chain=with_chain)


def modern(credential: ClientCertificate, password: str) -> bytes:
    """Return it with its chain under what the library thinks best."""
    return _made(credential, BestAvailableEncryption(password.encode()), with_chain=True)


def bare(credential: ClientCertificate) -> bytes:
    """Return it with its chain unencrypted: Android opens a profile's with the empty password."""
    return _made(credential, NoEncryption(), with_chain=True)


def _made(
    credential: ClientCertificate, protection: KeySerializationEncryption, *, with_chain: bool
) -> bytes:
    chain = list(credential.chain) if with_chain else None
    return serialize_key_and_certificates(
        b"opencarrier", credential.key, credential.certificate, chain, protection
    )
