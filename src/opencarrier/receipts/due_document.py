"""Receipts of adjustments to text and back, every key known, nothing sealed."""

from __future__ import annotations

from typing import Final

from opencarrier.clearing.dues import PART
from opencarrier.kernel.refusals import PeerError
from opencarrier.receipts import form
from opencarrier.receipts.document import (
    SETTLED_KEYS,
    read_id,
    read_part,
    read_settled,
    write_part,
    write_settled,
)
from opencarrier.receipts.model import DUE_FORMAT, DueReceipt, Opened

_RECEIPT: Final = ("format", "record_id", PART, *SETTLED_KEYS)


def write_due_receipt(receipt: DueReceipt) -> str:
    """Write a receipt of an adjustment in its one spelling."""
    return form.write(
        {
            "format": DUE_FORMAT,
            "record_id": form.to_json(receipt.record_id),
            PART: write_part(receipt.adjustment),
            **write_settled(receipt),
        }
    )


def is_due_receipt(text: str) -> bool:
    """Say whether a text calls itself a receipt of an adjustment; `PeerError` for no document."""
    return form.read(text).get("format") == DUE_FORMAT


def read_due_receipt(text: str) -> DueReceipt:
    """Read a receipt of an adjustment; `PeerError` with reason `form` for any other text."""
    document = form.keys(form.read(text), _RECEIPT, "the receipt")
    adjustment = read_part(document[PART], PART)
    if not isinstance(adjustment, Opened):
        raise PeerError("form", "an adjustment is shown whole")
    return DueReceipt(
        record_id=read_id(document["record_id"], "record_id"),
        adjustment=adjustment,
        **read_settled(document),
    )
