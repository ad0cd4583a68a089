"""The port of every reader: octets in, out what they hold or why it cannot be taken, by place."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeVar

Found_co = TypeVar("Found_co", covariant=True)


class Severity(IntEnum):
    """How much a refusal takes with it; the three kinds of RAP, the GSMA's returned accounts.

    A warning takes nothing, a severe error the record at its offset, a fatal one the whole file:
    what the reader yielded of it must not be kept.
    """

    WARNING = 1
    SEVERE = 2
    FATAL = 3


class Datagram(NamedTuple):
    """A UDP payload found in a file.

    `offset` is where its record starts; `time_us` is None where the file does not say when.
    """

    offset: int
    time_us: int | None
    port: int
    payload: bytes


class Frame(NamedTuple):
    """A captured frame: where its record starts, when, and how its first header is to be read."""

    offset: int
    time_us: int | None
    link_type: int
    octets: bytes


class Refused(NamedTuple):
    """Something in a file that could not be taken: where it starts, and a short stable reason."""

    offset: int
    reason: str
    severity: Severity = Severity.SEVERE
    detail: str = ""


Item = Datagram | Refused


class Reader(Protocol[Found_co]):
    """A reader of one file, fed its octets in order in pieces of any size.

    It never raises for what a file holds, goes on after a bad part where lengths can still be
    trusted, and keeps no more than a record.
    """

    def feed(self, octets: bytes) -> Iterator[Found_co | Refused]:
        """Take the next octets and yield what they complete."""
        ...

    def finish(self) -> Iterator[Found_co | Refused]:
        """Say that the file ends here; yield the refusal of what it cut."""
        ...
