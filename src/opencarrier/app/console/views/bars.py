"""Where the bars of a picture by day stand: whole numbers, stacked by reason, less below zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opencarrier.app.console.views.host import DayLine

SLOT = 20
BAR = 14
HEIGHT = 160


@dataclass(frozen=True, slots=True)
class Bar:
    """A reason's part of a day, from its upper corner at the start."""

    reason: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class DayBars:
    """A day's bars and the whole strip it may be pointed at."""

    day: DayLine
    x: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """All days beside each other; `zero` is the height of nothing, `most_minor` that of the top."""

    width: int
    height: int
    zero: int
    most_minor: int
    days: tuple[DayBars, ...]


def picture(days: Sequence[DayLine]) -> Picture:
    """Place the bars: the tallest day reaches the top, what is below zero hangs from there."""
    up = max((_sum(day, 1) for day in days), default=0)
    down = max((_sum(day, -1) for day in days), default=0)
    whole = max(up + down, 1)
    zero = HEIGHT * up // whole if up else 0 if down else HEIGHT
    return Picture(
        width=SLOT * len(days),
        height=HEIGHT,
        zero=zero,
        most_minor=up,
        days=tuple(
            DayBars(day, SLOT * number, tuple(_bars(day, SLOT * number, zero, whole)))
            for number, day in enumerate(days)
        ),
    )


def _sum(day: DayLine, sign: int) -> int:
    return sum(max(sign * one.amount_minor, 0) for one in day.reasons)


def _bars(day: DayLine, x: int, zero: int, whole: int) -> Iterator[Bar]:
    """Stack each reason on the one before; edges are rounded down, so that none overlap."""
    margin = (SLOT - BAR) // 2
    for sign in (1, -1):
        so_far = 0
        for one in day.reasons:
            amount = sign * one.amount_minor
            if amount <= 0:
                continue
            before, so_far = so_far, so_far + amount
            near, far = (HEIGHT * edge // whole for edge in (before, so_far))
            top = zero - far if sign > 0 else zero + near
            yield Bar(one.reason, x + margin, max(top, 0), BAR, far - near)
