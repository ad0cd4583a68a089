"""Credit-control sessions of a capture as usage records, one a rating group of a session."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Rat, Service, Side
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.diameter.credit import Request, RequestType, Session, Units, request_of
from opencarrier.usage.wire.diameter.message import (
    CREDIT_CONTROL,
    CREDIT_CONTROL_APPLICATION,
    parse,
)
from opencarrier.usage.wire.diameter.transport import Carried, Transports
from opencarrier.usage.wire.origin import Origin, session_id, usage_id
from opencarrier.usage.wire.records import Frame, Reader, Refused, Severity

DECODER: Final = "diameter/2"
SESSIONS_MAX = 65_536
"""Sessions open at a time; the one silent longest is then told as it stands, not final."""

ENDED_MAX = 65_536
"""Sessions remembered after their end, for requests sent again."""

RAT_NR: Final = 51
"""3GPP-RAT-Type of 5G, beyond the numbers that records keep (TS 29.061 section 16.4.7.2)."""

_CONTEXTS: Final = {"32251": Service.DATA, "32260": Service.VOICE, "32274": Service.MESSAGE}
"""The specification that a Service-Context-Id names first: packets, IMS, short messages."""


class DiameterRecordReader:
    """Reads credit control out of a capture's frames; yields a session's record when it is whole.

    A session that ended, but of whose requests some are missing, waits for them: a capture may
    have them in another order.
    """

    def __init__(self, origin: Origin, frames: Reader[Frame]) -> None:
        self._origin = origin
        self._frames = frames
        self._transports = Transports()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._ended: OrderedDict[str, set[int]] = OrderedDict()

    def feed(self, octets: bytes) -> Iterator[UsageRecord | Refused]:
        """Take the next octets and yield what they complete."""
        return self._taken(self._frames.feed(octets))

    def finish(self) -> Iterator[UsageRecord | Refused]:
        """Say that the file ends here; yield the sessions that have not ended, as they stand."""
        yield from self._taken(self._frames.finish())
        while self._sessions:
            yield from self._told(*self._sessions.popitem(last=False))

    def _taken(self, frames: Iterable[Frame | Refused]) -> Iterator[UsageRecord | Refused]:
        for frame in frames:
            if isinstance(frame, Refused):
                yield frame
                continue
            for carried in self._transports.take(frame):
                if isinstance(carried, Refused):
                    yield carried
                else:
                    yield from self._message(carried)

    def _message(self, carried: Carried) -> Iterator[UsageRecord | Refused]:
        try:
            message = parse(carried.octets)
            wanted = (CREDIT_CONTROL, True, CREDIT_CONTROL_APPLICATION)
            if (message.command, message.is_request, message.application) != wanted:
                return
            request = request_of(message.avps)
            ended = self._add(request, carried)
        except PeerError as error:
            yield Refused(carried.offset, error.reason)
            return
        if ended is not None:
            yield from self._told(request.session, ended)
        if len(self._sessions) > SESSIONS_MAX:
            yield from self._told(*self._sessions.popitem(last=False))

    def _add(self, request: Request, carried: Carried) -> Session | None:
        """Add a request to its session; return the session where that makes it whole."""
        at_us = request.event_us if request.event_us is not None else carried.time_us
        if at_us is None or at_us < 0:
            raise PeerError("time_missing")
        if request.number in self._ended.get(request.session, ()):
            return None
        session = self._sessions.get(request.session)
        if session is None:
            session = Session(request, carried.offset, at_us, at_us)
            self._sessions[request.session] = session
        self._sessions.move_to_end(request.session)
        session.take(request, at_us)
        if not session.is_final or session.missing:
            return None
        self._ended[request.session] = session.numbers
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)
        return self._sessions.pop(request.session)

    def _told(self, name: str, session: Session) -> Iterator[UsageRecord | Refused]:
        if session.missing:
            yield Refused(
                session.offset, "requests_missing", Severity.WARNING, str(session.missing)
            )
        origin, first = self._origin, session.first
        visited = _party(origin, first.serving_plmn) or origin.visited
        if visited is None:
            yield Refused(session.offset, "visited_unknown", detail=first.serving_plmn or "")
        elif first.subscriber is None:
            yield Refused(session.offset, "subscriber")
        else:
            parts = list(_parts(session))
            for part in parts:
                alone = len(parts) == 1
                yield _record(origin, name, session, part, visited, first.subscriber, alone)


def _parts(session: Session) -> Iterator[tuple[int | None, Units]]:
    """Yield what each rating group used; one part where none used anything.

    What is told of the session alone is in the first part: its time where no group tells any, and
    that it was a one-time event.
    """
    spent = {group: units for group, units in session.used.items() if units != Units()}
    parts = sorted(spent.items(), key=lambda part: -1 if part[0] is None else part[0])
    tells_time = any(units.duration_s for units in spent.values())
    tells_units = any(units.specific for units in spent.values())
    for place, (group, units) in enumerate(parts or [(None, Units())]):
        used = replace(units)
        if place == 0 and not tells_time:
            used.duration_s = (session.end_us - session.start_us) // SECOND_US
        if place == 0 and not tells_units:
            used.specific = int(session.first.type is RequestType.EVENT)
        yield group, used


def _record(
    origin: Origin,
    name: str,
    session: Session,
    part: tuple[int | None, Units],
    visited: PartyId,
    subscriber: str,
    alone: bool,
) -> UsageRecord:
    first, (group, used) = session.first, part
    home = _party(origin, first.destination_realm) or origin.home
    reporter = _party(origin, first.origin_realm) or origin.reporter or visited
    service = _CONTEXTS.get(first.context.partition("@")[0], Service.DATA)
    if group is not None:
        service = origin.service_of_group.get(group, service)
    named = session_id("diameter", visited, name)
    amounts = used.octets_in, used.octets_out, used.duration_s, used.specific
    apart = () if group is None or alone else (group,)
    return UsageRecord(
        usage_id=usage_id(named, session.start_us, *amounts, *apart),
        session_id=named,
        is_final=session.is_final,
        reporter=reporter,
        side=Side.VISITED if reporter == visited else Side.HOME,
        home=home,
        visited=visited,
        subject=origin.subject_of(subscriber),
        node=f"uli-{first.location.hex()}" if first.location and len(first.location) < 38 else None,
        jurisdiction_home=origin.jurisdiction_of(home) if home is not None else None,
        jurisdiction_visited=origin.jurisdiction_of(visited),
        service=service,
        rat=_rat(first.rat),
        start_us=session.start_us,
        end_us=session.end_us,
        octets_in=amounts[0],
        octets_out=amounts[1],
        duration_s=amounts[2],
        units=amounts[3],
        source_digest=origin.source_digest,
        source_offset=session.offset,
        ingested_us=origin.ingested_us,
        decoder=DECODER,
    )


def _party(origin: Origin, name: str | None) -> PartyId | None:
    return origin.party_of(name) if name else None


def _rat(number: int | None) -> Rat:
    known = {int(rat): rat for rat in Rat} | {RAT_NR: Rat.NR}
    return Rat.UNKNOWN if number is None else known.get(number, Rat.UNKNOWN)
