"""The relayer's tables: actions by their content's id, and the calls of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    func,
    insert,
    select,
    update,
)

from opencarrier.chain.model import Call
from opencarrier.chain.relay_rules import KEY_LENGTH_MAX, Relay, RelayState
from opencarrier.chain.sponsored import Action, Step
from opencarrier.chain.store import metadata
from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import Address

REASON_LENGTH_MAX = 200

relays = Table(
    "chain_relay",
    metadata,
    Column("relay_id", LargeBinary(32), primary_key=True),
    Column("key", String(KEY_LENGTH_MAX), nullable=False, unique=True),
    Column("payer", String(42), nullable=False),
    Column("state", String(16), nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", String(REASON_LENGTH_MAX), nullable=False),
    Column("cost_wei", LargeBinary(32), nullable=False),
    Column("submitted_us", BigInteger, nullable=False),
    Index("chain_relay_state", "state", "submitted_us"),
    Index("chain_relay_payer", "payer", "submitted_us"),
)

steps = Table(
    "chain_relay_step",
    metadata,
    Column("relay_id", LargeBinary(32), ForeignKey("chain_relay.relay_id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("call_to", String(42), nullable=False),
    Column("call_data", LargeBinary, nullable=False),
    Column("may_fail", Boolean, nullable=False),
)


def put(unit: Connection, relay: Relay) -> None:
    """Keep an action with its calls, or take up one that was refused."""
    if find(unit, relay.relay_id) is not None:
        values = {"key": relay.key, "submitted_us": relay.submitted_us, **_state(relay)}
        unit.execute(update(relays).where(relays.c.relay_id == relay.relay_id).values(**values))
        return
    unit.execute(
        insert(relays).values(
            relay_id=relay.relay_id,
            key=relay.key,
            payer=relay.action.payer,
            submitted_us=relay.submitted_us,
            **_state(relay),
        )
    )
    for ordinal, step in enumerate(relay.action.steps):
        unit.execute(
            insert(steps).values(
                relay_id=relay.relay_id,
                ordinal=ordinal,
                call_to=step.call.to,
                call_data=step.call.data,
                may_fail=step.may_fail,
            )
        )


def save(unit: Connection, relay: Relay) -> None:
    """Write where an action stands."""
    unit.execute(update(relays).where(relays.c.relay_id == relay.relay_id).values(**_state(relay)))


def find(unit: Connection, relay_id: bytes) -> Relay | None:
    """Return an action by its id."""
    row = unit.execute(select(relays).where(relays.c.relay_id == relay_id)).one_or_none()
    return None if row is None else _relay(unit, row)


def find_key(unit: Connection, key: str) -> Relay | None:
    """Return the action that was submitted under a key."""
    row = unit.execute(select(relays).where(relays.c.key == key)).one_or_none()
    return None if row is None else _relay(unit, row)


def queued(unit: Connection, *, limit: int) -> list[Relay]:
    """Return the actions to be gone on with, the oldest first."""
    rows = unit.execute(
        select(relays)
        .where(relays.c.state == RelayState.QUEUED.value)
        .order_by(relays.c.submitted_us, relays.c.relay_id)
        .limit(limit)
    )
    return [_relay(unit, row) for row in rows]


def counts(unit: Connection) -> dict[str, int]:
    """Return how many actions are in each state."""
    rows = unit.execute(select(relays.c.state, func.count()).group_by(relays.c.state))
    found = {state: int(count) for state, count in rows}
    return {state.value: found.get(state.value, 0) for state in RelayState}


def payer_cost_wei(unit: Connection, payer: Address, *, since_us: int) -> int:
    """Return what one payer's actions may have cost since an instant, and those queued before."""
    rows = unit.execute(
        select(relays.c.cost_wei).where(
            relays.c.payer == payer,
            (relays.c.submitted_us > since_us) | (relays.c.state == RelayState.QUEUED.value),
        )
    )
    return sum(int.from_bytes(row.cost_wei, "big") for row in rows)


def _state(relay: Relay) -> dict[str, Any]:
    return {
        "state": relay.state.value,
        "position": relay.position,
        "attempt": relay.attempt,
        "reason": relay.reason[:REASON_LENGTH_MAX],
        "cost_wei": relay.cost_wei.to_bytes(32, "big"),
    }


def _relay(unit: Connection, row: Row[Any]) -> Relay:
    kept = unit.execute(
        select(steps).where(steps.c.relay_id == row.relay_id).order_by(steps.c.ordinal)
    )
    return Relay(
        relay_id=Id(bytes(row.relay_id)),
        key=row.key,
        action=Action(payer=Address(row.payer), steps=_steps(kept.all())),
        submitted_us=row.submitted_us,
        state=RelayState(row.state),
        position=row.position,
        attempt=row.attempt,
        reason=row.reason,
        cost_wei=int.from_bytes(row.cost_wei, "big"),
    )


def _steps(rows: Sequence[Row[Any]]) -> tuple[Step, ...]:
    return tuple(
        Step(call=Call(to=Address(row.call_to), data=bytes(row.call_data)), may_fail=row.may_fail)
        for row in rows
    )
