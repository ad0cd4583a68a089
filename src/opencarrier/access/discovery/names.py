"""Which names may be asked for: realms as users have them, hosts as strangers say. Pure."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from opencarrier.kernel.refusals import PeerError

NAME_OCTETS_MAX: Final = 253
LABELS_MIN: Final = 2

_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052 section 2.1."""

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_3GPP: Final = re.compile(r"(.*\.)?(mnc\d{3}\.mcc\d{3})\.3gppnetwork\.org")


def realm_name(realm: str) -> str:
    """Return the name to ask for a realm: lower case, A-labels; `PeerError` if it is none.

    A realm of 3GPP is no name of the public internet: `wlan.mnc001.mcc001.3gppnetwork.org` is
    asked as `wlan.mnc001.mcc001.pub.3gppnetwork.org`, and never as itself (GSMA IR.67).
    """
    name = host_name(_a_labels(realm))
    found = _3GPP.fullmatch(name)
    return name if found is None else f"{found[1] or ''}{found[2]}.pub.3gppnetwork.org"


def host_name(name: str) -> str:
    """Return a name in lower case without its last dot; `PeerError` unless it is plain.

    Plain is letters, digits, hyphens and underscores, two labels at least, no address.
    """
    plain = name.removesuffix(".").lower()
    labels = plain.split(".")
    if len(plain) > NAME_OCTETS_MAX or len(labels) < LABELS_MIN or labels[-1].isdigit():
        raise PeerError("name_refused", plain[:64])
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise PeerError("name_refused", plain[:64])
    return plain


def address(text: str, *, private: bool) -> str:
    """Return an address one may call; `PeerError` for one inside, unless that is allowed.

    A stranger's record must not make us call our own machines, nor a gateway that leads to them.
    """
    try:
        found = ip_address(text)
    except ValueError:
        raise PeerError("address_refused", text[:64]) from None
    if not private and not _is_public(found):
        raise PeerError("address_private", str(found))
    return str(found)


def _is_public(found: IPv4Address | IPv6Address) -> bool:
    """IPv6 is public within 2000::/3; of what is translated to IPv4, that address decides."""
    if isinstance(found, IPv4Address):
        return found.is_global and not found.is_multicast
    if found in _NAT64:
        return _is_public(IPv4Address(found.packed[-4:]))
    if found.sixtofour is not None:
        return _is_public(found.sixtofour)
    return found.is_global and found in _UNICAST


def _a_labels(realm: str) -> str:
    if realm.isascii():
        return realm
    try:
        return realm.encode("idna").decode("ascii")
    except UnicodeError:
        raise PeerError("name_refused", realm[:64]) from None
