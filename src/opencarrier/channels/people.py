"""What is kept of a person that pays as it uses: its channels, leases and devices' keys."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from opencarrier.channels.tables import (
    CHANNELS,
    CLAIMS,
    DEPOSITS,
    GRANTS,
    KEYS,
    LEASES,
    PAYERS,
    SESSIONS,
    UNREPORTED,
)
from opencarrier.spine.people import Held, Person, batches


class ChannelPeople:
    """Answers the port `PersonalData`."""

    def open(self, unit: Connection, person: Person) -> bool:
        """Say whether a channel of the person has not ended: money is in it."""
        mine = CHANNELS.c.subscriber == person.party_id
        query = select(CHANNELS.c.channel_id).where(mine, CHANNELS.c.closed.is_(False))
        return unit.execute(query.limit(1)).first() is not None

    def held(self, unit: Connection, person: Person) -> Held:
        """Return how it pays, its channels, and what its devices signed for."""
        found = {
            table.name: [
                dict(row)
                for row in unit.execute(
                    select(table).where(table.c.subscriber == person.party_id)
                ).mappings()
            ]
            for table in (PAYERS, CHANNELS)
        }
        found[SESSIONS.name] = [
            dict(row)
            for some in batches(person.authorisations)
            for row in unit.execute(
                select(SESSIONS).where(SESSIONS.c.authorisation_id.in_(some))
            ).mappings()
        ]
        return found

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget all of it; what was claimed is in the books and on the chain."""
        mine = select(CHANNELS.c.channel_id).where(CHANNELS.c.subscriber == person.party_id)
        for table in (LEASES, DEPOSITS, CLAIMS):
            unit.execute(delete(table).where(table.c.channel_id.in_(mine)))
        for table in (CHANNELS, PAYERS):
            unit.execute(delete(table).where(table.c.subscriber == person.party_id))
        for some in batches(person.authorisations):
            ended = select(SESSIONS.c.session_id).where(SESSIONS.c.authorisation_id.in_(some))
            unit.execute(delete(UNREPORTED).where(UNREPORTED.c.session_id.in_(ended)))
            for table in (SESSIONS, KEYS, GRANTS):
                unit.execute(delete(table).where(table.c.authorisation_id.in_(some)))
