"""Captures in the classic pcap format: both byte orders, micro- and nanoseconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.buffer import Buffer
from opencarrier.usage.wire.link import LINK_TYPES, udp_of
from opencarrier.usage.wire.records import Datagram, Frame, Item, Reader, Refused

Order = Literal["little", "big"]

HEADER_OCTETS = 24
RECORD_HEADER_OCTETS = 16
RECORD_OCTETS_MAX = 262_144
"""The largest snap length in use; a record that claims more means the file is broken there."""

MAGICS: Final[Mapping[bytes, tuple[Order, int]]] = {
    bytes.fromhex("a1b2c3d4"): ("big", 1_000_000),
    bytes.fromhex("d4c3b2a1"): ("little", 1_000_000),
    bytes.fromhex("a1b23c4d"): ("big", 1_000_000_000),
    bytes.fromhex("4d3cb2a1"): ("little", 1_000_000_000),
}
"""What the first four octets say: byte order, and fractions of a second."""


class PcapFrames:
    """Reads a capture piece by piece; after a record that cannot be, the rest is refused."""

    def __init__(self) -> None:
        self._buffer = Buffer()
        self._order: Order = "big"
        self._fractions = 0
        self._link_type = 0
        self._ended = False

    def feed(self, octets: bytes) -> Iterator[Frame | Refused]:
        """Take the next octets and yield what they complete."""
        if self._ended:
            return
        self._buffer.feed(octets)
        if not self._fractions:
            if len(self._buffer) < HEADER_OCTETS:
                return
            yield from self._header()
        while not self._ended and len(self._buffer) >= RECORD_HEADER_OCTETS:
            size = self._integer(8)
            if size > RECORD_OCTETS_MAX:
                yield self._refuse_rest("record_size")
                return
            if len(self._buffer) < RECORD_HEADER_OCTETS + size:
                return
            yield from self._record(size)

    def finish(self) -> Iterator[Frame | Refused]:
        """Yield the refusal of a header or record that the file's end cut."""
        if not self._ended and (len(self._buffer) or not self._fractions):
            yield self._refuse_rest("record_cut" if self._fractions else "header_cut")

    def _header(self) -> Iterator[Frame | Refused]:
        order, fractions = MAGICS.get(self._buffer.peek(4), ("big", 0))
        if not fractions:
            yield self._refuse_rest("magic")
            return
        self._order = order
        if self._integer(4, 2) != 2:
            yield self._refuse_rest("version")
            return
        self._link_type = self._integer(20) & 0x0FFFFFFF
        if self._link_type not in LINK_TYPES:
            yield self._refuse_rest("link_type")
            return
        self._fractions = fractions
        self._buffer.take(HEADER_OCTETS)

    def _record(self, size: int) -> Iterator[Frame | Refused]:
        offset = self._buffer.offset
        seconds, fraction = self._integer(0), self._integer(4)
        time_us = seconds * SECOND_US + fraction * SECOND_US // self._fractions
        frame = self._buffer.take(RECORD_HEADER_OCTETS + size)[RECORD_HEADER_OCTETS:]
        yield Frame(offset, time_us, self._link_type, frame)

    def _integer(self, at: int, size: int = 4) -> int:
        return int.from_bytes(self._buffer.peek(size, at), self._order)

    def _refuse_rest(self, reason: str) -> Refused:
        refused = Refused(self._buffer.offset, reason)
        self._ended = True
        self._buffer.clear()
        return refused


class Datagrams:
    """Takes the UDP datagrams out of a capture's frames; what is not UDP is passed over."""

    def __init__(self, frames: Reader[Frame]) -> None:
        self._frames = frames

    def feed(self, octets: bytes) -> Iterator[Item]:
        """Take the next octets and yield what they complete."""
        return self._datagrams(self._frames.feed(octets))

    def finish(self) -> Iterator[Item]:
        """Yield the refusal of what the file's end cut."""
        return self._datagrams(self._frames.finish())

    @staticmethod
    def _datagrams(items: Iterator[Frame | Refused]) -> Iterator[Item]:
        for item in items:
            if isinstance(item, Refused):
                yield item
                continue
            try:
                found = udp_of(item.link_type, item.octets)
            except PeerError as error:
                yield Refused(item.offset, error.reason)
                continue
            if found is not None:
                yield Datagram(item.offset, item.time_us, *found)


class PcapReader(Datagrams):
    """The UDP datagrams of a capture in the classic format."""

    def __init__(self) -> None:
        super().__init__(PcapFrames())
