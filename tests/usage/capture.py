"""A capture of our own in the shape of a real one: one download that rolls over 4 GiB.

179 Accounting-Requests of one session, an interim every ten seconds, gigawords, neither
NAS-Identifier nor Class; with the answers and some other traffic between them. The same packets can
be written as pcap, as pcapng and as a FreeRADIUS detail file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5
from ipaddress import IPv4Address, IPv6Address

SECRET = b"testing123"
START_S = 1_715_450_893
INTERIMS = 177
SESSION_TIME_S, OCTETS_IN, OCTETS_OUT = 1_773, 147_699_750, 5_682_218_308
ACCT_SESSION_ID = "5E55A0C0FFEE0001"
USER_NAME = "roamer@home.example"

ETHERNET, RAW, NULL, SLL, SLL2 = 1, 101, 0, 113, 276


@dataclass(frozen=True)
class Sent:
    """One datagram on its way: when, between which ports, and what."""

    time_us: int
    source_port: int
    port: int
    payload: bytes


def attribute(kind: int, value: int | str | bytes) -> bytes:
    octets = (
        value.to_bytes(4, "big")
        if isinstance(value, int)
        else value.encode()
        if isinstance(value, str)
        else value
    )
    return bytes((kind, len(octets) + 2)) + octets


def request(identifier: int, attributes: bytes, secret: bytes = SECRET, code: int = 4) -> bytes:
    head = bytes((code, identifier % 256)) + (20 + len(attributes)).to_bytes(2, "big")
    return head + md5(head + bytes(16) + attributes + secret).digest() + attributes


def accounting(
    status: int, counters: tuple[int, int, int] | None, at_s: int, extra: bytes = b""
) -> bytes:
    parts = [
        attribute(40, status),
        attribute(45, 1),
        attribute(1, USER_NAME),
        attribute(30, "1C-BF-CE-E4-F6-F1:own"),
        attribute(31, "B8-27-EB-75-4C-CC"),
        attribute(44, ACCT_SESSION_ID),
        attribute(50, "C9514E5E66FD45D8"),
        attribute(186, bytes.fromhex("000fac04")),
        attribute(55, at_s),
        attribute(41, 0),
    ]
    if counters is not None:
        seconds, octets_in, octets_out = counters
        parts += [
            attribute(46, seconds),
            attribute(42, octets_in % 2**32),
            attribute(52, octets_in >> 32),
            attribute(43, octets_out % 2**32),
            attribute(53, octets_out >> 32),
        ]
    return b"".join(parts) + extra


def attribute_lists(extra: bytes = b"") -> list[tuple[int, bytes]]:
    """When (seconds) and what: Start, the interims, Stop."""
    found = [(START_S, accounting(1, None, START_S, extra))]
    for number in range(1, INTERIMS + 1):
        seconds = number * 10
        octets_in = OCTETS_IN * seconds // SESSION_TIME_S
        octets_out = OCTETS_OUT * seconds // SESSION_TIME_S
        at_s = START_S + seconds
        found.append((at_s, accounting(3, (seconds, octets_in, octets_out), at_s, extra)))
    end_s = START_S + SESSION_TIME_S
    last = accounting(2, (SESSION_TIME_S, OCTETS_IN, OCTETS_OUT), end_s, extra)
    found.append((end_s, last + attribute(49, 1)))
    return found


def requests(extra: bytes = b"") -> list[Sent]:
    """The 179 requests alone."""
    return [
        Sent(at_s * 1_000_000 + 134_446, 40328, 1813, request(number, attributes))
        for number, (at_s, attributes) in enumerate(attribute_lists(extra))
    ]


def traffic() -> list[Sent]:
    """The requests, their answers, and what else goes by."""
    found = [Sent(START_S * 10**6, 5353, 53, b"\x04\x01\x01\x00 a question")]
    for sent in requests():
        found.append(sent)
        answer = bytes((5, sent.payload[1], 0, 20)) + bytes(16)
        found.append(Sent(sent.time_us + 500, 1813, 40328, answer))
    return found


def udp(sent: Sent) -> bytes:
    return (
        struct.pack("!HHHH", sent.source_port, sent.port, 8 + len(sent.payload), 0) + sent.payload
    )


def ipv4(body: bytes, protocol: int = 17, fragment: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, fragment, 64, protocol, 0)
    return head + IPv4Address("192.0.2.1").packed + IPv4Address("192.0.2.2").packed + body


def ipv6(body: bytes, following: int = 17) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(body), following, 64)
    return head + IPv6Address("2001:db8::1").packed + IPv6Address("2001:db8::2").packed + body


def frame(link_type: int, packet: bytes, vlans: int = 0) -> bytes:
    """Put an IP packet behind a link header."""
    protocol = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    tags = b"".join(struct.pack("!HH", 0x8100, 100 + n) for n in range(vlans)) + struct.pack(
        "!H", protocol
    )
    if link_type == ETHERNET:
        return bytes(12) + tags + packet + bytes(max(0, 46 - len(packet)))
    if link_type == SLL:
        return bytes(14) + tags + packet
    if link_type == SLL2:
        return struct.pack("!H", protocol) + bytes(18) + packet
    if link_type == NULL:
        return struct.pack("<I", 2 if protocol == 0x0800 else 30) + packet
    return packet


def framed(
    link_type: int = ETHERNET, sent: Iterable[Sent] | None = None
) -> list[tuple[int, bytes]]:
    chosen = traffic() if sent is None else sent
    return [(s.time_us, frame(link_type, ipv4(udp(s)))) for s in chosen]


def pcap(
    frames: Sequence[tuple[int, bytes]],
    link_type: int = ETHERNET,
    *,
    order: str = "<",
    nanoseconds: bool = False,
) -> bytes:
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for time_us, octets in frames:
        seconds, fraction = divmod(time_us, 1_000_000)
        fraction *= 1000 if nanoseconds else 1
        head = struct.pack(f"{order}IIII", seconds, fraction, len(octets), len(octets))
        parts.append(head + octets)
    return b"".join(parts)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(link_type: int = ETHERNET, order: str = "<", options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(f"{order}HHI", link_type, 0, 262144) + options)


def enhanced(octets: bytes, ticks: int, order: str = "<", number: int = 0) -> bytes:
    head = struct.pack(
        f"{order}IIIII", number, ticks >> 32, ticks % 2**32, len(octets), len(octets)
    )
    return block(order, 6, head + octets)


def pcapng(
    frames: Sequence[tuple[int, bytes]], link_type: int = ETHERNET, *, order: str = "<"
) -> bytes:
    parts = [section(order), interface(link_type, order)]
    parts += [enhanced(octets, time_us, order) for time_us, octets in frames]
    return b"".join(parts)


_NAMES = {
    1: "User-Name", 30: "Called-Station-Id", 31: "Calling-Station-Id", 40: "Acct-Status-Type",
    41: "Acct-Delay-Time", 42: "Acct-Input-Octets", 43: "Acct-Output-Octets",
    44: "Acct-Session-Id", 45: "Acct-Authentic", 46: "Acct-Session-Time",
    49: "Acct-Terminate-Cause", 50: "Acct-Multi-Session-Id", 52: "Acct-Input-Gigawords",
    53: "Acct-Output-Gigawords", 55: "Event-Timestamp",
}  # fmt: skip
_VALUES = {
    40: {1: "Start", 2: "Stop", 3: "Interim-Update", 7: "Accounting-On", 8: "Accounting-Off"},
    45: {1: "RADIUS"},
    49: {1: "User-Request"},
}
_TEXTS = {1, 30, 31, 44, 50}


def detail(chosen: Iterable[Sent] | None = None) -> bytes:
    """The requests as radiusd would log them."""
    parts = []
    for sent in requests() if chosen is None else chosen:
        arrived = datetime.fromtimestamp(sent.time_us // 10**6, tz=UTC)
        parts.append(f"{arrived:%a %b %e %H:%M:%S %Y}\n")
        at = 20
        while at < len(sent.payload):
            kind, size = sent.payload[at], sent.payload[at + 1]
            parts.append(f"\t{_line(kind, sent.payload[at + 2 : at + size])}\n")
            at += size
        parts.append(f"\tTimestamp = {sent.time_us // 10**6}\n\n")
    return "".join(parts).encode()


def _line(kind: int, value: bytes) -> str:
    name = _NAMES.get(kind)
    if name is None:
        return f"Attr-{kind} = 0x{value.hex()}"
    if kind in _TEXTS:
        return f'{name} = "{value.decode()}"'
    number = int.from_bytes(value, "big")
    if kind == 55:
        at = datetime.fromtimestamp(number, tz=UTC)
        return f'{name} = "{at:%b %e %Y %H:%M:%S} UTC"'
    return f"{name} = {_VALUES.get(kind, {}).get(number, number)}"
