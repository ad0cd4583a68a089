"""Where a webhook may go: what its URL says, and which addresses may be connected to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks.model import URL_CHARACTERS_MAX, Audience, HookReason

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_TRANSLATED: Final = ip_network("64:ff9b::/96")
"""IPv4 behind NAT64 (RFC 6052)."""

_NAMED: Final = (Audience.OPERATOR, Audience.HOST)

_UNICAST: Final = ip_network("2000::/3")
"""All of IPv6 that is given out to be reached by everybody (RFC 4291, IANA)."""


class Target(NamedTuple):
    """Where a URL leads: by which name and port, over TLS or not, and what is asked for there."""

    host: str
    port: int
    tls: bool
    path: str


def read_url(text: str) -> Target | Refusal:
    """Read an endpoint's URL: http or https, a host, no user, no fragment, printable ASCII."""
    if len(text) > URL_CHARACTERS_MAX or not text.isascii() or not text.isprintable():
        return Refusal(HookReason.INVALID_URL, f"{URL_CHARACTERS_MAX} ASCII characters at most")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        return Refusal(HookReason.INVALID_URL, "not a URL")
    if parts.scheme not in ("http", "https") or not host or " " in text:
        return Refusal(HookReason.INVALID_URL, "begin with https:// and a name")
    if parts.fragment or "@" in parts.netloc or port == 0:
        return Refusal(HookReason.INVALID_URL, "without a user, a fragment, or port 0")
    tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host=host, port=port or (443 if tls else 80), tls=tls, path=path)


def read_networks(text: str) -> Mapping[PartyId, tuple[Network, ...]]:
    """Read whose endpoints may be in which networks; `ValueError` for what is none.

    With spaces between them: a network alone is for the installation's own, `PARTY=NETWORK` for an
    operator's or a host's. A subscriber has none.
    """
    found: dict[PartyId, tuple[Network, ...]] = {}
    for one in text.split():
        before, names, network = one.rpartition("=")
        party = PartyId(before)
        if bool(names) is not (Audience.of(party) in _NAMED):
            raise ValueError(f"{before!r} is no operator or host")
        found[party] = (*found.get(party, ()), ip_network(network))
    return found


def is_allowed(address: str, networks: Sequence[Network], *, tls: bool) -> bool:
    """Say whether an address may be connected to: a public one by TLS, or one of our networks.

    Private, shared, link-local (the metadata of clouds), loopback and reserved addresses are not
    public, nor is an IPv6 address that stands for such an IPv4 one, or lies outside 2000::/3.
    """
    found = ip_address(address.partition("%")[0])
    meant = embedded(found)
    if any(meant in network for network in networks if network.version == meant.version):
        return True
    if meant.version == 6 and meant not in _UNICAST:
        return False
    return tls and meant.is_global and not meant.is_multicast


def embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address
