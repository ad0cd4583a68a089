"""The embedded node: opens the file, keeps time, mines each transaction into its own block."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opencarrier.chain.codec import read_address
from opencarrier.chain.errors import ChainMismatchError, NodeCorruptError
from opencarrier.chain.keys import address_octets
from opencarrier.chain.node.database import NodeDatabase
from opencarrier.chain.node.model import NewBlock, NodeSettings, StoredBlock
from opencarrier.kernel.clock import SECOND_US, Clock

if TYPE_CHECKING:
    from opencarrier.chain.node.engine import Engine

TIME_SHIFT = "time_shift_s"
CHAIN_ID = "chain_id"


class EmbeddedNode:
    """One chain in one file, asked by `request`; safe to call from several threads.

    Everything happens under one lock, in the order it arrives. `failures` counts internal errors.
    `close` it, or let the process die: the file is consistent either way.
    """

    def __init__(self, database: NodeDatabase, settings: NodeSettings, clock: Clock) -> None:
        from opencarrier.chain.node.engine import Engine

        self.database = database
        self.settings = settings
        self.lock = threading.RLock()
        self.failures = 0
        self.engine: Engine = Engine(
            settings.chain_id, database.node, database.block_hashes_down_from
        )
        self._clock = clock
        self._next_timestamp_s: int | None = None
        self._shift_s = database.meta(TIME_SHIFT) or 0
        self._head = self._found_head()

    @classmethod
    def open(cls, path: Path | str, settings: NodeSettings, clock: Clock) -> EmbeddedNode:
        """Open the chain in a file, or begin it there.

        `NodeLockedError` where another process has it, `ChainMismatchError` where the file is
        another chain, `NodeCorruptError` where its head's state is missing.
        """
        database = NodeDatabase(Path(path))
        try:
            return cls(database, settings, clock)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close the file; requests after this are a mistake."""
        with self.lock:
            self.database.close()

    def request(self, method: str, params: list[Any]) -> dict[str, Any]:
        """Answer one JSON-RPC request with `result` or `error`; a bad request never raises."""
        from opencarrier.chain.node.rpc import answer

        with self.lock:
            return answer(self, method, params)

    @property
    def head(self) -> StoredBlock:
        """The newest block."""
        return self._head

    def now_s(self) -> int:
        """Return the time the next block would bear: the clock's, shifted, never going back."""
        if self._next_timestamp_s is not None:
            return self._next_timestamp_s
        return max(self._clock.now_us() // SECOND_US + self._shift_s, self._head.timestamp_s)

    def header(self, block: StoredBlock) -> Any:
        """Return a block's decoded header."""
        return self.engine.decode_header(block)

    def pending_header(self) -> Any:
        """Return the header the next block would begin with."""
        return self.engine.next_header(self.header(self._head), self.now_s())

    def send(self, raw: bytes) -> bytes:
        """Mine a signed transaction into a block of its own and return its hash, durably.

        `InvalidTransactionError` where no block may hold it; nothing changed then.
        """
        from opencarrier.chain.node.engine import InvalidTransactionError

        transaction = self.engine.decode_transaction(raw)
        if self.database.transaction(bytes(transaction.hash)) is not None:
            raise InvalidTransactionError("already known")
        self._commit(self.engine.mine(self.pending_header(), [transaction]))
        return bytes(transaction.hash)

    def mine_empty(self) -> None:
        """Add a block without transactions, so that the chain's time moves on."""
        self._commit(self.engine.mine(self.pending_header(), []))

    def shift_time(self, seconds: int) -> int:
        """Move the clock forward for all later blocks and return the whole shift (dev)."""
        assert seconds >= 0, "time does not go back"
        self._shift_s += seconds
        self.database.put_meta(TIME_SHIFT, self._shift_s)
        return self._shift_s

    def set_next_timestamp(self, timestamp_s: int) -> bool:
        """Give the next block a time of its own; false where that would go back (dev)."""
        if timestamp_s < self._head.timestamp_s:
            return False
        self._next_timestamp_s = timestamp_s
        return True

    def _commit(self, new: NewBlock) -> None:
        shift = self._shift_s
        if self._next_timestamp_s is not None:  # later blocks follow the clock from there
            shift = self._next_timestamp_s - self._clock.now_us() // SECOND_US
        self.database.add(new, **({} if shift == self._shift_s else {TIME_SHIFT: shift}))
        self._shift_s = shift
        self._next_timestamp_s = None
        self._head = new.block

    def _found_head(self) -> StoredBlock:
        head = self.database.head()
        if head is None:
            genesis = self._genesis()
            self.database.add(genesis, **{CHAIN_ID: self.settings.chain_id})
            return genesis.block
        known = self.database.meta(CHAIN_ID)
        if known != self.settings.chain_id:
            raise ChainMismatchError(f"the file holds chain {known}, not {self.settings.chain_id}")
        if self.database.node(self.engine.decode_header(head).state_root) is None:
            raise NodeCorruptError(f"the state of block {head.number} is missing")
        return head

    def _genesis(self) -> NewBlock:
        balances = {_octets(a): wei for a, wei in self.settings.genesis.items()}
        code = {_octets(a): octets for a, octets in self.settings.code.items()}
        return self.engine.genesis(balances, code, self._clock.now_us() // SECOND_US)


def _octets(address: str) -> bytes:
    return address_octets(read_address(address))
