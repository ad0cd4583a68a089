"""What settlement knows of where money stands: a cycle ordered, sent, final, or lost."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.signatures import Address
from opencarrier.settlement import store
from opencarrier.settlement.model import Attempt, Cycle, CycleState
from opencarrier.spine.parties import PartyId
from opencarrier.spine.stages import Stage, StageReason, Step

_REASONS = {
    CycleState.ORDERED: StageReason.ORDERED,
    CycleState.SENT: StageReason.SENT,
    CycleState.FINAL: StageReason.FINAL,
    CycleState.LOST: StageReason.LOST,
}


class SettlementStages:
    """Answers the port `Stages` for cycles."""

    def steps(self, unit: Connection, about: Sequence[Id]) -> Sequence[Step]:
        """Return how each cycle is paid at the venue; nothing of one that is open."""
        found = []
        for cycle_id in about:
            cycle = store.cycle(unit, cycle_id)
            attempt = None if cycle is None else store.attempt(unit, cycle_id, cycle.attempt)
            if cycle is not None and attempt is not None and cycle.state in _REASONS:
                found.append(_step(cycle, attempt))
        return found

    def cycle(self, unit: Connection, cycle_id: Id) -> Cycle | None:
        """Return a cycle by its id."""
        return store.cycle(unit, cycle_id)

    def is_final(self, unit: Connection, cycle_id: Id) -> bool:
        """Say whether a cycle is settled for good."""
        cycle = store.cycle(unit, cycle_id)
        return cycle is not None and cycle.state is CycleState.FINAL

    def accounts(self, unit: Connection, cycle_id: Id, host: PartyId) -> list[Address]:
        """Return the addresses that a cycle's newest order pays a host's share to."""
        return store.addresses_of_host(unit, cycle_id, host)


def _step(cycle: Cycle, attempt: Attempt) -> Step:
    order = attempt.order
    is_final = cycle.state is CycleState.FINAL
    return Step(
        stage=Stage.SETTLED,
        reason=_REASONS[cycle.state].name.lower(),
        about=cycle.cycle_id,
        at_us=attempt.final_us if is_final else attempt.ordered_us,
        facts={
            "sequence": cycle.sequence,
            "settlement_id": to_hex(order.settlement_id),
            "records_root": to_hex(order.records_root),
            "tx_hash": None if attempt.tx_hash is None else to_hex(attempt.tx_hash),
            "block_number": attempt.block_number,
            "gross_minor": attempt.gross_minor,
            "net_minor": attempt.net_minor,
        },
    )
