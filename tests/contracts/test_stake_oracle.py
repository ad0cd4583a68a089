"""Stakes beside OpenZeppelin's votes, and under its unmodified Governor (S6, S12)."""

from __future__ import annotations

import pytest
import solidity
from contract_evm import MAX, Evm, key, refused
from contract_stake import DAY_S, TOKEN, StakeWorld
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain import abi
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not solidity.is_installed(), reason="solc and OpenZeppelin are missing"),
]

VOTES = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

contract Oracle is ERC20Votes {
    constructor() ERC20("Oracle", "ORA") EIP712("Oracle", "1") {}
    function clock() public view override returns (uint48) { return Time.timestamp(); }
    function CLOCK_MODE() public pure override returns (string memory) { return "mode=timestamp"; }
    function mint(address account, uint256 amount) external {
        if (delegates(account) == address(0)) _delegate(account, account);
        _mint(account, amount);
    }
    function burn(address account, uint256 amount) external { _burn(account, amount); }
}
"""

GOVERNOR = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;
import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorCountingSimple} from
    "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {GovernorVotesQuorumFraction} from
    "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

contract House is
    Governor, GovernorSettings, GovernorCountingSimple, GovernorVotes, GovernorVotesQuorumFraction
{
    constructor(address stakes)
        Governor("House")
        GovernorSettings(10, 100, 50)
        GovernorVotes(IVotes(stakes))
        GovernorVotesQuorumFraction(40)
    {}
    function proposalThreshold()
        public view override(Governor, GovernorSettings) returns (uint256)
    { return super.proposalThreshold(); }
}
"""
STATES = ["pending", "active", "canceled", "defeated", "succeeded"]


class Foreign:
    """A contract of a Solidity source, called by its signatures."""

    def __init__(self, evm: Evm, text: str, name: str, *arguments: object) -> None:
        self.evm = evm
        sender = key("owner").address
        self.address = solidity.solidity(text, name, *arguments, sender=sender, evm=evm)

    def data(self, signature: str, *values: object) -> bytes:
        inside = signature[signature.index("(") + 1 : -1]
        types = inside.split(",") if inside else []
        return keccak(signature.encode())[:4] + abi.encode(types, values)

    def send(self, sender: str, signature: str, *values: object) -> int:
        call = Call(to=self.address, data=self.data(signature, *values))
        return int.from_bytes(self.evm.send(sender, call).output, "big")

    def ask(self, signature: str, *values: object) -> int:
        call = Call(to=self.address, data=self.data(signature, *values))
        return int.from_bytes(self.evm.call(call), "big")


steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 1_000),
        st.integers(1, 20),
        st.sampled_from([0, 0, 1, 7]),
        st.booleans(),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=6, deadline=None)
@given(steps)
def test_checkpoints_are_openzeppelins(told) -> None:
    """The same amounts in the same seconds: the same past for every account and for the sum."""
    world = StakeWorld()
    oracle = Foreign(world.evm, VOTES, "Oracle")
    start_s, owner = world.evm.now_s, world.owner.address
    held, locks, ends = [0] * 3, [0] * 3, [0] * 3
    for who, added, lock_s, pause_s, leaves in told:
        account = world.accounts[who]
        if leaves and held[who] and world.evm.now_s >= ends[who]:
            world.send(account, world.stakes.withdraw(account.address))
            oracle.send(owner, "burn(address,uint256)", account.address, held[who])
            held[who], locks[who] = 0, 0
        elif added:
            locks[who] = max(lock_s, locks[who])
            world.send(account, world.stakes.stake(added, locks[who]))
            oracle.send(owner, "mint(address,uint256)", account.address, added)
            held[who] += added
            ends[who] = world.evm.now_s + locks[who]
        world.evm.pass_time(pause_s)
    world.evm.pass_time(1)
    for at_s in range(start_s - 1, world.evm.now_s):
        total = world.ask(world.stakes.past_total_supply(at_s))
        assert total == oracle.ask("getPastTotalSupply(uint256)", at_s)
        for account in world.accounts:
            past = oracle.ask("getPastVotes(address,uint256)", account.address, at_s)
            stake = world.ask(world.stakes.stake_at(account.address, at_s))
            assert stake.amount == past
            votes = world.ask(world.stakes.past_votes(account.address, at_s))
            assert votes == (past if at_s < stake.unlock_at else 0)


def test_the_future_is_refused_alike() -> None:
    world = StakeWorld()
    oracle = Foreign(world.evm, VOTES, "Oracle")
    for at_s in (world.evm.now_s, world.evm.now_s + 1, MAX >> 208):
        with pytest.raises(RevertedError):
            oracle.ask("getPastTotalSupply(uint256)", at_s)
        with refused("timepoint: not past"):
            world.ask(world.stakes.past_total_supply(at_s))


class TestGovernor:
    """Stakes as the votes of OpenZeppelin's Governor, which reads nothing else of them."""

    @pytest.fixture
    def world(self) -> StakeWorld:
        return StakeWorld()

    def proposed(self, world: StakeWorld) -> tuple[Foreign, int]:
        """Alice has 60, Bob 40, Carol a lock that ended; Alice proposes."""
        alice, bob, carol = world.accounts
        world.send(carol, world.stakes.stake(500 * TOKEN, 1))
        world.send(alice, world.stakes.stake(60 * TOKEN, DAY_S))
        world.send(bob, world.stakes.stake(40 * TOKEN, DAY_S))
        world.evm.pass_time(5)
        world.send(bob, world.stakes.withdraw(carol.address))
        world.evm.pass_time(1)
        house = Foreign(world.evm, GOVERNOR, "House", world.stakes.address)
        signature = "propose(address[],uint256[],bytes[],string)"
        identifier = house.send(alice.address, signature, [house.address], [0], [b""], "words")
        return house, identifier

    def vote(self, house: Foreign, sender, identifier: int, support: int) -> int:
        signature = "castVote(uint256,uint8)"
        return house.send(sender.address, signature, identifier, support)

    def state(self, house: Foreign, identifier: int) -> str:
        return STATES[house.ask("state(uint256)", identifier)]

    def test_weights_are_those_of_the_snapshot(self, world: StakeWorld) -> None:
        """What is staked after the snapshot does not vote; what was, does, whatever came later."""
        house, identifier = self.proposed(world)
        alice, bob, carol = world.accounts
        world.evm.pass_time(11)
        assert self.state(house, identifier) == "active"
        world.send(carol, world.stakes.stake(9_000 * TOKEN, DAY_S))
        world.send(alice, world.stakes.increase(1_000 * TOKEN))
        assert self.vote(house, alice, identifier, 1) == 60 * TOKEN
        assert self.vote(house, carol, identifier, 0) == 0
        assert self.vote(house, bob, identifier, 0) == 40 * TOKEN
        world.evm.pass_time(101)
        assert self.state(house, identifier) == "succeeded"

    def test_a_quorum_is_of_what_is_staked(self, world: StakeWorld) -> None:
        house, identifier = self.proposed(world)
        snapshot_s = house.ask("proposalSnapshot(uint256)", identifier)
        world.evm.pass_time(11)
        assert house.ask("quorum(uint256)", snapshot_s) == 40 * TOKEN
        assert house.ask("clock()") == world.evm.now_s
        world.evm.pass_time(101)
        assert self.state(house, identifier) == "defeated"

    def test_who_has_nothing_staked_proposes_nothing(self, world: StakeWorld) -> None:
        house, _ = self.proposed(world)
        with pytest.raises(RevertedError):
            house.send(
                world.stranger.address,
                "propose(address[],uint256[],bytes[],string)",
                [house.address],
                [0],
                [b""],
                "other words",
            )
