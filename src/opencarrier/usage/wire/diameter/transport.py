"""Diameter messages out of TCP segments and SCTP chunks, in the order a capture has them.

TCP (RFC 9293) is put together by sequence numbers, SCTP (RFC 9260) by transmission numbers; what
was sent again counts once. Where a capture has a hole, the stream goes on at the next segment that
begins a message, and the hole is refused: `tcp_gap`, `sctp_gap`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.diameter.message import MESSAGE_OCTETS_MAX, length_of
from opencarrier.usage.wire.link import SCTP, TCP, Packet, packet_of
from opencarrier.usage.wire.records import Frame, Refused

PORT: Final = 3868
PAYLOAD_DIAMETER: Final = 46
"""The payload protocol of SCTP that says Diameter in clear (RFC 6733 section 2.1)."""

STREAMS_MAX = 256
AHEAD_SEGMENTS_MAX = 64
AHEAD_OCTETS_MAX = 1 << 18
PIECES_MAX = 64
PIECES_OCTETS_MAX = 2 * MESSAGE_OCTETS_MAX
SEEN_MAX = 4_096
PROTOCOLS: Final = frozenset({TCP, SCTP})

_SEQUENCES = 1 << 32
_SYN, _RST = 0x02, 0x04
_DATA = 0

T = TypeVar("T")
Ends = tuple[bytes, bytes, bytes]
"""Source, destination, and both ports: one direction of a connection."""


class Carried(NamedTuple):
    """A whole message, and the frame that completed it."""

    offset: int
    time_us: int | None
    octets: bytes


class Transports:
    """Takes frames and yields the messages they complete; keeps at most `STREAMS_MAX` streams."""

    def __init__(self, port: int = PORT) -> None:
        self._port = port
        self._tcp: OrderedDict[Ends, _TcpStream] = OrderedDict()
        self._sctp: OrderedDict[Ends, _SctpStream] = OrderedDict()

    def take(self, frame: Frame) -> Iterator[Carried | Refused]:
        """Take a frame and yield what it completes, or why it cannot be taken."""
        try:
            packet = packet_of(frame.link_type, frame.octets, PROTOCOLS)
            if packet is not None and len(packet.payload) < 12:
                raise PeerError("transport_header")
            if packet is None or not self._is_ours(packet):
                return
            messages = self._tcp_of(packet) if packet.protocol == TCP else self._sctp_of(packet)
            for octets in messages:
                yield Carried(frame.offset, frame.time_us, octets)
        except PeerError as error:
            yield Refused(frame.offset, error.reason)

    def _is_ours(self, packet: Packet) -> bool:
        if packet.protocol == SCTP:
            return True
        ports = packet.payload[:4]
        return self._port in (int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big"))

    def _tcp_of(self, packet: Packet) -> Iterator[bytes]:
        segment = packet.payload
        header = (segment[12] >> 4) * 4 if len(segment) > 13 else 0
        if not 20 <= header <= len(segment):
            raise PeerError("transport_header")
        ends = packet.source, packet.destination, segment[:4]
        if segment[13] & (_SYN | _RST):
            self._tcp.pop(ends, None)
            return iter(())
        stream = _kept(self._tcp, ends, _TcpStream)
        sequence = int.from_bytes(segment[4:8], "big")
        return stream.take(sequence, segment[header:])

    def _sctp_of(self, packet: Packet) -> Iterator[bytes]:
        ends = packet.source, packet.destination, packet.payload[:4]
        for chunk in _data_chunks(packet.payload[12:]):
            stream = _kept(self._sctp, ends, _SctpStream)
            yield from stream.take(chunk)


def _kept(streams: OrderedDict[Ends, T], ends: Ends, make: type[T]) -> T:
    """Return a direction's stream, the longest silent one given up where there are too many."""
    stream = streams.get(ends)
    if stream is None:
        stream = streams[ends] = make()
        if len(streams) > STREAMS_MAX:
            streams.popitem(last=False)
    streams.move_to_end(ends)
    return stream


class _TcpStream:
    """One direction of a TCP connection."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._octets = bytearray()
        self._ahead: dict[int, bytes] = {}

    def take(self, sequence: int, data: bytes) -> Iterator[bytes]:
        """Take a segment and yield the messages that are whole now.

        Raises `PeerError`: `tcp_gap`, once no more can wait for what the capture lacks, and
        `diameter_header` where what stands in the stream is no message.
        """
        if not data:
            return
        if self._next is None:
            if not _begins(data):
                return
            self._next = sequence
        lacking = (sequence - self._next) % _SEQUENCES
        if lacking >= 1 << 31:
            data, lacking = data[_SEQUENCES - lacking :], 0
            if not data:
                return
        if lacking:
            self._ahead[sequence] = data
            self._bound()
            return
        self._append(data)
        while (data := self._ahead.pop(self._next, b"")) or self._overlapping():
            self._append(data)
        yield from self._messages()

    def _append(self, data: bytes) -> None:
        assert self._next is not None
        self._octets += data
        self._next = (self._next + len(data)) % _SEQUENCES

    def _overlapping(self) -> bool:
        """Cut what a waiting segment says again; True where one can be taken then."""
        assert self._next is not None
        for sequence in [*self._ahead]:
            behind = (self._next - sequence) % _SEQUENCES
            if 0 < behind < 1 << 31:
                rest = self._ahead.pop(sequence)[behind:]
                if rest:
                    self._ahead[self._next] = rest
                    return True
        return False

    def _messages(self) -> Iterator[bytes]:
        while True:
            try:
                length = length_of(bytes(self._octets[:4]))
            except PeerError:
                self._lost()
                raise
            if length is None or length > len(self._octets):
                return
            message = bytes(self._octets[:length])
            del self._octets[:length]
            yield message

    def _bound(self) -> None:
        held = sum(map(len, self._ahead.values()))
        if len(self._ahead) > AHEAD_SEGMENTS_MAX or held > AHEAD_OCTETS_MAX:
            self._lost()
            raise PeerError("tcp_gap")

    def _lost(self) -> None:
        self._next = None
        self._octets.clear()
        self._ahead.clear()


def _begins(data: bytes) -> bool:
    try:
        return length_of(data) is not None
    except PeerError:
        return False


class _Chunk(NamedTuple):
    """A piece of a message, or all of it where it is the first and the last."""

    number: int
    stream: int
    is_first: bool
    is_last: bool
    data: bytes


def _data_chunks(octets: bytes) -> Iterator[_Chunk]:
    """Yield what Diameter is in a packet's chunks; raises `PeerError`: `sctp_chunk`."""
    at = 0
    while at + 4 <= len(octets):
        length = int.from_bytes(octets[at + 2 : at + 4], "big")
        if length < 4 or at + length > len(octets):
            raise PeerError("sctp_chunk")
        body = octets[at + 4 : at + length]
        if octets[at] == _DATA and len(body) >= 12:
            payload = int.from_bytes(body[8:12], "big")
            if payload == PAYLOAD_DIAMETER:
                flags = octets[at + 1]
                yield _Chunk(
                    number=int.from_bytes(body[:4], "big"),
                    stream=int.from_bytes(body[4:6], "big"),
                    is_first=bool(flags & 2),
                    is_last=bool(flags & 1),
                    data=body[12:],
                )
        at += length + -length % 4


class _SctpStream:
    """One direction of an SCTP association: which chunks came, and the pieces that wait."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._pieces: dict[int, _Chunk] = {}

    def take(self, chunk: _Chunk) -> Iterator[bytes]:
        """Take a chunk and yield the message it completes; raises `PeerError`: `sctp_gap`."""
        if chunk.number in self._seen:
            return
        self._seen[chunk.number] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        if chunk.is_first and chunk.is_last:
            yield chunk.data
            return
        self._pieces[chunk.number] = chunk
        whole = self._whole(chunk.number)
        if whole is not None:
            yield whole
            return
        held = sum(len(piece.data) for piece in self._pieces.values())
        if len(self._pieces) > PIECES_MAX or held > PIECES_OCTETS_MAX:
            self._pieces.clear()
            raise PeerError("sctp_gap")

    def _whole(self, number: int) -> bytes | None:
        """Put together the message that a piece is of, where all of it is there."""
        first = number
        while first in self._pieces and not self._pieces[first].is_first:
            first = (first - 1) % _SEQUENCES
        parts, at = [], first
        while at in self._pieces:
            parts.append(self._pieces[at].data)
            if self._pieces[at].is_last:
                for _ in parts:
                    del self._pieces[first]
                    first = (first + 1) % _SEQUENCES
                return b"".join(parts)
            at = (at + 1) % _SEQUENCES
        return None
