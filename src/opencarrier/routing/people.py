"""What is kept of a person that was sent elsewhere: from which place, how often."""

from __future__ import annotations

from sqlalchemy import Connection

from opencarrier.routing import store
from opencarrier.spine.people import Held, Person


class RoutingPeople:
    """Answers the port `PersonalData`; what a session was chosen from names nobody and stays."""

    def held(self, unit: Connection, person: Person) -> Held:
        """Return where the person was sent elsewhere from."""
        return {store.steered.name: store.steered_of(unit, person.party_id)}

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget it, and by which authorisations it chose."""
        store.forget(unit, person.party_id)
        store.forget_choices(unit, person.authorisations)
