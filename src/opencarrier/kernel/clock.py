"""Time is an argument: UTC microseconds as int64, windows half open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SECOND_US = 1_000_000


class Clock(Protocol):
    """Whoever tells the time: the system in production, the world in a simulation."""

    def now_us(self) -> int:
        """Return UTC microseconds since 1970-01-01."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span of time: `start_us` belongs to it, `end_us` does not."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        assert self.start_us <= self.end_us, "a window ends before it starts"

    def holds(self, at_us: int) -> bool:
        """Say whether an instant lies in the window."""
        return self.start_us <= at_us < self.end_us

    def overlaps(self, other: Window) -> bool:
        """Say whether two windows share an instant."""
        return self.start_us < other.end_us and other.start_us < self.end_us


class FixedClock:
    """A clock that stands where it was put and moves only when told."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """Return the instant the clock was last set to."""
        return self._now_us

    def set(self, now_us: int) -> None:
        """Move the clock forward; it never goes back."""
        assert now_us >= self._now_us, "a clock does not go back"
        self._now_us = now_us
