"""Cumulative counters out of what an access point or the kernel shows: pure rules.

A counter that falls is read once: as a wrap of 32 bits where so many octets could have flowed in
the time, else as one that began again at zero. Nothing is ever taken off a total.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Final

from opencarrier.kernel.clock import SECOND_US

WORD: Final = 1 << 32


class Flag(IntFlag):
    """What was done to a session's numbers before they were signed; each feeds a dispute."""

    NONE = 0
    SESSION_ID_REPAIRED = 1
    WRAPPED = 2
    BEGAN_AGAIN = 4
    KERNEL = 8
    PORT_LOST = 16
    BEGUN_LATE = 32
    CLASS_RESTORED = 64


@dataclass(frozen=True, slots=True)
class Counter:
    """One direction: the value that was last shown, and the octets in all."""

    last: int = 0
    total: int = 0

    def risen(self, shown: int, most: int) -> tuple[Counter, Flag]:
        """Take what is shown now, when at most `most` octets can have flowed since the last."""
        assert shown >= 0
        if shown >= self.last:
            return Counter(shown, self.total + shown - self.last), Flag.NONE
        wrapped = shown % WORD + WORD - self.last % WORD
        if shown // WORD == self.last // WORD and wrapped <= most:
            return Counter(shown, self.total + wrapped), Flag.WRAPPED
        return Counter(shown, self.total + shown), Flag.BEGAN_AGAIN


ZERO: Final = Counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortReading:
    """What the kernel shows of a port: which interface it is now, and its octets.

    `octets_in` came from the station. `interface` changes when the interface is made anew, and its
    counters then began at zero.
    """

    interface: int
    octets_in: int
    octets_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMeter:
    """A session's use of its port; the first reading is where it begins."""

    interface: int
    octets_in: Counter
    octets_out: Counter

    @classmethod
    def from_reading(cls, reading: PortReading) -> PortMeter:
        """Begin at a reading: what flowed before is somebody else's."""
        return cls(
            interface=reading.interface,
            octets_in=Counter(last=reading.octets_in),
            octets_out=Counter(last=reading.octets_out),
        )

    def read(self, reading: PortReading) -> tuple[PortMeter, Flag]:
        """Take a reading; an interface made anew, or one that fell, counts from zero."""
        before = self if reading.interface == self.interface else _anew(self)
        octets_in, first = before.octets_in.risen(reading.octets_in, most=0)
        octets_out, second = before.octets_out.risen(reading.octets_out, most=0)
        flag = Flag.NONE if before is self else Flag.BEGAN_AGAIN
        moved = replace(
            before, interface=reading.interface, octets_in=octets_in, octets_out=octets_out
        )
        return moved, flag | first | second


def _anew(meter: PortMeter) -> PortMeter:
    return replace(
        meter,
        octets_in=replace(meter.octets_in, last=0),
        octets_out=replace(meter.octets_out, last=0),
    )


def flowable(octets_per_s: int, elapsed_us: int) -> int:
    """Return how many octets fit through a link in a time, a second of slack included."""
    return octets_per_s * (max(elapsed_us, 0) + SECOND_US) // SECOND_US
