"""What every reader yields: a datagram with its place and time, or a refusal with its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Datagram(NamedTuple):
    """A UDP payload found in a file.

    `offset` is where its record starts; `time_us` is None where the file does not say when.
    """

    offset: int
    time_us: int | None
    port: int
    payload: bytes


class Refused(NamedTuple):
    """Something in a file that could not be read: where it starts, and a short stable reason."""

    offset: int
    reason: str


Item = Datagram | Refused


class Reader(Protocol):
    """A reader of one file, fed its octets in order in pieces of any size."""

    def feed(self, octets: bytes) -> Iterator[Item]:
        """Take the next octets and yield what they complete."""
        ...

    def finish(self) -> Iterator[Item]:
        """Say that the file ends here; yield the refusal of what it cut."""
        ...
