"""What is kept: observations for good, sessions as last cut, usages by cycle.

Observations are appended and never changed, so the hot path writes one table. What a cut has not
taken yet is found by the order of arrival (`sequence`, above the last cut's mark) plus the few that
were ahead of the last cut's time (`usage_deferred`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    join,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.dml import Insert

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import int64
from opencarrier.rowsets import Insertion
from opencarrier.spine.parties import Node
from opencarrier.spine.people import batches
from opencarrier.spine.usage import Observation, Sought, Status, Usage
from opencarrier.usage import tables, tallies
from opencarrier.usage.model import Reading, Session, Stream, Totals
from opencarrier.usage.rules import observation_id
from opencarrier.usage.set_aside import note_copies
from opencarrier.usage.tables import (
    CUTS,
    DEFERRED,
    ERASED,
    FILES,
    OBSERVATIONS,
    RESTARTS,
    SESSIONS,
    USAGES,
    WITHHELD,
    metadata,
)

__all__ = ["metadata"]

_RESTARTS = (int(Status.ON), int(Status.OFF))
_PAGE = 1_000

READ_MAX = 20_000
"""Observations since the last cut, and put off by it, that `totals` reads: 0.1 s."""

_RECORDED = tuple(column.name for column in OBSERVATIONS.c if column.name != "sequence")
_SOURCE = _RECORDED.index("source")
_TOLD = ("event_us", "home", "node_id", "subject")
"""What copies of one packet may tell differently, in the order that decides."""


def insert_new(table: Table) -> Insert:
    """Return an insert that leaves what is already there as it is."""
    return postgresql.insert(table).on_conflict_do_nothing()


_insert = Insertion(OBSERVATIONS, _RECORDED, ignoring=True)


def append(unit: Connection, observations: Sequence[Observation]) -> int:
    """Keep observations in the order they came; return how many were new."""
    return _append(unit, observations, [_recorded(observation) for observation in observations])


def append_beside(unit: Connection, observations: Sequence[Observation]) -> int:
    """Keep observations beside what other units append; return how many were new.

    They go in by their ids: two units that hold copies of each other's wait one for the other,
    never each for the other. So do the locks of all that follows.
    """
    return _append(unit, observations, sorted(map(_recorded, observations), key=itemgetter(0)))


def _append(
    unit: Connection, observations: Sequence[Observation], rows: Sequence[tuple[Any, ...]]
) -> int:
    if not rows:
        return 0
    _keep_restarts(unit, observations)
    new = _insert(unit, rows)
    if new < len(rows):
        note_copies(unit, [(row[0], row[_SOURCE]) for row in rows])
        _keep_earliest(unit, rows)
    return new


def _keep_earliest(unit: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Read an observation as the earliest of its copies tells it, until a cut has taken it.

    A packet that was sent again may say another time: whichever came first must decide nothing.
    """
    known = tuple_(*(_or_empty(OBSERVATIONS.c[name]) for name in _TOLD))
    told = tuple_(*(_or_empty(_told(name)) for name in _TOLD))
    statement = (
        update(OBSERVATIONS)
        .where(OBSERVATIONS.c.observation_id == bindparam("of"), told < known, pending(unit))
        .values({name: _told(name) for name in _TOLD})
    )
    places = [(name, _RECORDED.index(name)) for name in _TOLD]
    unit.execute(
        statement,
        [{"of": row[0]} | {f"told_{name}": row[place] for name, place in places} for row in rows],
    )


def _told(name: str) -> BindParameter[Any]:
    return bindparam(f"told_{name}", type_=OBSERVATIONS.c[name].type)


def _or_empty(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(column, "") if isinstance(column.type, Text) else column


def _keep_restarts(unit: Connection, observations: Sequence[Observation]) -> None:
    """Note On and Off by access point, so that none is ever looked for among all observations."""
    seen = {(o.visited, o.nas_key, o.event_us) for o in observations if o.status in _RESTARTS}
    rows = [{"visited": v, "nas_key": nas, "event_us": at_us} for v, nas, at_us in sorted(seen)]
    if rows:
        unit.execute(insert_new(RESTARTS), rows)


def _recorded(seen: Observation) -> tuple[Any, ...]:
    counters = seen.counters
    assert counters is None or min(counters.session_time_s, counters.octets_in) >= 0
    return (
        observation_id(seen),
        int(seen.status),
        seen.home,
        seen.visited,
        seen.nas_key,
        seen.node_id,
        seen.authorisation_id,
        seen.acct_session_id,
        None if counters is None else int64(counters.session_time_s, "session_time_s"),
        None if counters is None else int64(counters.octets_in, "octets_in"),
        None if counters is None else int64(counters.octets_out, "octets_out"),
        seen.subject,
        int64(seen.event_us, "event_us"),
        seen.terminate_cause,
        seen.reporter,
        seen.source,
        seen.packet_digest,
    )


def mark(unit: Connection) -> int:
    """Return the sequence up to which observations were taken by a cut."""
    return int(unit.scalar(select(func.max(CUTS.c.mark))) or 0)


def newest(unit: Connection) -> int:
    """Return the highest sequence there is."""
    return int(unit.scalar(select(func.max(OBSERVATIONS.c.sequence))) or 0)


def arrived_after(unit: Connection, number: int, *, limit: int) -> list[tuple[int, Observation]]:
    """Return observations that arrived after one, in their order, each with its number."""
    chosen = select(OBSERVATIONS).where(OBSERVATIONS.c.sequence > number)
    rows = unit.execute(chosen.order_by(OBSERVATIONS.c.sequence).limit(limit))
    return [(row.sequence, tables.observation_of(row)) for row in rows]


def arrived_as(unit: Connection, numbers: Sequence[int]) -> list[tuple[int, Observation]]:
    """Return the observations that have some numbers, in their order."""
    chosen = select(OBSERVATIONS).where(OBSERVATIONS.c.sequence.in_(numbers))
    rows = unit.execute(chosen.order_by(OBSERVATIONS.c.sequence))
    return [(row.sequence, tables.observation_of(row)) for row in rows]


def pending(unit: Connection, *, few: bool = False) -> ColumnElement[bool]:
    """Return the condition for observations no cut has taken.

    With `few` it does not offer their sequence to the planner, so that another condition which
    selects few rows finds them by its own index.
    """
    sequence = OBSERVATIONS.c.sequence + 0 if few else OBSERVATIONS.c.sequence
    return or_(sequence > mark(unit), sequence.in_(select(DEFERRED.c.sequence)))


def is_erased(unit: Connection, authorisation_id: bytes) -> bool:
    """Say whether an authorisation was an erased subscriber's."""
    mine = select(ERASED).where(ERASED.c.authorisation_id == authorisation_id)
    return unit.execute(mine).first() is not None


def drop_erased(unit: Connection) -> None:
    """Drop what came of erased subscribers' authorisations since the last cut."""
    erased = select(ERASED.c.authorisation_id)
    if unit.execute(erased.limit(1)).first() is None:
        return
    late = and_(pending(unit), OBSERVATIONS.c.authorisation_id.in_(erased))
    unit.execute(delete(OBSERVATIONS).where(late))


_READING = (
    OBSERVATIONS.c.event_us,
    OBSERVATIONS.c.status,
    func.coalesce(OBSERVATIONS.c.session_time_s, 0),
    func.coalesce(OBSERVATIONS.c.octets_in, 0),
    func.coalesce(OBSERVATIONS.c.octets_out, 0),
    OBSERVATIONS.c.authorisation_id,
    func.coalesce(OBSERVATIONS.c.home, ""),
    func.coalesce(OBSERVATIONS.c.node_id, ""),
    OBSERVATIONS.c.subject,
)
_STREAM = (OBSERVATIONS.c.visited, OBSERVATIONS.c.nas_key, OBSERVATIONS.c.acct_session_id)


def readings(
    unit: Connection, condition: ColumnElement[bool]
) -> Iterator[tuple[Stream, list[Reading]]]:
    """Yield the readings of each stream, ascending by stream, a page of rows at a time."""
    query = (
        select(*_STREAM, *_READING)
        .where(condition, OBSERVATIONS.c.status.not_in(_RESTARTS))
        .order_by(*_STREAM)
    )
    stream: Stream | None = None
    found: list[Reading] = []
    for row in unit.execute(query, execution_options={"yield_per": _PAGE}):
        if (of := Stream(*row[:3])) != stream:
            if stream is not None:
                yield stream, found
            stream, found = of, []
        found.append(Reading._make([*row[3:8], row[8] or b"", *row[9:]]))
    if stream is not None:
        yield stream, found


def octets_before(unit: Connection, observation: Observation) -> int:
    """Return the most a session was seen to count under others than its authorisation.

    A name of a session may come again: what was seen before this one began is of another.
    """
    columns, now = OBSERVATIONS.c, observation.counters
    assert now is not None
    stream = Stream(observation.visited, observation.nas_key, observation.acct_session_id)
    query = select(func.max(columns.octets_in), func.max(columns.octets_out)).where(
        of_streams(OBSERVATIONS, [stream]),
        columns.authorisation_id != observation.authorisation_id,
        columns.event_us >= observation.event_us - now.session_time_s * SECOND_US,
        columns.octets_in <= now.octets_in,
        columns.octets_out <= now.octets_out,
    )
    octets_in, octets_out = unit.execute(query).one()
    return (octets_in or 0) + (octets_out or 0)


def last_heard(unit: Connection, sessions: Sequence[Sought]) -> dict[bytes, tuple[int, bool]]:
    """Return by authorisation when it was last reported on, and whether that ended it."""
    found: dict[bytes, tuple[int, bool]] = {}
    columns = OBSERVATIONS.c
    for one in sessions:
        named = columns.acct_session_id == one.acct_session_id if one.acct_session_id else true()
        mine = (columns.nas_key == one.nas_key) & named
        newest = (
            select(columns.event_us, columns.status)
            .where(mine & (columns.authorisation_id == one.authorisation_id))
            .order_by(columns.event_us.desc(), (columns.status == int(Status.STOP)).desc())
        )
        row = unit.execute(newest.limit(1)).first()
        since_us = one.since_us if row is None else row.event_us
        taken_over_us = _taken_over_us(unit, one, since_us) if one.acct_session_id else None
        if taken_over_us is not None:
            found[one.authorisation_id] = (taken_over_us, True)
        elif row is not None:
            found[one.authorisation_id] = (row.event_us, row.status == Status.STOP)
    return found


def _taken_over_us(unit: Connection, one: Sought, since_us: int) -> int | None:
    """Return when a session was last reported on under another authorisation since an instant."""
    columns = OBSERVATIONS.c
    query = select(func.max(columns.event_us)).where(
        columns.nas_key == one.nas_key,
        columns.acct_session_id == one.acct_session_id,
        columns.authorisation_id != one.authorisation_id,
        columns.event_us > since_us,
    )
    found: int | None = unit.scalar(query)
    return found


def of_streams(table: Table, streams: Iterable[Stream]) -> ColumnElement[bool]:
    """Return the condition for rows of any of some streams.

    Written out as alternatives: SQLite answers these by the index, a row-value IN by a full scan.
    """
    names = Stream._fields
    return or_(
        false(),
        *(
            and_(*(table.c[name] == value for name, value in zip(names, stream, strict=True)))
            for stream in streams
        ),
    )


def standing(unit: Connection, streams: Iterable[Stream]) -> dict[Stream, list[Session]]:
    """Return the sessions of some streams as the last cut left them."""
    found: dict[Stream, list[Session]] = {}
    for row in unit.execute(select(SESSIONS).where(of_streams(SESSIONS, streams))):
        session = tables.session_of(row)
        found.setdefault(session.stream, []).append(session)
    return found


def withheld(unit: Connection) -> set[Stream]:
    """Return the streams of the sessions whose use is not yet owed in full."""
    names = [SESSIONS.c[name] for name in Stream._fields]
    query = select(*names).where(SESSIONS.c.session_id.in_(select(WITHHELD.c.session_id)))
    return {Stream(*row) for row in unit.execute(query)}


def withhold(unit: Connection, sessions: Sequence[Session], *, before: Sequence[Session]) -> None:
    """Note the sessions of which more is measured than owed.

    One that has ended and did not move since the last cut is given up: its device had its time
    to sign.
    """
    waiting = [
        {"session_id": session.session_id}
        for session in sessions
        if session.counters != session.settled and not (session.closed_by and session in before)
    ]
    gone = [{"gone": s.session_id} for s in before if s.counters != s.settled]
    if gone:
        unit.execute(delete(WITHHELD).where(WITHHELD.c.session_id == bindparam("gone")), gone)
    if waiting:
        unit.execute(insert_new(WITHHELD), waiting)


def restarts(unit: Connection, visited: str, nas_key: str, *, until_us: int) -> list[int]:
    """Return the event times of an access point's On and Off, ascending."""
    query = (
        select(RESTARTS.c.event_us)
        .where(
            RESTARTS.c.visited == visited,
            RESTARTS.c.nas_key == nas_key,
            RESTARTS.c.event_us <= until_us,
        )
        .order_by(RESTARTS.c.event_us)
    )
    return list(unit.scalars(query))


def replace_sessions(
    unit: Connection, stood: Iterable[Session], sessions: Iterable[Session]
) -> None:
    """Put sessions in the place of what stood; what did not change is not written."""
    before = {session.session_id: session for session in stood}
    changed = [session for session in sessions if before.pop(session.session_id, None) != session]
    for some in batches(sorted({*before, *(session.session_id for session in changed)})):
        gone = SESSIONS.c.session_id.in_(some)
        tallies.forget(unit, gone)
        unit.execute(delete(SESSIONS).where(gone))
    if changed:
        unit.execute(insert(SESSIONS), [tables.session_row(session) for session in changed])
        still_open = sum(not session.closed_by for session in changed)
        tallies.count(unit, sessions=len(changed), sessions_open=still_open)


def add_usages(unit: Connection, cycle_id: Id, usages: Sequence[Usage]) -> None:
    """Keep a cycle's usages."""
    if usages:
        unit.execute(
            insert(USAGES), [{"cycle_id": cycle_id, **tables.usage_row(u)} for u in usages]
        )
        tallies.count(unit, usages=len(usages))


def close_by_rule(unit: Connection, *, cut_us: int, silence_us: int) -> None:
    """Close open sessions that had nothing new but a restart after them, or fell silent."""
    restarted = (
        select(RESTARTS.c.event_us)
        .where(
            RESTARTS.c.visited == SESSIONS.c.visited,
            RESTARTS.c.nas_key == SESSIONS.c.nas_key,
            RESTARTS.c.event_us > SESSIONS.c.birth_us,
            RESTARTS.c.event_us <= cut_us,
        )
        .exists()
    )
    silent = SESSIONS.c.last_us < cut_us - silence_us
    over = update(SESSIONS).where(tallies.OPEN, or_(silent, restarted))
    tallies.count(unit, sessions_open=-unit.execute(over.values(closed_by="rule")).rowcount)


def last_cut_us(unit: Connection) -> int | None:
    """Return the instant of the newest cut, None before the first."""
    found: int | None = unit.scalar(select(func.max(CUTS.c.cut_us)))
    return found


def finish_cut(unit: Connection, cycle_id: Id, *, cut_us: int, usages: int) -> None:
    """Remember a cut, and put off what was ahead of its time."""
    waiting = _pending(unit)
    ahead = select(OBSERVATIONS.c.sequence).where(
        OBSERVATIONS.c.sequence > mark(unit), OBSERVATIONS.c.event_us > cut_us
    )
    due = select(OBSERVATIONS.c.sequence).where(
        OBSERVATIONS.c.sequence.in_(select(DEFERRED.c.sequence)),
        OBSERVATIONS.c.event_us <= cut_us,
    )
    unit.execute(delete(DEFERRED).where(DEFERRED.c.sequence.in_(due)))
    unit.execute(insert(DEFERRED).from_select(["sequence"], ahead))
    row = {"cycle_id": cycle_id, "cut_us": cut_us, "mark": newest(unit), "usages": usages}
    unit.execute(insert(CUTS), [row])
    tallies.count(unit, taken=waiting - _pending(unit), cuts=1)


def add_file(
    unit: Connection,
    *,
    digest: bytes,
    kind: str,
    octets: int,
    node: Node,
    verified: bool,
    ingested_us: int,
) -> None:
    """Remember a file that was ingested, the first time: `source` names it by its digest.

    The same file with its secret given later turns it into verified evidence.
    """
    key = {"digest": digest, "operator": node.operator, "node_id": node.node_id}
    row = {"kind": kind, "octets": octets, "verified": verified, "ingested_us": ingested_us}
    unit.execute(insert_new(FILES), [key | row])
    if verified:
        same = and_(*(FILES.c[name] == value for name, value in key.items()))
        unit.execute(update(FILES).where(same).values(verified=True))


def is_cut(unit: Connection, cycle_id: Id) -> bool:
    """Say whether a cycle was cut."""
    return unit.scalar(select(CUTS.c.cut_us).where(CUTS.c.cycle_id == cycle_id)) is not None


def usages(unit: Connection, condition: ColumnElement[bool]) -> Iterator[Usage]:
    """Yield the usages that meet a condition, ascending by id."""
    query = select(USAGES).where(condition).order_by(USAGES.c.usage_id)
    for row in unit.execute(query, execution_options={"yield_per": _PAGE}):
        yield tables.usage_of(row)


def newest_usages(
    unit: Connection,
    authorisations: Sequence[bytes],
    *,
    before: tuple[int, bytes] | None = None,
    limit: int | None = None,
) -> list[Usage]:
    """Return usages under some authorisations, the newest of each first."""
    columns = USAGES.c
    query = select(USAGES).where(columns.authorisation_id.in_(authorisations))
    if before is not None:
        end_us, usage_id = before
        earlier = or_(columns.end_us < end_us, columns.usage_id < usage_id)
        query = query.where(columns.end_us <= end_us, earlier)
    order = (columns.authorisation_id.desc(), columns.end_us.desc(), columns.usage_id.desc())
    return [tables.usage_of(row) for row in unit.execute(query.order_by(*order).limit(limit))]


def all_usages(unit: Connection) -> Iterator[Usage]:
    """Yield every usage, by session and how much the session had used before."""
    columns = USAGES.c
    order = (
        columns.session_id,
        columns.from_session_time_s,
        columns.from_octets_in,
        columns.from_octets_out,
    )
    query = select(USAGES).order_by(*order)
    for row in unit.execute(query, execution_options={"yield_per": _PAGE}):
        yield tables.usage_of(row)


def sessions(unit: Connection, condition: ColumnElement[bool]) -> Iterator[Session]:
    """Yield the sessions that meet a condition, ascending by id."""
    query = select(SESSIONS).where(condition).order_by(SESSIONS.c.session_id)
    for row in unit.execute(query, execution_options={"yield_per": _PAGE}):
        yield tables.session_of(row)


def observations(unit: Connection, condition: ColumnElement[bool]) -> Iterator[Observation]:
    """Yield the observations that meet a condition, as they arrived."""
    query = select(OBSERVATIONS).where(condition).order_by(OBSERVATIONS.c.sequence)
    for row in unit.execute(query, execution_options={"yield_per": _PAGE}):
        yield tables.observation_of(row)


def totals(unit: Connection, *, read_max: int = READ_MAX) -> Totals:
    """Say how much the room holds: what is tallied, and what came since the last cut.

    What no cut has taken yet counts by its stream. Where that is more than `read_max` the oldest so
    many are read, and the others counted by their numbers.
    """
    kept, last = tallies.kept(unit), mark(unit)
    came = newest(unit) - last
    new = and_(OBSERVATIONS.c.sequence > last, OBSERVATIONS.c.sequence <= last + read_max)
    put_off = _put_off(last).limit(read_max).subquery()
    ahead = int(unit.scalar(select(func.count()).select_from(put_off)) or 0)
    is_estimated = came > read_max or ahead == read_max
    read = select(func.count()).select_from(OBSERVATIONS).where(new)
    later = ahead + (came if came > read_max else int(unit.scalar(read) or 0))
    rows = union_all(select(*_STREAM, OBSERVATIONS.c.status).where(new), select(put_off))
    begun, running, ended = _by_stream(unit, rows.subquery())
    return Totals(
        sessions=kept["sessions"] + begun,
        sessions_open=kept["sessions_open"] + running - ended,
        observations=kept["taken"] + later,
        observations_pending=later,
        usages=kept["usages"],
        cuts=kept["cuts"],
        estimated=is_estimated,
    )


def _put_off(last: int) -> Select[Any]:
    """Choose what was ahead of cuts; the number of one that was deleted may come again."""
    sequence = OBSERVATIONS.c.sequence
    both = join(DEFERRED, OBSERVATIONS, sequence == DEFERRED.c.sequence)
    return select(*_STREAM, OBSERVATIONS.c.status).select_from(both).where(sequence <= last)


def _by_stream(unit: Connection, waiting: Subquery) -> tuple[int, int, int]:
    """Count the sessions of what waits: begun, of these not ended, and ended that stand."""
    names = [waiting.c[name] for name in Stream._fields]
    stopped = case((waiting.c.status == int(Status.STOP), 1), else_=0)
    streams = select(*names, func.max(stopped).label("stop")).group_by(*names)
    heard = streams.where(waiting.c.status.not_in(_RESTARTS)).subquery()
    same = and_(*(heard.c[name] == SESSIONS.c[name] for name in Stream._fields))
    known = select(SESSIONS.c.session_id).where(same).exists()
    opened = select(func.count()).select_from(SESSIONS).where(same, tallies.OPEN)
    begun, running, ended = unit.execute(
        select(
            func.count().filter(~known),
            func.count().filter(~known, heard.c.stop == 0),
            func.coalesce(func.sum(heard.c.stop * opened.scalar_subquery()), 0),
        ).select_from(heard)
    ).one()
    return int(begun), int(running), int(ended)


def _pending(unit: Connection) -> int:
    """Count the observations that no cut has taken."""
    counted = select(func.count()).select_from(OBSERVATIONS).where(pending(unit))
    return int(unit.scalar(counted) or 0)
