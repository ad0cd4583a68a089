"""Which readings of a stream count together: one meter is one count of the access point.

RFC 2866 section 5.5 promises an Acct-Session-Id unique between two restarts, no more. So readings
are put together by when their session began, which each of them tells (event less session time).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.usage import Status
from opencarrier.usage.model import Reading, Session

BIRTH_SLACK_US = 10 * SECOND_US
"""How far two readings may disagree about when their session began, before drift."""

DRIFT_DIVISOR = 1_000
"""An access point's clock may drift by one part in this many."""

_Key = TypeVar("_Key", bytes, tuple[int, str])


def slack_us(session_time_s: int) -> int:
    """Return how far a reading's birth may lie from another's of the same session."""
    return BIRTH_SLACK_US + session_time_s * SECOND_US // DRIFT_DIVISOR


def epoch_at(restarts: Sequence[int], start_us: int) -> int:
    """Return the newest Accounting-On or -Off at or before a session's start, 0 if there is none.

    `restarts` ascend; they are event times, so the order of arrival decides nothing.
    """
    index = bisect_right(restarts, start_us)
    return restarts[index - 1] if index else 0


@dataclass(slots=True)
class Meter:
    """Readings that agree on when their count began, in event order, and what stood of it."""

    standing: list[Session] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)

    def take(self, other: Meter) -> None:
        """Join another part of the same count."""
        self.standing += other.standing
        self.readings += other.readings

    @property
    def authorisations(self) -> set[bytes]:
        """Every authorisation that used the meter."""
        stood = {s.authorisation_id for s in self.standing if s.authorisation_id is not None}
        return stood | {r.authorisation_id for r in self.readings if r.authorisation_id}

    @property
    def birth_us(self) -> int:
        """When the count began: as settled, else the first Start, else the earliest birth."""
        settled = [session.birth_us for session in self.standing if session.usages]
        if settled:
            return min(settled)
        births = [session.birth_us for session in self.standing]
        births += [r.event_us for r in self.readings if r.status == Status.START]
        return min(births or (r.birth_us for r in self.readings))

    def epoch_us(self, restarts: Sequence[int]) -> int:
        """The access point's restart the count began after: as settled, else by event time."""
        settled = [session.epoch_us for session in self.standing if session.usages]
        return min(settled) if settled else epoch_at(restarts, self.birth_us)

    @property
    def home(self) -> str:
        """The home it is counted for: as settled, else as stood, else the earliest named."""
        settled = [session.home or "" for session in self.standing if session.usages]
        if settled:
            return settled[0]
        stood = [session.home for session in self.standing if session.home]
        said = min((reading for reading in self.readings if reading.home), default=None)
        return stood[0] if stood else said.home if said else ""

    def weak_names(self, restarts: Sequence[int]) -> set[tuple[int, str]]:
        """What tells its weak session ids apart from others of the stream: epoch and home."""
        names = {(s.epoch_us, s.home or "") for s in self.standing if s.weak and s.usages}
        return names if self.authorisations else names | {(self.epoch_us(restarts), self.home)}


def meters(
    standing: Iterable[Session], readings: Iterable[Reading], restarts: Sequence[int]
) -> list[Meter]:
    """Put readings and standing sessions together by meter, ascending by when each began.

    Together are those whose births lie close, those of one authorisation, and of those without
    any, whose weak session id would be the same (one home, one epoch).
    """
    order = sorted(standing, key=lambda session: (session.turn, session.session_id))
    found = _by_birth(order, sorted(set(readings)))
    found = _merge(found, lambda meter: meter.authorisations)
    found = _merge(found, lambda meter: meter.weak_names(restarts))
    for meter in found:
        meter.standing.sort(key=lambda session: (session.turn, session.session_id))
        meter.readings.sort()
    return sorted(found, key=lambda meter: meter.birth_us)


def _by_birth(standing: list[Session], readings: list[Reading]) -> list[Meter]:
    """Chain what was born close together; each link may be as long as the longer slack."""
    points = [
        (s.birth_us, slack_us(s.counters.session_time_s), Meter(standing=[s])) for s in standing
    ]
    for birth_us, reading in zip(_births(standing, readings), readings, strict=True):
        points.append((birth_us, slack_us(reading.session_time_s), Meter(readings=[reading])))
    points.sort(key=lambda point: point[:2])
    found: list[Meter] = []
    newest_us = reach_us = 0
    for birth_us, slack, meter in points:
        near = bool(found) and birth_us - newest_us <= max(slack, reach_us)
        if near and not _apart(found[-1], meter):
            found[-1].take(meter)
        else:
            found.append(meter)
        newest_us, reach_us = birth_us, slack
    return found


def _apart(left: Meter, right: Meter) -> bool:
    """Whether both stood, and as two: what was told apart once is not put together later."""
    return {s.birth_us for s in left.standing} != {s.birth_us for s in right.standing} and bool(
        left.standing and right.standing
    )


def _births(standing: list[Session], readings: list[Reading]) -> Iterator[int]:
    """Yield when each reading's session began; one that counts octets but no time tells nothing,

    so it goes with what came before it.
    """
    before_us = max(((s.last_us, s.birth_us) for s in standing), default=(0, None))[1]
    for reading in readings:
        octets = reading.octets_in or reading.octets_out
        if reading.session_time_s or not octets or before_us is None:
            before_us = reading.birth_us
        yield before_us


def _merge(found: list[Meter], keys_of: Callable[[Meter], set[_Key]]) -> list[Meter]:
    """Join meters that share a key."""
    owners: dict[_Key, Meter] = {}
    keys: dict[int, set[_Key]] = {}
    merged: dict[int, Meter] = {}
    for meter in found:
        target, own = meter, keys_of(meter)
        for other in {id(owners[key]): owners[key] for key in own if key in owners}.values():
            target, gone = (
                (other, target)
                if len(other.readings) > len(target.readings)
                else (
                    target,
                    other,
                )
            )
            target.take(gone)
            own |= keys.pop(id(other))
            del merged[id(other)]
        owners.update(dict.fromkeys(own, target))
        keys[id(target)] = own
        merged[id(target)] = target
    return list(merged.values())
