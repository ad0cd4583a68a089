"""The cycle's state machine, the verdict over an attempt, and the ledger's side of an order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from opencarrier.chain.contracts import NO_ROOT
from opencarrier.chain.rules import TransactionState
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.ledger.model import Transfer, TransferFlags, post_hold, void_hold
from opencarrier.settlement.model import Cycle, CycleEvent, CycleState, Row
from opencarrier.spine import ids
from opencarrier.spine.money import Cleared, Net
from opencarrier.spine.parties import PartyId

TRANSITIONS: Final[Mapping[tuple[CycleState, CycleEvent], CycleState]] = {
    (CycleState.OPEN, CycleEvent.ORDER): CycleState.ORDERED,
    (CycleState.ORDERED, CycleEvent.SEND): CycleState.SENT,
    (CycleState.ORDERED, CycleEvent.CONFIRM): CycleState.FINAL,
    (CycleState.SENT, CycleEvent.CONFIRM): CycleState.FINAL,
    (CycleState.ORDERED, CycleEvent.RETRY): CycleState.ORDERED,
    (CycleState.SENT, CycleEvent.RETRY): CycleState.ORDERED,
    (CycleState.ORDERED, CycleEvent.ABANDON): CycleState.OPEN,
    (CycleState.SENT, CycleEvent.ABANDON): CycleState.OPEN,
    (CycleState.ORDERED, CycleEvent.CONFLICT): CycleState.LOST,
    (CycleState.SENT, CycleEvent.CONFLICT): CycleState.LOST,
}
"""The life of a cycle. `ordered` may be confirmed at once: a twin settled the same content."""

IN_FLIGHT: Final = frozenset({CycleState.ORDERED, CycleState.SENT})

CHAIN_MAX: Final = 4_096
"""Linked transfers in one chain; a longer order is several chains in the same transaction."""

GAS_BASE: Final = 400_000
GAS_PER_NET: Final = 45_000
"""What a settlement may cost: a base with the rewards, and per member a net with a signature.

Twice what is measured. What is not used is not paid; the transaction manager caps it at what one
transaction may have (EIP-7825).
"""


class Verdict(Enum):
    """What the chain says about an attempt."""

    WAIT = "wait"
    POST = "post"
    LOST = "lost"
    DEAD = "dead"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFacts:
    """What the venue would say to a member's row, read at a final block.

    `mandate_minor` is what it may be debited without a signature, zero where it gave no mandate.
    """

    is_member: bool
    balance_minor: int
    mandate_minor: int


def advance(state: CycleState, event: CycleEvent) -> CycleState:
    """Return the state after an event; an event out of its place is our own mistake."""
    after = TRANSITIONS.get((state, event))
    assert after is not None, f"{event.value} does not happen to a cycle that is {state.value}"
    return after


def verdict(transaction: TransactionState, settled: bytes | None, settlement_id: Id) -> Verdict:
    """Judge an attempt by its transaction and by what the contract holds at a final block.

    `settled` is `settled[cycle_id]` there, 32 zero octets while the cycle is unsettled, None
    where no block is final yet. The contract decides: whoever sent it, the same content is ours.
    An attempt is dead only when its transaction can never be mined again.
    """
    if settled is None:
        return Verdict.WAIT
    if settled == settlement_id:
        return Verdict.POST
    if settled != NO_ROOT:
        return Verdict.LOST
    if transaction in (TransactionState.REVERTED, TransactionState.REPLACED):
        return Verdict.DEAD
    if transaction is TransactionState.FINAL:
        return Verdict.UNEXPLAINED
    return Verdict.WAIT


def nets_of(cleared: Cleared) -> tuple[Net, ...]:
    """Return the nets as the venue takes them."""
    return tuple(Net(address=n.address, amount_minor=n.amount_minor) for n in cleared.nets)


def rows_of(cleared: Cleared) -> tuple[Row, ...]:
    """Return what the ledger books for a settlement: members by address, then hosts."""
    members = (
        Row(party=n.party, address=n.address, amount_minor=n.amount_minor, is_host=False)
        for n in cleared.nets
    )
    hosts = (
        Row(party=e.host, address=e.payout, amount_minor=e.amount_minor, is_host=True)
        for e in cleared.entitlements
    )
    return (*members, *hosts)


def settlement_id(token: Address, cleared: Cleared, rewards_root: bytes) -> Id:
    """Name a settlement by its content, as the contract will."""
    assert (rewards_root == NO_ROOT) == (cleared.rewards_minor == 0), "a root comes with money"
    return ids.settlement_id(
        cleared.cycle_id,
        token=token,
        records_root=cleared.records_root,
        netting_mode=cleared.netting_mode,
        nets=nets_of(cleared),
        rewards_root=rewards_root,
        rewards_minor=cleared.rewards_minor,
    )


def intent_id(settlement: Id, attempt: int) -> Id:
    """Name the transaction of an attempt; the same content may need a second one."""
    return derive("settlement/transaction", settlement, attempt)


def holds(asset: AssetId, settlement: Id, attempt: int, rows: Sequence[Row]) -> list[Transfer]:
    """Reserve what a settlement moves, all or nothing, until the chain is final.

    Who pays gives collateral for its debt, who is paid gets collateral for its claim, a host's
    accrued share becomes an entitlement.
    """
    transfers = [_hold(asset, settlement, attempt, row) for row in rows]
    return link(transfers)


def posts(pending: Sequence[Transfer], settlement: Id) -> list[Transfer]:
    """Post every hold of a settlement for its whole amount."""
    return link(
        [
            post_hold(
                hold,
                transfer_id=derive("transfer", hold.transfer_id, "post"),
                amount_minor=hold.amount_minor,
                code="settlement/post",
                reference=settlement,
            )
            for hold in pending
        ]
    )


def voids(pending: Sequence[Transfer], settlement: Id) -> list[Transfer]:
    """Release every hold of a settlement that will never be."""
    return link(
        [
            void_hold(
                hold,
                transfer_id=derive("transfer", hold.transfer_id, "void"),
                code="settlement/void",
                reference=settlement,
            )
            for hold in pending
        ]
    )


def link(transfers: Sequence[Transfer]) -> list[Transfer]:
    """Chain transfers so that they are booked together, in chains of `CHAIN_MAX` at most."""
    last = len(transfers) - 1
    return [
        transfer
        if index == last or (index + 1) % CHAIN_MAX == 0
        else replace(transfer, flags=transfer.flags | TransferFlags.LINKED)
        for index, transfer in enumerate(transfers)
    ]


def bounded_by_venue(
    collateral: Callable[[PartyId], int],
    facts: Mapping[PartyId, MemberFacts],
    signs: Callable[[PartyId], bool],
) -> Callable[[PartyId], int]:
    """Bound what a member can bear by what the venue would let it be debited.

    Its balance there, and without a signature of its own its mandate. This is the deterministic
    rule that decides who leaves a cycle the chain refused.
    """

    def bounded(party: PartyId) -> int:
        fact = facts.get(party)
        if fact is None or not fact.is_member:
            return 0
        ceiling = fact.balance_minor
        if not signs(party):
            ceiling = min(ceiling, fact.mandate_minor)
        return min(collateral(party), ceiling)

    return bounded


def gas_limit(nets: int) -> int:
    """Return the gas a settlement of so many members may use."""
    return GAS_BASE + GAS_PER_NET * nets


def next_cycle(domain: str, asset: AssetId, sequence: int) -> Cycle:
    """Open a cycle."""
    return Cycle(
        cycle_id=ids.cycle_id(domain, asset, sequence),
        sequence=sequence,
        state=CycleState.OPEN,
        attempt=0,
        cuts=0,
        cut_us=0,
    )


def _hold(asset: AssetId, settlement: Id, attempt: int, row: Row) -> Transfer:
    amount = row.amount_minor
    assert amount, "a row of zero moves nothing"
    if row.is_host:
        debit, credit = chart.accrued(row.party), chart.entitled(row.address, row.party)
    elif amount < 0:
        debit, credit = chart.collateral(row.party), chart.clearing(row.party)
    else:
        debit, credit = chart.clearing(row.party), chart.collateral(row.party)
    whose = ("host", row.party, row.address) if row.is_host else ("member", row.party)
    return Transfer(
        transfer_id=derive("transfer", settlement, attempt, *whose),
        asset=asset,
        debit=debit,
        credit=credit,
        amount_minor=abs(amount),
        code="settlement/hold",
        flags=TransferFlags.PENDING,
        reference=settlement,
    )
