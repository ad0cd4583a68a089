"""The transaction manager against a chain that drops, delays, reorganises and is shared."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool

from opencarrier.chain import store
from opencarrier.chain import transactions as transactions_module
from opencarrier.chain.errors import (
    ChainMismatchError,
    ChainRefusedError,
    ChainUnavailableError,
    RevertedError,
)
from opencarrier.chain.keys import DynamicFeeTransaction, SignedTransaction
from opencarrier.chain.model import LATEST, Block, BlockAt, Call, Fees, Receipt
from opencarrier.chain.rules import (
    Policy,
    SendOutcome,
    Transaction,
    TransactionRefusal,
    TransactionState,
    outcome_of,
)
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
        final = len(self.blocks) - DEPTH
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
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        store.metadata.create_all(self.engine)
        self.restart()

    def restart(self) -> None:
        self.manager = TransactionManager(self.chain, FakeSigner(self.chain), self.policy)

    def prepare(
        self, intent: bytes, call: Call | None = None, now_us: int = 0
    ) -> Transaction | Refusal:
        quote = self.manager.quote(call or Call(to=TARGET, data=intent[:4]))
        with self.engine.begin() as connection:
            return self.manager.prepare(connection, intent, quote, now_us=now_us)

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


@pytest.fixture
def chain() -> FakeChain:
    return FakeChain()


@pytest.fixture
def daemon(chain: FakeChain) -> Daemon:
    return Daemon(chain)


def mine(chain: FakeChain, blocks: int) -> None:
    for _ in range(blocks):
        chain.mine()


def test_it_goes_from_prepared_to_final(chain: FakeChain, daemon: Daemon) -> None:
    record = daemon.prepare(intent(1))
    assert isinstance(record, Transaction)
    assert (record.state, record.nonce) == (TransactionState.PREPARED, 0)
    assert record.gas_limit == 50_000
    assert daemon.drive().sent == 1
    assert daemon.find(intent(1)).state is TransactionState.SENT
    for number in range(1, DEPTH + 1):
        chain.mine()
        daemon.drive()
        expected = TransactionState.FINAL if number == DEPTH else TransactionState.MINED
        assert daemon.find(intent(1)).state is expected
    assert daemon.drive().transactions == ()


def test_a_reverted_transaction_is_reverted_only_when_final(
    chain: FakeChain, daemon: Daemon
) -> None:
    record = daemon.prepare(intent(1))
    assert isinstance(record, Transaction)
    chain.failing.add(record.tx_hash)
    daemon.drive()
    chain.mine()
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.MINED
    mine(chain, DEPTH)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.REVERTED


def test_what_would_revert_is_never_prepared(daemon: Daemon) -> None:
    with pytest.raises(RevertedError):
        daemon.prepare(intent(1), Call(to=TARGET, data=b"revert"))


def test_the_same_intent_is_the_same_transaction(daemon: Daemon) -> None:
    first = daemon.prepare(intent(1))
    assert daemon.prepare(intent(1)) == first
    other = daemon.prepare(intent(1), Call(to=TARGET, data=b"else"))
    assert isinstance(other, Refusal)
    assert other.reason is TransactionRefusal.EXISTS_WITH_DIFFERENT_CALL


def test_an_abandoned_unit_of_work_takes_its_nonce_back(daemon: Daemon) -> None:
    quote = daemon.manager.quote(Call(to=TARGET, data=b"x"))
    with daemon.engine.connect() as connection:
        daemon.manager.prepare(connection, intent(1), quote, now_us=0)
        connection.rollback()
    record = daemon.prepare(intent(2))
    assert isinstance(record, Transaction)
    assert record.nonce == 0


def test_nonces_are_taken_in_order_and_the_queue_is_bounded(daemon: Daemon) -> None:
    records = [daemon.prepare(intent(n)) for n in range(POLICY.open_max)]
    assert [r.nonce for r in records if isinstance(r, Transaction)] == list(range(8))
    refused = daemon.prepare(intent(99))
    assert isinstance(refused, Refusal)
    assert refused.reason is TransactionRefusal.TOO_MANY_OPEN


def test_a_network_above_the_fee_cap_is_refused(chain: FakeChain, daemon: Daemon) -> None:
    chain.base_fee_wei = POLICY.fee_cap_per_gas_wei
    refused = daemon.prepare(intent(1))
    assert isinstance(refused, Refusal)
    assert refused.reason is TransactionRefusal.FEE_ABOVE_CAP


def test_a_time_out_after_mining_is_no_second_transaction(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    chain.fault = "timeout_after_mined"
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.SENT
    daemon.drive(now_us=100 * SECOND_US)
    assert daemon.find(intent(1)).state is TransactionState.MINED
    assert len(chain.handed_over) == 1


def test_a_retry_sends_the_same_octets(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    chain.fault = "dropped"
    daemon.drive()
    daemon.drive(now_us=9 * SECOND_US)
    assert len(chain.handed_over) == 1
    daemon.drive(now_us=10 * SECOND_US)
    assert len(chain.handed_over) == 2
    assert len(set(chain.handed_over)) == 1


def test_a_bump_keeps_the_nonce_and_any_variant_may_win(chain: FakeChain, daemon: Daemon) -> None:
    first = daemon.prepare(intent(1))
    assert isinstance(first, Transaction)
    daemon.drive()
    daemon.drive(now_us=30 * SECOND_US)
    bumped = daemon.find(intent(1))
    assert len(bumped.variants) == 2
    assert chain.mempool == {bumped.newest.tx_hash}
    assert bumped.newest.max_fee_per_gas_wei * 8 >= first.newest.max_fee_per_gas_wei * 9
    chain.mempool = {first.tx_hash}
    mine(chain, DEPTH)
    daemon.drive(now_us=31 * SECOND_US)
    final = daemon.find(intent(1))
    assert final.state is TransactionState.FINAL
    assert final.tx_hash == first.tx_hash


def test_bumps_end_at_their_bound_and_at_the_cap(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    for minute in range(20):
        daemon.drive(now_us=minute * 60 * SECOND_US)
    assert len(daemon.find(intent(1)).variants) == 1 + POLICY.bumps_max
    capped = Daemon(chain, Policy(resend_after_s=10, bump_after_s=30, fee_cap_per_gas_wei=220))
    capped.prepare(intent(2))
    for minute in range(3):
        capped.drive(now_us=minute * 60 * SECOND_US)
    assert len(capped.find(intent(2)).variants) == 1
    assert capped.find(intent(2)).newest.sent_count == 3


@pytest.mark.parametrize("depth", range(1, DEPTH))
@pytest.mark.parametrize("keep", [True, False])
def test_a_reorg_above_finality_is_survived(
    chain: FakeChain, daemon: Daemon, depth: int, keep: bool
) -> None:
    mine(chain, 2)
    record = daemon.prepare(intent(1))
    assert isinstance(record, Transaction)
    daemon.drive()
    mine(chain, 1)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.MINED
    chain.reorg(depth, keep=keep)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.SENT
    mine(chain, DEPTH)
    daemon.drive()
    final = daemon.find(intent(1))
    assert final.state is TransactionState.FINAL
    assert final.nonce == record.nonce
    assert set(chain.handed_over) == {record.newest.raw}


def test_a_foreign_transaction_replaces_only_when_final(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    chain.mine_foreign()
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.PREPARED
    mine(chain, DEPTH - 2)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.PREPARED
    mine(chain, 1)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.REPLACED
    again = daemon.prepare(intent(2))
    assert isinstance(again, Transaction)
    assert again.nonce == 1


def test_a_foreign_transaction_that_a_reorg_removes_gives_the_nonce_back(
    chain: FakeChain, daemon: Daemon
) -> None:
    daemon.prepare(intent(1))
    chain.mine_foreign()
    daemon.drive()
    chain.reorg(1, keep=False)
    daemon.drive()
    mine(chain, DEPTH)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.FINAL


def test_a_foreign_transaction_mined_again_elsewhere_starts_anew(
    chain: FakeChain, daemon: Daemon
) -> None:
    daemon.prepare(intent(1))
    chain.mine_foreign()
    daemon.drive()
    chain.reorg(1, keep=False)
    mine(chain, DEPTH)
    chain.mine_foreign()
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.PREPARED
    chain.reorg(1, keep=False)
    daemon.drive()
    mine(chain, DEPTH)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.FINAL


def test_nonces_used_elsewhere_are_passed_over(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    daemon.drive()
    mine(chain, 1)
    chain.mine_foreign()
    record = daemon.prepare(intent(2))
    assert isinstance(record, Transaction)
    assert record.nonce == 2


def test_a_gap_that_a_foreign_transaction_left_is_filled(chain: FakeChain, daemon: Daemon) -> None:
    chain.mine_foreign()
    daemon.prepare(intent(1))
    chain.reorg(1, keep=False)
    daemon.drive()
    mine(chain, 1)
    assert chain.nonce(SENDER) == 0
    assert daemon.drive(now_us=29 * SECOND_US).alarms == ()
    assert len(daemon.drive(now_us=30 * SECOND_US).transactions) == 2
    mine(chain, DEPTH)
    daemon.drive(now_us=31 * SECOND_US)
    assert daemon.find(intent(1)).state is TransactionState.FINAL
    assert daemon.find(intent(1)).nonce == 1


def test_a_chain_that_lost_what_was_final_stops_sending(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    daemon.drive()
    mine(chain, DEPTH)
    daemon.drive()
    daemon.prepare(intent(2))
    chain.reorg(DEPTH, keep=False)
    report = daemon.drive()
    assert report.sent == 0
    assert report.alarms[0].startswith("chain_behind")


def test_another_genesis_is_another_chain(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    chain.hashes[0] = b"\1" * 32
    with pytest.raises(ChainMismatchError):
        daemon.prepare(intent(2))


def test_a_refused_connection_leaves_it_prepared(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    daemon.prepare(intent(2))
    chain.fault = "refused_connection"
    report = daemon.drive()
    assert report.sent == 1
    assert chain.handed_over == []
    assert daemon.find(intent(1)).state is TransactionState.PREPARED
    assert daemon.find(intent(2)).newest.sent_count == 0


def test_drive_until_terminal_stops_at_its_bound(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))

    def run(passes_max: int) -> TransactionState:
        return daemon.manager.drive_until_terminal(
            daemon.engine.begin,
            intent(1),
            now_us=lambda: 0,
            pause=chain.mine,
            passes_max=passes_max,
        ).state

    assert run(2) is TransactionState.MINED
    assert run(10) is TransactionState.FINAL


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("already known", SendOutcome.KNOWN),
        ("transaction already imported", SendOutcome.KNOWN),
        ("nonce too low: next nonce 4", SendOutcome.NONCE_USED),
        ("replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("insufficient funds for gas * price + value", SendOutcome.REJECTED),
        ("", SendOutcome.REJECTED),
    ],
)
def test_refusals_are_read_by_their_words(words: str, outcome: SendOutcome) -> None:
    assert outcome_of(words) is outcome


FAULTS = ["", "dropped", "timeout_before", "timeout_after", "timeout_after_mined"]


class TwoDaemons(RuleBasedStateMachine):
    """Two daemons share a key and a faulty chain; faults end, and everything comes to rest."""

    intents = Bundle("intents")

    @initialize()
    def begin(self) -> None:
        self.chain = FakeChain()
        self.daemons = [Daemon(self.chain), Daemon(self.chain)]
        self.now_us = 0
        self.prepared: dict[tuple[int, bytes], int] = {}
        self.terminal: dict[tuple[int, bytes], Transaction] = {}
        self.chain.mine()

    @rule(which=st.integers(0, 1), number=st.integers(0, 20))
    def prepare(self, which: int, number: int) -> None:
        record = self.daemons[which].prepare(intent(number), now_us=self.now_us)
        if isinstance(record, Refusal):
            assert record.reason is TransactionRefusal.TOO_MANY_OPEN
            return
        known = self.prepared.setdefault((which, intent(number)), record.nonce)
        assert known == record.nonce

    @rule(which=st.integers(0, 1), fault=st.sampled_from([*FAULTS, "refused_connection"]))
    def drive(self, which: int, fault: str) -> None:
        self.chain.fault = fault
        self.daemons[which].drive(now_us=self.now_us)
        self.chain.fault = ""

    @rule(which=st.integers(0, 1), fault=st.sampled_from(FAULTS), at_call=st.integers(1, 6))
    def die(self, which: int, fault: str, at_call: int) -> None:
        self.chain.fault = fault
        with crashing(at_call):
            self.daemons[which].drive(now_us=self.now_us)
        self.chain.fault = ""
        self.daemons[which].restart()

    @rule(blocks=st.integers(1, 3))
    def mine(self, blocks: int) -> None:
        mine(self.chain, blocks)

    @rule(depth=st.integers(1, DEPTH - 1), keep=st.booleans())
    def reorg(self, depth: int, keep: bool) -> None:
        self.chain.reorg(depth, keep=keep)

    @rule()
    def foreign(self) -> None:
        self.chain.mine_foreign()

    @rule(seed=st.integers(0, 9))
    def forget(self, seed: int) -> None:
        dropped = random.Random(seed).choices([True, False], k=len(self.chain.mempool))
        ordered = sorted(self.chain.mempool)
        self.chain.mempool = {t for t, drop in zip(ordered, dropped, strict=True) if not drop}

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds: int) -> None:
        self.now_us += seconds * SECOND_US

    @rule(base_fee_wei=st.integers(50, 400))
    def price(self, base_fee_wei: int) -> None:
        self.chain.base_fee_wei = base_fee_wei

    @invariant()
    def an_intent_has_one_nonce_and_a_nonce_one_intent(self) -> None:
        for which, daemon in enumerate(self.daemons):
            nonces = [n for (w, _), n in self.prepared.items() if w == which]
            assert len(nonces) == len(set(nonces))
            for (owner, wish), nonce in self.prepared.items():
                if owner == which:
                    record = daemon.find(wish)
                    offered = {self.chain.decoded[v.tx_hash].nonce for v in record.variants}
                    assert offered == {record.nonce} == {nonce}

    @invariant()
    def terminal_is_true_and_stays(self) -> None:
        for which, wish in self.prepared:
            record = self.daemons[which].find(wish)
            if not record.is_terminal:
                assert (which, wish) not in self.terminal
                continue
            assert self.terminal.setdefault((which, wish), record) == record
            winner = self.chain.canonical(record.nonce)
            ours = {v.tx_hash for v in record.variants}
            if record.state is TransactionState.REPLACED:
                assert winner is not None
                assert winner not in ours
            else:
                assert winner == record.tx_hash

    def teardown(self) -> None:
        if not hasattr(self, "chain"):
            return
        self.chain.base_fee_wei = 1
        for _ in range(80):
            self.now_us += POLICY.resend_after_s * SECOND_US
            for daemon in self.daemons:
                assert daemon.drive(now_us=self.now_us).alarms == ()
            self.chain.mine()
        for which, wish in self.prepared:
            assert self.daemons[which].find(wish).is_terminal
        self.terminal_is_true_and_stays()


TwoDaemons.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestTwoDaemons = TwoDaemons.TestCase
