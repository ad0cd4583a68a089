"""The names that certificates carry: subjects as the federation writes them, realms, pseudonyms."""

from __future__ import annotations

import re
from base64 import b32encode
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier, OtherNameFormOID

from opencarrier.identity.pki.model import PkiReason, Role, Wanted
from opencarrier.identity.rules import checked_name, normal_realm
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal

END_ENTITY_UNIT = "WBA:WRIX End-Entity"
"""OU of every member's certificate; source: WBA's own example of a certificate request."""

POLICY_OID = ObjectIdentifier("1.3.6.1.4.1.14122.1.1.6")
"""The federation's certificate policy; source: the same."""

NAMES_MAX = 32
PSEUDONYM_OCTETS = 20

_WBA_ID = re.compile(r"[A-Za-z0-9_-]{1,32}(\.[A-Za-z0-9_-]{1,32}){0,3}:[A-Z]{2}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_DNS_NAME = re.compile(r"(\*\.)?(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_NAI_USER = re.compile(r"[a-z0-9._-]{1,64}")
_CONSORTIUM = re.compile(r"[0-9A-F]{6}|[0-9A-F]{10}")
_WILDCARD = "*."


def pseudonymous_nai(entropy: Entropy, realm: str) -> str:
    """Return a name that tells nobody whose it is: 32 letters and the realm (RFC 7542)."""
    digits = b32encode(entropy.octets("pseudonymous-nai", PSEUDONYM_OCTETS)).decode().lower()
    return f"{digits}@{normal_realm(realm)}"


def of_subscriber(nai: str, *, valid_s: int) -> Wanted:
    """Return the certificate of a pseudonym: it names the pseudonym and nothing else."""
    user = nai.partition("@")[0]
    return Wanted(role=Role.SUBSCRIBER, common_name=user, nai=nai, valid_s=valid_s)


def checked(wanted: Wanted) -> Refusal | None:
    """What a certificate is asked for with must be names, realms and ids and nothing else."""
    named = checked_name(wanted.common_name)
    if named is not None or not _short_or_none(wanted.organisation):
        return Refusal(PkiReason.INVALID_NAME, "a name is 1 to 64 printable characters")
    if wanted.country and not _COUNTRY.fullmatch(wanted.country):
        return Refusal(PkiReason.INVALID_NAME, f"{wanted.country!r} is no country such as FR")
    if wanted.wba_id and not _WBA_ID.fullmatch(wanted.wba_id):
        return Refusal(PkiReason.INVALID_WBA_ID, f"{wanted.wba_id!r} is no id such as EXAMPLE:US")
    return _checked_alternatives(wanted)


def _short_or_none(text: str) -> bool:
    return not text or checked_name(text) is None


def _checked_alternatives(wanted: Wanted) -> Refusal | None:
    if len(wanted.dns_names) + len(wanted.nai_realms) + len(wanted.addresses) > NAMES_MAX:
        return Refusal(PkiReason.INVALID_NAME, f"more than {NAMES_MAX} names")
    for name in wanted.dns_names:
        if len(name) > 253 or not _DNS_NAME.fullmatch(name):
            return Refusal(PkiReason.INVALID_NAME, f"{name!r} is no host name in lower case")
    for address in wanted.addresses:
        if _no_address(address):
            return Refusal(PkiReason.INVALID_NAME, f"{address!r} is no address")
    for realm in wanted.nai_realms:
        if not _is_realm(realm.removeprefix(_WILDCARD)):
            return Refusal(PkiReason.INVALID_REALM, f"{realm!r} is no realm")
    return _checked_nai(wanted)


def _checked_nai(wanted: Wanted) -> Refusal | None:
    if (wanted.role is Role.SUBSCRIBER) != bool(wanted.nai):
        return Refusal(PkiReason.INVALID_NAME, "a subscriber has a NAI, and nobody else has")
    known = all(_CONSORTIUM.fullmatch(one) for one in wanted.consortia)
    if wanted.consortia and not (wanted.nai and known and len(wanted.consortia) <= NAMES_MAX):
        return Refusal(PkiReason.INVALID_NAME, "RCOIs of 6 or 10 digits 0-9A-F, of a subscriber")
    user, _, realm = wanted.nai.partition("@")
    if wanted.nai and not (_NAI_USER.fullmatch(user) and _is_realm(realm)):
        return Refusal(PkiReason.INVALID_NAME, "a NAI is user@realm in lower case")
    return None


def _is_realm(text: str) -> bool:
    wild = text.startswith(_WILDCARD)
    return "." in text and not wild and len(text) <= 253 and bool(_DNS_NAME.fullmatch(text))


def _no_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return True
    return False


def subject(wanted: Wanted) -> x509.Name:
    """Return the subject: country, organisation, unit, name and the member's id as UID.

    A subscriber's has its pseudonym alone. Source: WBA's example of a certificate request.
    """
    member = wanted.wba_id and not wanted.role.is_authority
    parts = [
        (NameOID.COUNTRY_NAME, wanted.country),
        (NameOID.ORGANIZATION_NAME, wanted.organisation),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, END_ENTITY_UNIT if member else ""),
        (NameOID.COMMON_NAME, wanted.common_name),
        (NameOID.USER_ID, wanted.wba_id if member else ""),
    ]
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text])


def alternatives(wanted: Wanted) -> list[x509.GeneralName]:
    """Return the alternative names: hosts, addresses, realms as NAIRealm, a subscriber's NAI."""
    hosts = [x509.DNSName(name) for name in wanted.dns_names]
    addresses = [x509.IPAddress(ip_address(text)) for text in wanted.addresses]
    realms = [nai_realm(realm) for realm in wanted.nai_realms]
    nais = [x509.RFC822Name(wanted.nai)] if wanted.nai else []
    return [*hosts, *addresses, *realms, *nais]


def nai_realm(realm: str) -> x509.OtherName:
    """Return a realm as `id-on-naiRealm`, a UTF8String (RFC 7585 section 2.2)."""
    text = realm.encode()
    assert len(text) < 256, "a realm was checked before it came here"
    length = bytes([len(text)]) if len(text) < 128 else bytes([0x81, len(text)])
    return x509.OtherName(OtherNameFormOID.NAI_REALM, b"\x0c" + length + text)


def nai_realms(certificate: x509.Certificate) -> list[str]:
    """Return the realms a certificate may speak for; those that are no UTF8String are left out."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    others = names.get_values_for_type(x509.OtherName)
    read = [utf8_string(one.value) for one in others if one.type_id == OtherNameFormOID.NAI_REALM]
    return [text for text in read if text]


def utf8_string(octets: bytes) -> str:
    """Return the text of a DER UTF8String of up to 255 octets, empty where it is none."""
    head = 3 if octets[1:2] == b"\x81" else 2
    size = octets[head - 1 : head]
    if octets[:1] != b"\x0c" or not size or size[0] != len(octets) - head:
        return ""
    try:
        return octets[head:].decode()
    except UnicodeDecodeError:
        return ""


def dns_names(chain: bytes) -> tuple[str, ...]:
    """Return the host names of a PEM chain's first certificate."""
    leaf = x509.load_pem_x509_certificates(chain)[0]
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(found.get_values_for_type(x509.DNSName))


def fingerprint(certificate: x509.Certificate) -> str:
    """Return a certificate's SHA-256 in hex: what it is known by here."""
    return certificate.fingerprint(SHA256()).hex()


def pem(*certificates: x509.Certificate) -> bytes:
    """Return certificates one after the other."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def wba_id(certificate: x509.Certificate) -> str:
    """Return the member's id in the federation, empty where the subject has none or several."""
    found = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    return str(found[0].value) if len(found) == 1 else ""
