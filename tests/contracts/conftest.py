from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from channel_world import ChannelWorld
from contract_nodes import NodeWorld
from contract_rewards import Pool
from contract_stake import StakeWorld
from contract_story import Told, on_a_chain
from contract_world import World


@pytest.fixture(scope="session")
def told(tmp_path_factory) -> Iterator[Callable[[str], Told]]:
    """Tells a story on an embedded chain of its own, once for all who look at what it left."""
    chains: list[Told] = []

    @cache
    def tell(name: str) -> Told:
        chains.append(on_a_chain(name, tmp_path_factory.mktemp(name)))
        return chains[-1]

    yield tell
    for chain in chains:
        chain.node.close()


@pytest.fixture(scope="session")
def _deployed() -> World:
    return World()


@pytest.fixture
def world(_deployed: World):
    """Everything deployed, four members with 1,000 tokens of collateral; undone after the test."""
    with _deployed.evm.anchor():
        yield _deployed


@pytest.fixture(scope="session")
def _staking() -> StakeWorld:
    return StakeWorld()


@pytest.fixture
def stakers(_staking: StakeWorld):
    """A stake contract and three accounts with 10,000 tokens each; undone after the test."""
    with _staking.evm.anchor():
        yield _staking


@pytest.fixture(scope="session")
def _lone_pool() -> Pool:
    return Pool()


@pytest.fixture
def pool(_lone_pool: Pool):
    """A distributor by itself, with a delay; undone after the test."""
    with _lone_pool.evm.anchor():
        cycles = _lone_pool.cycles
        yield _lone_pool
        _lone_pool.cycles = cycles


@pytest.fixture(scope="session")
def _opened() -> NodeWorld:
    return NodeWorld().open()


@pytest.fixture
def nodes(_opened: NodeWorld):
    """A registry with two minted and bonded nodes; undone after the test."""
    with _opened.evm.anchor():
        yield _opened


@pytest.fixture(scope="session")
def _channels() -> ChannelWorld:
    return ChannelWorld()


@pytest.fixture
def channel_world(_channels: ChannelWorld):
    """The channel contract, a payer with tokens and a receiver; undone after the test."""
    with _channels.evm.anchor():
        yield _channels


@pytest.fixture
def opened(channel_world: ChannelWorld) -> ChannelWorld:
    """A channel with money in it."""
    channel_world.deposit()
    return channel_world
