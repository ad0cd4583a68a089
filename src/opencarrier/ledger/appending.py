"""Writing one journal entry: the accounts it opens, or the transfers it books.

The entry is written before anything else: of two units that read the same head one fails here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from opencarrier.ledger import store
from opencarrier.ledger.batch import Batch, Entry
from opencarrier.ledger.journal import next_head
from opencarrier.ledger.model import Head, Opening, account_id


def append_openings(unit: Connection, former: Head, fresh: Sequence[Opening]) -> Head:
    """Open accounts with nothing on them; return the journal's new head."""
    rows = [
        {
            "account_id": account_id(item.asset, item.name),
            "asset": item.asset,
            "name": item.name,
            "flags": int(item.flags),
            "entry": former.entry + 1,
        }
        for item in fresh
    ]
    head = next_head(former, at_us=None, openings=rows)
    store.insert_entry(unit, head, None)
    store.insert_accounts(unit, rows)
    return head


def append_transfers(unit: Connection, former: Head, batch: Batch, at_us: int) -> Head:
    """Write what a batch booked, and what it left; return the journal's new head."""
    rows = [
        _row(entry, former.sequence + count, former.entry + 1)
        for count, entry in enumerate(batch.entries, start=1)
    ]
    head = next_head(former, at_us=at_us, transfers=rows)
    store.insert_entry(unit, head, at_us)
    store.insert_transfers(unit, rows)
    store.write_holds(unit, opened=batch.opened, resolved=batch.resolved)
    store.write_balances(unit, batch.touched)
    return head


def _row(entry: Entry, sequence: int, journal_entry: int) -> dict[str, Any]:
    transfer = entry.transfer
    return {
        "sequence": sequence,
        "transfer_id": transfer.transfer_id,
        "debit_id": entry.debit_id,
        "credit_id": entry.credit_id,
        "amount_minor": transfer.amount_minor,
        "moved_minor": entry.moved_minor,
        "flags": int(transfer.flags),
        "hold_id": transfer.hold_id,
        "expires_us": transfer.expires_us,
        "code": transfer.code,
        "reference": transfer.reference,
        "entry": journal_entry,
    }
