"""The double of the stake contract, for tests of whoever reads discounts or votes."""

from __future__ import annotations

from pathlib import Path

from contract_evm import vyper
from contract_stake import StakeWorld

from opencarrier.chain import abi
from opencarrier.chain.contracts import StakeDiscount
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"


def test_the_double_answers_like_the_contract(stakers: StakeWorld):
    """The mock has the contract's own selectors, and tells what it was told."""
    world, (alice, bob, _) = stakers, stakers.accounts
    text = (CONTRACTS / "mocks" / "StakeDiscountMock.vy").read_text()
    double = StakeDiscount(vyper(text, sender=world.owner.address, evm=world.evm))
    for name, account, value in (
        ("set_discount", alice, 70_000),
        ("set_votes", alice, 5),
        ("set_votes", bob, 9),
        ("set_votes", bob, 7),
    ):
        data = keccak(f"{name}(address,uint256)".encode())[:4]
        data += abi.encode(["address", "uint256"], [account.address, value])
        world.send(world.owner, Call(to=double.address, data=data))
    assert world.ask(double.discount_ppm_at(alice.address, 1)) == 70_000
    assert world.ask(double.discount_ppm_at(bob.address, 1)) == 0
    assert world.ask(double.past_votes(bob.address, 1)) == 7
    assert world.ask(double.past_total_supply(1)) == 12
    assert world.ask(double.clock()) == world.evm.now_s
    assert world.ask(double.clock_mode()) == world.ask(world.stakes.clock_mode())
