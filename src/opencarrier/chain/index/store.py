"""The index's tables: each contract's numbers, and what they were before blocks that may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from opencarrier.chain.index.model import Entry
from opencarrier.chain.store import metadata
from opencarrier.kernel.signatures import Address

VALUE_OCTETS = 32

numbers = Table(
    "chain_index",
    metadata,
    Column("contract", String(42), primary_key=True),
    Column("name", String(16), primary_key=True),
    Column("key", String(90), primary_key=True),
    Column("value", LargeBinary(VALUE_OCTETS), nullable=False),
)

undo = Table(
    "chain_index_undo",
    metadata,
    Column("ordinal", Integer, primary_key=True),
    Column("block_number", BigInteger, nullable=False, index=True),
    Column("contract", String(42), nullable=False),
    Column("name", String(16), nullable=False),
    Column("key", String(90), nullable=False),
    Column("before", LargeBinary(VALUE_OCTETS)),
)


def value(unit: Connection, contract: Address, entry: Entry) -> int | None:
    """Return a number, None where no event has told it."""
    row = unit.execute(select(numbers.c.value).where(*_at(contract, entry))).one_or_none()
    return None if row is None else int.from_bytes(row.value, "big")


def put(unit: Connection, contract: Address, entry: Entry, new: int, *, block_number: int) -> None:
    """Write a number, and what it was before, in case its block goes."""
    before = value(unit, contract, entry)
    unit.execute(
        insert(undo).values(
            block_number=block_number, before=_octets(before), **_names(contract, entry)
        )
    )
    _write(unit, contract, entry, new)


def entries(unit: Connection, contract: Address) -> Iterator[tuple[Entry, int]]:
    """Yield a contract's numbers in their order."""
    rows = unit.execute(
        select(numbers)
        .where(numbers.c.contract == contract)
        .order_by(numbers.c.name, numbers.c.key)
    )
    for row in rows:
        yield (row.name, row.key), int.from_bytes(row.value, "big")


def count(unit: Connection, contract: Address) -> int:
    """Return how many numbers of a contract are known."""
    query = select(func.count()).select_from(numbers).where(numbers.c.contract == contract)
    return int(unit.execute(query).scalar_one())


def rewind(unit: Connection, to_block: int) -> None:
    """Make the numbers again what they were after a block."""
    rows = unit.execute(
        select(undo).where(undo.c.block_number > to_block).order_by(undo.c.ordinal.desc())
    ).all()
    for row in rows:
        before = None if row.before is None else int.from_bytes(row.before, "big")
        _write(unit, Address(row.contract), (row.name, row.key), before)
    unit.execute(delete(undo).where(undo.c.block_number > to_block))


def keep_from(unit: Connection, block_number: int) -> None:
    """Forget how it was before blocks that the follower would never go back to."""
    unit.execute(delete(undo).where(undo.c.block_number <= block_number))


def wipe(unit: Connection) -> None:
    """Forget everything."""
    unit.execute(delete(numbers))
    unit.execute(delete(undo))


def _write(unit: Connection, contract: Address, entry: Entry, new: int | None) -> None:
    where = _at(contract, entry)
    if new is None:
        unit.execute(delete(numbers).where(*where))
        return
    changed = unit.execute(update(numbers).where(*where).values(value=_octets(new)))
    if changed.rowcount == 0:
        unit.execute(insert(numbers).values(value=_octets(new), **_names(contract, entry)))


def _at(contract: Address, entry: Entry) -> tuple[Any, Any, Any]:
    name, key = entry
    return numbers.c.contract == contract, numbers.c.name == name, numbers.c.key == key


def _names(contract: Address, entry: Entry) -> dict[str, str]:
    return {"contract": contract, "name": entry[0], "key": entry[1]}


def _octets(number: int | None) -> bytes | None:
    return None if number is None else number.to_bytes(VALUE_OCTETS, "big")
