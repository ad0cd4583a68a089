"""What is kept of a person that staked: which account is whose."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from opencarrier.spine.people import Held, Person
from opencarrier.staking.store import bindings


class StakingPeople:
    """Answers the port `PersonalData`; the stake itself stands on the chain, under an address."""

    def held(self, unit: Connection, person: Person) -> Held:
        """Return the accounts that are or were the person's."""
        query = select(bindings).where(bindings.c.subscriber == person.party_id)
        return {bindings.name: [dict(row) for row in unit.execute(query).mappings()]}

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget whose they were."""
        unit.execute(delete(bindings).where(bindings.c.subscriber == person.party_id))
