"""The stake for discount before tokens that freeze, charge, refuse or call back (S1, S2, S4)."""

from __future__ import annotations

from contract_evm import FAR_S, refused, vyper
from contract_stake import DAY_S, SALT, StakeWorld

from opencarrier.chain import abi
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak

MONTH_S = 30 * DAY_S


def test_a_frozen_account_stops_itself_only(stakers: StakeWorld):
    """S4."""
    world, (alice, bob, _) = stakers, stakers.accounts
    for account in (alice, bob):
        world.send(account, world.stakes.stake(5, 1))
    world.send(world.owner, world.token.freeze(alice.address))
    world.evm.pass_time(1)
    with refused("token: frozen"):
        world.send(world.stranger, world.stakes.withdraw(alice.address))
    world.send(world.stranger, world.stakes.withdraw(bob.address))
    world.send(world.owner, world.token.unfreeze(alice.address))
    world.send(world.stranger, world.stakes.withdraw(alice.address))
    assert world.tokens(world.stakes.address) == 0


ODD = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])
bonus: public(int256)
answer: public(bool)
target: address
back: Bytes[500]
succeeded: public(bool)

@deploy
def __init__():
    self.answer = True

@external
@view
def allowance(owner: address, spender: address) -> uint256:
    return 0

@external
def permit(
    owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32,
    s: bytes32,
):
    pass

@external
def set_bonus(bonus: int256):
    self.bonus = bonus

@external
def set_answer(answer: bool):
    self.answer = answer

@external
def arm(target: address, back: Bytes[500]):
    self.target = target
    self.back = back
    self.succeeded = False

@internal
def _move(sender: address, receiver: address, amount: uint256):
    self.balanceOf[receiver] += convert(convert(amount, int256) + self.bonus, uint256)
    if self.target != empty(address):
        self.succeeded = raw_call(self.target, self.back, revert_on_failure=False)

@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._move(msg.sender, receiver, amount)
    self.balanceOf[msg.sender] -= amount
    return self.answer

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    self._move(sender, receiver, amount)
    return self.answer

@external
def receiveWithAuthorization(
    sender: address, receiver: address, amount: uint256, valid_after: uint256,
    valid_before: uint256, nonce: bytes32, signature: Bytes[65],
):
    self._move(sender, receiver, amount)
"""


class Odd:
    """A stake contract of a token that keeps some, gives more, says no, or calls back."""

    def __init__(self, world: StakeWorld) -> None:
        self.world = world
        self.token = vyper(ODD, sender=world.owner.address, evm=world.evm)
        self.stakes = world.deploy(self.token)
        self.alice = world.accounts[0]

    def tell(self, signature: str, types: list[str], *values: object) -> bytes:
        data = keccak(signature.encode())[:4] + abi.encode(types, values)
        return self.world.send(self.world.owner, Call(to=self.token, data=data)).output

    def arm(self, call: Call) -> None:
        self.tell("arm(address,bytes)", ["address", "bytes"], call.to, call.data)

    def called_back(self) -> bool:
        return bool(int.from_bytes(self.tell("succeeded()", [])))

    def ways_in(self) -> list[Call]:
        given = self.world.authorization(self.alice, 10, MONTH_S)
        authorized = self.stakes.stake_with_authorization(
            given, lock_s=MONTH_S, salt=SALT, signature=b"\x01" * 65
        )
        permit = self.stakes.stake_with_permit(
            amount=10, lock_s=MONTH_S, deadline=FAR_S, signature=b"\x01" * 65
        )
        return [self.stakes.stake(10, MONTH_S), authorized, permit]


def test_another_amount_is_refused(stakers: StakeWorld):
    """S1: what arrives is what is staked, to the unit, by every way in."""
    odd = Odd(stakers)
    for bonus in (-1, 1):
        odd.tell("set_bonus(int256)", ["int256"], bonus)
        for call in odd.ways_in():
            with refused("stake: other amount"):
                stakers.send(odd.alice, call)
    odd.tell("set_bonus(int256)", ["int256"], 0)
    for call in odd.ways_in():
        stakers.send(odd.alice, call)
    assert odd.stakes.stake_of(odd.alice.address).ask(stakers.evm).amount == 30


def test_a_token_that_says_no_is_believed(stakers: StakeWorld):
    odd = Odd(stakers)
    stakers.send(odd.alice, odd.stakes.stake(10, 1))
    stakers.evm.pass_time(1)
    odd.tell("set_answer(bool)", ["bool"], False)
    for call in (odd.stakes.increase(1), odd.stakes.withdraw(odd.alice.address)):
        with refused("token: refused"):
            stakers.send(odd.alice, call)
    odd.tell("set_answer(bool)", ["bool"], True)
    stakers.send(odd.alice, odd.stakes.withdraw(odd.alice.address))


SILENT = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])

@external
def transfer(receiver: address, amount: uint256):
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount

@external
def transferFrom(sender: address, receiver: address, amount: uint256):
    self.balanceOf[receiver] += amount
"""
"""A token that returns nothing, as some old ones do."""


def test_a_token_that_says_nothing_is_taken(stakers: StakeWorld):
    """S4: in and out; what counts is what arrived."""
    alice = stakers.accounts[0]
    stakes = stakers.deploy(vyper(SILENT, sender=stakers.owner.address, evm=stakers.evm))
    stakers.send(alice, stakes.stake(10, 1))
    stakers.evm.pass_time(1)
    stakers.send(alice, stakes.withdraw(alice.address))
    assert stakes.total_staked().ask(stakers.evm) == 0


def test_a_token_that_calls_back_finds_every_door_shut(stakers: StakeWorld):
    """S2: reading doors included; the same call from outside succeeds."""
    odd = Odd(stakers)
    account = odd.alice.address
    stakers.send(odd.alice, odd.stakes.stake(10, 1))
    stakers.evm.pass_time(1)
    doors = (
        odd.stakes.withdraw(account),
        odd.stakes.stake_of(account).call,
        odd.stakes.total_staked().call,
        odd.stakes.discount_ppm_at(account, 5).call,
        odd.stakes.past_total_supply(5).call,
    )
    for door in doors:
        with stakers.evm.anchor():
            odd.arm(door)
            stakers.send(odd.alice, odd.stakes.withdraw(account))
            assert not odd.called_back()
            stakers.send(odd.alice, odd.stakes.stake(10, 1))
            assert not odd.called_back()
        stakers.send(stakers.stranger, door) if door is not doors[0] else None
    stakers.send(stakers.stranger, doors[0])
