"""What a certificate is asked for with, what comes of it, and why one is not made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from opencarrier.kernel.refusals import Reason

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

DAY_S = 86_400


class PkiReason(Reason):
    """Why a certificate is not made or not revoked."""

    INVALID_NAME = 1
    INVALID_REALM = 2
    INVALID_WBA_ID = 3
    INVALID_KEY = 4
    INVALID_REQUEST = 5
    EXISTS = 6
    UNKNOWN = 7
    REVOKED = 8
    NOT_AN_AUTHORITY = 9


class Algorithm(StrEnum):
    """The kinds of key; the federation takes both, EC makes for fewer EAP rounds."""

    EC = "ec-p256"
    RSA = "rsa-2048"


class Role(StrEnum):
    """What a certificate is for."""

    ROOT = "root"
    POLICY = "policy"
    ISSUING = "issuing"
    SERVER = "server"
    CLIENT = "client"
    COMBINED = "combined"
    SUBSCRIBER = "subscriber"

    @property
    def is_authority(self) -> bool:
        """Whether such a certificate signs others."""
        return self in (Role.ROOT, Role.POLICY, Role.ISSUING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A certificate to be: the names it stands for and how long.

    `wba_id` is the member's id in the federation (`EXAMPLE:US`), `nai_realms` what a home's server
    may speak for (RFC 7585 section 2.2, `*.` in front: and all below), `nai` a subscriber's,
    `consortia` the RCOIs that a subscriber's certificate provisions (see `passpoint`).
    """

    role: Role
    common_name: str
    organisation: str = ""
    country: str = ""
    wba_id: str = ""
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    nai_realms: tuple[str, ...] = ()
    nai: str = ""
    consortia: tuple[str, ...] = ()
    valid_s: int = 365 * DAY_S
    crl_url: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """A certificate with its key and who signed it; no repr shows the key."""

    certificate: x509.Certificate
    key: PrivateKey
    issuer: Holder | None = None

    def __repr__(self) -> str:
        """Name the certificate, never its key."""
        return f"Holder({self.certificate.subject.rfc4514_string()})"

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain(self) -> list[x509.Certificate]:
        """The certificate and what is between it and its root, without the root."""
        if self.issuer is None:
            return []
        return [self.certificate, *self.issuer.chain]

    @property
    def root(self) -> x509.Certificate:
        """The trust anchor."""
        return self.certificate if self.issuer is None else self.issuer.root

    @property
    def chain_pem(self) -> bytes:
        """What a server or client presents: leaf first, without the root."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS#8; a secret."""
        return key_pem(self.key)


@dataclass(frozen=True, slots=True)
class Branch:
    """One root with its policy and issuing authorities."""

    root: Holder
    policy: Holder
    issuing: Holder

    @property
    def authorities(self) -> tuple[Holder, Holder, Holder]:
        """All three, the root first."""
        return (self.root, self.policy, self.issuing)


@dataclass(frozen=True, slots=True)
class Federation:
    """The legacy root's branch and the current one's: whoever takes part trusts both."""

    branches: tuple[Branch, ...]

    @property
    def trust_pem(self) -> bytes:
        """All roots, as one file of trust anchors."""
        return b"".join(branch.root.certificate_pem for branch in self.branches)

    @property
    def authorities_pem(self) -> bytes:
        """All authorities: with these a server judges devices that show their leaf alone."""
        every = [holder for branch in self.branches for holder in branch.authorities]
        return b"".join(holder.certificate_pem for holder in every)


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate taken back: which, when and why (RFC 5280 section 5.3.1)."""

    serial: int
    revoked_us: int
    reason: x509.ReasonFlags = x509.ReasonFlags.unspecified


def key_pem(key: PrivateKey, password: bytes = b"") -> bytes:
    """Return a private key as PKCS#8 PEM, encrypted where a password is given."""
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
