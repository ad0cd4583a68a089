"""Keys by which phones encrypt their permanent identity, so that a first attach does not show it.

A key is RSA-2048 with a certificate of its own, which a phone's profile or carrier configuration
carries; its identifier, which the phone names, is the certificate's serial number. Key and
certificate are sealed together as one secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from sqlalchemy import Connection

from opencarrier.identity.model import IdentityReason
from opencarrier.identity.secrets import Secrets
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal

KEY_BITS = 2_048
KEYS_MAX = 4
"""Phones that name no key are tried with each, and each try costs as much as a signature."""

VALID_S = 2 * 366 * 86_400
SERIAL_OCTETS = 8
IDENTIFIER_PREFIX = "CertificateSerialNumber="

_NAME = "privacy/"


@dataclass(frozen=True, slots=True)
class PrivacyKey:
    """What phones are given of a key: its identifier and its certificate, PEM; until when."""

    identifier: str
    certificate: str
    expires_us: int


class PrivacyKeys:
    """Makes, lists and removes them; answers `spine.ports.PrivacyKeySource`."""

    def __init__(self, secrets: Secrets, *, clock: Clock, entropy: Entropy) -> None:
        self._secrets = secrets
        self._clock = clock
        self._entropy = entropy

    def make(self, unit: Connection, *, name: str) -> PrivacyKey | Refusal:
        """Make a key in the name of a home; the older ones still open until they are removed."""
        if len(self._secrets.names(unit, _NAME)) >= KEYS_MAX:
            return Refusal(IdentityReason.TOO_MANY_KEYS, f"{KEYS_MAX} are the most")
        key = rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
        certificate = self._certificate(key, name)
        bundle = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        bundle += certificate.public_bytes(Encoding.PEM)
        made = _public(certificate)
        self._secrets.keep(unit, _NAME + made.identifier, bundle)
        return made

    def all(self, unit: Connection) -> Sequence[PrivacyKey]:
        """Return every key's public half, the one that lasts longest first."""
        found = [_public(x509.load_pem_x509_certificate(b)) for b in self._bundles(unit).values()]
        return sorted(found, key=lambda key: (-key.expires_us, key.identifier))

    def remove(self, unit: Connection, identifier: str) -> PrivacyKey | Refusal:
        """Destroy a key: what a phone encrypts with it is read by nobody any more."""
        bundle = self._bundles(unit).get(identifier)
        if bundle is None:
            return Refusal(IdentityReason.UNKNOWN_KEY, identifier)
        self._secrets.forget(unit, _NAME + identifier)
        return _public(x509.load_pem_x509_certificate(bundle))

    def private_keys(self, unit: Connection) -> Mapping[str, bytes]:
        """Return the private keys by identifier, PKCS #8 in DER."""
        return {
            identifier: load_pem_private_key(bundle, None).private_bytes(
                Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
            )
            for identifier, bundle in self._bundles(unit).items()
        }

    def _bundles(self, unit: Connection) -> Mapping[str, bytes]:
        names = self._secrets.names(unit, _NAME)
        return {name.removeprefix(_NAME): self._secrets.read(unit, name) for name in names}

    def _certificate(self, key: rsa.RSAPrivateKey, name: str) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])
        serial = self._entropy.octets("privacy/serial", SERIAL_OCTETS)
        now_s = self._clock.now_us() // SECOND_US
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(int.from_bytes(serial, "big") >> 1 | 1 << 56)
            .not_valid_before(datetime.fromtimestamp(now_s, UTC))
            .not_valid_after(datetime.fromtimestamp(now_s + VALID_S, UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        return builder.sign(key, SHA256())


def _public(certificate: x509.Certificate) -> PrivacyKey:
    return PrivacyKey(
        identifier=f"{IDENTIFIER_PREFIX}{certificate.serial_number:x}",
        certificate=certificate.public_bytes(Encoding.PEM).decode(),
        expires_us=int(certificate.not_valid_after_utc.timestamp()) * SECOND_US,
    )
