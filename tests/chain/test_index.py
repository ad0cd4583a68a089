"""The index: numbers rebuilt from events alone equal what the contracts hold, reorgs included."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from tests.chain.sending import send
from tests.memory import Memory

from opencarrier.chain import store as chain_store
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.contracts import StableToken, StakeDiscount, Tier
from opencarrier.chain.events import stable_token as token_events
from opencarrier.chain.index import FOLDS, Indexer, folded, folds_of
from opencarrier.chain.index import store as index_store
from opencarrier.chain.index.folds import ALL, NOBODY, TokenFold
from opencarrier.chain.index.model import VALUE_MAX, Add, Put, after
from opencarrier.chain.keys import LocalSigner
from opencarrier.chain.model import BlockAt, Call, Log, LogFilter, Receipt
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address

CHAIN_ID = 31337
START_US = 1_800_000_000_000_000
OWNER, *PEOPLE = (LocalSigner(bytes([number]) * 32) for number in range(1, 5))
TIERS = [Tier(min_amount=10, min_lock_s=60, discount_ppm=50_000)]
LOCK_S = 60


class World:
    """A chain with token and stake contract, and an index that follows it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.node = self._open(path)
        self.client: ChainClient = connect("embedded:", node=self.node)
        self.token = StableToken(
            self._deploy(
                StableToken.deployment(name="D", symbol="D", version="1", owner=OWNER.address)
            )
        )
        self.stake = StakeDiscount(
            self._deploy(
                StakeDiscount.deployment(token=self.token.address, tiers=TIERS, cap_ppm=10**6)
            )
        )
        self.send(OWNER, self.token.set_minter(OWNER.address, allowed=True))
        for person in PEOPLE:
            self.send(OWNER, self.token.mint(person.address, 1_000))
            self.send(person, self.token.approve(self.stake.address, 10**9))
        self.engine = Memory(chain_store.metadata)
        self.index = self.indexer()

    def indexer(self) -> Indexer:
        contracts = {c.NAME: c.address for c in (self.token, self.stake)}
        return Indexer(_Switchable(self), folds_of(contracts), from_block=0)

    def fork(self) -> None:
        """Copy the chain as it is now: `switch` goes on from here."""
        self.node.close()
        shutil.copy(self.path, f"{self.path}.fork")
        self.node = self._open(self.path)
        self.client = connect("embedded:", node=self.node)

    def switch(self) -> None:
        """The endpoint now shows the other branch."""
        self.node.close()
        self.path = Path(f"{self.path}.fork")
        self.node = self._open(self.path)
        self.client = connect("embedded:", node=self.node)

    def send(self, signer: LocalSigner, call: Call) -> Receipt:
        return send(self.client, signer, call)

    def poll(self) -> bool:
        return self.index.poll(self.engine.begin).rewound

    def number(self, where: Address, name: str, key: str) -> int | None:
        with self.engine.begin() as unit:
            return index_store.value(unit, where, (name, key))

    def _deploy(self, call: Call) -> Address:
        address = self.send(OWNER, call).contract_address
        assert address is not None
        return address

    def _open(self, path: Path) -> EmbeddedNode:
        genesis = {signer.address: 10**21 for signer in (OWNER, *PEOPLE)}
        chain = NodeSettings(chain_id=CHAIN_ID, genesis=genesis, dev=True)
        return EmbeddedNode.open(path, chain, FixedClock(START_US))


class _Switchable:
    """The world's endpoint, whichever branch it shows."""

    def __init__(self, world: World) -> None:
        self._world = world

    def block(self, at: BlockAt | bytes = "latest") -> Any:
        return self._world.client.block(at)

    def final_block_number(self) -> int | None:
        return self._world.client.final_block_number()

    def logs(self, wanted: LogFilter) -> list[Log]:
        return self._world.client.logs(wanted)

    def call(self, call: Call, at: BlockAt = "latest") -> bytes:
        return self._world.client.call(call, at)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "chain.sqlite")
    yield made
    made.node.close()


person = st.integers(0, len(PEOPLE) - 1)
deeds = st.lists(
    st.one_of(
        st.tuples(st.just("transfer"), person, person, st.integers(0, 1_500)),
        st.tuples(st.just("mint"), person, person, st.integers(0, 500)),
        st.tuples(st.just("burn"), person, person, st.integers(0, 500)),
        st.tuples(st.just("stake"), person, person, st.integers(0, 700)),
        st.tuples(st.just("withdraw"), person, person, st.integers(0, 120)),
        st.tuples(st.just("poll"), person, person, st.just(0)),
    ),
    max_size=14,
)


def do(world: World, deed: tuple[str, int, int, int]) -> None:
    """Do one thing; what the contracts refuse is mined all the same and tells nothing."""
    what, first, second, amount = deed
    who, other = PEOPLE[first], PEOPLE[second]
    token, stake = world.token, world.stake
    match what:
        case "transfer":
            world.send(who, token.transfer(other.address, amount))
        case "mint":
            world.send(OWNER, token.mint(who.address, amount))
        case "burn":
            world.send(OWNER, token.set_minter(who.address, allowed=True))
            world.send(who, token.burn(amount))
        case "stake":
            world.send(who, stake.stake(amount, LOCK_S))
        case "withdraw":
            world.node.request("evm_increaseTime", [amount])
            world.send(who, stake.withdraw(other.address))
        case "poll":
            world.poll()


def assert_agrees(world: World) -> None:
    checked = world.index.check(world.engine.begin)
    assert checked.differences == ()
    assert checked.block.number == world.client.block_number()
    assert checked.numbers >= 1 + len(PEOPLE)


@settings(max_examples=4, deadline=None)
@given(history=deeds)
def test_random_histories_agree(tmp_path_factory: pytest.TempPathFactory, history: Any) -> None:
    """Any order of transfers, mints, burns, stakes and exits, read in any batches."""
    world = World(tmp_path_factory.mktemp("index") / "chain.sqlite")
    for deed in history:
        do(world, deed)
    assert_agrees(world)
    world.node.close()


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_reorg_takes_its_numbers_back(world: World, depth: int) -> None:
    """The last `depth` blocks give way to others: the index is what the other branch says."""
    world.send(OWNER, world.token.mint(PEOPLE[0].address, 5))
    world.poll()
    world.fork()
    for number in range(depth):
        world.send(PEOPLE[0], world.stake.stake(10 + number, LOCK_S))
        world.poll()
    before = world.number(world.token.address, "balance", PEOPLE[0].address)
    world.switch()
    world.send(PEOPLE[1], world.token.transfer(PEOPLE[2].address, 77))
    for _ in range(depth):
        world.node.request("evm_mine", [])
    assert world.poll()
    assert world.number(world.stake.address, "stake", PEOPLE[0].address) is None
    after_it = world.number(world.token.address, "balance", PEOPLE[0].address)
    assert before is not None
    assert after_it is not None
    assert after_it > before
    assert_agrees(world)


def test_a_reorg_below_all_that_is_remembered_reads_everything_again(world: World) -> None:
    """Where no remembered block stands the index begins anew, and ends the same."""
    world.poll()
    world.send(OWNER, world.token.mint(PEOPLE[0].address, 5))
    world.poll()
    with world.engine.begin() as unit:
        cursors = chain_store.cursors
        unit.execute(update(cursors).values(block_hash=b"\x01" * 32))
    assert world.poll()
    assert_agrees(world)


def test_a_wrong_number_is_found(world: World) -> None:
    """Whatever number is off, at the contract or here, is named; sums find what is missing."""
    assert_agrees(world)
    whose = PEOPLE[1].address
    numbers = index_store.numbers
    with world.engine.begin() as unit:
        at = (numbers.c.name == "balance") & (numbers.c.key == whose)
        unit.execute(update(numbers).where(at).values(value=(7).to_bytes(32, "big")))
    found = world.index.check(world.engine.begin).differences
    assert [(d.contract, d.name, d.told, d.held) for d in found] == [
        ("StableToken", "balance", 7, 1_000),
        ("StableToken", "supply", 2_007, 3_000),
    ]
    with world.engine.begin() as unit:
        unit.execute(numbers.delete().where(at))
    (missing,) = world.index.check(world.engine.begin).differences
    assert (missing.name, missing.told, missing.held) == ("supply", 2_000, 3_000)


def test_other_contracts_or_meanings_are_read_from_the_start(world: World) -> None:
    """An index of other contracts shares no cursor with the one before, and no numbers."""
    world.poll()
    only_token = folds_of({"StableToken": world.token.address})
    other = Indexer(_Switchable(world), only_token, from_block=0)
    assert other.check(world.engine.begin).differences == ()
    with world.engine.begin() as unit:
        assert index_store.count(unit, world.stake.address) == 0
        assert other.at(unit) != world.index.at(unit) or other.at(unit) is not None


def test_what_can_not_go_any_more_is_not_remembered(world: World) -> None:
    """How it was is kept only as far back as the follower would go."""
    for _ in range(3):
        world.send(OWNER, world.token.mint(PEOPLE[0].address, 5))
        world.poll()
    with world.engine.begin() as unit:
        oldest = chain_store.cursor_points(unit, world.index._followed.name)[-1].number
        kept = unit.execute(select(index_store.undo.c.block_number)).scalars().all()
    assert kept
    assert min(kept) > oldest


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["a", "b", NOBODY]), st.sampled_from(["a", "b", NOBODY])),
        max_size=20,
    )
)
@settings(max_examples=40)
def test_a_fold_is_pure_and_conserves(moves: list[tuple[str, str]]) -> None:
    """The sum of balances is the supply after every event; the state before is left as it was."""
    fold = TokenFold(Address("0x" + "11" * 20))
    state: dict[Any, int] = {("balance", "a"): 50, ("balance", "b"): 50, ("supply", ALL): 100}
    for sender, receiver in moves:
        event = token_events.Transfer(sender=Address(sender), receiver=Address(receiver), value=1)
        before = dict(state)
        new = folded(fold, state, [event])
        assert state == before
        state = new
        held = sum(value for (name, _), value in state.items() if name == "balance")
        assert held == state[("supply", ALL)]


def test_no_number_leaves_its_range() -> None:
    assert after({}, Put("n", "k", VALUE_MAX)) == VALUE_MAX
    for change in (Put("n", "k", VALUE_MAX + 1), Put("n", "k", -1), Add("n", "k", -1)):
        with pytest.raises(PeerError, match="n of k"):
            after({}, change)


def test_every_contract_has_one_fold() -> None:
    kinds = [fold.KIND.NAME for fold in FOLDS]
    assert len(kinds) == len(set(kinds))
    where = Address("0x" + "11" * 20)
    assert set(folds_of({"Unknown": where})) == set()
    (fold,) = folds_of({"StakeDiscount": where}).values()
    assert fold.KIND is StakeDiscount
