"""What an adjustment makes: flows between two parties each, and the leaf of its record. Pure.

    leaf   encode(["opencarrier/adjustment", record_id, commit("adjustment", salt, part)])
    part   the adjustment with its inputs, the exchange rate, its legs in the asset, and which flow

One flow is the whole between payer and seller; one more for each leg that the seller passes on, or
has back. Where a sum is negative the flow runs the other way, so no position is below zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from opencarrier.clearing.tree import commit, pair_root
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.merkle import leaf_hash
from opencarrier.kernel.money import int64
from opencarrier.spine import ids
from opencarrier.spine.money import Due, Nets, Position, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

TAG = "opencarrier/adjustment"
PART = "adjustment"
WHOLE = 0
"""The role of the flow between payer and seller; a passed-on leg's is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What one party owes another for an adjustment, above zero, with a record of its own."""

    due: Due
    role: int
    debtor: PartyId
    creditor: PartyId
    amount_minor: int

    @property
    def record_id(self) -> Id:
        """Name the record that stands for the flow."""
        return record_id(self.due.adjustment.adjustment_id, self.role)


def with_flows(charges: Nets, flows: Iterable[Flow]) -> Nets:
    """Return the nets of charges with flows added: what their debtors pay, their creditors gain."""
    members: defaultdict[PartyId, int] = defaultdict(int, charges.members)
    for flow in flows:
        members[flow.debtor] -= flow.amount_minor
        members[flow.creditor] += flow.amount_minor
    return Nets(members=dict(sorted(members.items())), hosts=charges.hosts)


def record_id(adjustment_id: Id, role: int) -> Id:
    """Name an adjustment's record in one of its flows."""
    return derive("adjustment/record", adjustment_id, role)


def flows_of(due: Due) -> Iterator[Flow]:
    """Return what an adjustment makes its parties owe each other; nobody owes itself.

    The sums of all flows per party are those of the legs.
    """
    made = due.adjustment
    yield from _flow(due, WHOLE, made.payer, made.seller, due.amount_minor)
    for leg in due.allocations:
        if leg.role is not Role.SELLER:
            yield from _flow(due, int(leg.role), made.seller, leg.party, leg.amount_minor)


def due_part(due: Due, role: int) -> dict[str, Value]:
    """Return what a record says of its adjustment: enough to make it again and to see its flow."""
    made = due.adjustment
    return {
        "adjustment_id": made.adjustment_id,
        "payer": made.payer,
        "seller": made.seller,
        "asset": made.asset,
        "amount_minor": due.amount_minor,
        "agreement_hash": made.agreement_hash,
        "deal_hash": made.deal_hash,
        "inputs": made.inputs,
        "exchange": due.exchange,
        "allocations": [
            [int(leg.role), leg.party, leg.account, leg.amount_minor] for leg in due.allocations
        ],
        "role": role,
    }


def leaf_data(record: Id, commitment: bytes) -> bytes:
    """Return what is hashed as an adjustment record's leaf."""
    return encode([TAG, record, commitment])


def due_leaf(flow: Flow, salt: bytes) -> bytes:
    """Return the leaf hash of an adjustment's record."""
    commitment = commit(PART, salt, due_part(flow.due, flow.role))
    return leaf_hash(leaf_data(flow.record_id, commitment))


def draft(cycle_id: Id, flow: Flow, rung: Rung, jurisdiction: str, leaf: bytes) -> Position:
    """Make the position of a flow; it passes nothing on, for each leg is a flow of its own."""
    asset, root = flow.due.adjustment.asset, pair_root([leaf])
    amount_minor = int64(flow.amount_minor, "a position")
    return Position(
        position_id=ids.position_id(
            cycle_id,
            flow.debtor,
            flow.creditor,
            asset,
            rung=rung,
            pair_root=root,
            amount_minor=amount_minor,
        ),
        cycle_id=cycle_id,
        debtor=flow.debtor,
        creditor=flow.creditor,
        asset=asset,
        jurisdiction=jurisdiction,
        rung=rung,
        pair_root=root,
        records=1,
        amount_minor=amount_minor,
        legs=(),
    )


def _flow(
    due: Due, role: int, debtor: PartyId, creditor: PartyId, amount_minor: int
) -> Iterator[Flow]:
    if amount_minor < 0:
        debtor, creditor = creditor, debtor
    if amount_minor and debtor != creditor:
        yield Flow(
            due=due,
            role=role,
            debtor=debtor,
            creditor=creditor,
            amount_minor=abs(amount_minor),
        )
