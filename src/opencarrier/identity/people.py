"""Who a subscriber is: name, SIMs, logins, keys; all that ties an opaque id to a person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select

from opencarrier.identity import store
from opencarrier.identity.directory import Directory
from opencarrier.identity.model import Cause, Erasure
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Held, Person

_TABLES = (
    (store.enrolments, store.enrolments.c.subscriber),
    (store.credentials, store.credentials.c.subscriber),
    (store.certificates, store.certificates.c.subscriber),
    (store.passwords, store.passwords.c.subscriber),
    (store.keys, store.keys.c.party),
    (store.subscribers, store.subscribers.c.party_id),
    (store.parties, store.parties.c.party_id),
)
"""What tells of a subscriber, each before what it refers to."""


class IdentityPeople:
    """Answers the port `PersonalData`, and keeps who was erased."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def held(self, unit: Connection, person: Person) -> Held:
        """Return name, plan, SIMs, logins and keys, without their secrets."""
        return {
            table.name: [
                _open(row)
                for row in unit.execute(select(table).where(owner == person.party_id)).mappings()
            ]
            for table, owner in reversed(_TABLES)
        }

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget the subscriber; the same SIM may come again as another."""
        for table, owner in _TABLES:
            unit.execute(delete(table).where(owner == person.party_id))
        self._directory.changed(unit, "erased", person.party_id)

    def note(self, unit: Connection, made: Erasure) -> None:
        """Keep that a subscriber was erased."""
        row = {"party_id": made.party_id, "erased_us": made.erased_us, "cause": made.cause.value}
        unit.execute(insert(store.erasures).values(row))

    def erasure(self, unit: Connection, party: PartyId) -> Erasure | None:
        """Return when and why a subscriber was erased, None where it was not."""
        query = select(store.erasures).where(store.erasures.c.party_id == party)
        row = unit.execute(query).one_or_none()
        if row is None:
            return None
        return Erasure(
            party_id=PartyId(row.party_id), erased_us=row.erased_us, cause=Cause(row.cause)
        )


def _open(row: RowMapping) -> dict[str, Any]:
    """Leave secrets out: they are told to nobody, the person included."""
    return {name: value for name, value in row.items() if not str(name).endswith("_sealed")}
