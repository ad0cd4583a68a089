"""What clearing knows of where money stands: waiting and why, netted in a cycle, in its root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from opencarrier.clearing import due_store, store
from opencarrier.clearing.due_store import DueRecord
from opencarrier.clearing.model import DeferralReason, SignedPosition, Standing
from opencarrier.clearing.service import ClearingService
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.spine.money import Deferral
from opencarrier.spine.stages import Stage, StageReason, Step


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a record's leaf stands, and in which position."""

    position_id: Id
    index: int
    leaf_hash: bytes


class ClearingStages:
    """Answers the port `Stages` for records; a waiting one says why it would wait now."""

    def __init__(self, service: ClearingService, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    def steps(self, unit: Connection, about: Sequence[Id]) -> Sequence[Step]:
        """Return in which position and cycle records stand, or why their position waits.

        A record is named by its usage; one of an adjustment by its own id.
        """
        found: list[Step] = []
        deferred: Mapping[Id, Deferral] | None = None
        for usage_id in about:
            placed = self._placed(unit, usage_id)
            if placed is None:
                continue
            position, leaf = placed
            if position.standing is Standing.OPEN:
                deferred = self._deferred(unit) if deferred is None else deferred
                found.append(_waiting(usage_id, position, deferred))
            elif position.standing is Standing.REPLACED:
                found.append(_replaced(usage_id, position))
            else:
                found += self._settled(unit, usage_id, position, leaf)
        return found

    def page(self, unit: Connection, cycle_id: Id, *, after: bytes, limit: int) -> list[Id]:
        """Return the usages a cycle settles, ascending, above `after`."""
        query = (
            select(store.records.c.usage_id)
            .join(store.positions, store.positions.c.position_id == store.records.c.position_id)
            .where(store.positions.c.settled_in == cycle_id, store.records.c.usage_id > after)
            .order_by(store.records.c.usage_id)
            .limit(limit)
        )
        return [Id(found) for found in unit.execute(query).scalars()]

    def settled_in(self, unit: Connection, usage_id: Id) -> Id | None:
        """Return the cycle that has taken a usage's position, None while none has."""
        leaf = _leaf(unit, usage_id)
        return None if leaf is None else store.settled_in(unit, leaf.position_id)

    def adjustment(self, unit: Connection, identifier: Id) -> list[DueRecord]:
        """Return the records of an adjustment, or the one an id is of; none where it is neither."""
        record = due_store.of_record(unit, identifier)
        return due_store.of_adjustment(unit, identifier) if record is None else [record]

    def _placed(self, unit: Connection, record_id: Id) -> tuple[SignedPosition, _Place] | None:
        leaf = _leaf(unit, record_id)
        if leaf is None:
            return None
        position = store.position(unit, leaf.position_id)
        assert position is not None, "a record is in a position"
        return position, leaf

    def _deferred(self, unit: Connection) -> dict[Id, Deferral]:
        waiting = self._service.waiting(unit, at_us=self._clock.now_us())
        return {deferral.position_id: deferral for deferral in waiting}

    def _settled(
        self, unit: Connection, usage_id: Id, position: SignedPosition, leaf: _Place
    ) -> Iterator[Step]:
        assert position.settled_in is not None, "what is taken is in a cycle"
        taken = position.standing is Standing.TAKEN
        reason = StageReason.TAKEN_BY_CYCLE if taken else StageReason.PAID_BY_CYCLE
        yield _netted(usage_id, position, reason)
        jurisdiction = position.position.jurisdiction
        root = store.roots_of(unit, position.settled_in)[jurisdiction]
        yield Step(
            stage=Stage.IN_ROOT,
            reason=StageReason.LEAF_OF_CYCLE.name.lower(),
            about=usage_id,
            facts={
                "leaf_index": leaf.index,
                "leaf_hash": to_hex(leaf.leaf_hash),
                "pair_root": to_hex(position.position.pair_root),
                "jurisdiction": jurisdiction,
                "jurisdiction_root": to_hex(root),
            },
        )


def _leaf(unit: Connection, record_id: Id) -> _Place | None:
    use = store.record_of(unit, record_id)
    if use is not None:
        position_id, leaf = use
        return _Place(position_id, leaf.index, leaf.leaf_hash)
    due = due_store.of_record(unit, record_id)
    return None if due is None else _Place(due.position_id, 0, due.leaf_hash)


def _waiting(usage_id: Id, position: SignedPosition, deferred: Mapping[Id, Deferral]) -> Step:
    deferral = deferred.get(position.position.position_id)
    if deferral is None:
        reason, detail = StageReason.DUE_NEXT_CYCLE.name.lower(), ""
    else:
        reason, detail = deferral.reason, deferral.detail
    return Step(
        stage=Stage.WAITING,
        reason=reason,
        about=usage_id,
        facts={**_position(position), "detail": detail},
    )


def _replaced(usage_id: Id, position: SignedPosition) -> Step:
    return Step(
        stage=Stage.WAITING,
        reason=DeferralReason.REPLACED.name.lower(),
        about=usage_id,
        facts={**_position(position), "detail": "a statement of both agrees on another amount"},
    )


def _netted(usage_id: Id, position: SignedPosition, reason: StageReason) -> Step:
    assert position.settled_in is not None
    return Step(
        stage=Stage.NETTED,
        reason=reason.name.lower(),
        about=usage_id,
        facts={**_position(position), "cycle_id": to_hex(position.settled_in)},
    )


def _position(position: SignedPosition) -> dict[str, str | int]:
    owed = position.position
    return {
        "position_id": to_hex(owed.position_id),
        "cut_in": to_hex(owed.cycle_id),
        "debtor": owed.debtor,
        "creditor": owed.creditor,
        "position_minor": owed.amount_minor,
    }
