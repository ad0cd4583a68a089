"""The reducer: from the readings of a stream, in any order, to its sessions and their use.

Every function here is a function of *sets*: readings are put in one order before they are folded,
so duplicates and the order of arrival decide nothing. What a cut has settled stands; the fold goes
on from there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise

from opencarrier.kernel.ids import Id
from opencarrier.spine import ids
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import ZERO, Counters, Observation, Rung, Status, Usage
from opencarrier.usage.cuts import Mark
from opencarrier.usage.meters import Meter, meters, slack_us
from opencarrier.usage.model import Anomaly, Reading, Session, Stream

WRAP = 1 << 32
"""Where Acct-Input-Octets and Acct-Output-Octets roll over (RFC 2866 section 5.3)."""

_OPEN, _STOP, _RULE = "", "stop", "rule"


def observation_id(observation: Observation) -> Id:
    """Name an observation; copies of one packet get one name, whatever way they came.

    Without an authorisation the epoch is not known yet, so the event time stands in its place:
    two sessions that reuse an Acct-Session-Id after a restart must not swallow each other.
    """
    if observation.authorisation_id is not None:
        parent = ids.session_id(
            observation.authorisation_id, observation.nas_key, observation.acct_session_id
        )
    else:
        parent = ids.weak_session_id(
            observation.home,
            observation.visited,
            observation.nas_key,
            observation.acct_session_id,
            epoch_us=observation.event_us,
        )
    return ids.observation_id(
        parent, observation.reporter, observation.status, observation.counters
    )


def join(left: Counters, right: Counters) -> Counters:
    """Return the higher of each counter: commutative, associative, idempotent."""
    return Counters(
        session_time_s=max(left.session_time_s, right.session_time_s),
        octets_in=max(left.octets_in, right.octets_in),
        octets_out=max(left.octets_out, right.octets_out),
    )


def covers(counters: Counters, reading: Reading) -> bool:
    """Say whether a reading shows nothing above some counters."""
    return (
        reading.session_time_s <= counters.session_time_s
        and reading.octets_in <= counters.octets_in
        and reading.octets_out <= counters.octets_out
    )


def reduce_stream(
    stream: Stream,
    standing: Iterable[Session],
    readings: Iterable[Reading],
    *,
    restarts: Sequence[int],
    cut_us: int,
    silence_us: int,
) -> list[Session]:
    """Return the stream's sessions after new readings, ascending by session id.

    `standing` are its sessions as the last cut left them, `readings` what came since, `restarts`
    the event times of the access point's Accounting-On and -Off up to `cut_us`, ascending.
    A session that stood but is not returned was never cut and is now known by another id.
    """
    found: list[Session] = []
    for meter in meters(standing, readings, restarts):
        sessions = _sessions(stream, meter, meter.epoch_us(restarts))
        found += _closed(sessions, restarts, cut_us=cut_us, silence_us=silence_us)
    assert len({session.session_id for session in found}) == len(found), "one id, two sessions"
    return sorted(found, key=lambda session: session.session_id)


def due(session: Session, acknowledged: Counters | None) -> Counters:
    """Return how far a session's use is owed: what its meter shows, where it is prepaid.

    Where it pays as it uses, only what its device signed for too (`acknowledged`, counted from
    the session's start); what the meter shows beyond that stays evidence. Never less than what
    was settled.
    """
    if acknowledged is None:
        return session.counters
    base, counters = session.base, session.counters
    both = Counters(
        session_time_s=min(
            counters.session_time_s, base.session_time_s + acknowledged.session_time_s
        ),
        octets_in=min(counters.octets_in, base.octets_in + acknowledged.octets_in),
        octets_out=min(counters.octets_out, base.octets_out + acknowledged.octets_out),
    )
    return join(session.settled, both)


def usages_of(session: Session, marks: Iterable[Mark]) -> list[Usage]:
    """Return what a session used since it was last settled, a usage up to each mark.

    There is none up to a mark by which nothing more was used.
    """
    found: list[Usage] = []
    start_us, reached = session.settled_us, session.settled
    for mark in marks:
        if mark.counters != reached:
            found.append(_usage(session, Mark(start_us, reached), mark))
        start_us, reached = mark.at_us, mark.counters
    if found:
        found[-1] = replace(found[-1], closed_by=session.closed_by)
    return found


def _usage(session: Session, before: Mark, after: Mark) -> Usage:
    return Usage(
        usage_id=ids.usage_id(session.session_id, before.counters, after.counters),
        session_id=session.session_id,
        authorisation_id=session.authorisation_id,
        home=session.home,
        visited=session.stream.visited,
        node_id=session.node_id,
        subject=session.subject,
        counters_from=before.counters,
        counters_to=after.counters,
        start_us=before.at_us,
        end_us=after.at_us,
        weak=session.weak,
        closed_by=_OPEN,
        rung=Rung.ONE_SIDED if session.weak else Rung.CO_SIGNED,
    )


def settle(session: Session, to: Counters, usages: int) -> Session:
    """Return the session with what it used settled, up to `to`, in so many usages."""
    return replace(
        session,
        settled=to,
        settled_us=session.end_us,
        usages=session.usages + usages,
    )


@dataclass(slots=True)
class _Part:
    """What one authorisation used of a meter: from `base` on, up to `counters`."""

    standing: Session | None
    authorisation: bytes
    base: Counters
    counters: Counters
    readings: list[Reading] = field(default_factory=list)

    @property
    def undecided(self) -> bool:
        """Whether it may still turn out to be an authorised session."""
        return not self.authorisation and (self.standing is None or not self.standing.usages)


def _parts(meter: Meter) -> list[_Part]:
    """Split a meter by authorisation: a new one takes over what is counted from then on.

    An access point that authenticates a device again keeps counting under the same
    Acct-Session-Id; the second authorisation must not pay for the first one's use.
    """
    parts = [
        _Part(s, s.authorisation_id or b"", base=s.settled, counters=s.counters)
        for s in _stood(meter)
    ]
    seen = {part.authorisation for part in parts}
    high = ZERO
    for part in parts:
        high = join(high, part.counters)
    for reading in sorted(meter.readings, key=lambda reading: reading.top):
        if reading.authorisation_id and reading.authorisation_id not in seen:
            seen.add(reading.authorisation_id)
            if parts and parts[-1].undecided:
                parts[-1].authorisation = reading.authorisation_id
            else:
                parts.append(_Part(None, reading.authorisation_id, base=high, counters=high))
        elif not parts:
            parts.append(_Part(None, b"", base=ZERO, counters=ZERO))
        parts[-1].readings.append(reading)
        if not covers(high, reading):
            parts[-1].counters = high = join(high, reading.counters)
    return parts


def _stood(meter: Meter) -> list[Session]:
    """Return what stood of a meter; what was never cut nor authorised dissolves in the rest.

    A late restart can show two such, or one and a settled session, to be the same.
    """
    decided = [s for s in meter.standing if s.usages or not s.weak]
    drafts = [s for s in meter.standing if not s.usages and s.weak]
    if not drafts:
        return decided
    kept = decided[-1] if decided else drafts[0]
    last_us = max(session.last_us for session in [kept, *drafts])
    stopped = any(session.stopped for session in [kept, *drafts])
    return [*decided[:-1], replace(kept, last_us=last_us, stopped=stopped)]


def _sessions(stream: Stream, meter: Meter, epoch_us: int) -> list[Session]:
    parts, sessions, start_us = _parts(meter), list[Session](), meter.birth_us
    for turn, part in enumerate(parts):
        draft = _draft(stream, part, epoch_us=epoch_us, birth_us=meter.birth_us, turn=turn)
        if not draft.usages and start_us != meter.birth_us:
            draft = replace(draft, start_us=start_us, settled_us=start_us)
        marks = anomalies(meter) if part is parts[-1] else Anomaly.NONE
        sessions.append(_advanced(draft, part, marks))
        start_us = sessions[-1].end_us
    return sessions


def _draft(stream: Stream, part: _Part, *, turn: int, epoch_us: int, birth_us: int) -> Session:
    """Return who the session is, before what it used; what was once cut keeps its identity."""
    stood = part.standing
    if stood is not None and stood.usages:
        return stood
    home = _first(part, "home")
    authorisation_id = part.authorisation or None
    withheld = stood if stood is not None and stood.counters != stood.settled else None
    return Session(
        session_id=_session_id(stream, authorisation_id, home, epoch_us),
        stream=stream,
        authorisation_id=authorisation_id,
        home=home,
        node_id=_first(part, "node_id"),
        subject=_first(part, "subject") or "",
        epoch_us=epoch_us,
        birth_us=birth_us,
        turn=turn,
        start_us=birth_us,
        end_us=max(birth_us, withheld.end_us) if withheld else birth_us,
        last_us=stood.last_us if stood else birth_us,
        base=part.base,
        counters=withheld.counters if withheld else part.base,
        settled=part.base,
        settled_us=birth_us,
        stopped=stood is not None and stood.stopped,
        closed_by=_OPEN,
        anomalies=stood.anomalies if stood else Anomaly.NONE,
        usages=0,
    )


def _session_id(
    stream: Stream, authorisation_id: bytes | None, home: PartyId | None, epoch_us: int
) -> Id:
    if authorisation_id is not None:
        return ids.session_id(authorisation_id, stream.nas_key, stream.acct_session_id)
    return ids.weak_session_id(
        home, stream.visited, stream.nas_key, stream.acct_session_id, epoch_us=epoch_us
    )


def _first(part: _Part, name: str) -> PartyId | None:
    """Return what stood, else the earliest that was said."""
    stood = getattr(part.standing, name, None)
    said = (getattr(reading, name) for reading in sorted(part.readings))
    return stood or next((value for value in said if value), None)


def _advanced(session: Session, part: _Part, marks: Anomaly) -> Session:
    """Return the session with its readings folded in."""
    end_us = max(session.settled_us, session.end_us)
    if not part.readings:
        return replace(session, end_us=end_us)
    if part.counters != session.counters:
        top = max(reading.top for reading in part.readings)
        end_us = max(end_us, min(r.event_us for r in part.readings if r.top == top))
    return replace(
        session,
        counters=part.counters,
        end_us=end_us,
        last_us=max(session.last_us, max(reading.event_us for reading in part.readings)),
        stopped=session.stopped or any(r.status == Status.STOP for r in part.readings),
        anomalies=session.anomalies | marks,
    )


def _closed(
    sessions: list[Session], restarts: Sequence[int], *, cut_us: int, silence_us: int
) -> Iterator[Session]:
    """Yield a meter's sessions with what closed them.

    A Stop closes; else a later On or Off of the access point, or silence longer than the limit,
    or another authorisation that took the meter over: these by rule, from the last reading.
    """
    for session in sessions:
        restarted = bisect_right(restarts, session.birth_us) < len(restarts)
        silent = cut_us - session.last_us > silence_us
        taken_over = session is not sessions[-1]
        by_rule = _RULE if restarted or silent or taken_over else _OPEN
        closed_by = _STOP if session.stopped else by_rule
        yield session if closed_by == session.closed_by else replace(session, closed_by=closed_by)


def anomalies(meter: Meter) -> Anomaly:
    """Return what a meter's readings show that a whole and honest one would not.

    Use is counted as the highest seen all the same: a counter that fell or rolled over without
    Gigawords claims no more than the access point ever reported.
    """
    found = Anomaly.NONE
    order = sorted(meter.readings, key=lambda reading: reading.top)
    stood = max((s.counters for s in meter.standing), default=ZERO)
    before = (stood.session_time_s, stood.octets_in, stood.octets_out)
    highest = max(max(reading.top[1:]) for reading in order) if order else 0
    highest = max(highest, *before[1:])
    for reading in order:
        if reading.session_time_s < before[0]:
            continue
        for was, now in zip(before[1:], reading.top[1:], strict=True):
            if was - now > WRAP // 2 and highest < WRAP:
                found |= Anomaly.WRAPPED
            elif was > now:
                found |= Anomaly.OCTETS_FELL
        before = reading.top
    return found | _clock_anomalies(meter) | _stop_anomalies(meter)


def _clock_anomalies(meter: Meter) -> Anomaly:
    found = Anomaly.NONE
    for before, after in pairwise(meter.readings):
        moved_us = after.birth_us - before.birth_us
        fell = after.session_time_s < before.session_time_s
        if fell and moved_us > slack_us(before.session_time_s):
            found |= Anomaly.SESSION_TIME_FELL
    homes = {reading.home for reading in meter.readings if reading.home}
    return found | (Anomaly.HOMES_DIFFER if len(homes) > 1 else Anomaly.NONE)


def _stop_anomalies(meter: Meter) -> Anomaly:
    stops = [r.counters for r in meter.readings if r.status == Status.STOP]
    stops += [session.counters for session in meter.standing if session.stopped]
    if not stops:
        return Anomaly.NONE
    stopped = reduce(join, stops)
    more = any(not covers(stopped, reading) for reading in meter.readings)
    return Anomaly.MORE_AFTER_STOP if more else Anomaly.NONE
