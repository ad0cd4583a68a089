"""What a receipt of an adjustment proves by itself: made again from its inputs, signed, placed.

The period's sums are the two operators' own: that they are those of the records is what each
checks against its books. That what they come to, at the signed terms, is what was paid, is here.
"""

from __future__ import annotations

from collections.abc import Mapping

from opencarrier.clearing.dues import PART, Flow, due_part, flows_of, leaf_data
from opencarrier.clearing.rules import statement_digest
from opencarrier.clearing.tree import commit, position_of_record, root_of_record
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.rating.adjustment_inputs import decode_inputs
from opencarrier.rating.adjustments import due_again
from opencarrier.rating.agreements.documents import read_exchange_rate
from opencarrier.rating.agreements.model import ExchangeRate, RoamingHead
from opencarrier.rating.agreements.reading import Cursor
from opencarrier.receipts.model import DueReceipt
from opencarrier.receipts.signing import signers_of
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung


def check_due(receipt: DueReceipt) -> RoamingHead:
    """Make the adjustment again; `PeerError` of `rating` unless it is this flow of this position.

    Returned is the head of the agreement its deal is of.
    """
    content = receipt.adjustment.content
    inputs, role = content.get("inputs"), content.get("role")
    if not isinstance(inputs, bytes) or type(role) is not int:
        raise PeerError("rating", "the adjustment lacks what it was made from")
    try:
        due = due_again(inputs, _rate(content.get("exchange")))
    except PeerError as error:
        raise PeerError("rating", f"adjustment: {error}") from None
    flow = next((item for item in flows_of(due) if item.role == role), None)
    if flow is None or encode(due_part(due, role)) != encode(content):
        raise PeerError("rating", "adjusting again does not give this record")
    _check_flow(receipt, flow)
    return decode_inputs(inputs).head


def root_of_due(receipt: DueReceipt) -> bytes:
    """Walk from the adjustment to the records root; `PeerError` for an impossible path."""
    root = root_of_record(_leaf(receipt), receipt.path)
    if root is None:
        raise PeerError("record", "the path has an impossible shape")
    return root


def check_due_signatures(
    receipt: DueReceipt, head: RoamingHead
) -> Mapping[str, tuple[Address, ...]]:
    """Check who signed the agreement and the position; return them by document.

    The agreement tells the two operators' keys; whoever a leg goes to signs for itself, elsewhere.
    """
    path = receipt.path
    keys: dict[PartyId, Address] = {item.party: item.address for item in head.parties}
    both = tuple(sorted(set(keys.values())))
    needed = (path.debtor, path.creditor) if path.rung is Rung.CO_SIGNED else (path.creditor,)
    position = position_of_record(_leaf(receipt), path)
    assert position is not None, "the path was walked before"
    return {
        "agreement": signers_of(head.hash, receipt.agreement_signatures, both, both),
        "statement": signers_of(
            statement_digest(position),
            receipt.statement_signatures,
            [keys[party] for party in needed if party in keys],
            both,
        ),
    }


def _check_flow(receipt: DueReceipt, flow: Flow) -> None:
    path = receipt.path
    placed = (path.debtor, path.creditor, path.asset, path.amount_minor)
    asset = flow.due.adjustment.asset
    if (flow.debtor, flow.creditor, asset, flow.amount_minor) != placed:
        raise PeerError("rating", "the position is not what the adjustment moves")
    if flow.record_id != receipt.record_id:
        raise PeerError("rating", "the record's id does not follow from the adjustment")


def _leaf(receipt: DueReceipt) -> bytes:
    adjustment = receipt.adjustment
    return leaf_data(receipt.record_id, commit(PART, adjustment.salt, adjustment.content))


def _rate(terms: Value) -> ExchangeRate | None:
    return None if terms is None else read_exchange_rate(Cursor(terms))
