"""What clearing keeps of a person: the salt that would open the retail part of its records."""

from __future__ import annotations

from sqlalchemy import Connection

from opencarrier.clearing import store, tree
from opencarrier.clearing.model import Blinded, SaltedRecord
from opencarrier.kernel.ids import Id
from opencarrier.kernel.merkle import leaf_hash
from opencarrier.spine.people import Held, Person
from opencarrier.spine.ports import Rater


class ClearingPeople:
    """Answers the port `PersonalData`."""

    def __init__(self, rater: Rater) -> None:
        self._rater = rater

    def held(self, unit: Connection, person: Person) -> Held:
        """Return the places of the person's records; who has them finds the rest by receipt."""
        found = ((usage, store.record_of(unit, usage)) for usage in person.usages)
        rows = [
            {"usage_id": usage, "position_id": record[0], "leaf_index": record[1].index}
            for usage, record in found
            if record is not None
        ]
        return {store.records.name: rows}

    def erase(self, unit: Connection, person: Person) -> None:
        """Destroy the salts of the retail parts; leaves, paths and the other parts stay."""
        for usage_id in person.usages:
            self._blind(unit, usage_id)

    def unsettled(self, unit: Connection, person: Person) -> bool:
        """Say whether a record of the person is in no position that is paid for good."""
        return bool(store.unsettled(unit, person.usages))

    def _blind(self, unit: Connection, usage_id: Id) -> None:
        found = store.record_of(unit, usage_id)
        if found is None or not found[1].has_retail or store.blinded(unit, usage_id) is not None:
            return
        leaf, rated = found[1], self._rater.rated(unit, usage_id)
        assert rated is not None, "a record was rated"
        parts = tree.commitments(SaltedRecord(rated=rated, salt=leaf.salt))
        assert parts.retail is not None, "what was rated for retail stays rated"
        assert leaf_hash(tree.leaf_data(usage_id, parts)) == leaf.leaf_hash, (
            "a record never changes"
        )
        left = Blinded(
            usage_salt=tree.part_salt(leaf.salt, tree.USAGE),
            wholesale_salt=tree.part_salt(leaf.salt, tree.WHOLESALE),
            retail=parts.retail,
        )
        store.blind(unit, usage_id, left)
