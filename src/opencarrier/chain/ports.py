"""What the transaction manager and the follower ask of others; `client` and `keys` answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.chain.keys import DynamicFeeTransaction, SignedTransaction
from opencarrier.chain.model import LATEST, Block, BlockAt, Call, Fees, Log, LogFilter, Receipt
from opencarrier.kernel.signatures import Address

UnitOfWork = Callable[[], AbstractContextManager[Connection]]
"""Opens a database transaction that commits when its block ends, such as `engine.begin`."""

Beside = Callable[[Connection], None]
"""What is written in the transaction of what it tells of."""


class BlockReader(Protocol):
    """Where the chain's head is and what is final."""

    def block(self, at: BlockAt | bytes = LATEST) -> Block | None:
        """Return a block by number, tag or hash."""
        ...

    def final_block_number(self) -> int | None:
        """Return the highest final block."""
        ...


class Chain(BlockReader, Protocol):
    """What the manager asks; `ChainClient` is one."""

    chain_id: int

    def genesis_hash(self) -> bytes:
        """Return block 0's hash."""
        ...

    def nonce(self, address: Address, at: BlockAt = LATEST) -> int:
        """Return an account's next nonce."""
        ...

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Return a mined transaction's receipt."""
        ...

    def fees(self) -> Fees:
        """Return what gas costs now."""
        ...

    def estimate_gas(self, call: Call) -> int:
        """Return the gas a transaction needs now."""
        ...

    def send_raw(self, raw: bytes) -> bytes:
        """Hand over a signed transaction."""
        ...


class LogReader(BlockReader, Protocol):
    """What the follower asks; `ChainClient` is one."""

    def logs(self, wanted: LogFilter) -> list[Log]:
        """Return matching logs in the order of the chain."""
        ...


class TransactionSigner(Protocol):
    """Whoever signs transactions; `LocalSigner` is one."""

    @property
    def address(self) -> Address:
        """The account."""
        ...

    def sign_transaction(self, transaction: DynamicFeeTransaction) -> SignedTransaction:
        """Sign, deterministically."""
        ...
