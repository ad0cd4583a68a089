"""What is kept of a person's use: which session was whose, and what its packets said.

Observations keep their ids, times and counters, so that a packet heard again is still a copy. What
comes of an erased authorisation later is dropped by the next cut: it is evidence of nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id
from opencarrier.spine.people import Held, Person, batches
from opencarrier.spine.usage import Status
from opencarrier.usage import store, tallies
from opencarrier.usage.model import Session, Stream
from opencarrier.usage.record import SUBJECT_OCTETS
from opencarrier.usage.service import UsageService
from opencarrier.usage.tables import ERASED, OBSERVATIONS, SESSIONS, USAGES, WITHHELD

_TELLING = (SESSIONS, USAGES, OBSERVATIONS)
_BLANK = {
    "authorisation_id": None,
    "acct_session_id": "",
    "subject": "",
    "packet_digest": bytes(32),
}


class UsagePeople:
    """Answers the port `PersonalData`; says what of a person no cut has taken."""

    def __init__(self, usages: UsageService, entropy: Entropy) -> None:
        self._usages, self._entropy = usages, entropy

    def usages(self, unit: Connection, authorisations: Sequence[bytes]) -> list[Id]:
        """Return every usage under some authorisations, ascending."""
        return sorted(
            Id(found)
            for some in batches(authorisations)
            for found in unit.scalars(
                select(USAGES.c.usage_id).where(USAGES.c.authorisation_id.in_(some))
            )
        )

    def running(self, unit: Connection, person: Person, *, at_us: int) -> bool:
        """Say whether a session of the person has neither ended nor fallen silent."""
        last = {s.stream: s.last_us for s in self._sessions(unit, person)}
        ended = {s.stream for s in self._sessions(unit, person) if s.closed_by}
        for row in self._pending(unit, person):
            stream = Stream(row.visited, row.nas_key, row.acct_session_id)
            last[stream] = max(row.event_us, last.get(stream, 0))
            if row.status == int(Status.STOP):
                ended.add(stream)
        oldest_us = at_us - self._usages.silence_us
        return any(heard >= oldest_us for stream, heard in last.items() if stream not in ended)

    def unsettled(self, unit: Connection, person: Person) -> bool:
        """Say whether something was heard of the person that no cut has settled."""
        waits = store.withheld(unit)
        withheld = any(s.stream in waits for s in self._sessions(unit, person))
        return withheld or next(self._pending(unit, person), None) is not None

    def last_us(self, unit: Connection, person: Person) -> int:
        """Return when the person's use was last heard of, zero where it never was."""
        return max((session.last_us for session in self._sessions(unit, person)), default=0)

    def held(self, unit: Connection, person: Person) -> Held:
        """Return sessions, usages and observations of the person, by authorisation or pseudonym."""
        return {
            table.name: [
                dict(row)
                for column, values in (
                    (table.c.authorisation_id, person.authorisations),
                    (table.c.subject, person.subjects),
                )
                for some in batches(values)
                for row in unit.execute(select(table).where(column.in_(some))).mappings()
            ]
            for table in _TELLING
        }

    def erase(self, unit: Connection, person: Person) -> None:
        """Unname observations and usages, and forget the sessions; counters and times stay.

        A random name takes the place of each pseudonym, so that who counts subscribers counts as
        many. A session that came without a Class is nobody's yet, and stays under such a name.
        """
        for session in self._sessions(unit, person):
            unit.execute(update(OBSERVATIONS).where(_evidence_of(session)).values(_BLANK))
        for some in batches(person.authorisations):
            mine = USAGES.c.authorisation_id.in_(some)
            self._rename(unit, unit.scalars(select(USAGES.c.subject).where(mine).distinct()).all())
            unit.execute(update(USAGES).where(mine).values(authorisation_id=None))
            ended = SESSIONS.c.authorisation_id.in_(some)
            ids = select(SESSIONS.c.session_id).where(ended)
            unit.execute(delete(WITHHELD).where(WITHHELD.c.session_id.in_(ids)))
            tallies.forget(unit, ended)
            unit.execute(delete(SESSIONS).where(ended))
            unit.execute(insert(ERASED), [{"authorisation_id": one} for one in some])
        for subjects in batches(person.subjects):
            self._rename(unit, _known(unit, subjects))

    def _rename(self, unit: Connection, subjects: Iterable[str]) -> None:
        for subject in filter(None, subjects):
            name = self._entropy.octets("erased/subject", SUBJECT_OCTETS).hex()
            for table in _TELLING:
                mine = table.c.subject == subject
                unit.execute(update(table).where(mine).values(subject=name))

    def _sessions(self, unit: Connection, person: Person) -> list[Session]:
        return [
            session
            for some in batches(person.authorisations)
            for session in store.sessions(unit, SESSIONS.c.authorisation_id.in_(some))
        ]

    def _pending(self, unit: Connection, person: Person) -> Iterator[Any]:
        for some in batches(person.authorisations):
            mine = OBSERVATIONS.c.authorisation_id.in_(some)
            yield from unit.execute(select(OBSERVATIONS).where(store.pending(unit), mine))


def _known(unit: Connection, subjects: Sequence[str]) -> set[str]:
    """Return those pseudonyms under which anything is kept."""
    return {
        found
        for table in _TELLING
        for found in unit.scalars(select(table.c.subject).where(table.c.subject.in_(subjects)))
    }


def _evidence_of(session: Session) -> ColumnElement[bool]:
    """Tell a session's observations: its own, and those in its time that name no authorisation."""
    within = OBSERVATIONS.c.event_us.between(session.birth_us, session.last_us)
    unnamed = and_(OBSERVATIONS.c.authorisation_id.is_(None), within)
    return and_(
        store.of_streams(OBSERVATIONS, [session.stream]),
        or_(OBSERVATIONS.c.authorisation_id == session.authorisation_id, unnamed),
    )
