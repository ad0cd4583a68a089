"""Credit-control requests, the segments and chunks that carry them, and captures of those."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256

from opencarrier.spine.parties import PartyId
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.diameter.records import DiameterRecordReader
from opencarrier.usage.wire.origin import Origin
from opencarrier.usage.wire.pcap import PcapFrames
from opencarrier.usage.wire.records import Refused

VENDOR = 10_415
RAW = 101
START_S = 1_767_524_400
PARTIES = {"00101": PartyId("op_visited"), "home.example": PartyId("op_home")}


def avp(code: int, value: bytes, vendor: int = 0) -> bytes:
    head = struct.pack("!IB", code, 0xC0 if vendor else 0x40)
    extra = struct.pack("!I", vendor) if vendor else b""
    length = 8 + len(extra) + len(value)
    return head + length.to_bytes(3, "big") + extra + value + bytes(-length % 4)


def number(code: int, value: int, size: int = 4) -> bytes:
    return avp(code, value.to_bytes(size, "big"))


def used(
    *,
    total: int | None = None,
    into: int = 0,
    out: int = 0,
    seconds: int = 0,
    group: int | None = 9,
    last: bool = False,
) -> bytes:
    """A Multiple-Services-Credit-Control, its rating group first, last or left out."""
    parts = [number(412, into, 8), number(414, out, 8), number(420, seconds)]
    if total is not None:
        parts.append(number(421, total, 8))
    named = b"" if group is None else number(432, group)
    spent = avp(446, b"".join(parts))
    return avp(456, spent + named if last else named + spent)


def request(
    name: str = "s;1",
    kind: int = 2,
    count: int = 0,
    *services: bytes,
    at_s: int | None = START_S,
    imsi: str | None = "001010000000001",
    context: str = "32251@3gpp.org",
    extra: bytes = b"",
) -> bytes:
    body = [avp(263, name.encode()), number(416, kind), number(415, count), *services]
    body += [avp(264, b"pgw.visited.example"), avp(283, b"home.example")]
    body.append(avp(461, context.encode()))
    if at_s is not None:
        body.append(number(55, (at_s + 2_208_988_800) % (1 << 32)))
    if imsi is not None:
        body.append(avp(443, number(450, 1) + avp(444, imsi.encode())))
    place = avp(21, b"\x06", VENDOR) + avp(18, b"00101", VENDOR)
    body.append(avp(873, avp(874, place, VENDOR), VENDOR))
    return message(b"".join([*body, extra]))


def message(avps: bytes, *, command: int = 272, flags: int = 0xC0, application: int = 4) -> bytes:
    length = 20 + len(avps)
    head = b"\x01" + length.to_bytes(3, "big") + bytes((flags,)) + command.to_bytes(3, "big")
    return head + struct.pack("!III", application, 7, 8) + avps


def ip(protocol: int, payload: bytes, source: int = 1, destination: int = 2) -> bytes:
    total = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0, 64, protocol, 0)
    return head + bytes((10, 0, 0, source)) + bytes((10, 0, 0, destination)) + payload


def segment(sequence: int, data: bytes, *, flags: int = 0x18, port: int = 40_000) -> bytes:
    head = struct.pack("!HHIIBBHHH", port, 3868, sequence % (1 << 32), 0, 0x50, flags, 0, 0, 0)
    return ip(6, head + data)


def chunk(
    tsn: int, data: bytes, *, first: bool = True, last: bool = True, payload: int = 46
) -> bytes:
    length = 16 + len(data)
    head = struct.pack("!BBHIHHI", 0, 2 * first + last, length, tsn % (1 << 32), 0, 0, payload)
    return head + data + bytes(-length % 4)


def sctp(*chunks: bytes) -> bytes:
    return ip(132, struct.pack("!HHII", 40_000, 3868, 0, 0) + b"".join(chunks))


def pcap(packets: Sequence[bytes]) -> bytes:
    records = [
        struct.pack("!IIII", START_S + at, 0, len(packet), len(packet)) + packet
        for at, packet in enumerate(packets)
    ]
    return struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, RAW) + b"".join(records)


def read(
    packets: Sequence[bytes], origin: Origin | None = None
) -> tuple[list[UsageRecord], list[Refused]]:
    octets = pcap(packets)
    reader = DiameterRecordReader(origin or ORIGIN, PcapFrames())
    found = [*reader.feed(octets), *reader.finish()]
    return (
        [item for item in found if isinstance(item, UsageRecord)],
        [item for item in found if isinstance(item, Refused)],
    )


ORIGIN = Origin(
    source_digest=bytes(32),
    ingested_us=1_767_600_000_000_000,
    party_of=PARTIES.get,
    subject_of=lambda name: sha256(name.encode()).digest()[:16],
    jurisdiction_of=lambda party: "FR",
)
