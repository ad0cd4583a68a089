"""Captures in the pcapng format (draft-ietf-opsawg-pcapng): sections, interfaces, packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from opencarrier.kernel.clock import SECOND_US
from opencarrier.usage.wire.buffer import Buffer
from opencarrier.usage.wire.pcap import Datagrams
from opencarrier.usage.wire.records import Frame, Refused

Order = Literal["little", "big"]

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
MAGIC = bytes.fromhex("0a0d0d0a")
BLOCK_OCTETS_MIN = 12
BLOCK_OCTETS_MAX = 1 << 20
"""A packet's block may be this large; a larger block of another type is stepped over."""

INTERFACES_MAX = 1_024
TSRESOL, TSOFFSET = 9, 14
RESOLUTION_MAX = 63
TIME_MAX_US = (1 << 62) - 1

_ORDERS: dict[bytes, Order] = {
    bytes.fromhex("1a2b3c4d"): "big",
    bytes.fromhex("4d3c2b1a"): "little",
}


@dataclass(frozen=True, slots=True)
class Interface:
    """What an interface description says: how frames start, and what one tick of time is."""

    link_type: int
    snap_octets: int
    ticks_per_s: int
    offset_s: int

    def time_us(self, ticks: int) -> int | None:
        """Return UTC microseconds of a timestamp, None where it is beyond reason."""
        time_us = ticks * SECOND_US // self.ticks_per_s + self.offset_s * SECOND_US
        return time_us if 0 <= time_us <= TIME_MAX_US else None


class PcapngFrames:
    """Reads a capture piece by piece; where block lengths disagree, the rest is refused."""

    def __init__(self) -> None:
        self._buffer = Buffer()
        self._order: Order | None = None
        self._interfaces: list[Interface] = []
        self._skip = 0
        self._ended = False

    def feed(self, octets: bytes) -> Iterator[Frame | Refused]:
        """Take the next octets and yield what they complete."""
        if self._ended:
            return
        self._buffer.feed(octets)
        while not self._ended:
            if self._skip:
                self._skip -= len(self._buffer.take(min(self._skip, len(self._buffer))))
            if self._skip or len(self._buffer) < BLOCK_OCTETS_MIN:
                return
            refused = self._section_order()
            if refused is not None:
                yield self._refuse_rest(refused)
                return
            kind, size = self._integer(0), self._integer(4)
            if size < BLOCK_OCTETS_MIN or size % 4:
                yield self._refuse_rest("block_length")
            elif size > BLOCK_OCTETS_MAX:
                yield Refused(self._buffer.offset, "block_size")
                self._skip = size
            elif len(self._buffer) < size:
                return
            elif self._integer(size - 4) != size:
                yield self._refuse_rest("block_length")
            else:
                offset = self._buffer.offset
                yield from self._block(kind, offset, self._buffer.take(size)[8:-4])

    def finish(self) -> Iterator[Frame | Refused]:
        """Yield the refusal of a block that the file's end cut."""
        if not self._ended and (len(self._buffer) or self._skip or self._order is None):
            yield self._refuse_rest("record_cut")

    def _section_order(self) -> str | None:
        """Learn the byte order where a section begins; say what is wrong if it cannot be."""
        if self._buffer.peek(4) == MAGIC:
            order = _ORDERS.get(self._buffer.peek(4, 8))
            if order is None:
                return "byte_order"
            self._order = order
        return "magic" if self._order is None else None

    def _block(self, kind: int, offset: int, body: bytes) -> Iterator[Frame | Refused]:
        if kind == SECTION:
            self._interfaces = []
        elif kind == INTERFACE:
            yield from self._interface(offset, body)
        elif kind == ENHANCED_PACKET:
            yield from self._packet(offset, body, self._number(body, 0, 4))
        elif kind == OLD_PACKET:
            yield from self._packet(offset, body, self._number(body, 0, 2))
        elif kind == SIMPLE_PACKET:
            yield from self._simple(offset, body)

    def _interface(self, offset: int, body: bytes) -> Iterator[Frame | Refused]:
        if len(body) < 8 or len(self._interfaces) >= INTERFACES_MAX:
            yield self._refuse_rest("interface", offset)
            return
        ticks_per_s, offset_s = SECOND_US, 0
        for code, value in self._options(body[8:]):
            if code == TSRESOL and len(value) == 1:
                exponent = value[0] & 0x7F
                if exponent > RESOLUTION_MAX:
                    yield self._refuse_rest("resolution", offset)
                    return
                ticks_per_s = (2 if value[0] & 0x80 else 10) ** exponent
            elif code == TSOFFSET and len(value) == 8:
                offset_s = int.from_bytes(value, self._order or "big", signed=True)
        self._interfaces.append(
            Interface(self._number(body, 0, 2), self._number(body, 4, 4), ticks_per_s, offset_s)
        )

    def _options(self, octets: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 4 <= len(octets):
            code, size = self._number(octets, at, 2), self._number(octets, at + 2, 2)
            if code == 0:
                return
            yield code, octets[at + 4 : at + 4 + size]
            at += 4 + size + -size % 4

    def _packet(self, offset: int, body: bytes, number: int) -> Iterator[Frame | Refused]:
        captured = self._number(body, 12, 4)
        if len(body) < 20 or captured > len(body) - 20:
            yield Refused(offset, "packet_length")
        elif number >= len(self._interfaces):
            yield Refused(offset, "interface")
        else:
            interface = self._interfaces[number]
            ticks = self._number(body, 4, 4) << 32 | self._number(body, 8, 4)
            frame = body[20 : 20 + captured]
            yield Frame(offset, interface.time_us(ticks), interface.link_type, frame)

    def _simple(self, offset: int, body: bytes) -> Iterator[Frame | Refused]:
        """A simple packet is of the first interface and tells no time."""
        if len(body) < 4:
            yield Refused(offset, "packet_length")
        elif not self._interfaces:
            yield Refused(offset, "interface")
        else:
            interface = self._interfaces[0]
            size = min(self._number(body, 0, 4), interface.snap_octets or len(body))
            yield Frame(offset, None, interface.link_type, body[4 : 4 + size])

    def _number(self, octets: bytes, at: int, size: int) -> int:
        return int.from_bytes(octets[at : at + size], self._order or "big")

    def _integer(self, at: int) -> int:
        return self._number(self._buffer.peek(4, at), 0, 4)

    def _refuse_rest(self, reason: str, offset: int | None = None) -> Refused:
        refused = Refused(self._buffer.offset if offset is None else offset, reason)
        self._ended = True
        self._buffer.clear()
        return refused


class PcapngReader(Datagrams):
    """The UDP datagrams of a capture in the pcapng format."""

    def __init__(self) -> None:
        super().__init__(PcapngFrames())
