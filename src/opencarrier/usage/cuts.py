"""Where a running session is cut because its terms change, and what it had used by then.

An access point reports when it pleases, not when a tariff ends. What was used by an instant lies on
the line between the readings around it, rounded down: it never falls, and the parts sum to the
whole whatever the line is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opencarrier.spine.usage import Counters
from opencarrier.usage.model import Reading, Session


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """How far a session had come at an instant."""

    at_us: int
    counters: Counters


def marks(
    session: Session, to: Counters, readings: Iterable[Reading], instants: Sequence[int]
) -> list[Mark]:
    """Return how far a session had come at each instant, and at its end; the counters ascend.

    `to` is what the cut settles, `readings` are those of its stream, `instants` lie between what
    was settled last and the session's end, ascending.
    """
    if not instants:
        return [Mark(session.end_us, to)]
    line = _line(session, to, readings)
    times = [mark.at_us for mark in line]
    found = [_between(line, bisect_right(times, at_us), at_us) for at_us in instants]
    return [*found, line[-1]]


def _line(session: Session, to: Counters, readings: Iterable[Reading]) -> list[Mark]:
    """Return what is known of the way from the settled counters to `to`, one mark an instant."""
    reached = session.settled
    line = {session.settled_us: reached}
    for reading in sorted(readings):
        if session.settled_us < reading.event_us < session.end_us:
            reached = _clipped(reached, reading.counters, to)
            line[reading.event_us] = reached
    line[session.end_us] = to
    return [Mark(at_us, counters) for at_us, counters in line.items()]


def _clipped(reached: Counters, seen: Counters, to: Counters) -> Counters:
    """Return the higher of two counters, but no more than what is settled."""
    return Counters(
        session_time_s=min(max(reached.session_time_s, seen.session_time_s), to.session_time_s),
        octets_in=min(max(reached.octets_in, seen.octets_in), to.octets_in),
        octets_out=min(max(reached.octets_out, seen.octets_out), to.octets_out),
    )


def _between(line: Sequence[Mark], place: int, at_us: int) -> Mark:
    """Return the point of the line at an instant before its last mark."""
    before, after = line[place - 1], line[place]
    passed_us, whole_us = at_us - before.at_us, after.at_us - before.at_us

    def part(start: int, end: int) -> int:
        return start + (end - start) * passed_us // whole_us

    one, two = before.counters, after.counters
    return Mark(
        at_us,
        Counters(
            session_time_s=part(one.session_time_s, two.session_time_s),
            octets_in=part(one.octets_in, two.octets_in),
            octets_out=part(one.octets_out, two.octets_out),
        ),
    )
