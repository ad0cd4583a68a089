"""What the owner of a key lets it spend: per transaction, per day, and per day and purpose.

A transaction counts with the most it may cost until it is terminal, then with what it did cost;
one that somebody else replaced cost nothing. A day is the last 24 hours, and whatever is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from opencarrier.chain.rules import (
    SECOND_US,
    TERMINAL,
    Policy,
    TransactionRefusal,
    TransactionState,
)
from opencarrier.chain.store import transactions, variants
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address

DAY_US = 86_400 * SECOND_US
_TERMINAL_NAMES = sorted(state.value for state in TERMINAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Wei spent or promised in a day: in all, and for one purpose."""

    day_wei: int = 0
    purpose_wei: int = 0


def refusal(cost_wei: int, spent: Spent, purpose: str, policy: Policy) -> Refusal | None:
    """Say which cap a transaction of this cost would pass, None where it passes none."""
    purpose_max = policy.purposes_day_max_wei.get(purpose)
    caps = (
        (TransactionRefusal.ABOVE_TRANSACTION_CAP, cost_wei, policy.transaction_max_wei),
        (TransactionRefusal.ABOVE_PURPOSE_CAP, spent.purpose_wei + cost_wei, purpose_max),
        (TransactionRefusal.ABOVE_DAY_CAP, spent.day_wei + cost_wei, policy.day_max_wei),
    )
    for reason, wanted_wei, most_wei in caps:
        if most_wei is not None and wanted_wei > most_wei:
            return Refusal(reason, f"{wanted_wei} wei of {most_wei}")
    return None


def spent(
    connection: Connection,
    chain_id: int,
    sender: Address,
    *,
    purpose: str,
    now_us: int,
    but: bytes = b"",
) -> Spent:
    """Return what an account spent in the last day, leaving one intent aside."""
    kept = transactions.c
    query = (
        select(transactions, func.max(variants.c.max_fee_per_gas_wei).label("max_fee"))
        .join(variants, variants.c.intent_id == kept.intent_id)
        .where(
            kept.chain_id == chain_id,
            kept.sender == sender,
            kept.intent_id != but,
            or_(kept.prepared_at_us > now_us - DAY_US, kept.state.not_in(_TERMINAL_NAMES)),
        )
        .group_by(kept.intent_id)
    )
    costs = [(row.purpose, _cost_wei(row)) for row in connection.execute(query)]
    return Spent(
        day_wei=sum(cost for _, cost in costs),
        purpose_wei=sum(cost for name, cost in costs if name == purpose),
    )


def _cost_wei(row: Row[Any]) -> int:
    value_wei = int.from_bytes(row.call_value_wei, "big")
    state = TransactionState(row.state)
    if state is TransactionState.REPLACED:
        return 0
    if state not in TERMINAL:
        return most_wei(row.gas_limit, row.max_fee, value_wei)
    gas_wei = int(row.mined_gas_used) * int(row.mined_gas_price_wei)
    return gas_wei + (value_wei if state is TransactionState.FINAL else 0)


def most_wei(gas_limit: int, max_fee_per_gas_wei: int, value_wei: int) -> int:
    """Return the most a transaction may cost its sender."""
    return gas_limit * max_fee_per_gas_wei + value_wei
