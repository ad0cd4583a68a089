"""A load that costs little: packets made before, sent over many sockets, a reply calls the next.

A lane is a socket and an identifier; its packets go one after another, each after the reply to the
one before. What stays unanswered is sent again.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator, Sequence

AGAIN_S = 0.5
END_S = 1_200.0
BUFFER_OCTETS = 1 << 20
REPLY_OCTETS = 4_096

Lane = Sequence[bytes]


def blast(port: int, sockets: Sequence[Sequence[Lane]]) -> float:
    """Send every lane of every socket to its end; return the seconds that took."""
    started_s = time.monotonic()
    with selectors.DefaultSelector() as selector:
        lines = [_Line(port, lanes) for lanes in sockets]
        try:
            for line in lines:
                selector.register(line.socket, selectors.EVENT_READ, line)
                line.begin()
            _drive(selector, lines, started_s + END_S)
        finally:
            for line in lines:
                line.socket.close()
    return time.monotonic() - started_s


def _drive(selector: selectors.BaseSelector, lines: Sequence[_Line], until_s: float) -> None:
    while any(line.waiting for line in lines):
        assert time.monotonic() < until_s, "the server does not answer"
        ready = selector.select(AGAIN_S)
        for key, _ in ready:
            key.data.read()
        if not ready:
            for line in lines:
                line.again()


class _Line:
    """One socket and its lanes."""

    def __init__(self, port: int, lanes: Sequence[Lane]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_OCTETS)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self._rest: dict[int, Iterator[bytes]] = {lane[0][1]: iter(lane) for lane in lanes if lane}
        self.waiting: dict[int, bytes] = {}

    def begin(self) -> None:
        """Send the first packet of each lane."""
        for identifier in self._rest:
            self._next(identifier)

    def read(self) -> None:
        """Take what came; each reply calls its lane's next packet."""
        while True:
            try:
                reply = self.socket.recv(REPLY_OCTETS)
            except BlockingIOError:
                return
            if reply[1] in self.waiting:
                self._next(reply[1])

    def again(self) -> None:
        """Send again what is not answered."""
        for packet in self.waiting.values():
            self.socket.send(packet)

    def _next(self, identifier: int) -> None:
        packet = next(self._rest[identifier], None)
        if packet is None:
            del self.waiting[identifier]
        else:
            self.waiting[identifier] = packet
            self.socket.send(packet)
