"""What rating keeps of a person: its authorisations, its charges, the stake behind a discount."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, update

from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id
from opencarrier.rating import charges, open_exposure
from opencarrier.rating.line_uses import SUBJECT_OCTETS
from opencarrier.rating.tables import (
    authorisations,
    authorised_sessions,
    caps,
    charge_stakes,
    discounts,
    line_uses,
    notices,
    spent,
)
from opencarrier.rating.tables import charges as charge_table
from opencarrier.spine.access import AUTHORISATION_OCTETS
from opencarrier.spine.money import Kind
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Held, Person, batches

_NAMED = (spent, caps, notices)
"""Tables whose rows name the subscriber and are nobody else's business."""

_LOCK = ("home", "contract", "account", "lock_began_s")


class RatingPeople:
    """Answers the port `PersonalData`; knows a person's authorisations and what waits."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy

    def authorisations(self, unit: Connection, party: PartyId) -> list[bytes]:
        """Return every authorisation of a subscriber, ascending."""
        query = select(authorisations.c.authorisation_id).where(
            authorisations.c.subscriber == party
        )
        return sorted(unit.scalars(query))

    def granted(self, unit: Connection, person: Person, *, at_us: int) -> bool:
        """Say whether an authorisation lasts of which no session has ended: one may be on air."""
        ended = select(authorised_sessions.c.authorisation_id).where(
            authorised_sessions.c.closed.is_(True)
        )
        query = select(authorisations.c.authorisation_id).where(
            authorisations.c.subscriber == person.party_id,
            authorisations.c.expires_us > at_us,
            authorisations.c.authorisation_id.not_in(ended),
        )
        return unit.execute(query.limit(1)).first() is not None

    def unsettled(self, unit: Connection, person: Person) -> bool:
        """Say whether a charge of the person waits to be rated."""
        return bool(charges.waiting(unit, person.usages))

    def last_us(self, unit: Connection, person: Person) -> int:
        """Return when the person was last let in, zero where it never was."""
        query = select(func.max(authorisations.c.granted_us)).where(
            authorisations.c.subscriber == person.party_id
        )
        return unit.scalar(query) or 0

    def held(self, unit: Connection, person: Person) -> Held:
        """Return authorisations, discounts, retail charges, their sums by month, and the cap."""
        return {
            **{
                table.name: _rows(unit, table, table.c.subscriber == person.party_id)
                for table in (authorisations, *_NAMED)
            },
            discounts.name: [
                row
                for some in batches(person.authorisations)
                for row in _rows(unit, discounts, discounts.c.authorisation_id.in_(some))
            ],
            charge_table.name: [
                row
                for some in batches(person.usages)
                for row in _rows(unit, charge_table, _retail(some))
            ],
        }

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget the authorisations and whose stake a discount hung on; charges stay as booked."""
        for usages in batches(person.usages):
            ids = select(charge_table.c.charge_id).where(_retail(usages))
            unit.execute(delete(charge_stakes).where(charge_stakes.c.charge_id.in_(ids)))
        self._rename(unit, person.usages)
        for table in _NAMED:
            unit.execute(delete(table).where(table.c.subscriber == person.party_id))
        for some in batches(person.authorisations):
            self._merge_spending(unit, some)
            with open_exposure.changing(unit, some):
                for table in (authorised_sessions, authorisations):
                    unit.execute(delete(table).where(table.c.authorisation_id.in_(some)))

    def _rename(self, unit: Connection, usages: Sequence[Id]) -> None:
        """Put a random name in the place of each pseudonym: a deal counts as many as before."""
        names: dict[bytes, bytes] = {}
        for some in batches(usages):
            mine = line_uses.c.usage_id.in_(some)
            for subject in unit.scalars(select(line_uses.c.subject).where(mine).distinct()).all():
                if subject not in names:
                    names[subject] = self._entropy.octets("erased/subject", SUBJECT_OCTETS)
                which = mine & (line_uses.c.subject == subject)
                unit.execute(update(line_uses).where(which).values(subject=names[subject]))

    def _merge_spending(self, unit: Connection, some: Sequence[bytes]) -> None:
        """Keep what was spent of each lock's cap, but not when and under which authorisation."""
        mine = discounts.c.authorisation_id.in_(some)
        lock = [discounts.c[name] for name in _LOCK]
        spent = func.sum(discounts.c.spent_minor).label("spent_minor")
        found = unit.execute(select(*lock, spent).where(mine).group_by(*lock)).mappings().all()
        unit.execute(delete(discounts).where(mine))
        for row in found:
            key = self._entropy.octets("erased/discount", AUTHORISATION_OCTETS)
            began_s = row["lock_began_s"]
            rest = {"timepoint_s": began_s, "reserved_minor": 0, "expires_us": 0}
            kept = {**row, **rest, "spent_minor": int(row["spent_minor"])}
            unit.execute(insert(discounts).values(authorisation_id=key, **kept))


def _retail(usages: Sequence[Id]) -> ColumnElement[bool]:
    return charge_table.c.usage_id.in_(usages) & (charge_table.c.kind == int(Kind.RETAIL))


def _rows(unit: Connection, table: Table, where: ColumnElement[bool]) -> list[dict[str, object]]:
    return [dict(row) for row in unit.execute(select(table).where(where)).mappings()]
