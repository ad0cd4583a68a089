"""From a captured frame to what it carries: link headers, IPv4, IPv6, UDP (RFC 791, 8200, 768).

Link types are those of the pcap registry. What is not asked for is passed over without a word; what
is, but cannot be read whole, is refused by reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from opencarrier.kernel.refusals import PeerError

TCP, UDP, SCTP = 6, 17, 132

NULL, ETHERNET, LOOP, LINUX_SLL, LINUX_SLL2 = 0, 1, 108, 113, 276
RAW_TYPES: Final = frozenset({12, 14, 101, 228, 229})

VLAN_TAGS_MAX = 4
EXTENSIONS_MAX = 8

_UDP_ONLY: Final = frozenset({UDP})
_IPV4, _IPV6 = 0x0800, 0x86DD
_VLANS: Final = frozenset({0x8100, 0x88A8, 0x9100})
_FRAGMENT = 44
_EXTENSIONS: Final = frozenset({0, 43, 60})
_FAMILIES: Final[Mapping[int, int]] = {2: _IPV4, 10: _IPV6, 24: _IPV6, 28: _IPV6, 30: _IPV6}
"""Address families in the header of loopback captures; that of IPv6 differs by system."""

LINK_TYPES: Final = RAW_TYPES | {NULL, ETHERNET, LOOP, LINUX_SLL, LINUX_SLL2}


class Packet(NamedTuple):
    """What an IP packet carries, by protocol number, between two addresses."""

    protocol: int
    source: bytes
    destination: bytes
    payload: bytes


def packet_of(link_type: int, frame: bytes, protocols: frozenset[int]) -> Packet | None:
    """Return the packet in a frame, None if it holds none of these protocols.

    Raises `PeerError` for a link type unknown here, a fragment, a header cut short.
    """
    if link_type not in LINK_TYPES:
        raise PeerError("link_type", str(link_type))
    if link_type in RAW_TYPES:
        return _ip(frame, protocols)
    protocol, start = _link(link_type, frame)
    return _ip(frame[start:], protocols) if protocol in (_IPV4, _IPV6) else None


def udp_of(link_type: int, frame: bytes) -> tuple[int, bytes] | None:
    """Return destination port and payload of the UDP datagram in a frame, None if it holds none.

    Raises `PeerError` as `packet_of` does, and for a datagram cut short.
    """
    packet = packet_of(link_type, frame, _UDP_ONLY)
    return _udp(packet.payload) if packet is not None else None


def _link(link_type: int, frame: bytes) -> tuple[int, int]:
    if link_type == ETHERNET:
        return _tagged(frame, 12)
    if link_type == LINUX_SLL:
        return _tagged(frame, 14)
    if link_type == LINUX_SLL2:
        protocol = _two(frame, 0)
        return (_tagged(frame, 20, protocol)) if protocol in _VLANS else (protocol, 20)
    little = int.from_bytes(frame[:4], "little")
    big = int.from_bytes(frame[:4], "big")
    return _FAMILIES.get(min(little, big), 0), 4


def _tagged(frame: bytes, at: int, protocol: int | None = None) -> tuple[int, int]:
    """Step over VLAN tags (IEEE 802.1Q); `at` is where the EtherType stands."""
    if protocol is None:
        protocol, at = _two(frame, at), at + 2
    for _ in range(VLAN_TAGS_MAX):
        if protocol not in _VLANS:
            break
        protocol, at = _two(frame, at + 2), at + 4
    return protocol, at


def _two(octets: bytes, at: int) -> int:
    """Read two octets; a frame too short for a protocol field has none that is ours."""
    return int.from_bytes(octets[at : at + 2], "big") if len(octets) >= at + 2 else 0


def _ip(packet: bytes, protocols: frozenset[int]) -> Packet | None:
    if not packet:
        return None
    version = packet[0] >> 4
    if version == 4:
        return _ipv4(packet, protocols)
    return _ipv6(packet, protocols) if version == 6 else None


def _ipv4(packet: bytes, protocols: frozenset[int]) -> Packet | None:
    header = (packet[0] & 15) * 4
    if header < 20 or len(packet) < header:
        raise PeerError("ip_header")
    if packet[9] not in protocols:
        return None
    if _two(packet, 6) & 0x3FFF:
        raise PeerError("ip_fragment")
    total = _two(packet, 2) or len(packet)
    if total < header:
        raise PeerError("ip_header")
    return Packet(packet[9], packet[12:16], packet[16:20], packet[header:total])


def _ipv6(packet: bytes, protocols: frozenset[int]) -> Packet | None:
    if len(packet) < 40:
        raise PeerError("ip_header")
    following, at = packet[6], 40
    end = at + _two(packet, 4) if _two(packet, 4) else len(packet)
    for _ in range(EXTENSIONS_MAX):
        if following in protocols:
            return Packet(following, packet[8:24], packet[24:40], packet[at:end])
        if following not in _EXTENSIONS and following != _FRAGMENT:
            return None
        if len(packet) < at + 8:
            raise PeerError("ip_header")
        size = 8
        if following == _FRAGMENT:
            if _two(packet, at + 2) & 0xFFF9:
                raise PeerError("ip_fragment")
        else:
            size = 8 + packet[at + 1] * 8
        following, at = packet[at], at + size
    raise PeerError("ip_extensions")


def _udp(datagram: bytes) -> tuple[int, bytes]:
    if len(datagram) < 8:
        raise PeerError("udp_cut")
    length = _two(datagram, 4) or len(datagram)
    if length < 8:
        raise PeerError("udp_length")
    if length > len(datagram):
        raise PeerError("udp_cut")
    return _two(datagram, 2), datagram[8:length]
