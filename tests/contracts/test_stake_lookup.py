"""What a lookup in a stake's past costs."""

from __future__ import annotations

from contract_evm import ZERO
from contract_stake import StakeWorld

from opencarrier.chain.model import Call

STEP_GAS = 3_000
"""A cold slot and what is done with it."""


def test_a_lookup_halves_what_is_left(stakers: StakeWorld):
    """S11: the oldest of 64 checkpoints costs a slot more for each bit, not for each checkpoint."""
    world, (alice, *_) = stakers, stakers.accounts
    query = world.stakes.stake_at(alice.address, world.evm.now_s)
    world.evm.pass_time(1)
    none = looked_up(world, query.call)
    for number in range(1, 65):
        world.send(alice, world.stakes.stake(1, 10))
        world.evm.pass_time(1)
        count = world.ask(world.stakes.checkpoint_count(alice.address))
        assert count == number
        steps = count.bit_length()
        assert looked_up(world, query.call) - none <= (steps + 1) * STEP_GAS


def looked_up(world: StakeWorld, call: Call) -> int:
    """The gas of asking, every slot cold."""
    env = world.evm.env
    ran = env.execute_code(to_address=call.to, sender=ZERO, data=call.data, simulate=True)
    assert not ran.is_error
    return ran.get_gas_used()
