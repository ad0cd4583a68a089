"""What names, realms, network codes, prefixes and keys must look like: pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from cryptography import x509

from opencarrier.identity.model import IdentityReason, PartyKind, SigningKey, Standing
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import PPM
from opencarrier.kernel.passwords import PASSWORD_CHARACTERS_MAX
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import Beneficiary

NAME_LENGTH_MAX = 64
NAS_IDENTIFIER_OCTETS_MAX = 253
RADIUS_SECRET_OCTETS_MAX = 253
RADIUS_SECRET_OCTETS_ADVISED = 16
"""RFC 2865 section 3 prefers a shared secret of at least 16 octets."""

PASSWORD_LENGTH_MIN = 8
REALM_LENGTH_MAX = 253
ANY_CERTIFICATE = "any"
RADSEC_SECRET = b"radsec"
"""Of every client that is known by its certificate (RFC 6614 section 2.3)."""

REALMS_PER_OPERATOR_MAX = 64
BENEFICIARIES_MAX = 16
"""Of a host: so many leaves a cycle adds for it at most."""

_REALM = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+")
_PLMN_REALM = re.compile(
    r"(?:wlan|nai\.epc|nai\.5gc)\.mnc([0-9]{3})\.mcc([0-9]{3})\.(?:pub\.)?3gppnetwork\.org"
)
_CERTIFICATE_NAMES = {
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "dns": re.compile(rf"(\*\.)?{_REALM.pattern}"),
    "ip": re.compile(r"[0-9a-f.:]{2,39}"),
    "realm": re.compile(rf"(\*\.)?{_REALM.pattern}"),
    "wba": re.compile(r"[a-z0-9._-]{1,64}(:[a-z0-9._-]{1,64})?"),
}
_PLMN = re.compile(r"[0-9]{5,6}")
_IMSI = re.compile(r"[0-9]{14,15}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_PARTY = re.compile(r"_[0-9a-f]{32}")
_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


def checked_name(name: str) -> Refusal | None:
    """A name is 1 to 64 printable characters without blanks at its ends."""
    if 0 < len(name) <= NAME_LENGTH_MAX and name.isprintable() and name == name.strip():
        return None
    return Refusal(
        IdentityReason.INVALID_NAME,
        f"{name!r} is not 1 to {NAME_LENGTH_MAX} printable characters without outer blanks",
    )


def checked_nas_identifier(nas_identifier: str) -> Refusal | None:
    """A NAS-Identifier is 1 to 253 octets of printable text (RFC 2865 section 5.32)."""
    size = len(nas_identifier.encode())
    if 0 < size <= NAS_IDENTIFIER_OCTETS_MAX and nas_identifier.isprintable():
        return None
    return Refusal(
        IdentityReason.INVALID_NAME, f"NAS-Identifier {nas_identifier!r} is not 1 to 253 octets"
    )


def checked_jurisdiction(jurisdiction: str) -> Refusal | None:
    """A jurisdiction is an ISO 3166 code, of a country or of a part of one."""
    if _JURISDICTION.fullmatch(jurisdiction):
        return None
    return Refusal(
        IdentityReason.INVALID_JURISDICTION, f"{jurisdiction!r} is not an ISO 3166 code such as FR"
    )


def read_address(text: str) -> Address | Refusal:
    """Return an EVM address in lower case; letters of either case are taken, zero is not."""
    address = text.lower()
    if not _ADDRESS.fullmatch(address) or int(address, 16) == 0:
        return Refusal(IdentityReason.INVALID_ADDRESS, f"{text!r} is not 0x and 40 hex digits")
    return Address(address)


def checked_address(text: str | None) -> Refusal | None:
    """An address that is given must be one."""
    read = None if text is None else read_address(text)
    return read if isinstance(read, Refusal) else None


def checked_party(party_id: str | None, kind: PartyKind) -> Refusal | None:
    """A party id that is brought along has its kind's prefix and 32 hex digits."""
    if party_id is None or _PARTY.fullmatch(party_id.removeprefix(kind.prefix)):
        return None
    return Refusal(IdentityReason.INVALID_PARTY, f"{party_id!r} is no id of one that is {kind}")


def read_split(named: Sequence[tuple[str, int]]) -> list[Beneficiary] | Refusal:
    """Return 1 to 16 beneficiaries by address, each named once, sharing the whole."""
    if not 0 < len(named) <= BENEFICIARIES_MAX:
        return Refusal(
            IdentityReason.INVALID_SPLIT, f"{len(named)} addresses, not 1 to {BENEFICIARIES_MAX}"
        )
    shares: dict[Address, int] = {}
    for text, share_ppm in named:
        payout = read_address(text)
        if isinstance(payout, Refusal):
            return payout
        if payout in shares:
            return Refusal(IdentityReason.INVALID_SPLIT, f"{payout} is named twice")
        if not 0 < share_ppm <= PPM:
            return Refusal(IdentityReason.INVALID_SPLIT, f"{payout} has {share_ppm} of {PPM}")
        shares[payout] = share_ppm
    if sum(shares.values()) != PPM:
        return Refusal(
            IdentityReason.INVALID_SPLIT, f"the shares sum to {sum(shares.values())}, not to {PPM}"
        )
    return [Beneficiary(payout=payout, share_ppm=part) for payout, part in sorted(shares.items())]


def normal_realm(text: str) -> str:
    """Return a realm as it is looked up: lower case, without a final dot (RFC 7542 section 2.2)."""
    return text.rstrip(".").lower()


def read_realm(text: str) -> str | Refusal:
    """Return an operator's own realm; a 3GPP realm is refused, for it follows from the PLMN."""
    realm = normal_realm(text)
    if len(realm) > REALM_LENGTH_MAX or not _REALM.fullmatch(realm):
        return Refusal(IdentityReason.INVALID_REALM, f"{text!r} is not a domain name")
    if realm == "3gppnetwork.org" or realm.endswith(".3gppnetwork.org"):
        return Refusal(
            IdentityReason.INVALID_REALM, f"{realm} follows from a network code: name the PLMN"
        )
    return realm


def read_plmn(text: str) -> str | Refusal:
    """Return a public land mobile network's code: 3 digits MCC, 2 or 3 digits MNC.

    A dash between the two is taken (`208-93`). Source: TS 23.003 section 2.2.
    """
    plmn = text.replace("-", "", 1) if text[3:4] == "-" else text
    if not _PLMN.fullmatch(plmn):
        return Refusal(IdentityReason.INVALID_PLMN, f"{text!r} is not MCC and MNC, 5 or 6 digits")
    return plmn


def plmn_realm(plmn: str) -> str:
    """Return the Wi-Fi realm of a network code; an MNC of two digits gets a zero before it.

    Source: TS 23.003 section 14.2.
    """
    assert _PLMN.fullmatch(plmn)
    return f"wlan.mnc{plmn[3:].zfill(3)}.mcc{plmn[:3]}.3gppnetwork.org"


def permanent_names(imsi: str, plmns: Sequence[str]) -> list[str]:
    """Return how a SIM may name itself in clear (TS 23.003 section 19.3.2, RFC 9048 section 4.1.1).

    An access point that leaves the pseudonym aside reports use under one of these.
    """
    realms = [f"@{plmn_realm(plmn)}" for plmn in plmns if imsi.startswith(plmn)]
    return [f"{lead}{imsi}{end}" for lead in ("", "0", "1", "6") for end in ("", *realms)]


def read_realms(
    realms: Sequence[str], plmns: Sequence[str]
) -> tuple[tuple[str, str | None], ...] | Refusal:
    """Return an operator's realms with the network code each follows from, if any, ascending."""
    owned: dict[str, str | None] = {}
    for text in realms:
        realm = read_realm(text)
        if isinstance(realm, Refusal):
            return realm
        owned[realm] = None
    for text in plmns:
        plmn = read_plmn(text)
        if isinstance(plmn, Refusal):
            return plmn
        if any(plmns_collide(plmn, other) for other in owned.values() if other not in (None, plmn)):
            return Refusal(IdentityReason.INVALID_PLMN, f"{plmn} collides with another one given")
        owned[plmn_realm(plmn)] = plmn
    if len(owned) > REALMS_PER_OPERATOR_MAX:
        return Refusal(IdentityReason.INVALID_REALM, f"more than {REALMS_PER_OPERATOR_MAX}")
    return tuple(sorted(owned.items()))


def canonical_realm(text: str) -> str:
    """Return the realm to look up: every 3GPP form of one network becomes its Wi-Fi realm."""
    realm = normal_realm(text)
    found = _PLMN_REALM.fullmatch(realm)
    if found is None:
        return realm
    return f"wlan.mnc{found[1]}.mcc{found[2]}.3gppnetwork.org"


def plmns_collide(one: str, other: str) -> bool:
    """Say whether an IMSI could belong to either, or both have the same realm."""
    return one.startswith(other) or other.startswith(one) or plmn_realm(one) == plmn_realm(other)


def checked_imsi(imsi: str, plmns: tuple[str, ...]) -> Refusal | None:
    """An IMSI is 14 or 15 digits and begins with a network code of its home (TS 23.003 2.2)."""
    if not _IMSI.fullmatch(imsi):
        return Refusal(IdentityReason.INVALID_IMSI, "an IMSI is 14 or 15 digits")
    if not imsi.startswith(plmns):
        codes = ", ".join(plmns) or "none"
        return Refusal(
            IdentityReason.FOREIGN_IMSI, f"the IMSI begins with no PLMN of its home ({codes})"
        )
    return None


def read_prefix(text: str) -> str | Refusal:
    """Return whom a RADIUS client is in its one spelling.

    That is a source prefix, of which host bits are refused, or a name of a certificate:
    `sha256:HEX`, `dns:HOST`, `ip:ADDRESS`, `realm:REALM`, `wba:ID`, or `any`.
    """
    if is_certificate_name(text):
        return _read_certificate_name(text)
    try:
        return str(ip_network(text))
    except ValueError as error:
        return Refusal(IdentityReason.INVALID_PREFIX, str(error))


def is_certificate_name(text: str) -> bool:
    """Whether a client is named by its certificate instead of by its address."""
    return text == ANY_CERTIFICATE or text.partition(":")[0] in _CERTIFICATE_NAMES


def _read_certificate_name(text: str) -> str | Refusal:
    kind, _, name = text.partition(":")
    if text == ANY_CERTIFICATE:
        return text
    if kind == "sha256":
        name = name.replace(":", "")
    elif kind == "ip":
        with suppress(ValueError):
            name = str(ip_address(name))
    name = name.lower()
    if _CERTIFICATE_NAMES[kind].fullmatch(name) and len(name) <= REALM_LENGTH_MAX:
        return f"{kind}:{name}"
    return Refusal(IdentityReason.INVALID_PREFIX, f"{text!r} is no name of a certificate")


def candidate_prefixes(source: str) -> tuple[str, ...]:
    """Return every prefix that holds an address, the longest first; none for other text.

    An IPv4 address in IPv6 clothing (`::ffff:a.b.c.d`) is the IPv4 address.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(source.partition("%")[0])
    except ValueError:
        return ()
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    kind = IPv4Network if isinstance(address, IPv4Address) else IPv6Network
    value, bits = int(address), address.max_prefixlen
    return tuple(
        str(kind((value >> (bits - length) << (bits - length), length)))
        for length in range(bits, -1, -1)
    )


def read_certificate(pem: bytes, *, now_us: int) -> x509.Certificate | Refusal:
    """Return the one certificate in a PEM text, where it may stand for a device now."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        authority = any(map(_is_authority, found))
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension):
        return Refusal(IdentityReason.INVALID_CERTIFICATE, "not a certificate in PEM")
    if len(found) != 1:
        return Refusal(IdentityReason.INVALID_CERTIFICATE, f"{len(found)} certificates, not one")
    if authority:
        return Refusal(IdentityReason.INVALID_CERTIFICATE, "an authority's, not a device's")
    if found[0].not_valid_after_utc.timestamp() * SECOND_US <= now_us:
        return Refusal(IdentityReason.INVALID_CERTIFICATE, "it has expired")
    return found[0]


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def checked_user_name(user_name: str) -> Refusal | None:
    """A user name is 1 to 64 lower-case printable characters without a blank or `@`.

    It is what stands before the realm (RFC 7542 section 2.2), compared without regard to case.
    """
    plain = user_name.isprintable() and user_name == user_name.lower()
    if 0 < len(user_name) <= NAME_LENGTH_MAX and plain and not set(user_name) & set("@ \\"):
        return None
    return Refusal(
        IdentityReason.INVALID_USER_NAME,
        f"{user_name!r} is not 1 to {NAME_LENGTH_MAX} lower-case characters without @",
    )


def checked_password(password: str) -> Refusal | None:
    """A password has 8 to 256 printable characters; a weak one is its owner's business."""
    if PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX and password.isprintable():
        return None
    return Refusal(
        IdentityReason.INVALID_PASSWORD,
        f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_CHARACTERS_MAX} printable characters",
    )


def checked_radius_secret(secret: bytes) -> Refusal | None:
    """A shared secret is 1 to 253 octets (RFC 2865 section 3: it must not be empty)."""
    if 0 < len(secret) <= RADIUS_SECRET_OCTETS_MAX:
        return None
    return Refusal(
        IdentityReason.INVALID_SECRET, f"a shared secret has 1 to 253 octets, not {len(secret)}"
    )


def standing(key: SigningKey, signed_us: int) -> Standing:
    """Judge a key at the instant it signed; what a compromised key signed before stands."""
    if key.compromised_from_us is not None and signed_us >= key.compromised_from_us:
        return Standing.COMPROMISED
    if signed_us < key.valid_from_us:
        return Standing.NOT_YET_VALID
    if key.valid_to_us is not None and signed_us >= key.valid_to_us:
        return Standing.EXPIRED
    return Standing.VALID
