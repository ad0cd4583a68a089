"""What flows now, from accounting as it arrives: sessions that stand, and octets by time of use.

Bounded and pure; what is shown of it is of what this process has seen, not a bill.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.usage import Observation, Status

BUCKET_US = 300 * SECOND_US
"""Access points report every few minutes: finer would be made up."""

BUCKETS_MAX = 288
SESSIONS_MAX = 65_536
NODES_MAX = 65_536
"""Nodes of which it is known when they were heard last."""

SILENT_US = 3_600 * SECOND_US
"""A session that reports nothing for so long is over (`usage` closes it by rule)."""

_ENDS = (Status.ON, Status.OFF)


class Stream(NamedTuple):
    """A session's name where it was measured."""

    visited: str
    nas_key: str
    acct_session_id: str


@dataclass(slots=True)
class Standing:
    """A session that stands: where, and what it showed last."""

    node_id: str | None
    octets: int
    event_us: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """A sign of life of a node: `began`, `used` or `ended`, with the octets since the last."""

    kind: str
    node_id: str | None
    octets: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Presence:
    """How a node stands: sessions now, and when it was heard last, None where not lately."""

    sessions: int
    heard_us: int | None


@dataclass(frozen=True, slots=True)
class Flow:
    """Octets used in the five minutes from an instant on."""

    at_us: int
    octets: int


class Traffic:
    """The board; any thread may read it while another reports."""

    def __init__(self, *, sessions_max: int = SESSIONS_MAX, nodes_max: int = NODES_MAX) -> None:
        self._sessions_max = sessions_max
        self._nodes_max = nodes_max
        self._standing: OrderedDict[Stream, Standing] = OrderedDict()
        self._buckets: Counter[int] = Counter()
        self._heard: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def report(self, seen: Observation) -> Pulse | None:
        """Take an observation; return the sign of life it is, None where it is none."""
        with self._lock:
            self._hear(seen)
            if seen.status in _ENDS:
                self._restarted(seen)
                return None
            return self._reported(seen)

    def standing(self, now_us: int) -> int:
        """Return how many sessions stand at an instant."""
        with self._lock:
            self._forget_silent(now_us)
            return len(self._standing)

    def nodes(self, now_us: int, *, limit: int) -> Sequence[tuple[str, int]]:
        """Return the nodes with most sessions, each with how many stand there."""
        with self._lock:
            self._forget_silent(now_us)
            found = Counter(one.node_id for one in self._standing.values() if one.node_id)
        return found.most_common(limit)

    def at(self, node_ids: Collection[str], now_us: int) -> Mapping[str, Presence]:
        """Return how some nodes stand, by node id."""
        with self._lock:
            self._forget_silent(now_us)
            found = Counter(
                one.node_id for one in self._standing.values() if one.node_id in node_ids
            )
            return {node: Presence(found[node], self._heard.get(node)) for node in node_ids}

    def flows(self, now_us: int, *, buckets: int) -> Sequence[Flow]:
        """Return what was used in each of the last five minutes, the oldest first."""
        last = now_us // BUCKET_US
        with self._lock:
            return [
                Flow(bucket * BUCKET_US, self._buckets[bucket])
                for bucket in range(last - buckets + 1, last + 1)
            ]

    def _hear(self, seen: Observation) -> None:
        """Note when a node was heard last; the one heard longest ago is forgotten first."""
        if seen.node_id is None:
            return
        self._heard[seen.node_id] = max(seen.event_us, self._heard.get(seen.node_id, 0))
        self._heard.move_to_end(seen.node_id)
        if len(self._heard) > self._nodes_max:
            self._heard.popitem(last=False)

    def _reported(self, seen: Observation) -> Pulse:
        stream = Stream(seen.visited, seen.nas_key, seen.acct_session_id)
        before = self._standing.get(stream)
        counters = seen.counters
        shown = 0 if counters is None else counters.octets_in + counters.octets_out
        known = 0 if before is None else before.octets
        more = max(shown - known, 0)
        if before is not None:
            from_us = before.event_us
        else:
            time_s = 0 if counters is None else counters.session_time_s
            from_us = seen.event_us - time_s * SECOND_US
        self._spread(more, from_us, seen.event_us)
        if seen.status is Status.STOP:
            self._standing.pop(stream, None)
            return Pulse("ended", seen.node_id, more, seen.event_us)
        event_us = max(seen.event_us, from_us)
        self._standing[stream] = Standing(seen.node_id, max(shown, known), event_us)
        self._standing.move_to_end(stream)
        if len(self._standing) > self._sessions_max:
            self._standing.popitem(last=False)
        kind = "began" if before is None else "used"
        return Pulse(kind, seen.node_id, more, seen.event_us)

    def _spread(self, octets: int, from_us: int, until_us: int) -> None:
        """Book octets evenly over the time in which they were used, the rest to its end."""
        if octets == 0:
            return
        last = until_us // BUCKET_US
        first = min(max(from_us // BUCKET_US, last - BUCKETS_MAX + 1), last)
        share, rest = divmod(octets, last - first + 1)
        for bucket in range(first, last + 1):
            self._buckets[bucket] += share
        self._buckets[last] += rest
        for bucket in _oldest(self._buckets, BUCKETS_MAX):
            del self._buckets[bucket]

    def _restarted(self, seen: Observation) -> None:
        """An access point that came up or went down has no session any more."""
        gone = [s for s in self._standing if s[:2] == (seen.visited, seen.nas_key)]
        for stream in gone:
            del self._standing[stream]

    def _forget_silent(self, now_us: int) -> None:
        silent = [s for s, one in self._standing.items() if one.event_us < now_us - SILENT_US]
        for stream in silent:
            del self._standing[stream]


def _oldest(buckets: Counter[int], kept: int) -> Iterator[int]:
    yield from sorted(buckets)[: max(len(buckets) - kept, 0)]
