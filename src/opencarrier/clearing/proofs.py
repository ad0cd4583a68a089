"""Proof of a settled record: its path is made anew from the stored leaves, only along its way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from opencarrier.clearing import due_store, store, tree
from opencarrier.clearing.dues import PART, due_part, leaf_data
from opencarrier.clearing.model import (
    Commitments,
    DueProof,
    Leaf,
    ProofRefusal,
    RecordPath,
    RecordProof,
    Standing,
)
from opencarrier.kernel.ids import Id
from opencarrier.kernel.merkle import Tree
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.money import Position, RatedUsage
from opencarrier.spine.ports import Rater

TREES_MAX = 64
"""Trees remembered for the next proof; each is named by its root, so none is ever stale."""


class Prover:
    """Proves records one by one; nothing is remembered but trees, by their roots."""

    def __init__(self, rater: Rater) -> None:
        self._rater = rater
        self._trees: OrderedDict[bytes, Tree] = OrderedDict()

    def proof(self, unit: Connection, usage_id: Id) -> RecordProof | Refusal:
        """Return a settled record's salts, commitments and path to the root its cycle settled.

        Refused: a usage without record, a record that is not paid for good.
        """
        found = store.record_of(unit, usage_id)
        if found is None:
            return Refusal(ProofRefusal.NO_RECORD, f"usage {usage_id.hex()} is in no position")
        position_id, leaf = found
        signed = _settled(unit, position_id)
        if isinstance(signed, Refusal):
            return signed
        position, settled_in = signed
        rated, salts, parts = self._record(unit, leaf)
        path, root = self._path(unit, position, settled_in, leaf.index)
        data = tree.leaf_data(usage_id, parts)
        assert tree.root_of_record(data, path) == root, "a record never changes"
        return RecordProof(
            usage_id=usage_id,
            position_id=position_id,
            settled_in=settled_in,
            records_root=root,
            rated=rated,
            salts=salts,
            commitments=parts,
            path=path,
        )

    def due_record(self, unit: Connection, record_id: Id) -> DueProof | Refusal | None:
        """Return what a settled record of an adjustment says and its path, or why there is none.

        None where the id is of no such record. Each flow has its own: the one between the
        operators, and one for each leg passed on.
        """
        record = due_store.of_record(unit, record_id)
        if record is None:
            return None
        signed = _settled(unit, record.position_id)
        if isinstance(signed, Refusal):
            return signed
        due = self._rater.due(unit, record.adjustment_id)
        assert due is not None, "an adjustment that was made is gone"
        position, settled_in = signed
        path, root = self._path(unit, position, settled_in, 0)
        part = due_part(due, record.role)
        leaf = leaf_data(record.record_id, tree.commit(PART, record.salt, part))
        assert tree.root_of_record(leaf, path) == root, "a record never changes"
        return DueProof(
            record_id=record.record_id,
            position_id=record.position_id,
            settled_in=settled_in,
            records_root=root,
            salt=record.salt,
            part=part,
            path=path,
        )

    def _record(
        self, unit: Connection, leaf: Leaf
    ) -> tuple[RatedUsage, Mapping[str, bytes], Commitments]:
        """Return the record as it was when it was made, as far as it may still be shown."""
        rated = self._rater.rated(unit, leaf.usage_id)
        assert rated is not None, "a record was rated"
        blinded = store.blinded(unit, leaf.usage_id)
        if blinded is not None:
            salts = {tree.USAGE: blinded.usage_salt, tree.WHOLESALE: blinded.wholesale_salt}
            return rated, salts, tree.committed(rated, salts, retail=blinded.retail)
        if not leaf.has_retail:
            rated = replace(rated, retail=None)
        salts = tree.part_salts(leaf.salt)
        return rated, salts, tree.committed(rated, salts)

    def _path(
        self, unit: Connection, position: Position, cycle_id: Id, index: int
    ) -> tuple[RecordPath, bytes]:
        roots = store.roots_of(unit, cycle_id)
        name = position.jurisdiction
        records = self._tree(
            position.pair_root,
            lambda: Tree(_leaf_hashes(unit, position.position_id)),
        )
        ids = store.ids_settled_in(unit, cycle_id, name)
        positions = self._tree(roots[name], lambda: tree.jurisdiction_tree(ids))
        domain = tree.domain_tree(roots)
        path = RecordPath(
            record=records.path(index),
            cycle_id=position.cycle_id,
            debtor=position.debtor,
            creditor=position.creditor,
            asset=position.asset,
            rung=position.rung,
            amount_minor=position.amount_minor,
            position=positions.path(ids.index(position.position_id)),
            jurisdiction=name,
            domain=domain.path(sorted(roots).index(name)),
        )
        return path, tree.seal_domain(domain)

    def _tree(self, root: bytes, make: Callable[[], Tree]) -> Tree:
        found = self._trees.get(root)
        if found is None:
            found = self._trees[root] = make()
            while len(self._trees) > TREES_MAX:
                self._trees.popitem(last=False)
        self._trees.move_to_end(root)
        return found


def _settled(unit: Connection, position_id: Id) -> tuple[Position, Id] | Refusal:
    """Return a position that is paid for good and the cycle that paid it."""
    signed = store.position(unit, position_id)
    assert signed is not None, "a record is in a position"
    if signed.standing is not Standing.SETTLED or signed.settled_in is None:
        return Refusal(ProofRefusal.NOT_SETTLED, f"position {position_id.hex()} is not paid")
    return signed.position, signed.settled_in


def _leaf_hashes(unit: Connection, position_id: Id) -> list[bytes]:
    """Return a position's leaves: of use, or the one of an adjustment."""
    due = due_store.of_position(unit, position_id)
    if due is not None:
        return [due.leaf_hash]
    return [leaf.leaf_hash for leaf in store.leaves_of(unit, position_id)]
