"""The settlement room's tables: cycles, attempts, their rows, the halt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy import Row as SqlRow

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.settlement.model import (
    Alarm,
    Attempt,
    AttemptState,
    Cycle,
    CycleState,
    Halt,
    Row,
    Venue,
)
from opencarrier.spine.money import Net, SettlementOrder
from opencarrier.spine.parties import PartyId

metadata = MetaData()

cycles = Table(
    "settlement_cycle",
    metadata,
    Column("cycle_id", LargeBinary(32), primary_key=True),
    Column("domain", String(64), nullable=False),
    Column("asset", String(128), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("cuts", Integer, nullable=False),
    Column("cut_us", BigInteger, nullable=False),
    UniqueConstraint("domain", "asset", "sequence"),
)

attempts = Table(
    "settlement_attempt",
    metadata,
    Column("cycle_id", LargeBinary(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(8), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("settlement_id", LargeBinary(32), nullable=False, index=True),
    Column("intent_id", LargeBinary(32), nullable=False, unique=True),
    Column("asset", String(128), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("records_root", LargeBinary(32), nullable=False),
    Column("netting_mode", Integer, nullable=False),
    Column("rewards_root", LargeBinary(32), nullable=False),
    Column("rewards_minor", BigInteger, nullable=False),
    Column("positions", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("gross_minor", BigInteger, nullable=False),
    Column("residual_minor", BigInteger, nullable=False),
    Column("payments", BigInteger, nullable=False),
    Column("ordered_us", BigInteger, nullable=False),
    Column("final_us", BigInteger),
    Column("tx_hash", LargeBinary(32)),
    Column("block_number", BigInteger),
)

rows = Table(
    "settlement_row",
    metadata,
    Column("cycle_id", LargeBinary(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("is_host", Boolean, primary_key=True),
    Column("party", String(64), primary_key=True),
    Column("address", String(42), primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("signature_kid", String(42)),
    Column("signature", LargeBinary(65)),
)

halts = Table(
    "settlement_halt",
    metadata,
    Column("domain", String(64), primary_key=True),
    Column("asset", String(128), primary_key=True),
    Column("alarm", String(32), nullable=False),
    Column("detail", String(400), nullable=False),
    Column("at_us", BigInteger, nullable=False),
)


def newest_cycle(unit: Connection, venue: Venue) -> Cycle | None:
    """Return the cycle with the highest number."""
    query = select(cycles).where(*_of(cycles, venue)).order_by(cycles.c.sequence.desc()).limit(1)
    row = unit.execute(query).one_or_none()
    return None if row is None else _cycle(row)


def cycles_of(unit: Connection, venue: Venue, *, limit: int, before: int | None) -> list[Cycle]:
    """Return cycles, newest first, below a sequence."""
    query = select(cycles).where(*_of(cycles, venue))
    if before is not None:
        query = query.where(cycles.c.sequence < before)
    query = query.order_by(cycles.c.sequence.desc()).limit(limit)
    return [_cycle(row) for row in unit.execute(query)]


def cycle(unit: Connection, cycle_id: Id) -> Cycle | None:
    """Return a cycle."""
    row = unit.execute(select(cycles).where(cycles.c.cycle_id == cycle_id)).one_or_none()
    return None if row is None else _cycle(row)


def newest_final(unit: Connection, venue: Venue) -> Cycle | None:
    """Return the newest cycle that is final."""
    query = (
        select(cycles)
        .where(*_of(cycles, venue), cycles.c.state == CycleState.FINAL.value)
        .order_by(cycles.c.sequence.desc())
        .limit(1)
    )
    row = unit.execute(query).one_or_none()
    return None if row is None else _cycle(row)


def save_cycle(unit: Connection, venue: Venue, cycle: Cycle) -> None:
    """Write a cycle's state; a new cycle is added."""
    values = {
        "state": cycle.state.value,
        "attempt": cycle.attempt,
        "cuts": cycle.cuts,
        "cut_us": cycle.cut_us,
    }
    changed = unit.execute(
        update(cycles).where(cycles.c.cycle_id == cycle.cycle_id).values(**values)
    )
    if changed.rowcount == 0:
        unit.execute(
            insert(cycles).values(
                cycle_id=cycle.cycle_id,
                domain=venue.domain,
                asset=venue.asset,
                sequence=cycle.sequence,
                **values,
            )
        )


def add_attempt(unit: Connection, attempt: Attempt) -> None:
    """Keep a new attempt with its rows and signatures; an order is never changed."""
    order = attempt.order
    unit.execute(
        insert(attempts).values(
            cycle_id=attempt.cycle_id,
            number=attempt.number,
            settlement_id=order.settlement_id,
            intent_id=attempt.intent_id,
            asset=order.asset,
            sequence=order.sequence,
            records_root=order.records_root,
            netting_mode=order.netting_mode,
            rewards_root=order.rewards_root,
            rewards_minor=order.rewards_minor,
            positions=attempt.positions,
            records=attempt.records,
            gross_minor=attempt.gross_minor,
            residual_minor=attempt.residual_minor,
            payments=attempt.payments,
            ordered_us=attempt.ordered_us,
            **_outcome(attempt),
        )
    )
    signatures = iter(order.debit_signatures)
    values = []
    for row in attempt.rows:
        debited = not row.is_host and row.amount_minor < 0
        values.append(_row_values(attempt, row, next(signatures) if debited else None))
    if values:
        unit.execute(insert(rows), values)


def end_attempt(unit: Connection, attempt: Attempt) -> None:
    """Write what became of an attempt; it leaves `open` once."""
    assert attempt.state is not AttemptState.OPEN
    changed = unit.execute(
        update(attempts)
        .where(
            attempts.c.cycle_id == attempt.cycle_id,
            attempts.c.number == attempt.number,
            attempts.c.state == AttemptState.OPEN.value,
        )
        .values(**_outcome(attempt))
    )
    assert changed.rowcount == 1, "an attempt ends once"


def attempt(unit: Connection, cycle_id: Id, number: int) -> Attempt | None:
    """Return an attempt with its order."""
    query = select(attempts).where(attempts.c.cycle_id == cycle_id, attempts.c.number == number)
    row = unit.execute(query).one_or_none()
    return None if row is None else _attempt(unit, row)


def attempts_of(unit: Connection, cycle_id: Id) -> list[Attempt]:
    """Return a cycle's attempts in their order."""
    query = select(attempts).where(attempts.c.cycle_id == cycle_id).order_by(attempts.c.number)
    return [_attempt(unit, row) for row in unit.execute(query).all()]


def addresses_of_host(unit: Connection, cycle_id: Id, host: PartyId) -> list[Address]:
    """Return the addresses that a cycle's newest attempt pays a host's share to, ascending."""
    newest = select(cycles.c.attempt).where(cycles.c.cycle_id == cycle_id).scalar_subquery()
    query = (
        select(rows.c.address)
        .where(rows.c.cycle_id == cycle_id, rows.c.number == newest)
        .where(rows.c.is_host, rows.c.party == host)
        .order_by(rows.c.address)
    )
    return [Address(found) for found in unit.execute(query).scalars()]


def cycle_of_settlement(unit: Connection, settlement_id: Id) -> Id | None:
    """Return the cycle a settlement was made for."""
    query = select(attempts.c.cycle_id).where(attempts.c.settlement_id == settlement_id).limit(1)
    row = unit.execute(query).one_or_none()
    return None if row is None else Id(row.cycle_id)


def halt(unit: Connection, venue: Venue) -> Halt | None:
    """Return why settling stopped, None while it goes on."""
    row = unit.execute(select(halts).where(*_of(halts, venue))).one_or_none()
    if row is None:
        return None
    return Halt(alarm=Alarm(row.alarm), detail=row.detail, at_us=row.at_us)


def put_halt(unit: Connection, venue: Venue, found: Halt) -> None:
    """Stop settling; the first reason stays."""
    if halt(unit, venue) is None:
        unit.execute(
            insert(halts).values(
                domain=venue.domain,
                asset=venue.asset,
                alarm=found.alarm.value,
                detail=found.detail[:400],
                at_us=found.at_us,
            )
        )


def drop_halt(unit: Connection, venue: Venue) -> None:
    """Let settling go on."""
    unit.execute(delete(halts).where(*_of(halts, venue)))


def _of(table: Table, venue: Venue) -> tuple[Any, Any]:
    return table.c.domain == venue.domain, table.c.asset == venue.asset


def _outcome(attempt: Attempt) -> dict[str, Any]:
    return {
        "state": attempt.state.value,
        "reason": attempt.reason[:200],
        "final_us": attempt.final_us,
        "tx_hash": attempt.tx_hash,
        "block_number": attempt.block_number,
    }


def _row_values(attempt: Attempt, row: Row, signature: Signature | None) -> dict[str, Any]:
    return {
        "cycle_id": attempt.cycle_id,
        "number": attempt.number,
        "is_host": row.is_host,
        "party": row.party,
        "address": row.address,
        "amount_minor": row.amount_minor,
        "signature_kid": None if signature is None else signature.kid,
        "signature": None if signature is None else signature.octets,
    }


def _cycle(row: SqlRow[Any]) -> Cycle:
    return Cycle(
        cycle_id=Id(row.cycle_id),
        sequence=row.sequence,
        state=CycleState(row.state),
        attempt=row.attempt,
        cuts=row.cuts,
        cut_us=row.cut_us,
    )


def _attempt(unit: Connection, row: SqlRow[Any]) -> Attempt:
    query = (
        select(rows)
        .where(rows.c.cycle_id == row.cycle_id, rows.c.number == row.number)
        .order_by(rows.c.is_host, rows.c.address, rows.c.party)
    )
    lines = unit.execute(query).all()
    members = [line for line in lines if not line.is_host]
    order = SettlementOrder(
        settlement_id=Id(row.settlement_id),
        cycle_id=Id(row.cycle_id),
        sequence=row.sequence,
        asset=AssetId(row.asset),
        records_root=row.records_root,
        netting_mode=row.netting_mode,
        nets=tuple(
            Net(address=Address(line.address), amount_minor=line.amount_minor) for line in members
        ),
        rewards_root=row.rewards_root,
        rewards_minor=row.rewards_minor,
        debit_signatures=tuple(_signature(line) for line in members if line.amount_minor < 0),
    )
    return Attempt(
        cycle_id=Id(row.cycle_id),
        number=row.number,
        state=AttemptState(row.state),
        reason=row.reason,
        intent_id=Id(row.intent_id),
        order=order,
        rows=_rows(lines),
        positions=row.positions,
        records=row.records,
        gross_minor=row.gross_minor,
        residual_minor=row.residual_minor,
        payments=row.payments,
        ordered_us=row.ordered_us,
        final_us=row.final_us,
        tx_hash=row.tx_hash,
        block_number=row.block_number,
    )


def _rows(lines: Sequence[SqlRow[Any]]) -> tuple[Row, ...]:
    """Members by address, then hosts by party and address: the order in which they were made."""
    made = [
        Row(
            party=PartyId(line.party),
            address=Address(line.address),
            amount_minor=line.amount_minor,
            is_host=line.is_host,
        )
        for line in lines
    ]
    hosts = sorted((row for row in made if row.is_host), key=lambda row: (row.party, row.address))
    return (*(row for row in made if not row.is_host), *hosts)


def _signature(line: SqlRow[Any]) -> Signature | None:
    if line.signature is None:
        return None
    return Signature(kid=Address(line.signature_kid), octets=line.signature)
