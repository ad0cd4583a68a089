"""The embedded chain's one file: trie nodes by hash, blocks, transactions and an index of logs.

Trie nodes and code are content-addressed, so they are only ever added. A block and all it adds
commit in one SQLite transaction (WAL, `synchronous=FULL`): a kill leaves the last whole block.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from opencarrier.chain.errors import NodeCorruptError, NodeLockedError
from opencarrier.chain.node.model import NewBlock, StoredBlock, StoredLog, StoredTransaction
from opencarrier.kernel.crash import crashpoint

SCHEMA_VERSION = 1
MEMORY = Path(":memory:")
NO_LOCK = -1

CACHE_ENTRIES_MAX = 65_536
"""Trie nodes kept in memory; they are content-addressed and never stale."""

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE node (hash BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE block (
    number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL,
    timestamp_s INTEGER NOT NULL, size_octets INTEGER NOT NULL
);
CREATE TABLE tx (
    hash BLOB PRIMARY KEY, block_number INTEGER NOT NULL, tx_index INTEGER NOT NULL,
    raw BLOB NOT NULL, sender BLOB NOT NULL, succeeded INTEGER NOT NULL,
    gas_used INTEGER NOT NULL, cumulative_gas_used INTEGER NOT NULL,
    effective_gas_price_wei INTEGER NOT NULL, contract_address BLOB, bloom BLOB NOT NULL,
    UNIQUE (block_number, tx_index)
) WITHOUT ROWID;
CREATE TABLE log (
    block_number INTEGER NOT NULL, log_index INTEGER NOT NULL, tx_index INTEGER NOT NULL,
    tx_hash BLOB NOT NULL, address BLOB NOT NULL,
    topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB, data BLOB NOT NULL,
    PRIMARY KEY (block_number, log_index)
) WITHOUT ROWID;
CREATE INDEX log_address ON log (address, topic0, block_number);
CREATE INDEX log_topic0 ON log (topic0, block_number);
CREATE INDEX log_tx ON log (tx_hash);
"""


class NodeDatabase:
    """One writer's connection; not for several threads at once (the node holds a lock)."""

    def __init__(self, path: Path) -> None:
        self._lock = _lock(path)
        try:
            self._connection = _connect(path)
            self._create()
        except sqlite3.DatabaseError as error:
            self._unlock()
            raise NodeCorruptError(f"{path} is not an embedded chain: {error}") from error
        self._cache: dict[bytes, bytes] = {}

    def close(self) -> None:
        """Close the file and let another process open it; closing twice is closing."""
        self._connection.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock != NO_LOCK:
            os.close(self._lock)
        self._lock = NO_LOCK

    def meta(self, name: str) -> int | None:
        """Return a number kept beside the chain."""
        row = self._row("SELECT value FROM meta WHERE name = ?", name)
        return None if row is None else int(row[0])

    def put_meta(self, name: str, value: int) -> None:
        """Keep a number beside the chain, durably."""
        with self._transaction():
            self._put_meta(name, value)

    def node(self, key: bytes) -> bytes | None:
        """Return a trie node or code by its hash."""
        value = self._cache.get(key)
        if value is None:
            row = self._row("SELECT value FROM node WHERE hash = ?", key)
            if row is None:
                return None
            value = bytes(row[0])
            self._remember(key, value)
        return value

    def head(self) -> StoredBlock | None:
        """Return the highest block, None for a file without a chain."""
        return _block(self._row(f"{_BLOCK} ORDER BY number DESC LIMIT 1"))

    def block(self, number: int) -> StoredBlock | None:
        """Return a block by number."""
        return _block(self._row(f"{_BLOCK} WHERE number = ?", number))

    def block_by_hash(self, block_hash: bytes) -> StoredBlock | None:
        """Return a block by hash."""
        return _block(self._row(f"{_BLOCK} WHERE hash = ?", block_hash))

    def block_hashes_down_from(self, number: int) -> Iterator[bytes]:
        """Yield the hashes of a block and its ancestors, newest first."""
        while (row := self._row("SELECT hash FROM block WHERE number = ?", number)) is not None:
            yield bytes(row[0])
            number -= 1

    def transaction(self, tx_hash: bytes) -> StoredTransaction | None:
        """Return a mined transaction by hash."""
        row = self._row(f"{_TX} WHERE hash = ?", tx_hash)
        return None if row is None else _transaction(row)

    def transactions(self, block_number: int) -> list[StoredTransaction]:
        """Return a block's transactions in their order."""
        rows = self._connection.execute(
            f"{_TX} WHERE block_number = ? ORDER BY tx_index", (block_number,)
        )
        return [_transaction(row) for row in rows]

    def logs_of(self, tx_hash: bytes) -> list[StoredLog]:
        """Return a transaction's logs in their order."""
        rows = self._connection.execute(f"{_LOG} WHERE tx_hash = ? ORDER BY log_index", (tx_hash,))
        return [_log(row) for row in rows]

    def logs(
        self,
        blocks: tuple[int, int],
        addresses: Sequence[bytes],
        topics: Sequence[Sequence[bytes] | None],
        *,
        limit: int,
        octets_limit: int,
    ) -> list[StoredLog] | None:
        """Return the logs of an inclusive block range, in the order of the chain.

        None where there are more than `limit`, or more octets of data than `octets_limit`.
        """
        where, values = ["block_number BETWEEN ? AND ?"], list[Any](blocks)
        for column, allowed in [("address", addresses or None), *_topic_columns(topics)]:
            if allowed is not None:
                where.append(f"{column} IN ({','.join('?' * len(allowed))})")
                values.extend(allowed)
        query = f"{_LOG} WHERE {' AND '.join(where)} ORDER BY block_number, log_index LIMIT ?"
        found: list[StoredLog] = []
        for row in self._connection.execute(query, (*values, limit + 1)):
            found.append(_log(row))
            octets_limit -= len(found[-1].data)
            if octets_limit < 0 or len(found) > limit:
                return None
        return found

    def add(self, new: NewBlock, **meta: int) -> None:
        """Commit a block with everything it adds; afterwards it is durable."""
        crashpoint("chain.node.before_commit")
        with self._transaction():
            self._insert(new)
            for name, value in meta.items():
                self._put_meta(name, value)
            crashpoint("chain.node.in_commit")
        crashpoint("chain.node.after_commit")
        for key, octets in new.nodes.items():
            self._remember(key, octets)

    def _insert(self, new: NewBlock) -> None:
        block = new.block
        many = self._connection.executemany
        many("INSERT OR IGNORE INTO node VALUES (?, ?)", new.nodes.items())
        many(
            "INSERT INTO block VALUES (?, ?, ?, ?, ?)",
            [(block.number, block.hash, block.header, block.timestamp_s, block.size_octets)],
        )
        many(
            "INSERT INTO tx VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_transaction_row(t) for t in new.transactions],
        )
        many(
            "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_log_row(log) for log in new.logs],
        )

    def _create(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema version {version}, expected {SCHEMA_VERSION}")

    def _put_meta(self, name: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _row(self, query: str, *values: Any) -> Any:
        return self._connection.execute(query, values).fetchone()

    def _remember(self, key: bytes, value: bytes) -> None:
        while len(self._cache) >= CACHE_ENTRIES_MAX:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = value

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


_BLOCK = "SELECT number, hash, header, timestamp_s, size_octets FROM block"
_TX = (
    "SELECT hash, block_number, tx_index, raw, sender, succeeded, gas_used, cumulative_gas_used, "
    "effective_gas_price_wei, contract_address, bloom FROM tx"
)
_LOG = (
    "SELECT block_number, log_index, tx_index, tx_hash, address, "
    "topic0, topic1, topic2, topic3, data FROM log"
)


def _lock(path: Path) -> int:
    """Hold an advisory lock beside the file; the system drops it when the process dies.

    What is in memory is nobody else's and has none.
    """
    if path == MEMORY:
        return NO_LOCK
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise NodeLockedError(f"{path} is open in another process") from error
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _topic_columns(
    topics: Sequence[Sequence[bytes] | None],
) -> list[tuple[str, Sequence[bytes] | None]]:
    return [(f"topic{position}", allowed) for position, allowed in enumerate(topics)]


def _block(row: Any) -> StoredBlock | None:
    if row is None:
        return None
    return StoredBlock(
        number=row[0], hash=row[1], header=row[2], timestamp_s=row[3], size_octets=row[4]
    )


def _transaction(row: Any) -> StoredTransaction:
    return StoredTransaction(
        tx_hash=row[0],
        block_number=row[1],
        tx_index=row[2],
        raw=row[3],
        sender=row[4],
        succeeded=bool(row[5]),
        gas_used=row[6],
        cumulative_gas_used=row[7],
        effective_gas_price_wei=row[8],
        contract_address=row[9],
        bloom=row[10],
    )


def _transaction_row(transaction: StoredTransaction) -> tuple[Any, ...]:
    return (
        transaction.tx_hash,
        transaction.block_number,
        transaction.tx_index,
        transaction.raw,
        transaction.sender,
        int(transaction.succeeded),
        transaction.gas_used,
        transaction.cumulative_gas_used,
        transaction.effective_gas_price_wei,
        transaction.contract_address,
        transaction.bloom,
    )


def _log(row: Any) -> StoredLog:
    return StoredLog(
        block_number=row[0],
        log_index=row[1],
        tx_index=row[2],
        tx_hash=row[3],
        address=row[4],
        topics=tuple(topic for topic in row[5:9] if topic is not None),
        data=row[9],
    )


def _log_row(log: StoredLog) -> tuple[Any, ...]:
    padded = (*log.topics, None, None, None, None)[:4]
    return (
        log.block_number,
        log.log_index,
        log.tx_index,
        log.tx_hash,
        log.address,
        *padded,
        log.data,
    )
