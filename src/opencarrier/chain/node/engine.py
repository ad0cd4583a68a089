"""The EVM itself: py-evm's Prague rules over our node store. Imported only when a node opens.

The engine computes blocks and never keeps them: it returns what a block adds, and `node` commits.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

if importlib.util.find_spec("sha3") is not None:  # else eth-hash picks the seven times slower one
    os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")

import rlp
from eth._utils.address import generate_contract_address
from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB
from eth.db.trie import make_trie_root_and_nodes
from eth.exceptions import Revert, VMError
from eth.vm.chain_context import ChainContext
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.spoof import SpoofTransaction
from eth_bloom.bloom import BloomFilter
from eth_utils.exceptions import ValidationError

from opencarrier.chain.node.metering import Budget, MeteredVM
from opencarrier.chain.node.model import (
    GAS_LIMIT,
    INITIAL_BASE_FEE_WEI,
    NewBlock,
    StoredBlock,
    StoredLog,
    StoredTransaction,
)
from opencarrier.chain.rlp import encode as encode_rlp
from opencarrier.chain.rlp import length_prefix

_VM: Any = MeteredVM
_BUILDER: Any = PragueTransactionBuilder
BLOB_TYPE = 3
DELEGATION_PREFIX = b"\xef\x01\x00"
INITCODE_OCTETS_MAX = 49_152
"""EIP-3860."""


class InvalidTransactionError(Exception):
    """A transaction no block may hold; the words follow geth's, which tools read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A call that is run and forgotten."""

    sender: bytes
    to: bytes
    data: bytes
    value_wei: int
    gas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What running a message gave; `error` is None, `revert` or the EVM's own word for it.

    `is_nested`: it called another contract.
    """

    output: bytes
    gas_used: int
    gas_refunded: int
    is_nested: bool
    error: str | None

    @property
    def is_revert(self) -> bool:
        """Say whether the code itself reverted, with `output` as its reason."""
        return self.error == "revert"


class _NodeStore(BaseDB):
    """py-evm's key-value face of our node table; writes wait in `pending` for the commit."""

    def __init__(self, read: Callable[[bytes], bytes | None]) -> None:
        self._read = read
        self.pending: dict[bytes, bytes] = {}

    def __getitem__(self, key: bytes) -> bytes:
        value = self.pending.get(key)
        if value is None:
            value = self._read(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.pending[key] = value

    def __delitem__(self, key: bytes) -> None:
        raise AssertionError("trie nodes are only ever added")

    def _exists(self, key: bytes) -> bool:
        return key in self.pending or self._read(key) is not None


class Engine:
    """Runs transactions and calls on a state root; `read` finds a trie node by its hash.

    `ancestors(n)` yields the hashes of block n and below, for BLOCKHASH.
    """

    def __init__(
        self,
        chain_id: int,
        read: Callable[[bytes], bytes | None],
        ancestors: Callable[[int], Iterator[bytes]],
    ) -> None:
        self._context = ChainContext(chain_id)
        self._chain_id = chain_id
        self._store = _NodeStore(read)
        self._db = AtomicDB(self._store)
        self._ancestors = ancestors

    def genesis(
        self, balances: Mapping[bytes, int], code: Mapping[bytes, bytes], timestamp_s: int
    ) -> NewBlock:
        """Compute block 0 from balances in wei and runtime code by address."""
        blank = _VM.create_genesis_header(
            difficulty=0,
            gas_limit=GAS_LIMIT,
            timestamp=timestamp_s,
            base_fee_per_gas=INITIAL_BASE_FEE_WEI,
            parent_beacon_block_root=bytes(32),
        )
        with self._collect() as nodes:
            state = _VM.build_state(self._db, blank, self._context)
            for address, wei in balances.items():
                state.set_balance(address, wei)
            for address, octets in code.items():
                state.set_nonce(address, 1)
                state.set_code(address, octets)
            state.persist()
            header = blank.copy(state_root=state.state_root)
            return NewBlock(block=_stored(header, ()), transactions=(), logs=(), nodes=dict(nodes))

    def decode_header(self, block: StoredBlock) -> Any:
        """Return py-evm's header of a stored block."""
        return rlp.decode(block.header, sedes=PragueBlockHeader)

    def next_header(self, parent: Any, timestamp_s: int) -> Any:
        """Return the empty header after a parent; time may stand still but not go back."""
        assert timestamp_s >= parent.timestamp, "block time goes back"
        return _VM.create_header_from_parent(
            parent,
            timestamp=timestamp_s,
            gas_limit=parent.gas_limit,
            parent_beacon_block_root=bytes(32),
        )

    def decode_transaction(self, raw: bytes) -> Any:
        """Read a signed transaction; `InvalidTransactionError` where it is none of this chain."""
        try:
            transaction = _BUILDER.decode(raw)
            transaction.validate()
            sender = transaction.sender
        except InvalidTransactionError:
            raise
        except Exception as error:  # whatever py-evm and rlp raise on octets from outside
            raise InvalidTransactionError(f"cannot be decoded ({type(error).__name__})") from error
        if transaction.type_id == BLOB_TYPE:
            raise InvalidTransactionError("transaction type not supported")
        if transaction.chain_id != self._chain_id:
            raise InvalidTransactionError(f"invalid chain id for signer: want {self._chain_id}")
        assert len(sender) == 20, "an address has 20 octets"
        return transaction

    def mine(self, header: Any, transactions: Sequence[Any]) -> NewBlock:
        """Compute the block of these transactions; `InvalidTransactionError` for a bad one,
        `StepsExhaustedError` where together they ask for more than this node computes at once.
        """
        with self._collect() as nodes:
            state = self._state(header)
            stored: list[StoredTransaction] = []
            logs: list[StoredLog] = []
            receipts: list[Any] = []
            gas_used = 0
            for transaction in transactions:
                self._check(state, header, transaction, gas_used)
                state.lock_changes()
                computation = state.apply_transaction(transaction)
                used = _gas_used(transaction, computation)
                gas_used += used
                entries = computation.get_log_entries()
                receipt = transaction.make_receipt(
                    b"" if computation.is_error else b"\x01", gas_used, entries
                )
                receipts.append(receipt)
                stored.append(_stored_transaction(header, transaction, receipt, used, len(stored)))
                logs.extend(_stored_logs(header, stored[-1], entries, len(logs)))
            state.persist()
            header = _filled(header, state.state_root, transactions, receipts, gas_used)
            block = _stored(header, [t.raw for t in stored])
            return NewBlock(
                block=block, transactions=tuple(stored), logs=tuple(logs), nodes=dict(nodes)
            )

    def run(self, header: Any, message: Message, budget: Budget | None = None) -> Outcome:
        """Run a message in the block of `header` at no cost, and forget what it changed.

        `budget` is shared by the runs of one request; `StepsExhaustedError` where it ends.
        """
        free = header.copy(base_fee_per_gas=0, gas_used=0)
        with self._collect():
            state = self._state(free, budget)
            transaction = self._spoofed(state, message)
            try:
                computation = state.apply_transaction(transaction)
            except ValidationError as error:
                raise InvalidTransactionError(_words(error)) from error
            used = _gas_used(transaction, computation)
            remaining = computation.get_gas_remaining()
            error_word = _error_word(computation.error) if computation.is_error else None
            return Outcome(
                output=bytes(computation.output),
                gas_used=used,
                gas_refunded=max(transaction.gas - remaining - used, 0),
                is_nested=bool(computation.children),
                error=error_word,
            )

    def balance(self, header: Any, address: bytes) -> int:
        """Return an account's wei after the block of `header`."""
        return int(self._state(header).get_balance(address))

    def nonce(self, header: Any, address: bytes) -> int:
        """Return an account's next nonce after the block of `header`."""
        return int(self._state(header).get_nonce(address))

    def code(self, header: Any, address: bytes) -> bytes:
        """Return a contract's code after the block of `header`."""
        return bytes(self._state(header).get_code(address))

    def storage(self, header: Any, address: bytes, slot: int) -> int:
        """Return a storage slot after the block of `header`."""
        state = self._state(header)
        return int(state.get_storage(address, slot)) if state.account_exists(address) else 0

    def _state(self, header: Any, budget: Budget | None = None) -> Any:
        ancestors = self._ancestors(header.block_number - 1)
        state = _VM.build_state(self._db, header, self._context, ancestors)
        state.budget = budget or Budget()
        return state

    @contextmanager
    def _collect(self) -> Iterator[dict[bytes, bytes]]:
        """Lend the buffer of new trie nodes to one computation."""
        assert not self._store.pending, "one computation at a time"
        try:
            yield self._store.pending
        finally:
            self._store.pending = {}

    def _spoofed(self, state: Any, message: Message) -> Any:
        unsigned = _BUILDER.new_unsigned_dynamic_fee_transaction(
            chain_id=self._chain_id,
            nonce=state.get_nonce(message.sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=message.gas,
            to=message.to,
            value=message.value_wei,
            data=message.data,
            access_list=(),
        )
        if message.gas < max(unsigned.intrinsic_gas, _floor_gas(message.data)):
            raise InvalidTransactionError("intrinsic gas too low")
        return SpoofTransaction(unsigned, from_=message.sender)

    def _check(self, state: Any, header: Any, transaction: Any, gas_used: int) -> None:
        """Refuse what no block may hold, before py-evm runs it (it leaves some of this out)."""
        code = state.get_code(transaction.sender)
        nonce = state.get_nonce(transaction.sender)
        price = transaction.max_fee_per_gas
        cost = transaction.gas * price + transaction.value
        needed = max(transaction.intrinsic_gas, _floor_gas(transaction.data))
        is_creation = transaction.to == b""
        problems = (
            (transaction.nonce < nonce, f"nonce too low: next nonce {nonce}"),
            (transaction.nonce > nonce, f"nonce too high: next nonce {nonce}"),
            (code and code[:3] != DELEGATION_PREFIX, "sender not an eoa"),
            (transaction.gas > header.gas_limit - gas_used, "exceeds block gas limit"),
            (price < header.base_fee_per_gas, "max fee per gas less than block base fee"),
            (
                transaction.max_priority_fee_per_gas > price,
                "max priority fee per gas higher than max fee per gas",
            ),
            (
                state.get_balance(transaction.sender) < cost,
                "insufficient funds for gas * price + value",
            ),
            (transaction.gas < needed, f"intrinsic gas too low: want {needed}"),
            (
                is_creation and len(transaction.data) > INITCODE_OCTETS_MAX,
                "max initcode size exceeded",
            ),
        )
        for applies, words in problems:
            if applies:
                raise InvalidTransactionError(words)


def _gas_used(transaction: Any, computation: Any) -> int:
    """Gas after refund (EIP-3529, a fifth at most), at least the calldata floor (EIP-7623)."""
    consumed = transaction.gas - computation.get_gas_remaining()
    refund = min(computation.get_gas_refund(), consumed // 5)
    return int(max(consumed - refund, _floor_gas(transaction.data)))


def _floor_gas(data: bytes) -> int:
    """The least a transaction pays for its calldata: 21000 + 10 per token (EIP-7623)."""
    zeros = data.count(0)
    return 21_000 + 10 * (zeros + 4 * (len(data) - zeros))


def _filled(
    header: Any,
    state_root: bytes,
    transactions: Sequence[Any],
    receipts: Sequence[Any],
    gas_used: int,
) -> Any:
    bloom = BloomFilter()
    for receipt in receipts:
        bloom |= receipt.bloom
    return header.copy(
        state_root=state_root,
        transaction_root=make_trie_root_and_nodes(transactions)[0],
        receipt_root=make_trie_root_and_nodes(receipts)[0],
        bloom=int(bloom),
        gas_used=gas_used,
    )


def _stored(header: Any, raws: Sequence[bytes]) -> StoredBlock:
    encoded = rlp.encode(header)
    return StoredBlock(
        number=header.block_number,
        hash=bytes(header.hash),
        header=encoded,
        timestamp_s=header.timestamp,
        size_octets=len(_list(encoded + _list(*map(_in_block, raws)) + 2 * _list())),
    )


def _list(*items: bytes) -> bytes:
    """Wrap what is already RLP into an RLP list."""
    payload = b"".join(items)
    return length_prefix(len(payload), 0xC0) + payload


def _in_block(raw: bytes) -> bytes:
    """A typed transaction stands in a block as a string of octets, a legacy one as its list."""
    return raw if raw[0] >= 0xC0 else encode_rlp(raw)


def _stored_transaction(
    header: Any, transaction: Any, receipt: Any, gas_used: int, index: int
) -> StoredTransaction:
    tip = min(
        transaction.max_fee_per_gas - header.base_fee_per_gas, transaction.max_priority_fee_per_gas
    )
    created = None
    if transaction.to == b"":
        created = bytes(generate_contract_address(transaction.sender, transaction.nonce))
    return StoredTransaction(
        tx_hash=bytes(transaction.hash),
        block_number=header.block_number,
        tx_index=index,
        raw=transaction.encode(),
        sender=bytes(transaction.sender),
        succeeded=receipt.state_root == b"\x01",
        gas_used=gas_used,
        cumulative_gas_used=receipt.gas_used,
        effective_gas_price_wei=header.base_fee_per_gas + tip,
        contract_address=created,
        bloom=int(receipt.bloom).to_bytes(256, "big"),
    )


def _stored_logs(
    header: Any, transaction: StoredTransaction, entries: Sequence[Any], first: int
) -> list[StoredLog]:
    return [
        StoredLog(
            block_number=header.block_number,
            log_index=first + position,
            tx_index=transaction.tx_index,
            tx_hash=transaction.tx_hash,
            address=bytes(address),
            topics=tuple(topic.to_bytes(32, "big") for topic in topics),
            data=bytes(data),
        )
        for position, (address, topics, data) in enumerate(entries)
    ]


def _error_word(error: VMError) -> str:
    if isinstance(error, Revert):
        return "revert"
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(error).__name__)
    return words.strip()


def _words(error: ValidationError) -> str:
    text = str(error)
    if "balance" in text or "afford" in text or "insufficient" in text:
        return "insufficient funds for transfer"
    return text[:200]
