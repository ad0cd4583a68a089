"""The event follower: order, restarts, reorgs, and a cursor that moves with its effects."""

from __future__ import annotations

import contextlib
from hashlib import sha256

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    delete,
    insert,
    select,
)
from tests.memory import Memory

from opencarrier.chain import logs as logs_module
from opencarrier.chain import store
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.logs import FinalityBrokenError, Followed, LogFollower, Polled
from opencarrier.chain.model import LATEST, Block, BlockAt, Log, LogFilter
from opencarrier.kernel.signatures import Address

CONTRACT = Address("0x" + "cc" * 20)
DEPTH = 3

taken_metadata = MetaData()
taken = Table(
    "taken",
    taken_metadata,
    Column("block_number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)


class FakeChain:
    """One event per block, its data the block's hash."""

    def __init__(self) -> None:
        self.hashes = [b"\0" * 32]
        self.counter = 0
        self.moves_under_reader = 0

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.counter += 1
            self.hashes.append(sha256(b"%d" % self.counter).digest())

    def reorg(self, depth: int) -> None:
        depth = min(depth, len(self.hashes) - 1)
        del self.hashes[len(self.hashes) - depth :]
        self.mine(depth + 1)

    def block(self, at: BlockAt | bytes = LATEST) -> Block | None:
        number = len(self.hashes) - 1 if at == LATEST else at
        assert isinstance(number, int)
        if not 0 <= number < len(self.hashes):
            return None
        return Block(
            number=number,
            hash=self.hashes[number],
            parent_hash=b"",
            timestamp_s=0,
            base_fee_per_gas_wei=0,
        )

    def final_block_number(self) -> int | None:
        return len(self.hashes) - DEPTH if len(self.hashes) >= DEPTH else None

    def logs(self, wanted: LogFilter) -> list[Log]:
        assert wanted.to_block - wanted.from_block < logs_module.BLOCKS_PER_BATCH_MAX
        found = [self._log(n) for n in range(wanted.from_block, wanted.to_block + 1)]
        if self.moves_under_reader:
            self.moves_under_reader -= 1
            self.reorg(2)
        return found

    def _log(self, number: int) -> Log:
        return Log(
            address=CONTRACT,
            topics=(),
            data=self.hashes[number],
            block_number=number,
            block_hash=self.hashes[number],
            tx_hash=bytes(32),
            tx_index=0,
            log_index=0,
        )


class Ledger:
    """Keeps what it is told in the same database as the cursor."""

    fails = False

    def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
        for log in logs:
            values = {"block_number": log.block_number, "data": log.data}
            connection.execute(insert(taken).values(**values))
        if self.fails:
            raise RuntimeError("the handler fails")

    def rewind(self, connection: Connection, to_block: int) -> None:
        connection.execute(delete(taken).where(taken.c.block_number > to_block))


class Following:
    """A chain, a database and a follower between them."""

    def __init__(self, *, from_block: int = 0, only_final: bool = False) -> None:
        self.chain = FakeChain()
        self.ledger = Ledger()
        self.engine = Memory(store.metadata, taken_metadata)
        self.followed = Followed(name="house", from_block=from_block, only_final=only_final)

    def poll(self, **bounds: int) -> Polled:
        follower = LogFollower(self.chain, self.followed, self.ledger)
        return follower.poll(self.engine.begin, **bounds)

    def taken(self) -> list[bytes]:
        with self.engine.begin() as connection:
            query = select(taken.c.data).order_by(taken.c.block_number)
            return [bytes(row.data) for row in connection.execute(query)]


def test_it_catches_up_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "BLOCKS_PER_BATCH_MAX", 4)
    following = Following()
    following.chain.mine(10)
    polled = following.poll(batches_max=2)
    assert (polled.events, polled.rewound) == (8, False)
    assert following.poll().events == 3
    assert following.poll().events == 0
    assert following.taken() == following.chain.hashes


def test_it_begins_where_it_is_told() -> None:
    following = Following(from_block=3)
    following.chain.mine(2)
    assert following.poll().at is None
    following.chain.mine(3)
    assert following.poll().events == 3
    assert following.taken() == following.chain.hashes[3:]


@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_a_reorg_is_rewound(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "BLOCKS_PER_BATCH_MAX", 2)
    following = Following()
    following.chain.mine(9)
    following.poll()
    following.chain.reorg(depth)
    assert following.poll().rewound
    assert following.taken() == following.chain.hashes


def test_a_reorg_below_memory_reads_everything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "POINTS_KEPT", 2)
    following = Following()
    for _ in range(6):
        following.chain.mine()
        following.poll()
    with following.engine.begin() as connection:
        assert len(store.cursor_points(connection, "house")) == 2
    following.chain.reorg(4)
    assert following.poll().events == 8
    assert following.taken() == following.chain.hashes


def test_a_chain_that_moves_under_the_reader_is_read_again() -> None:
    following = Following()
    following.chain.mine(5)
    following.chain.moves_under_reader = 1
    assert following.poll().events == 0
    following.poll()
    assert following.taken() == following.chain.hashes


def test_two_followers_of_one_name_take_each_event_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second follower that reads while the first has applied finds the cursor moved."""
    following = Following()
    following.chain.mine(5)
    read = following.chain.logs

    def read_slowly(wanted: LogFilter) -> list[Log]:
        found = read(wanted)
        monkeypatch.setattr(following.chain, "logs", read)
        assert following.poll().events == 6
        return found

    monkeypatch.setattr(following.chain, "logs", read_slowly)
    assert following.poll().events == 0
    assert following.taken() == following.chain.hashes


def test_a_handler_that_fails_moves_nothing() -> None:
    following = Following()
    following.chain.mine(3)
    following.ledger.fails = True
    with pytest.raises(RuntimeError):
        following.poll()
    assert following.taken() == []
    following.ledger.fails = False
    assert following.poll().events == 4


def test_an_endpoint_that_fails_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    following = Following()
    following.chain.mine(3)

    def fail(_wanted: LogFilter) -> list[Log]:
        raise ChainUnavailableError("timed out", outcome_unknown=False)

    with monkeypatch.context() as patched:
        patched.setattr(following.chain, "logs", fail)
        with pytest.raises(ChainUnavailableError):
            following.poll()
    assert following.poll().events == 4


def test_a_follower_of_final_blocks_stops_where_finality_breaks() -> None:
    following = Following(only_final=True)
    following.chain.mine(1)
    assert following.poll().at is None
    following.chain.mine(5)
    following.poll()
    assert following.taken() == following.chain.hashes[: 7 - DEPTH + 1]
    following.chain.reorg(DEPTH - 1)
    following.poll()
    following.chain.reorg(DEPTH + 1)
    with pytest.raises(FinalityBrokenError):
        following.poll()


class Reorganising(RuleBasedStateMachine):
    """Whatever the chain does, after a quiet poll we hold exactly the canonical events."""

    @initialize()
    def begin(self) -> None:
        self.following = Following()

    @rule(blocks=st.integers(1, 5))
    def mine(self, blocks: int) -> None:
        self.following.chain.mine(blocks)

    @rule(depth=st.integers(1, 8))
    def reorg(self, depth: int) -> None:
        self.following.chain.reorg(depth)

    @rule(moves=st.integers(0, 2), batches_max=st.integers(1, 3))
    def poll(self, moves: int, batches_max: int) -> None:
        self.following.chain.moves_under_reader = moves
        self.following.poll(batches_max=batches_max)
        self.following.chain.moves_under_reader = 0

    @rule()
    def fail(self) -> None:
        self.following.ledger.fails = True
        with contextlib.suppress(RuntimeError):
            self.following.poll()
        self.following.ledger.fails = False

    @rule()
    def look(self) -> None:
        self.following.poll(batches_max=100)
        assert self.following.taken() == self.following.chain.hashes


Reorganising.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, derandomize=True
)
TestReorganising = Reorganising.TestCase
