"""NodeRegistry before tokens that lie, charge, refuse or call back (N1, N7, N8)."""

from __future__ import annotations

import pytest
from contract_evm import refused, vyper
from contract_nodes import TERMS, NodeWorld

from opencarrier.chain import abi
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak

ODD = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])
bonus: int256
answer: bool
target: address
back: Bytes[800]
succeeded: public(bool)

@external
def mint(account: address, amount: uint256):
    self.balanceOf[account] += amount
    self.answer = True

@external
def arm(bonus: int256, answer: bool, target: address, back: Bytes[800]):
    self.bonus = bonus
    self.answer = answer
    self.target = target
    self.back = back
    self.succeeded = False

@internal
def _move(sender: address, receiver: address, amount: uint256) -> bool:
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += convert(convert(amount, int256) + self.bonus, uint256)
    if self.target != empty(address):
        self.succeeded = raw_call(self.target, self.back, revert_on_failure=False)
    return self.answer

@external
def transfer(receiver: address, amount: uint256) -> bool:
    return self._move(msg.sender, receiver, amount)

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    return self._move(sender, receiver, amount)
"""

NOBODY = "0x" + "00" * 20


SILENT = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])

@external
def mint(account: address, amount: uint256):
    self.balanceOf[account] += amount

@external
def transfer(receiver: address, amount: uint256):
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount

@external
def transferFrom(sender: address, receiver: address, amount: uint256):
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
"""


class Odd(NodeWorld):
    """The same people with a token that does what it was armed with."""

    def __init__(self, source: str = ODD) -> None:
        super().__init__()
        odd = vyper(source, sender=self.owner.address, evm=self.evm)
        self._deploy(odd)
        for host in self.hosts:
            self.tell("mint(address,uint256)", host.address, 10_000)
        self.send(self.owner, self.registry.set_registrar(self.registrar.address))
        self.send(self.registrar, self.registry.publish_root(1, self.tree.root))
        guardians = [guardian.address for guardian in self.guardians]
        self.send(self.owner, self.registry.set_guardians(guardians, 2))
        self.send(self.owner, self.registry.set_beneficiary(self.beneficiary.address))
        self.mint(0)
        self.send(self.hosts[0], self.registry.post_bond(self.ids[0], 1000))

    def tell(self, signature: str, *values: object) -> bytes:
        types = signature[signature.index("(") + 1 : -1]
        encoded = abi.encode(types.split(",") if types else [], values)
        data = keccak(signature.encode())[:4] + encoded
        return self.send(self.owner, Call(to=self.token.address, data=data)).output

    def arm(self, *, bonus: int = 0, answer: bool = True, back: Call | None = None) -> None:
        target, data = (back.to, back.data) if back else (NOBODY, b"")
        self.tell("arm(int256,bool,address,bytes)", bonus, answer, target, data)


@pytest.fixture(scope="module")
def _odd() -> Odd:
    return Odd()


@pytest.fixture
def odd(_odd: Odd):
    with _odd.evm.anchor():
        yield _odd


@pytest.mark.parametrize("bonus", [-1, 1])
def test_another_amount_is_refused(odd: Odd, bonus: int):
    """N1: what is booked has arrived, to the unit."""
    odd.arm(bonus=bonus)
    with refused("bond: other amount"):
        odd.send(odd.hosts[0], odd.registry.post_bond(odd.ids[0], 10))
    assert odd.bond(0) == 1000


def test_false_is_a_refusal(odd: Odd):
    """N1: on the way in and out; the notice stays for another day."""
    odd.send(odd.hosts[0], odd.registry.request_bond_withdrawal(odd.ids[0], 10))
    odd.evm.pass_time(TERMS["notice_s"])
    odd.arm(answer=False)
    with refused("token: refused"):
        odd.send(odd.hosts[0], odd.registry.post_bond(odd.ids[0], 10))
    with refused("token: refused"):
        odd.send(odd.hosts[0], odd.registry.withdraw_bond(odd.ids[0]))
    odd.arm()
    odd.send(odd.hosts[0], odd.registry.withdraw_bond(odd.ids[0]))
    assert odd.bond(0) == 990


def test_every_door_is_shut_while_tokens_move(odd: Odd):
    """N1: from inside a deposit, a withdrawal and a collection nothing can be called or read."""
    registry, host, node_id = odd.registry, odd.hosts[0], odd.ids[0]
    statement = odd.statement(ends_at_s=odd.evm.now_s + 1, slash_minor=10)
    odd.ban(statement)
    odd.send(host, registry.request_bond_withdrawal(node_id, 10))
    odd.evm.pass_time(TERMS["notice_s"])
    odd.send(odd.stranger, registry.close(statement.ban_id))
    next_ban = odd.statement()
    doors = [
        registry.mint(*odd.tree.proof(odd.ids[1])),
        registry.ban(next_ban, odd.signed(next_ban)),
        registry.collect(),
        registry.bond_of(node_id).call,
        registry.is_banned(node_id).call,
    ]
    moves = [
        (host, registry.post_bond(node_id, 1)),
        (host, registry.withdraw_bond(node_id)),
        (odd.stranger, registry.collect()),
    ]
    for door in doors:
        for sender, move in moves:
            with odd.evm.anchor():
                odd.arm(back=door)
                odd.send(sender, move)
                assert not int.from_bytes(odd.tell("succeeded()"), "big")
        with odd.evm.anchor():
            odd.arm(back=door)
            odd.tell("transfer(address,uint256)", host.address, 0)
            assert int.from_bytes(odd.tell("succeeded()"), "big")


def test_nothing_is_asked_of_a_token_where_nothing_is_due(odd: Odd):
    """N8: a notice over an empty bond is cleared even if the token refuses all."""
    registry, host, node_id = odd.registry, odd.hosts[0], odd.ids[0]
    odd.ban(odd.statement(slash_minor=1000))
    odd.send(host, registry.request_bond_withdrawal(node_id, 1000))
    odd.evm.pass_time(TERMS["notice_s"])
    odd.arm(answer=False)
    odd.send(host, registry.withdraw_bond(node_id))
    assert registry.withdrawal_of(node_id).ask(odd.evm).amount == 0


def test_a_token_that_says_nothing_is_taken():
    """N7: some tokens return no answer; what counts is the balance, and a revert."""
    odd = Odd(SILENT)
    odd.send(odd.hosts[0], odd.registry.request_bond_withdrawal(odd.ids[0], 10))
    odd.evm.pass_time(TERMS["notice_s"])
    odd.send(odd.hosts[0], odd.registry.withdraw_bond(odd.ids[0]))
    assert odd.bond(0) == odd.tokens(odd.registry.address) == 990
    with refused(None):
        odd.send(odd.hosts[0], odd.registry.post_bond(odd.ids[0], 100_000))
