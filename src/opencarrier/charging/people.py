"""What converged charging keeps of a person: its charging sessions, each with its newest answer."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from opencarrier.charging.store import sessions
from opencarrier.spine.people import Held, Person, batches


class ChargingPeople:
    """Answers the port `PersonalData`."""

    def running(self, unit: Connection, person: Person) -> bool:
        """Say whether a charging session of the person was not released."""
        return any(not row["released"] for row in self.held(unit, person)[sessions.name])

    def held(self, unit: Connection, person: Person) -> Held:
        """Return the person's charging sessions."""
        return {
            sessions.name: [
                dict(row)
                for some in batches(person.authorisations)
                for row in unit.execute(
                    select(sessions).where(sessions.c.authorisation_id.in_(some))
                ).mappings()
            ]
        }

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget them: a request that created one held the SIM's identity, as did its digest."""
        for some in batches(person.authorisations):
            unit.execute(delete(sessions).where(sessions.c.authorisation_id.in_(some)))
