"""Conversations keep to their worker: the first octet of State names it.

Several processes share a port (SO_REUSEPORT): the kernel spreads clients by their addresses, and
an access point that goes on from another of its own ports, or meets a worker that joined or went,
may reach any of them. Whoever gets another's conversation hands the datagram over; the reply leaves
from the same port either way.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.duplicates import Address
from opencarrier.access.wire.radius import HEADER_OCTETS

WORKERS_MAX = 64
HANDED_OCTETS_MAX = 65_535
_PORT_OCTETS = 2

Take = Callable[[bytes, Address], None]
"""What a worker does with a datagram handed to it, and where that came from."""


def worker_of(datagram: bytes) -> int | None:
    """Return the worker that a request's State names; None where it has none."""
    if len(datagram) < HEADER_OCTETS or datagram[0] != Code.ACCESS_REQUEST:
        return None
    place, end = HEADER_OCTETS, len(datagram) - 2
    while place < end:
        length = datagram[place + 1]
        if datagram[place] == Type.STATE and length > 2:
            return datagram[place + 2]
        if length < 2:
            return None
        place += length
    return None


class Affinity:
    """One worker's end of the hand-over: a socket of its own in a folder all workers know.

    The folder is its owner's only: what comes in is taken as if it came over the port.
    """

    def __init__(self, folder: Path, worker: int, workers: int) -> None:
        assert 0 <= worker < workers <= WORKERS_MAX
        self._folder = folder
        self._worker = worker
        self._workers = workers
        self._take: Take | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        path = self._path(worker)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))

    def start(self, take: Take) -> None:
        """Take what others hand over, in the running event loop."""
        self._take = take
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def handed_over(self, datagram: bytes, source: Address) -> bool:
        """Give a datagram to the worker whose conversation it is; False where that is ours.

        Where that worker is gone the conversation is too: it is ours to say so.
        """
        worker = worker_of(datagram)
        if worker is None or worker == self._worker or worker >= self._workers:
            return False
        host = source[0].encode()
        head = bytes((len(host),)) + host + source[1].to_bytes(_PORT_OCTETS, "big")
        try:
            self._socket.sendto(head + datagram, str(self._path(worker)))
        except BlockingIOError:
            return True  # it is full up: the client's repeat comes again
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Take nothing more."""
        if self._take is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._path(self._worker).unlink(missing_ok=True)

    def _read(self) -> None:
        assert self._take is not None
        while True:
            try:
                handed = self._socket.recv(HANDED_OCTETS_MAX)
            except BlockingIOError:
                return
            port_at = 1 + handed[0]
            host = handed[1:port_at].decode()
            datagram_at = port_at + _PORT_OCTETS
            port = int.from_bytes(handed[port_at:datagram_at], "big")
            self._take(handed[datagram_at:], (host, port))

    def _path(self, worker: int) -> Path:
        return self._folder / f"worker-{worker}"
