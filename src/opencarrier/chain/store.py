"""The chain room's tables: accounts and their next nonce, transactions, their signed variants.

Every function takes the caller's connection, so a transaction is prepared in the same unit of
work as the business fact that wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    MetaData,
    String,
    Table,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)

from opencarrier.chain.model import Call
from opencarrier.chain.rules import (
    PURPOSE_LENGTH_MAX,
    TERMINAL,
    BlockPoint,
    Mined,
    Transaction,
    TransactionState,
    Variant,
)
from opencarrier.kernel.signatures import Address

metadata = MetaData()

accounts = Table(
    "chain_account",
    metadata,
    Column("chain_id", BigInteger, primary_key=True),
    Column("address", String(42), primary_key=True),
    Column("genesis_hash", LargeBinary(32), nullable=False),
    Column("next_nonce", BigInteger, nullable=False),
)

transactions = Table(
    "chain_transaction",
    metadata,
    Column("intent_id", LargeBinary(32), primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("sender", String(42), nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("call_to", String(42)),
    Column("call_data", LargeBinary, nullable=False),
    Column("call_value_wei", LargeBinary(32), nullable=False),
    Column("gas_limit", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("mined_hash", LargeBinary(32)),
    Column("mined_block_number", BigInteger),
    Column("mined_block_hash", LargeBinary(32)),
    Column("mined_succeeded", Boolean),
    Column("mined_gas_used", BigInteger),
    Column("mined_gas_price_wei", BigInteger),
    Column("foreign_block_number", BigInteger),
    Column("foreign_block_hash", LargeBinary(32)),
    Column("last_error", String(200), nullable=False),
    Column("prepared_at_us", BigInteger, nullable=False),
    Column("purpose", String(PURPOSE_LENGTH_MAX), nullable=False, server_default=""),
    Column("asked", LargeBinary(32)),
    UniqueConstraint("chain_id", "sender", "nonce"),
    Index("chain_transaction_open", "chain_id", "sender", "state"),
    Index("chain_transaction_prepared", "chain_id", "sender", "prepared_at_us"),
    Index("chain_transaction_called", "call_to", "purpose"),
)

variants = Table(
    "chain_variant",
    metadata,
    Column("tx_hash", LargeBinary(32), primary_key=True),
    Column("intent_id", LargeBinary(32), ForeignKey("chain_transaction.intent_id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("max_fee_per_gas_wei", BigInteger, nullable=False),
    Column("max_priority_fee_per_gas_wei", BigInteger, nullable=False),
    Column("signed_at_us", BigInteger, nullable=False),
    Column("sent_count", Integer, nullable=False),
    Column("sent_at_us", BigInteger, nullable=False),
    UniqueConstraint("intent_id", "ordinal"),
)

cursors = Table(
    "chain_cursor",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("block_number", BigInteger, primary_key=True),
    Column("block_hash", LargeBinary(32), nullable=False),
)

_TERMINAL_NAMES = sorted(state.value for state in TERMINAL)


def genesis_of(connection: Connection, chain_id: int, address: Address) -> bytes | None:
    """Return the genesis hash an account was first used with, None for a new account."""
    row = connection.execute(
        select(accounts.c.genesis_hash).where(*_account(chain_id, address))
    ).one_or_none()
    return None if row is None else bytes(row.genesis_hash)


def take_nonce(
    connection: Connection, chain_id: int, address: Address, *, at_least: int, genesis_hash: bytes
) -> int:
    """Allocate the next nonce: never one given before, never below what the chain has used."""
    where = _account(chain_id, address)
    row = connection.execute(select(accounts.c.next_nonce).where(*where)).one_or_none()
    if row is None:
        values = {"chain_id": chain_id, "address": address, "genesis_hash": genesis_hash}
        connection.execute(insert(accounts).values(**values, next_nonce=at_least + 1))
        return at_least
    nonce = max(int(row.next_nonce), at_least)
    connection.execute(update(accounts).where(*where).values(next_nonce=nonce + 1))
    return nonce


def add(connection: Connection, record: Transaction) -> None:
    """Keep a new transaction with its signed variants."""
    connection.execute(insert(transactions).values(**_row(record)))
    for ordinal, variant in enumerate(record.variants):
        connection.execute(insert(variants).values(**_variant_row(record, ordinal, variant)))


def save(connection: Connection, record: Transaction) -> None:
    """Write a transaction's new state, its new variants and what was sent; raws never change."""
    where = transactions.c.intent_id == record.intent_id
    connection.execute(update(transactions).where(where).values(**_state_row(record)))
    known = connection.execute(
        select(func.count()).select_from(variants).where(variants.c.intent_id == record.intent_id)
    ).scalar_one()
    assert known <= len(record.variants), "a signed variant is never forgotten"
    for ordinal, variant in enumerate(record.variants):
        if ordinal >= known:
            connection.execute(insert(variants).values(**_variant_row(record, ordinal, variant)))
            continue
        connection.execute(
            update(variants)
            .where(variants.c.tx_hash == variant.tx_hash)
            .values(sent_count=variant.sent_count, sent_at_us=variant.sent_at_us)
        )


def find(connection: Connection, intent_id: bytes) -> Transaction | None:
    """Return a transaction by its intent id."""
    rows = connection.execute(select(transactions).where(transactions.c.intent_id == intent_id))
    return next(iter(_load(connection, rows.mappings().all())), None)


def named_alone(
    connection: Connection, to: Address, selector: bytes, purposes: Sequence[str]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield intent and data of calls to a function that are kept without `asked`."""
    kept = transactions.c
    query = select(kept.intent_id, kept.call_data).where(
        kept.call_to == to,
        kept.purpose.in_(purposes),
        kept.asked.is_(None),
        func.substr(kept.call_data, 1, len(selector)) == selector,
    )
    for row in connection.execute(query):
        yield bytes(row.intent_id), bytes(row.call_data)


def find_nonce(
    connection: Connection, chain_id: int, sender: Address, nonce: int
) -> Transaction | None:
    """Return the transaction that was given a nonce."""
    rows = connection.execute(
        select(transactions).where(
            transactions.c.chain_id == chain_id,
            transactions.c.sender == sender,
            transactions.c.nonce == nonce,
        )
    )
    return next(iter(_load(connection, rows.mappings().all())), None)


def open_of(
    connection: Connection, chain_id: int, sender: Address, *, limit: int
) -> list[Transaction]:
    """Return an account's transactions that are not terminal, lowest nonce first."""
    rows = connection.execute(
        select(transactions)
        .where(*_open(chain_id, sender))
        .order_by(transactions.c.nonce)
        .limit(limit)
    )
    return _load(connection, rows.mappings().all())


def count_open(connection: Connection, chain_id: int, sender: Address) -> int:
    """Return how many of an account's transactions are not terminal."""
    query = select(func.count()).select_from(transactions).where(*_open(chain_id, sender))
    return int(connection.execute(query).scalar_one())


def next_nonce(connection: Connection, chain_id: int, address: Address) -> int | None:
    """Return the nonce the next transaction would get by our books, None for a new account."""
    query = select(accounts.c.next_nonce).where(*_account(chain_id, address))
    row = connection.execute(query).one_or_none()
    return None if row is None else int(row.next_nonce)


def cursor(connection: Connection, name: str) -> BlockPoint | None:
    """Return the block a follower stands at."""
    return next(iter(cursor_points(connection, name, limit=1)), None)


def cursor_points(connection: Connection, name: str, *, limit: int = 1_024) -> list[BlockPoint]:
    """Return the blocks a follower remembers, newest first."""
    rows = connection.execute(
        select(cursors.c.block_number, cursors.c.block_hash)
        .where(cursors.c.name == name)
        .order_by(cursors.c.block_number.desc())
        .limit(limit)
    )
    return [BlockPoint(number=row.block_number, hash=bytes(row.block_hash)) for row in rows]


def put_cursor(connection: Connection, name: str, point: BlockPoint, *, keep: int) -> None:
    """Move a follower to a block and remember its last `keep` blocks."""
    connection.execute(
        insert(cursors).values(name=name, block_number=point.number, block_hash=point.hash)
    )
    remembered = cursor_points(connection, name, limit=keep + 1)
    if len(remembered) > keep:
        oldest = remembered[keep].number
        connection.execute(
            delete(cursors).where(cursors.c.name == name, cursors.c.block_number <= oldest)
        )


def drop_cursor_above(connection: Connection, name: str, block_number: int) -> None:
    """Take a follower back to its newest block at or below a number."""
    connection.execute(
        delete(cursors).where(cursors.c.name == name, cursors.c.block_number > block_number)
    )


def _account(chain_id: int, address: Address) -> tuple[Any, Any]:
    return accounts.c.chain_id == chain_id, accounts.c.address == address


def _open(chain_id: int, sender: Address) -> tuple[Any, Any, Any]:
    return (
        transactions.c.chain_id == chain_id,
        transactions.c.sender == sender,
        transactions.c.state.not_in(_TERMINAL_NAMES),
    )


def _load(connection: Connection, rows: Iterable[Mapping[Any, Any]]) -> list[Transaction]:
    return [_transaction(row, _variants(connection, row["intent_id"])) for row in rows]


def _variants(connection: Connection, intent_id: bytes) -> tuple[Variant, ...]:
    rows = connection.execute(
        select(variants).where(variants.c.intent_id == intent_id).order_by(variants.c.ordinal)
    )
    return tuple(
        Variant(
            tx_hash=bytes(row["tx_hash"]),
            raw=bytes(row["raw"]),
            max_fee_per_gas_wei=row["max_fee_per_gas_wei"],
            max_priority_fee_per_gas_wei=row["max_priority_fee_per_gas_wei"],
            signed_at_us=row["signed_at_us"],
            sent_count=row["sent_count"],
            sent_at_us=row["sent_at_us"],
        )
        for row in rows.mappings()
    )


def _transaction(row: Mapping[Any, Any], signed: tuple[Variant, ...]) -> Transaction:
    return Transaction(
        intent_id=bytes(row["intent_id"]),
        chain_id=row["chain_id"],
        sender=Address(row["sender"]),
        nonce=row["nonce"],
        call=Call(
            to=None if row["call_to"] is None else Address(row["call_to"]),
            data=bytes(row["call_data"]),
            value_wei=int.from_bytes(row["call_value_wei"], "big"),
        ),
        gas_limit=row["gas_limit"],
        state=TransactionState(row["state"]),
        variants=signed,
        mined=_mined(row),
        foreign_since=_point(row, "foreign_block"),
        last_error=row["last_error"],
        prepared_at_us=row["prepared_at_us"],
        purpose=row["purpose"],
        asked=bytes(row["asked"] or b""),
    )


def _mined(row: Mapping[Any, Any]) -> Mined | None:
    block = _point(row, "mined_block")
    if block is None:
        return None
    return Mined(
        tx_hash=bytes(row["mined_hash"]),
        block=block,
        succeeded=row["mined_succeeded"],
        gas_used=row["mined_gas_used"],
        effective_gas_price_wei=row["mined_gas_price_wei"],
    )


def _point(row: Mapping[Any, Any], name: str) -> BlockPoint | None:
    if row[f"{name}_number"] is None:
        return None
    return BlockPoint(number=row[f"{name}_number"], hash=bytes(row[f"{name}_hash"]))


def _row(record: Transaction) -> dict[str, Any]:
    return {
        "intent_id": record.intent_id,
        "chain_id": record.chain_id,
        "sender": record.sender,
        "nonce": record.nonce,
        "call_to": record.call.to,
        "call_data": record.call.data,
        "call_value_wei": record.call.value_wei.to_bytes(32, "big"),
        "gas_limit": record.gas_limit,
        "prepared_at_us": record.prepared_at_us,
        "purpose": record.purpose,
        "asked": record.asked or None,
        **_state_row(record),
    }


def _state_row(record: Transaction) -> dict[str, Any]:
    mined, foreign = record.mined, record.foreign_since
    return {
        "state": record.state.value,
        "mined_hash": mined.tx_hash if mined else None,
        "mined_block_number": mined.block.number if mined else None,
        "mined_block_hash": mined.block.hash if mined else None,
        "mined_succeeded": mined.succeeded if mined else None,
        "mined_gas_used": mined.gas_used if mined else None,
        "mined_gas_price_wei": mined.effective_gas_price_wei if mined else None,
        "foreign_block_number": foreign.number if foreign else None,
        "foreign_block_hash": foreign.hash if foreign else None,
        "last_error": record.last_error,
    }


def _variant_row(record: Transaction, ordinal: int, variant: Variant) -> dict[str, Any]:
    return {
        "tx_hash": variant.tx_hash,
        "intent_id": record.intent_id,
        "ordinal": ordinal,
        "raw": variant.raw,
        "max_fee_per_gas_wei": variant.max_fee_per_gas_wei,
        "max_priority_fee_per_gas_wei": variant.max_priority_fee_per_gas_wei,
        "signed_at_us": variant.signed_at_us,
        "sent_count": variant.sent_count,
        "sent_at_us": variant.sent_at_us,
    }
