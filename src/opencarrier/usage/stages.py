"""What this room knows of where money stands: received, copied, refused, matched; and look-ups.

A page is of usages, ascending by id, then of streams that no cut has taken, by their first
observation: each has a place of its own, so what arrives between two pages is on the later one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, true

from opencarrier.kernel.ids import Id
from opencarrier.spine.stages import Stage, StageReason, Step
from opencarrier.spine.usage import Rung, Status, Usage
from opencarrier.usage import store
from opencarrier.usage.model import Session, Stream
from opencarrier.usage.service import UsageService
from opencarrier.usage.set_aside import refusals_of
from opencarrier.usage.tables import COPIES, FILES, OBSERVATIONS, SESSIONS, USAGES

SOURCES_MAX = 8
"""Sources of copies that one step names; all are counted."""

UNCUT_MAX = 10_000
"""Streams looked through for a session by its id before its first cut."""

UNCUT_AT_ONCE = 1_000

_STREAM = [OBSERVATIONS.c[name] for name in Stream._fields]
_SAME_STREAM = and_(*(OBSERVATIONS.c[name] == SESSIONS.c[name] for name in Stream._fields))
_COUNTED = OBSERVATIONS.c.status.not_in((int(Status.ON), int(Status.OFF)))


class Sought(NamedTuple):
    """What is looked for: which usages it means, and which observations no cut has taken.

    Usages meet one of the conditions; each finds its few by an index.
    """

    usages: Sequence[ColumnElement[bool]]
    pending: ColumnElement[bool] | None = None


def of_usage(usage_id: Id) -> Sought:
    """Look for one usage."""
    return Sought([USAGES.c.usage_id == usage_id])


def of_session(session_id: Id) -> Sought:
    """Look for a session that was cut at least once, with what it has since."""
    mine = select(SESSIONS.c.session_id).where(SESSIONS.c.session_id == session_id, _SAME_STREAM)
    return Sought([USAGES.c.session_id == session_id], mine.exists())


def of_subject(subject: str) -> Sought:
    """Look for whom reports call by a pseudonym."""
    return Sought([USAGES.c.subject == subject], OBSERVATIONS.c.subject == subject)


def of_authorisations(authorisations: Sequence[bytes]) -> Sought:
    """Look for what was used under some authorisations."""
    return Sought(
        [USAGES.c.authorisation_id.in_(authorisations)],
        OBSERVATIONS.c.authorisation_id.in_(authorisations),
    )


def of_nodes(nodes: Sequence[str]) -> Sought:
    """Look for what was used at some nodes, each by itself: of many, all need not be sorted."""
    used = [USAGES.c.node_id == node for node in nodes]
    return Sought(used, OBSERVATIONS.c.node_id.in_(nodes))


def of_cuts(cuts: Sequence[Id]) -> Sought:
    """Look for what some cuts took."""
    return Sought([USAGES.c.cycle_id.in_(cuts)])


def of_file(digest: Id) -> Sought:
    """Look for the sessions a file reports on, first or again."""
    mark = f"%:{digest.hex()}@%"
    again = select(COPIES.c.observation_id).where(COPIES.c.source.like(mark))
    mine = or_(OBSERVATIONS.c.source.like(mark), OBSERVATIONS.c.observation_id.in_(again))
    sessions = select(SESSIONS.c.session_id).join(OBSERVATIONS, _SAME_STREAM).where(mine)
    return Sought([USAGES.c.session_id.in_(sessions)], mine)


@dataclass(frozen=True, slots=True)
class UsageStages:
    """Answers the port `Stages` for usages, and finds what a trace is about."""

    usages: UsageService

    def page(self, unit: Connection, sought: Sought, *, after: bytes, limit: int) -> list[Id]:
        """Return the ids of usages that are looked for, ascending, above `after`."""
        found: set[bytes] = set()
        for condition in sought.usages:
            query = select(USAGES.c.usage_id).where(condition, USAGES.c.usage_id > after)
            found.update(unit.scalars(query.order_by(USAGES.c.usage_id).limit(limit)))
        return [Id(usage_id) for usage_id in sorted(found)[:limit]]

    def pending(
        self, unit: Connection, sought: Sought, *, after: int, limit: int
    ) -> list[tuple[int, list[Step]]]:
        """Return streams no cut has taken, each with the place of its first observation."""
        if sought.pending is None:
            return []
        streams = _streams(unit, sought.pending, after, limit)
        seen = self.usages.preview(unit, list(streams))
        return [(streams[s], [_heard(session) for session in seen[s]]) for s in streams]

    def uncut(self, unit: Connection, session_id: Id) -> Sought | None:
        """Look for a session that no cut has taken, by its id, among the first `UNCUT_MAX` streams.

        What a session's id will be is known only by reducing what was heard of its stream.
        """
        after = -1
        for _ in range(UNCUT_MAX // UNCUT_AT_ONCE):
            streams = _streams(unit, true(), after, UNCUT_AT_ONCE)
            for stream, sessions in self.usages.preview(unit, list(streams)).items():
                if any(session.session_id == session_id for session in sessions):
                    return Sought([], store.of_streams(OBSERVATIONS, [stream]))
            if len(streams) < UNCUT_AT_ONCE:
                break
            after = max(streams.values())
        return None

    def refused(
        self, unit: Connection, digest: Id, *, after: int, limit: int
    ) -> list[tuple[int, Step]]:
        """Return the records of a file that were refused, each with its offset."""
        found = refusals_of(unit, digest, after=after, limit=limit)
        return [
            (
                item.offset,
                Step(
                    stage=Stage.REFUSED,
                    reason=item.reason,
                    about=None,
                    facts={"offset": item.offset, "node": node},
                ),
            )
            for node, item in found
        ]

    def knows_file(self, unit: Connection, digest: Id) -> bool:
        """Say whether a file was ingested."""
        query = select(FILES.c.kind).where(FILES.c.digest == digest).limit(1)
        return unit.execute(query).first() is not None

    def knows_subject(self, unit: Connection, subject: str) -> bool:
        """Say whether a usage, or a report that no cut has taken, calls anybody so."""
        used = select(USAGES.c.usage_id).where(USAGES.c.subject == subject).limit(1)
        heard = select(OBSERVATIONS.c.sequence).where(
            OBSERVATIONS.c.subject == subject, store.pending(unit)
        )
        return any(unit.execute(one).first() is not None for one in (used, heard.limit(1)))

    def steps(self, unit: Connection, about: Sequence[Id]) -> Sequence[Step]:
        """Return how usages were reported, copied and matched."""
        found: list[Step] = []
        for usage in store.usages(unit, USAGES.c.usage_id.in_(about)):
            session = self.usages.session(unit, usage.session_id)
            if session is not None:  # an erased subscriber's is forgotten
                found += _reported(unit, usage, session.stream)
            found.append(_matched(usage))
        return found


def _streams(
    unit: Connection, condition: ColumnElement[bool], after: int, limit: int
) -> dict[Stream, int]:
    """Return streams no cut has taken, each with the place of its first observation."""
    first = func.min(OBSERVATIONS.c.sequence).label("first")
    query = (
        select(*_STREAM, first)
        .where(condition, store.pending(unit), _COUNTED)
        .group_by(*_STREAM)
        .having(first > after)
        .order_by(first)
        .limit(limit)
    )
    rows = unit.execute(query)
    return {Stream(row.visited, row.nas_key, row.acct_session_id): row.first for row in rows}


def _heard(session: Session) -> Step:
    total = session.total
    return Step(
        stage=Stage.RECEIVED,
        reason=StageReason.NOT_CUT.name.lower(),
        about=session.session_id,
        at_us=session.last_us,
        facts={
            "acct_session_id": session.stream.acct_session_id,
            "node": session.node_id,
            "octets_in": total.octets_in,
            "octets_out": total.octets_out,
            "duration_s": total.session_time_s,
        },
    )


def _reported(unit: Connection, usage: Usage, stream: Stream) -> Iterator[Step]:
    """Tell which reports lie within a usage, and where copies of them came from."""
    within = and_(
        store.of_streams(OBSERVATIONS, [stream]),
        OBSERVATIONS.c.event_us >= usage.start_us,
        OBSERVATIONS.c.event_us <= usage.end_us,
    )
    row = unit.execute(
        select(
            func.count().label("reports"),
            func.max(OBSERVATIONS.c.event_us).label("last_us"),
            func.max(OBSERVATIONS.c.source).label("source"),
        ).where(within)
    ).one()
    yield _received(usage, stream, row)
    sources = [
        *unit.execute(
            select(COPIES.c.source, func.count().over().label("all"))
            .join(OBSERVATIONS, OBSERVATIONS.c.observation_id == COPIES.c.observation_id)
            .where(within)
            .order_by(COPIES.c.source)
            .limit(SOURCES_MAX)
        )
    ]
    if sources:
        yield Step(
            stage=Stage.DUPLICATE,
            reason=StageReason.SEEN_BEFORE.name.lower(),
            about=usage.usage_id,
            facts={"copies": sources[0].all, "sources": " ".join(s.source for s in sources)},
        )


def _received(usage: Usage, stream: Stream, row: Row[Any]) -> Step:
    quantities = usage.quantities
    return Step(
        stage=Stage.RECEIVED,
        reason=StageReason.REPORTED.name.lower(),
        about=usage.usage_id,
        at_us=usage.end_us if row.last_us is None else row.last_us,
        facts={
            "session_id": "0x" + usage.session_id.hex(),
            "acct_session_id": stream.acct_session_id,
            "node": usage.node_id,
            "reports": row.reports,
            "source": row.source,
            "octets_in": quantities.get("octets_in"),
            "octets_out": quantities.get("octets_out"),
            "duration_s": quantities.get("duration_s"),
        },
    )


def _matched(usage: Usage) -> Step:
    sided = usage.rung is Rung.CO_SIGNED
    reason = StageReason.CO_SIGNED if sided else StageReason.ONE_SIDED
    return Step(
        stage=Stage.MATCHED,
        reason=reason.name.lower(),
        about=usage.usage_id,
        at_us=usage.end_us,
        facts={"closed_by": usage.closed_by, "weak": int(usage.weak)},
    )
