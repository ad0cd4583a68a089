"""The room's door: keep observations, cut cycles, answer what was used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_

from opencarrier.kernel.ids import Id
from opencarrier.spine.people import batches
from opencarrier.spine.ports import Acknowledgements, TermChanges
from opencarrier.spine.usage import Counters, Observation, Sought, Stretch, Usage
from opencarrier.usage import store, tables
from opencarrier.usage.cuts import marks
from opencarrier.usage.model import SILENCE_US, Reading, Session, Stream, Totals
from opencarrier.usage.rules import due, reduce_stream, settle, usages_of

STREAMS_MAX = 256
"""Streams reduced and written together; memory holds these and no more."""

FAR_US = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class UsageService:
    """Answers the ports UsageSink, Reported and UsageSource, and questions of status and look-ups.

    `silence_us` closes a session nobody reported on for longer. `acknowledgements` says how far
    devices signed for sessions that are paid for as they go: what a meter shows beyond that is
    withheld, and owed by a later cut as far as it is signed for then. `terms` says when a session's
    terms change: it is cut there, to the microsecond.
    """

    silence_us: int = SILENCE_US
    acknowledgements: Acknowledgements | None = None
    terms: TermChanges | None = None

    def record(self, unit: Connection, observations: Sequence[Observation]) -> int:
        """Keep observations durably with the unit; return how many were new."""
        return store.append(unit, observations)

    def add(self, unit: Connection, observations: Sequence[Observation]) -> int:
        """Keep observations durably with a unit that only adds; return how many were new."""
        return store.append_beside(unit, observations)

    def octets_before(self, unit: Connection, observation: Observation) -> int:
        """Return what a session had counted when its authorisation took over from another."""
        return store.octets_before(unit, observation)

    def last_heard(
        self, unit: Connection, sessions: Sequence[Sought]
    ) -> Mapping[bytes, tuple[int, bool]]:
        """Return by authorisation when it was last reported on, and whether that ended it."""
        return store.last_heard(unit, sessions)

    def cut(self, unit: Connection, *, cycle_id: Id, cut_us: int) -> Sequence[Usage]:
        """End a cycle: what each session has new up to `cut_us`, ascending by usage id.

        That is one usage a session, and one more for each change of its terms.

        What is later than `cut_us` waits for a later cut. The same cycle again returns the same
        usages and changes nothing, whatever arrived since.
        """
        if not store.is_cut(unit, cycle_id):
            self._cut(unit, cycle_id, cut_us)
        return self.usages(unit, cycle_id)

    def usages(self, unit: Connection, cycle_id: Id) -> Sequence[Usage]:
        """Return a cycle's usages, ascending by id."""
        return tuple(store.usages(unit, tables.USAGES.c.cycle_id == cycle_id))

    def every(self, unit: Connection) -> Iterator[Usage]:
        """Yield every usage that was cut, a session's in their order."""
        return store.all_usages(unit)

    def usage(self, unit: Connection, usage_id: Id) -> Usage | None:
        """Return a usage."""
        return next(store.usages(unit, tables.USAGES.c.usage_id == usage_id), None)

    def some(self, unit: Connection, usage_ids: Iterable[Id]) -> Mapping[Id, Usage]:
        """Return some usages by id, asked for a bounded number at a time."""
        found: dict[Id, Usage] = {}
        for ids in batches(sorted(set(usage_ids))):
            for usage in store.usages(unit, tables.USAGES.c.usage_id.in_(ids)):
                found[usage.usage_id] = usage
        return found

    def usages_of(self, unit: Connection, session_id: Id) -> Sequence[Usage]:
        """Return every usage cut from a session, the oldest first."""
        found = store.usages(unit, tables.USAGES.c.session_id == session_id)
        return sorted(found, key=lambda usage: usage.counters_from)

    def session(self, unit: Connection, session_id: Id) -> Session | None:
        """Return a session as the last cut left it."""
        return next(store.sessions(unit, tables.SESSIONS.c.session_id == session_id), None)

    def sessions_of(self, unit: Connection, authorisation_id: bytes) -> Sequence[Session]:
        """Return the sessions an authorisation saw, as the last cut left them."""
        condition = tables.SESSIONS.c.authorisation_id == authorisation_id
        return tuple(store.sessions(unit, condition))

    def used_under(self, unit: Connection, authorisations: Sequence[bytes]) -> list[Usage]:
        """Return every usage under some authorisations, the newest of each first."""
        return store.newest_usages(unit, authorisations)

    def newest_under(
        self,
        unit: Connection,
        authorisation_id: bytes,
        *,
        before: tuple[int, bytes] | None,
        limit: int,
    ) -> list[Usage]:
        """Return usages under an authorisation, the newest first, those after one by end and id."""
        return store.newest_usages(unit, [authorisation_id], before=before, limit=limit)

    def evidence(self, unit: Connection, stream: Stream) -> Iterator[Observation]:
        """Yield every observation of a stream as it arrived."""
        return store.observations(unit, store.of_streams(tables.OBSERVATIONS, [stream]))

    def newest(self, unit: Connection) -> int:
        """Return the number of the observation that arrived last, zero before the first."""
        return store.newest(unit)

    def arrived_after(
        self, unit: Connection, number: int, *, limit: int
    ) -> Sequence[tuple[int, Observation]]:
        """Return observations that arrived after one, in their order, each with its number.

        Nothing is passed over in a unit that writes. In one that reads, where several append at
        once (PostgreSQL), one that was numbered before another and is committed after it may be:
        `arrived_as` finds it.
        """
        return store.arrived_after(unit, number, limit=limit)

    def arrived_as(
        self, unit: Connection, numbers: Sequence[int]
    ) -> Sequence[tuple[int, Observation]]:
        """Return observations that have some numbers, in their order, each with its number."""
        return store.arrived_as(unit, numbers)

    def last_cut_us(self, unit: Connection) -> int | None:
        """Return the instant of the newest cut, None before the first."""
        return store.last_cut_us(unit)

    def totals(self, unit: Connection) -> Totals:
        """Count what the room holds."""
        return store.totals(unit)

    def preview(
        self, unit: Connection, streams: Sequence[Stream], *, at_us: int = FAR_US
    ) -> dict[Stream, list[Session]]:
        """Return the sessions of some streams as a cut of all that was recorded would see them.

        What has fallen silent by `at_us` is closed: all of it where no instant is named.
        """
        if not streams:
            return {}
        condition = and_(
            store.pending(unit, few=True), store.of_streams(tables.OBSERVATIONS, streams)
        )
        heard = dict(store.readings(unit, condition))
        stood = store.standing(unit, streams)
        restarts = _Restarts(unit, until_us=at_us)
        return {
            stream: reduce_stream(
                stream,
                stood.get(stream, []),
                heard.get(stream, []),
                restarts=restarts.of(stream),
                cut_us=at_us,
                silence_us=self.silence_us,
            )
            for stream in streams
        }

    def _cut(self, unit: Connection, cycle_id: Id, cut_us: int) -> None:
        store.drop_erased(unit)
        new = and_(store.pending(unit), tables.OBSERVATIONS.c.event_us <= cut_us)
        count = 0
        batch: dict[Stream, list[Reading]] = {}
        withheld = store.withheld(unit)
        for stream, readings in store.readings(unit, new):
            withheld.discard(stream)
            batch[stream] = readings
            if len(batch) == STREAMS_MAX:
                count += self._settle(unit, cycle_id, cut_us, batch)
                batch = {}
        count += self._settle(unit, cycle_id, cut_us, batch)
        for streams in _batched(sorted(withheld), STREAMS_MAX):
            count += self._settle(unit, cycle_id, cut_us, {stream: [] for stream in streams})
        store.close_by_rule(unit, cut_us=cut_us, silence_us=self.silence_us)
        store.finish_cut(unit, cycle_id, cut_us=cut_us, usages=count)

    def _settle(
        self, unit: Connection, cycle_id: Id, cut_us: int, heard: dict[Stream, list[Reading]]
    ) -> int:
        """Reduce some streams, keep what they come to, return how many usages that made."""
        streams = list(heard)
        stood = store.standing(unit, streams)
        restarts = _Restarts(unit, until_us=cut_us)
        found = [
            session
            for stream, readings in heard.items()
            for session in reduce_stream(
                stream,
                stood.get(stream, []),
                readings,
                restarts=restarts.of(stream),
                cut_us=cut_us,
                silence_us=self.silence_us,
            )
        ]
        before = [session for known in stood.values() for session in known]
        return self._owe(unit, cycle_id, before, found, heard)

    def _owe(
        self,
        unit: Connection,
        cycle_id: Id,
        stood: list[Session],
        found: list[Session],
        heard: dict[Stream, list[Reading]],
    ) -> int:
        """Settle what is owed of some sessions, withhold the rest of it; return the usages."""
        acknowledged, changes = self._acknowledged(unit, found), self._changes(unit, found)
        usages: list[Usage] = []
        sessions: list[Session] = []
        for session in found:
            to = due(session, acknowledged.get(session.session_id))
            instants = changes.get(session.session_id, ())
            parts = usages_of(session, marks(session, to, heard[session.stream], instants))
            usages += parts
            sessions.append(settle(session, to, len(parts)) if parts else session)
        store.withhold(unit, sessions, before=stood)
        store.replace_sessions(unit, stood, sessions)
        store.add_usages(unit, cycle_id, usages)
        return len(usages)

    def _acknowledged(self, unit: Connection, sessions: Sequence[Session]) -> Mapping[Id, Counters]:
        known = {s.session_id: s.authorisation_id for s in sessions if s.authorisation_id}
        if self.acknowledgements is None or not known:
            return {}
        return self.acknowledgements.acknowledged(unit, known)

    def _changes(self, unit: Connection, sessions: Sequence[Session]) -> Mapping[Id, Sequence[int]]:
        """Return when the terms of some sessions change between their last cut and their end."""
        if self.terms is None:
            return {}
        return self.terms.changes(
            unit,
            [
                Stretch(
                    session_id=session.session_id,
                    authorisation_id=session.authorisation_id,
                    home=session.home,
                    visited=session.stream.visited,
                    start_us=session.settled_us,
                    end_us=session.end_us,
                )
                for session in sessions
                if session.home is not None and session.settled_us < session.end_us
            ],
        )


def _batched(streams: Iterable[Stream], size: int) -> Iterator[list[Stream]]:
    """Cut streams into batches."""
    rest = list(streams)
    for start in range(0, len(rest), size):
        yield rest[start : start + size]


class _Restarts:
    """An access point's restarts, read once for the streams of it that follow each other."""

    def __init__(self, unit: Connection, *, until_us: int) -> None:
        self._unit, self._until_us = unit, until_us
        self._nas: tuple[str, str] | None = None
        self._found: list[int] = []

    def of(self, stream: Stream) -> list[int]:
        """Return the event times of On and Off, ascending."""
        if (nas := (stream.visited, stream.nas_key)) != self._nas:
            self._nas = nas
            self._found = store.restarts(self._unit, *nas, until_us=self._until_us)
        return self._found
