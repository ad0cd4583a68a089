"""Octets fed in pieces, taken in whole records."""

from __future__ import annotations


class Buffer:
    """Holds what was fed and not yet taken; `offset` is where in the file that begins."""

    __slots__ = ("_octets", "_start", "offset")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._start = 0
        self.offset = 0

    def __len__(self) -> int:
        """Return how many octets wait."""
        return len(self._octets) - self._start

    def feed(self, octets: bytes) -> None:
        """Add the next octets of the file."""
        del self._octets[: self._start]
        self._start = 0
        self._octets += octets

    def peek(self, size: int, at: int = 0) -> bytes:
        """Return octets without taking them."""
        start = self._start + at
        return bytes(self._octets[start : start + size])

    def find(self, needle: bytes) -> int:
        """Return how far away a needle begins, -1 if it is not there."""
        found = self._octets.find(needle, self._start)
        return found - self._start if found >= 0 else -1

    def take(self, size: int) -> bytes:
        """Take the next octets."""
        taken = self.peek(size)
        self._start += len(taken)
        self.offset += len(taken)
        return taken

    def clear(self) -> None:
        """Take everything."""
        self.take(len(self))
