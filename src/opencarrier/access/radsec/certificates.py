"""Whom a certificate names, and whether that is who was expected.

Sources: RFC 6614 section 2.3 (fingerprint, DNS name, address), RFC 7585 section 2.2 (NAIRealm),
RFC 9525 (a wildcard stands for one whole leftmost label), and the federation's PKI, in which UID of
the subject is the member's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address

from cryptography import x509
from cryptography.x509.oid import NameOID

from opencarrier.kernel.refusals import PeerError

NAI_REALM = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.8")
_UNREADABLE = (
    ValueError,
    OverflowError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for certificates it cannot read; for a name of bits, a TypeError."""

NAMES_MAX = 100
"""Of a kind, in one certificate."""

ANY = "any"
"""The name every certificate has whose chain holds."""

_UTF8_STRING = 0x0C


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a peer's certificate says of it; names are in lower case."""

    fingerprint: str
    serial: int
    issuer: bytes
    ends_s: int
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    nai_realms: tuple[str, ...] = ()
    wba_id: str = ""

    @property
    def label(self) -> str:
        """How logs and `status` call it."""
        return next(iter((*self.dns_names, *self.addresses, self.wba_id)), "") or (
            f"sha256:{self.fingerprint[:16]}"
        )

    def names(self) -> tuple[str, ...]:
        """Under which names a peer may be known here, the most certain first."""
        return (
            f"sha256:{self.fingerprint}",
            *(f"dns:{name}" for name in self.dns_names),
            *(f"ip:{address}" for address in self.addresses),
            *((f"wba:{self.wba_id.lower()}",) if self.wba_id else ()),
            *(f"realm:{realm}" for realm in self.nai_realms),
            ANY,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Who a server has to be; of what is given each has to hold, and nothing given is anybody.

    `realm` is what a dynamically found server must speak for; where its certificate has no
    NAIRealm, the host it was found under has to be in it (RFC 7585 section 2.2).
    """

    host: str = ""
    realm: str = ""
    fingerprint: str = ""
    wba_id: str = ""

    def refusal(self, certificate: Certificate) -> str:
        """Why a certificate is not the expected one, empty where it is."""
        if self.fingerprint and self.fingerprint != certificate.fingerprint:
            return "fingerprint"
        if self.wba_id and self.wba_id.lower() != certificate.wba_id.lower():
            return "wba_id"
        if self.realm and certificate.nai_realms:
            spoken_for = any(_covers(name, self.realm) for name in certificate.nai_realms)
            return "" if spoken_for else "realm"
        if self.host and not is_named(certificate, self.host):
            return "host"
        return ""


def read(octets: bytes) -> Certificate:
    """Read a certificate in DER, or raise `PeerError`."""
    try:
        read = x509.load_der_x509_certificate(octets)
        users = read.subject.get_attributes_for_oid(NameOID.USER_ID)
        names = _alternatives(read)
        return Certificate(
            fingerprint=sha256(octets).hexdigest(),
            serial=read.serial_number,
            issuer=read.issuer.public_bytes(),
            ends_s=int(read.not_valid_after_utc.timestamp()),
            dns_names=_lower(names.get_values_for_type(x509.DNSName)),
            addresses=_lower(str(a) for a in names.get_values_for_type(x509.IPAddress)),
            nai_realms=_lower(
                _utf8_string(other.value)
                for other in names.get_values_for_type(x509.OtherName)
                if other.type_id == NAI_REALM
            ),
            wba_id=str(users[0].value) if len(users) == 1 else "",
        )
    except _UNREADABLE as error:
        raise PeerError("certificate", str(error)) from error


def is_named(certificate: Certificate, host: str) -> bool:
    """Whether a host, by name or address, is among a certificate's alternative names."""
    try:
        return str(ip_address(host)) in certificate.addresses
    except ValueError:
        return any(_covers(name, host) for name in certificate.dns_names)


def _covers(pattern: str, name: str) -> bool:
    name = name.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == name
    label, dot, rest = name.partition(".")
    return bool(label) and bool(dot) and "." in rest and rest == pattern[2:]


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        extensions = certificate.extensions
        return extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _lower(names: Iterable[str]) -> tuple[str, ...]:
    found = [name.lower().rstrip(".") for name in names if name]
    if len(found) > NAMES_MAX:
        raise ValueError("too many names")
    return tuple(found)


def _utf8_string(octets: bytes) -> str:
    """The text of a DER UTF8String of up to 255 octets, empty where it is none."""
    head = 3 if octets[1:2] == b"\x81" else 2
    if len(octets) < head or octets[0] != _UTF8_STRING or octets[head - 1] != len(octets) - head:
        return ""
    return octets[head:].decode("utf-8", "replace")
