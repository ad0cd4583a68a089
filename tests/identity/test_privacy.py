"""The keys by which phones hide who they are: made, given out, found again, destroyed."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from sqlalchemy import Connection, select

from opencarrier.identity import store
from opencarrier.identity.privacy import KEYS_MAX, VALID_S, PrivacyKey
from opencarrier.identity.service import Identity
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal


def test_what_is_encrypted_for_a_key_is_read_until_it_is_removed(
    unit: Connection, identity: Identity
) -> None:
    made = identity.privacy.make(unit, name="lumen")
    assert isinstance(made, PrivacyKey)
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    assert made.identifier == f"CertificateSerialNumber={certificate.serial_number:x}"
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lasts.total_seconds() == VALID_S
    assert made.expires_us == int(certificate.not_valid_after_utc.timestamp()) * SECOND_US
    public = certificate.public_key()
    assert isinstance(public, RSAPublicKey)
    padding = OAEP(MGF1(SHA256()), SHA256(), None)
    held = identity.privacy.private_keys(unit)
    assert list(held) == [made.identifier]
    private = load_der_private_key(held[made.identifier], None)
    assert isinstance(private, RSAPrivateKey)
    assert private.decrypt(public.encrypt(b"6208930000000001@x", padding), padding)[:1] == b"6"
    assert identity.privacy.all(unit) == [made]
    for sealed in unit.execute(select(store.secrets.c.secret_sealed)).scalars():
        assert b"PRIVATE" not in sealed
    assert identity.vault.rotate(unit) == 1
    assert identity.privacy.private_keys(unit) == held

    assert identity.privacy.remove(unit, made.identifier) == made
    assert identity.privacy.private_keys(unit) == {}
    gone = identity.privacy.remove(unit, made.identifier)
    assert isinstance(gone, Refusal)
    assert gone.code == "unknown_key"


def test_there_are_only_so_many(unit: Connection, identity: Identity) -> None:
    for number in range(KEYS_MAX):
        identity.secrets.keep(unit, f"privacy/{number}", b"sealed")
    assert len(identity.secrets.names(unit, "privacy/")) == KEYS_MAX
    assert identity.secrets.names(unit, "privac_") == []
    refused = identity.privacy.make(unit, name="lumen")
    assert isinstance(refused, Refusal)
    assert refused.code == "too_many_keys"
