"""Who held an address at a time: what packets tell of it, and who may ask. Pure.

An answer needs a request that two persons signed with keys the venue named beforehand. Requests,
answered or refused, go into a hash-chained log; the log holds no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Packet
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import PeerError, Reason, Refusal
from opencarrier.kernel.signatures import Address, recover

EXTENDED_TYPE_1: Final = 241
IP_PORT_RANGE: Final = 6
PORT_MAX: Final = 65_535
SIGNERS_MIN: Final = 2
PURPOSE_MAX: Final = 512
VALID_MAX_S: Final = 30 * 86_400
"""How long before it is answered a request may have been written."""

_EXTERNAL_IPV4, _RANGE_START, _RANGE_END = 3, 9, 10


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """An address or prefix, and the ports of it a station had: all of them unless told."""

    address: str
    port_from: int = 0
    port_to: int = PORT_MAX


def held(packet: Packet) -> list[Held]:
    """Return the addresses an accounting packet says its station has.

    Sources: Framed-IP-Address (RFC 2865), Framed-IPv6-Prefix (RFC 3162), Framed-IPv6-Address (RFC
    6911), IP-Port-Range behind a NAT (RFC 8045 section 3.1.2). `PeerError` where one is malformed.
    """
    out = [Held(str(IPv4Address(value))) for value in packet.all(Type.FRAMED_IP_ADDRESS)]
    out += [Held(str(IPv6Address(value))) for value in packet.all(Type.FRAMED_IPV6_ADDRESS)]
    out += [Held(_prefix(value)) for value in packet.all(Type.FRAMED_IPV6_PREFIX)]
    for value in packet.all(EXTENDED_TYPE_1):
        if value[:1] == bytes((IP_PORT_RANGE,)):
            out += _port_range(value[1:])
    return out


def _prefix(value: bytes) -> str:
    """Read a prefix of RFC 3162 section 2.3: a reserved octet, its length, its leading octets."""
    bits, octets = value[1], value[2:]
    if bits > 128 or len(octets) * 8 < bits:
        raise PeerError("ipv6_prefix", f"/{bits} in {len(octets)} octets")
    return str(IPv6Network((octets.ljust(16, b"\x00"), bits), strict=False))


def _port_range(octets: bytes) -> list[Held]:
    told: dict[int, bytes] = {}
    while octets:
        size = octets[1] if len(octets) > 1 else 0
        if size < 2 or size > len(octets):
            raise PeerError("port_range", "a TLV that does not fit")
        told[octets[0]] = octets[2:size]
        octets = octets[size:]
    address = told.get(_EXTERNAL_IPV4)
    if address is None:
        return []
    first = int.from_bytes(told.get(_RANGE_START, b""), "big")
    last = int.from_bytes(told.get(_RANGE_END, PORT_MAX.to_bytes(4, "big")), "big")
    if len(address) != 4 or not first <= last <= PORT_MAX:
        raise PeerError("port_range", f"{first} to {last}")
    return [Held(str(IPv4Address(address)), first, last)]


def covers(kept: str, asked: str) -> bool:
    """Say whether a kept address or prefix holds the address that is asked for."""
    if "/" not in kept:
        return kept == asked
    wanted = ip_address(asked)
    return wanted.version == 6 and wanted in IPv6Network(kept)


def written_forms(asked: str) -> list[str]:
    """Return an address and every prefix it is in, as they are kept."""
    address = ip_address(asked)
    if address.version == 4:
        return [str(address)]
    prefixes = (IPv6Network((int(address), bits), strict=False) for bits in range(129))
    return [str(address), *map(str, prefixes)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who held this address, perhaps this port, at this instant; and why it is asked.

    `node` is the key of the node that is asked, so that a request opens no other's records.
    """

    node: Address
    address: str
    port: int | None
    at_us: int
    purpose: str
    written_us: int

    @property
    def digest(self) -> Id:
        """What both persons sign."""
        return derive(
            "access/who",
            self.node,
            self.address,
            self.port,
            self.at_us,
            self.purpose,
            self.written_us,
        )


class WhoReason(Reason):
    """Why a request is not answered, in order of precedence."""

    MALFORMED_ADDRESS = 1
    OTHER_NODE = 2
    PURPOSE_MISSING = 3
    OUT_OF_DATE = 4
    UNKNOWN_SIGNER = 5
    NEEDS_TWO_PERSONS = 6


def permitted(
    request: Request,
    signatures: Sequence[bytes],
    *,
    node: Address,
    persons: Iterable[Address],
    now_us: int,
) -> list[Address] | Refusal:
    """Return the two or more persons who signed a request, or why it is not answered.

    `persons` are the keys that may sign; the same person twice is one.
    """
    try:
        ip_address(request.address)
    except ValueError:
        return Refusal(WhoReason.MALFORMED_ADDRESS, request.address[:64])
    if request.node != node:
        return Refusal(WhoReason.OTHER_NODE, request.node)
    if not request.purpose.strip() or len(request.purpose) > PURPOSE_MAX:
        return Refusal(WhoReason.PURPOSE_MISSING, f"1 to {PURPOSE_MAX} characters")
    if not 0 <= now_us - request.written_us <= VALID_MAX_S * SECOND_US:
        return Refusal(WhoReason.OUT_OF_DATE, "write and sign it anew")
    known, signers = set(persons), set[Address]()
    for octets in signatures:
        signer = recover(request.digest, octets)
        if signer is None or signer not in known:
            return Refusal(WhoReason.UNKNOWN_SIGNER, signer or "no signature")
        signers.add(signer)
    if len(signers) < SIGNERS_MIN:
        return Refusal(WhoReason.NEEDS_TWO_PERSONS, f"{len(signers)} signed")
    return sorted(signers)


class Outcome(IntEnum):
    """What became of a request."""

    ANSWERED = 1
    REFUSED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the log: which request, who signed it, what became of it; never the answer."""

    number: int
    previous: Id
    at_us: int
    request: Request
    signers: tuple[Address, ...]
    outcome: Outcome
    reason: str
    found: int

    @property
    def head(self) -> Id:
        """The digest the next line names."""
        return derive(
            "access/who-log",
            self.number,
            self.previous,
            self.at_us,
            self.request.digest,
            list(self.signers),
            int(self.outcome),
            self.reason,
            self.found,
        )


def first_break(log: Sequence[Entry], beginning: Id) -> int | None:
    """Return the number of the first line that does not follow from the one before, or None."""
    previous = beginning
    for number, entry in enumerate(log):
        if entry.number != number or entry.previous != previous:
            return number
        previous = entry.head
    return None
