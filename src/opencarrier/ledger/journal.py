"""The journal: each entry hashes the one before it and everything it booked.

    entry_hash = derive(
        "ledger/journal", former entry_hash, entry, at_us, sequence, openings, transfers
    )

An opening is `[account_id, asset, name, flags]`, ascending by id; a transfer is its row in the
order of `TRANSFER_FIELDS`, ascending by sequence; `sequence` is the newest transfer's. Openings
have no time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from opencarrier.kernel.ids import Id, derive
from opencarrier.ledger.model import Head

BEFORE_FIRST: Final = Head(entry=0, sequence=0, entry_hash=derive("ledger/journal"))
"""What the first entry is chained to."""

TRANSFER_FIELDS: Final = (
    "sequence",
    "transfer_id",
    "debit_id",
    "credit_id",
    "amount_minor",
    "moved_minor",
    "flags",
    "hold_id",
    "expires_us",
    "code",
    "reference",
)
OPENING_FIELDS: Final = ("account_id", "asset", "name", "flags")

_transfer_facts: Callable[[Any], tuple[Any, ...]] = itemgetter(*TRANSFER_FIELDS)
_opening_facts: Callable[[Any], tuple[Any, ...]] = itemgetter(*OPENING_FIELDS)


def next_head(
    former: Head,
    *,
    at_us: int | None,
    openings: Sequence[Any] = (),
    transfers: Sequence[Any] = (),
) -> Head:
    """Return the entry that follows `former` and books these rows (mappings by field)."""
    entry = former.entry + 1
    sequence = former.sequence + len(transfers)
    entry_hash: Id = derive(
        "ledger/journal",
        former.entry_hash,
        entry,
        at_us,
        sequence,
        sorted(_opening_facts(row) for row in openings),
        [_transfer_facts(row) for row in transfers],
    )
    return Head(entry=entry, sequence=sequence, entry_hash=entry_hash)
