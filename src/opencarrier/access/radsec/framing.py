"""A stream of octets as RADIUS packets, and how many of them may be in work: sans-IO."""

from __future__ import annotations

from collections import deque

from opencarrier.access.wire.radius import HEADER_OCTETS, PACKET_OCTETS_MAX
from opencarrier.kernel.refusals import PeerError

LENGTH_END = 4
IN_WORK_MAX = 256
"""As many as there are identifiers."""

IN_WORK_S = 10.0
"""A request that has no reply by then will not get one."""


class Framer:
    """Cuts a stream into packets by their Length (RFC 6613 section 2.6.1).

    A Length outside 20 to 4096 is a `PeerError`: where the next packet begins is then unknown, so
    the connection is over.
    """

    def __init__(self) -> None:
        self._octets = bytearray()

    def __len__(self) -> int:
        """How many octets wait."""
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        """Take what came."""
        self._octets += octets

    def next(self) -> bytes | None:
        """The next whole packet, None before its last octet came."""
        if len(self._octets) < LENGTH_END:
            return None
        length = int.from_bytes(self._octets[2:LENGTH_END], "big")
        if not HEADER_OCTETS <= length <= PACKET_OCTETS_MAX:
            raise PeerError("packet_length", f"Length {length}", offset=2)
        if len(self._octets) < length:
            return None
        packet = bytes(self._octets[:length])
        del self._octets[:length]
        return packet


class Window:
    """How many requests of a connection are in work.

    A request that is given up sends nothing, so each leaves the window by itself in the end.
    """

    def __init__(self, size: int = IN_WORK_MAX, *, ttl_s: float = IN_WORK_S) -> None:
        assert size > 0
        self._size = size
        self._ttl_s = ttl_s
        self._until_s: deque[float] = deque()

    def __len__(self) -> int:
        """How many are in work."""
        return len(self._until_s)

    @property
    def is_full(self) -> bool:
        """Whether the next request has to wait."""
        return len(self._until_s) >= self._size

    def begin(self, now_s: float) -> None:
        """Note a request."""
        self._until_s.append(now_s + self._ttl_s)

    def end(self) -> None:
        """Note a reply."""
        if self._until_s:
            self._until_s.popleft()

    def expire(self, now_s: float) -> None:
        """Let those go that will have no reply."""
        while self._until_s and self._until_s[0] <= now_s:
            self._until_s.popleft()
