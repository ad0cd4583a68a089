"""A line to this machine's kernel: netlink, a question at a time."""

from __future__ import annotations

import socket
from typing import Final

GENERIC: Final = 16
ROUTE: Final = 0
ANSWER_S: Final = 0.2
ANSWER_OCTETS_MAX: Final = 65_536


class KernelLine:
    """Asks over a socket that is opened when it is needed; no privilege is, to read."""

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._socket: socket.socket | None = None
        self.sequence = 0

    def next(self) -> int:
        """Return the number of the next question."""
        self.sequence = self.sequence % 0xFFFF_FFFF + 1
        return self.sequence

    def ask(self, request: bytes) -> bytes:
        """Ask, and return the first that is answered; `OSError` where nothing is."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self._protocol)
            self._socket.bind((0, 0))
            self._socket.settimeout(ANSWER_S)
        self._socket.sendto(request, (0, 0))
        return self.more()

    def more(self) -> bytes:
        """Return what else is answered."""
        assert self._socket is not None
        answer, source = self._socket.recvfrom(ANSWER_OCTETS_MAX)
        if source[0] != 0:
            raise OSError("an answer that is not the kernel's")
        return answer

    def close(self) -> None:
        """Close the socket; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
