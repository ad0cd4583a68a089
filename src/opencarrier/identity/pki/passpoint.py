"""WBA's certificate attribute that provisions Passpoint: realm and consortia in the certificate.

Source: WBA, "A WBA Certificate Attribute for Passpoint Profile Provisioning", version 0.5 of
2024-09-10, work in progress: the attribute's OID, its grammar, and its example of an extension
that holds an IA5String. One certificate then both authenticates a thing and tells it where. It is
for devices that speak TLS 1.3 only: under TLS 1.2 an access network reads what is in it.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

ATTRIBUTE_OID = ObjectIdentifier("1.3.6.1.4.1.14122.1.2.1")
VALUE_OCTETS_MAX = 1_024
ANONYMOUS = "anonymous"

_IA5_STRING = 0x16
_CONSORTIUM = re.compile(r"[0-9a-f]{6}|[0-9a-f]{10}")
_FQDN = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+")


def attribute(realm: str, consortia: tuple[str, ...]) -> x509.UnrecognizedExtension:
    """Return the extension for a realm and its consortia, the user name anonymous."""
    assert _FQDN.fullmatch(realm), "a realm was checked before it came here"
    lower = [one.lower() for one in consortia]
    assert all(map(_CONSORTIUM.fullmatch, lower)), "consortia were checked too"
    pairs = {"username": ANONYMOUS, "roaming_consortiums": ",".join(lower), "realm": realm}
    text = ";".join(f"{key}={quote(value, safe='')}" for key, value in pairs.items())
    return x509.UnrecognizedExtension(ATTRIBUTE_OID, _ia5_string(text.encode("ascii")))


def provisioned(certificate: x509.Certificate) -> dict[str, list[str]]:
    """Return what a certificate provisions, by key; nothing where it has no such attribute.

    A value that is no IA5String of pairs, or too long, provisions nothing.
    """
    try:
        found = certificate.extensions.get_extension_for_oid(ATTRIBUTE_OID).value
    except x509.ExtensionNotFound:
        return {}
    assert isinstance(found, x509.UnrecognizedExtension), "nobody else knows this OID"
    text = _ia5_text(found.value)
    pairs = [one.partition("=") for one in text.split(";")]
    if not all(equals for _, equals, _ in pairs):
        return {}
    told: dict[str, list[str]] = {}
    for key, _, value in pairs:
        told.setdefault(key, []).extend(unquote(value).split(","))
    return told


def _ia5_string(octets: bytes) -> bytes:
    size = len(octets)
    assert size <= VALUE_OCTETS_MAX, "so many consortia are no profile"
    if size < 0x80:
        return bytes([_IA5_STRING, size]) + octets
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([_IA5_STRING, 0x80 | len(length)]) + length + octets


def _ia5_text(octets: bytes) -> str:
    if octets[:1] != bytes([_IA5_STRING]) or len(octets) > VALUE_OCTETS_MAX + 4:
        return ""
    size = octets[1] if len(octets) > 1 else 0
    count = size & 0x7F if size & 0x80 else 0
    body = octets[2 + count :]
    told = int.from_bytes(octets[2 : 2 + count]) if count else size
    if told != len(body) or not body.isascii():
        return ""
    return body.decode("ascii")
