"""A chain whose faults the test decides, and a daemon with a database of its own beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import select
from tests.memory import Memory

from opencarrier.chain import store
from opencarrier.chain import transactions as transactions_module
from opencarrier.chain.errors import ChainRefusedError, ChainUnavailableError, RevertedError
from opencarrier.chain.keys import DynamicFeeTransaction, SignedTransaction
from opencarrier.chain.model import LATEST, Block, BlockAt, Call, Fees, Receipt
from opencarrier.chain.rules import Policy, Transaction
from opencarrier.chain.transactions import TransactionManager
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address

SENDER = Address("0x" + "aa" * 20)
TARGET = Address("0x" + "bb" * 20)
DEPTH = 3
POLICY = Policy(resend_after_s=10, bump_after_s=30, bumps_max=3, open_max=8)
SECOND_US = 1_000_000


class CrashError(BaseException):
    """Stands for SIGKILL."""


class FakeSigner:
    """Signs deterministically without any curve."""

    address = SENDER

    def __init__(self, chain: FakeChain) -> None:
        self._chain = chain

    def sign_transaction(self, transaction: DynamicFeeTransaction) -> SignedTransaction:
        raw = repr(transaction).encode()
        tx_hash = sha256(raw).digest()
        self._chain.decoded[tx_hash] = transaction
        return SignedTransaction(raw=raw, tx_hash=tx_hash)


@dataclass
class FakeChain:
    """One account's view of a chain whose faults the test decides."""

    chain_id: int = 7
    blocks: list[list[bytes]] = field(default_factory=lambda: [[]])
    hashes: list[bytes] = field(default_factory=lambda: [b"\0" * 32])
    decoded: dict[bytes, DynamicFeeTransaction] = field(default_factory=dict)
    mempool: set[bytes] = field(default_factory=set)
    handed_over: list[bytes] = field(default_factory=list)
    fault: str = ""
    base_fee_wei: int = 100
    counter: int = 0
    failing: set[bytes] = field(default_factory=set)
    daemons: list[Daemon] = field(default_factory=list)
    depth: int = DEPTH

    def genesis_hash(self) -> bytes:
        return self.hashes[0]

    def nonce(self, address: Address, at: BlockAt = LATEST) -> int:
        assert address == SENDER
        mined = sum(len(block) for block in self.blocks)
        if at == "pending":
            while any(self.decoded[tx].nonce == mined for tx in self.mempool):
                mined += 1
        return mined

    def block(self, at: BlockAt | bytes = LATEST) -> Block | None:
        number = len(self.blocks) - 1 if at == LATEST else at
        assert isinstance(number, int)
        if not 0 <= number < len(self.blocks):
            return None
        return Block(
            number=number,
            hash=self.hashes[number],
            parent_hash=self.hashes[max(number - 1, 0)],
            timestamp_s=0,
            base_fee_per_gas_wei=self.base_fee_wei,
        )

    def final_block_number(self) -> int | None:
        final = len(self.blocks) - self.depth
        return final if final >= 0 else None

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        for number, block in enumerate(self.blocks):
            if tx_hash in block:
                return Receipt(
                    tx_hash=tx_hash,
                    tx_index=block.index(tx_hash),
                    block_number=number,
                    block_hash=self.hashes[number],
                    sender=SENDER,
                    to=TARGET,
                    contract_address=None,
                    succeeded=tx_hash not in self.failing,
                    gas_used=21_000,
                    effective_gas_price_wei=1,
                    logs=(),
                )
        return None

    def fees(self) -> Fees:
        return Fees(base_fee_per_gas_wei=self.base_fee_wei, priority_fee_per_gas_wei=10)

    def estimate_gas(self, call: Call) -> int:
        if call.data == b"revert":
            raise RevertedError(b"")
        return 40_000

    def send_raw(self, raw: bytes) -> bytes:
        fault, self.fault = self.fault, ""
        if fault == "refused_connection":
            raise ChainUnavailableError("nobody there", outcome_unknown=False)
        if fault == "timeout_before":
            raise ChainUnavailableError("timed out", outcome_unknown=True)
        assert any(raw in daemon.kept() for daemon in self.daemons), "sent before it was kept"
        tx_hash = sha256(raw).digest()
        self.handed_over.append(raw)
        if fault != "dropped":
            self._accept(tx_hash)
        if fault == "timeout_after":
            raise ChainUnavailableError("timed out", outcome_unknown=True)
        if fault == "timeout_after_mined":
            self.mine()
            raise ChainUnavailableError("timed out", outcome_unknown=True)
        return tx_hash

    def _accept(self, tx_hash: bytes) -> None:
        offered = self.decoded[tx_hash]
        if offered.nonce < self.nonce(SENDER):
            raise ChainRefusedError(-32000, "nonce too low")
        if tx_hash in self.mempool:
            raise ChainRefusedError(-32000, "already known")
        rivals = {tx for tx in self.mempool if self.decoded[tx].nonce == offered.nonce}
        dearest = max((self.decoded[tx].max_fee_per_gas_wei for tx in rivals), default=0)
        if offered.max_fee_per_gas_wei * 100 < dearest * 110:
            raise ChainRefusedError(-32000, "replacement transaction underpriced")
        self.mempool = (self.mempool - rivals) | {tx_hash}

    def mine(self) -> None:
        """Add a block with whatever the mempool holds that is next and pays."""
        block: list[bytes] = []
        self.blocks.append(block)
        self.counter += 1
        self.hashes.append(sha256(b"%d" % self.counter).digest())
        while True:
            following = self.nonce(SENDER)
            tx_hash = next((t for t in self.mempool if self.decoded[t].nonce == following), None)
            if tx_hash is None or self.decoded[tx_hash].max_fee_per_gas_wei < self.base_fee_wei:
                break
            self.mempool.discard(tx_hash)
            block.append(tx_hash)
        taken = self.nonce(SENDER)
        self.mempool = {t for t in self.mempool if self.decoded[t].nonce >= taken}

    def reorg(self, depth: int, *, keep: bool) -> None:
        """Replace the newest blocks by one more empty block; their transactions return or not."""
        depth = min(depth, len(self.blocks) - 1)
        for _ in range(depth):
            lost = self.blocks.pop()
            self.hashes.pop()
            if keep:
                self.mempool |= set(lost)
        nonce = self.nonce(SENDER)
        self.mempool = {t for t in self.mempool if self.decoded[t].nonce >= nonce}
        waiting, self.mempool = self.mempool, set()
        for _ in range(depth + 1):
            self.mine()
        self.mempool = waiting

    def mine_foreign(self) -> None:
        """Somebody else with the same key uses the next nonce."""
        self.counter += 1
        nonce = self.nonce(SENDER)
        foreign = DynamicFeeTransaction(
            chain_id=self.chain_id,
            nonce=nonce,
            max_priority_fee_per_gas_wei=0,
            max_fee_per_gas_wei=10**9,
            gas_limit=self.counter,
            to=None,
            value_wei=0,
            data=b"foreign",
        )
        tx_hash = sha256(repr(foreign).encode()).digest()
        self.decoded[tx_hash] = foreign
        self.mempool = {t for t in self.mempool if self.decoded[t].nonce != nonce} | {tx_hash}
        self.mine()

    def canonical(self, nonce: int) -> bytes | None:
        mined = [tx for block in self.blocks for tx in block]
        return mined[nonce] if nonce < len(mined) else None


class Daemon:
    """A manager with a database of its own, restartable."""

    def __init__(self, chain: FakeChain, policy: Policy = POLICY) -> None:
        self.chain = chain
        chain.daemons.append(self)
        self.policy = policy
        self.engine = Memory(store.metadata)
        self.restart()

    def restart(self) -> None:
        self.manager = TransactionManager(self.chain, FakeSigner(self.chain), self.policy)

    def prepare(
        self,
        intent: bytes,
        call: Call | None = None,
        now_us: int = 0,
        purpose: str = "",
        asked: bytes = b"",
    ) -> Transaction | Refusal:
        quote = self.manager.quote(call or Call(to=TARGET, data=intent[:4]))
        with self.engine.begin() as connection:
            return self.manager.prepare(
                connection, intent, quote, now_us=now_us, purpose=purpose, asked=asked
            )

    def find(self, intent: bytes) -> Transaction:
        with self.engine.begin() as connection:
            found = self.manager.find(connection, intent)
        assert found is not None
        return found

    def drive(self, now_us: int = 0) -> transactions_module.DriveReport:
        return self.manager.drive(self.engine.begin, now_us=now_us)

    def kept(self) -> set[bytes]:
        with self.engine.begin() as connection:
            return {bytes(row.raw) for row in connection.execute(select(store.variants.c.raw))}


@contextmanager
def crashing(at_call: int) -> Iterator[None]:
    """Die at the n-th crash point passed."""
    passed = 0

    def crashpoint(_name: str) -> None:
        nonlocal passed
        passed += 1
        if passed >= at_call:
            raise CrashError

    original = transactions_module.crashpoint
    transactions_module.crashpoint = crashpoint  # type: ignore[attr-defined]
    try:
        yield
    except CrashError:
        pass
    finally:
        transactions_module.crashpoint = original  # type: ignore[attr-defined]


def intent(number: int) -> bytes:
    return sha256(b"intent %d" % number).digest()


def mine(chain: FakeChain, blocks: int) -> None:
    for _ in range(blocks):
        chain.mine()
