"""Tokens that take fees, give more, refuse politely, seize or answer nothing (C1)."""

from __future__ import annotations

from contract_evm import MAX, NOTICE_S, refused, vyper
from contract_world import World

from opencarrier.chain.contracts import StableToken
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak

SHRINKING = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])
bonus: public(int256)
refuses: public(bool)

@external
def mint(account: address, amount: uint256):
    self.balanceOf[account] += amount

@external
def behave(bonus: int256, refuses: bool):
    self.bonus = bonus
    self.refuses = refuses

@external
def seize(account: address, amount: uint256):
    self.balanceOf[account] -= amount

@external
def transfer(receiver: address, amount: uint256) -> bool:
    if self.refuses:
        return False
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += convert(convert(amount, int256) + self.bonus, uint256)
    return True

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    if self.refuses:
        return False
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += convert(convert(amount, int256) + self.bonus, uint256)
    return True
"""


SILENT = SHRINKING.replace(" -> bool", "").replace("return True", "pass")
SILENT = SILENT.replace("return False", 'raise "no"')
"""As tokens were before ERC-20 had an answer: nothing is returned, a refusal reverts."""


class OddWorld(World):
    """The same people with a token that takes fees, gives more, refuses politely or seizes."""

    def __init__(self, source: str = SHRINKING) -> None:
        super().__init__()
        owner = self.owner.address
        odd = vyper(source, sender=owner, evm=self.evm)
        self.odd = odd
        self.token = StableToken(odd)
        self.send(self.owner, self.house.list_token(odd))
        for member in self.members:
            self.send(self.owner, self.house.set_member(odd, member.address, registered=True))
            self.tell("mint(address,uint256)", int(member.address, 16), 1000)
            self.send(member, self.house.deposit(self.usd, member.address, 100))

    def tell(self, signature: str, *words: int) -> None:
        data = keccak(signature.encode())[:4] + b"".join(
            (w & MAX).to_bytes(32, "big") for w in words
        )
        self.send(self.owner, Call(to=self.odd, data=data))


def test_tokens_that_misbehave():
    """C1: a fee on deposit, a polite refusal, a seizure: no balance without its tokens."""
    odd = OddWorld()
    member = odd.members[0]
    for bonus in (-1, 1):
        odd.tell("behave(int256,bool)", bonus, 0)
        with refused("deposit: other amount"):
            odd.send(member, odd.house.deposit(odd.usd, member.address, 10))
    odd.tell("behave(int256,bool)", 0, 1)
    with refused("token: refused"):
        odd.send(member, odd.house.deposit(odd.usd, member.address, 10))
    with refused("token: refused"):
        odd.settle(odd.order([-10, 5]))
    odd.send(member, odd.house.request_withdrawal(odd.usd, 10))
    odd.evm.pass_time(NOTICE_S)
    with refused("token: refused"):
        odd.send(member, odd.house.withdraw(odd.usd))
    odd.tell("behave(int256,bool)", -1, 0)
    with refused("publish: not funded"):
        odd.settle(odd.order([-10, 5]))
    odd.tell("behave(int256,bool)", 0, 0)
    odd.settle(odd.order([-10, 5]))
    odd.tell("seize(address,uint256)", int(odd.house.address, 16), 1)
    with refused("settle: insolvent"):
        odd.settle(odd.order([-10, 10], sequence=2))
    odd.send(member, odd.house.withdraw(odd.usd))


def test_tokens_that_answer_nothing():
    """C1: money goes in and out of a token without answers; its refusals revert all."""
    odd = OddWorld(SILENT)
    member = odd.members[0]
    odd.send(member, odd.house.deposit(odd.usd, member.address, 10))
    odd.settle(odd.order([-10, 5]))
    odd.send(member, odd.house.request_withdrawal(odd.usd, 100))
    odd.evm.pass_time(NOTICE_S)
    odd.tell("behave(int256,bool)", 0, 1)
    with refused("no"):
        odd.send(member, odd.house.withdraw(odd.usd))
    odd.tell("behave(int256,bool)", 0, 0)
    odd.send(member, odd.house.withdraw(odd.usd))
    assert odd.balance(member) == 0
    assert odd.tokens(member.address) == 1000 - 10
