"""What a profile says: whose it is, which networks, whom to trust, and with what to get on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from opencarrier.kernel.refusals import Reason, Refusal

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CONSORTIA_MAX = 32
NAMES_MAX = 16
ANCHORS_MAX = 8
TEXT_LENGTH_MAX = 128

EAP_TLS, EAP_TTLS, EAP_AKA, EAP_AKA_PRIME = 13, 21, 23, 50

_CONSORTIUM = re.compile(r"[0-9A-F]{6}|[0-9A-F]{10}")
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+")
_SIM = re.compile(r"[0-9]{5,15}")


class ProvisionReason(Reason):
    """Why no profile is made."""

    INVALID_NAME = 1
    INVALID_REALM = 2
    INVALID_CONSORTIUM = 3
    INVALID_ANCHOR = 4
    INVALID_CREDENTIAL = 5
    UNSUPPORTED = 6


class Inner(StrEnum):
    """How a password is shown within TTLS."""

    PAP = "PAP"
    MSCHAPV2 = "MSCHAPv2"


@dataclass(frozen=True, slots=True, repr=False)
class ClientCertificate:
    """A certificate of EAP-TLS with its key and the authorities between it and its root."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def eap_types(self) -> tuple[int, ...]:
        """EAP-TLS."""
        return (EAP_TLS,)


@dataclass(frozen=True, slots=True, repr=False)
class Password:
    """A user name with its realm, and a password to be shown within TTLS."""

    username: str
    password: str
    inner: Inner = Inner.MSCHAPV2

    @property
    def eap_types(self) -> tuple[int, ...]:
        """EAP-TTLS."""
        return (EAP_TTLS,)


@dataclass(frozen=True, slots=True, repr=False)
class Sim:
    """The SIM that is in the device: its IMSI, or the PLMN alone for any of the operator's."""

    imsi: str
    mnc_digits: int = 2

    @property
    def eap_types(self) -> tuple[int, ...]:
        """EAP-AKA' before EAP-AKA."""
        return (EAP_AKA_PRIME, EAP_AKA)

    @property
    def plmn(self) -> str:
        """MCC and MNC."""
        return self.imsi[: 3 + self.mnc_digits]


Credential = ClientCertificate | Password | Sim


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One description; every platform's file follows from it.

    `anchors` are the roots to trust, that of the home's own server first: Android reads one only.
    """

    operator_name: str
    realm: str
    home_fqdn: str
    consortia: tuple[str, ...]
    anchors: tuple[x509.Certificate, ...]
    server_names: tuple[str, ...]
    credential: Credential
    valid_until_us: int

    @property
    def outer_identity(self) -> str:
        """What an access network sees instead of who it is (RFC 7542 section 2.4)."""
        return f"anonymous@{self.realm}"

    def identifier(self, part: str) -> str:
        """Return a UUID of a part of this profile: the same profile again replaces itself.

        RFC 9562 version 8: the bits follow from realm, credential and part.
        """
        label = f"{self.realm}\x00{self._who()}\x00{part}"
        octets = bytearray(sha256(f"opencarrier profile {label}".encode()).digest()[:16])
        octets[6] = octets[6] & 0x0F | 0x80
        octets[8] = octets[8] & 0x3F | 0x80
        digits = octets.hex()
        bounds = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
        return "-".join(digits[start:end] for start, end in bounds)

    def _who(self) -> str:
        if isinstance(self.credential, ClientCertificate):
            return f"{self.credential.certificate.serial_number:x}"
        if isinstance(self.credential, Password):
            return self.credential.username
        return self.credential.imsi


def checked(profile: Profile) -> Refusal | None:
    """A profile's names are text that any format can hold, its realm a name, its roots roots."""
    if not _is_text(profile.operator_name):
        return Refusal(ProvisionReason.INVALID_NAME, "the operator's name is 1 to 128 characters")
    if not _are_hosts(profile.server_names, NAMES_MAX):
        return Refusal(ProvisionReason.INVALID_NAME, "server names are 1 to 16 host names")
    if not _are_hosts((profile.realm, profile.home_fqdn), 2):
        return Refusal(ProvisionReason.INVALID_REALM, "realm and home are host names")
    found = profile.consortia
    known = all(_CONSORTIUM.fullmatch(one) for one in found)
    if not known or not 0 < len(found) <= CONSORTIA_MAX or len(set(found)) < len(found):
        return Refusal(ProvisionReason.INVALID_CONSORTIUM, "RCOIs are 6 or 10 digits 0-9A-F, once")
    if not 0 < len(profile.anchors) <= ANCHORS_MAX or not all(map(_is_root, profile.anchors)):
        return Refusal(ProvisionReason.INVALID_ANCHOR, "anchors are 1 to 8 roots")
    return _checked_credential(profile.credential, profile.realm)


def _checked_credential(credential: Credential, realm: str) -> Refusal | None:
    if isinstance(credential, Password):
        user = credential.username.removesuffix(f"@{realm}")
        complete = user != credential.username and "@" not in user
        if not (complete and _is_text(user) and _is_text(credential.password)):
            return Refusal(
                ProvisionReason.INVALID_CREDENTIAL, "user@realm, and printable characters"
            )
    if isinstance(credential, Sim) and not (
        _SIM.fullmatch(credential.imsi) and credential.mnc_digits in (2, 3)
    ):
        return Refusal(ProvisionReason.INVALID_CREDENTIAL, "an IMSI, or a PLMN of 5 or 6 digits")
    return None


def _is_text(text: str) -> bool:
    """Printable: no control character, so that XML, plist and a line of configuration hold it."""
    return 0 < len(text) <= TEXT_LENGTH_MAX and text.isprintable() and text == text.strip()


def _are_hosts(names: tuple[str, ...], most: int) -> bool:
    short = all(len(name) <= 253 and _HOST.fullmatch(name) for name in names)
    return 0 < len(names) <= most and short


def _is_root(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    return found.ca and certificate.issuer == certificate.subject
