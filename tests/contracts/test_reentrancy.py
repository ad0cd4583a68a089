"""A token that calls back while it moves finds every door shut, reading too (C5, C16, R1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import RULEBOOK, TERMS, refused, vyper
from contract_world import World

from opencarrier.chain import abi
from opencarrier.chain.contracts import ClearingHouse, RewardClaim, RewardDistributor, StableToken
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak
from opencarrier.rewards.merkle import leaf_hash
from opencarrier.rewards.model import EntitlementLeaf

CALLING_BACK = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])
target: address
back: Bytes[500]
succeeded: public(bool)

@external
def mint(account: address, amount: uint256):
    self.balanceOf[account] += amount

@external
def arm(target: address, back: Bytes[500]):
    self.target = target
    self.back = back
    self.succeeded = False

@internal
def _move(sender: address, receiver: address, amount: uint256):
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    if self.target != empty(address):
        self.succeeded = raw_call(self.target, self.back, revert_on_failure=False)

@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._move(msg.sender, receiver, amount)
    return True

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    self._move(sender, receiver, amount)
    return True
"""


class CallingBack(World):
    """The same people with a token that is a member, too, and calls whatever it was armed with."""

    def __init__(self) -> None:
        super().__init__()
        owner = self.owner.address
        self.odd = vyper(CALLING_BACK, sender=owner, evm=self.evm)
        house = ClearingHouse.deployment(
            owner=owner,
            settler=self.odd,
            rulebook_hash=RULEBOOK,
            terms=replace(TERMS, notice_s=0),
        )
        self.house = ClearingHouse(self.evm.deploy(owner, house))
        rewards = RewardDistributor.deployment(
            clearing_house=self.house.address, owner=owner, guardian=owner, delay_s=0
        )
        self.rewards = RewardDistributor(self.evm.deploy(owner, rewards))
        self.token = StableToken(self.odd)
        self.send(self.owner, self.house.list_token(self.odd))
        self.send(self.owner, self.house.set_distributor(self.rewards.address))
        self.send(self.owner, self.house.set_member(self.usd, self.odd, registered=True))
        for member in self.members:
            self.send(self.owner, self.house.set_member(self.usd, member.address, registered=True))
            self.tell("mint(address,uint256)", ["address", "uint256"], member.address, 1000)
            self.send(member, self.house.deposit(self.usd, member.address, 500))

    def tell(self, signature: str, types: list[str], *values: object) -> bytes:
        data = keccak(signature.encode())[:4] + abi.encode(types, values)
        return self.send(self.owner, Call(to=self.odd, data=data)).output

    def arm(self, call: Call) -> None:
        self.tell("arm(address,bytes)", ["address", "bytes"], call.to, call.data)

    def called_back(self) -> bool:
        return bool(int.from_bytes(self.tell("succeeded()", [])))

    def act(self, call: Call) -> None:
        """Have the token make a call while nothing else is under way; it succeeds."""
        self.arm(call)
        self.tell("transfer(address,uint256)", ["address", "uint256"], self.owner.address, 0)
        assert self.called_back()


@pytest.fixture(scope="module")
def _odd() -> CallingBack:
    return CallingBack()


@pytest.fixture
def odd(_odd: CallingBack):
    """The house, its members and the token that calls back; undone after the test."""
    with _odd.evm.anchor():
        yield _odd


def doors(odd: CallingBack) -> dict[str, Call]:
    house, member = odd.house, odd.members[0].address
    odd.send(odd.owner, house.transfer_ownership(odd.odd))
    return {
        "owner": house.owner().call,
        "ownership": house.accept_ownership(),
        "request": house.request_withdrawal(odd.usd, 1),
        "mandate": house.set_mandate(odd.usd, 1, 1),
        "settle": house.settle(odd.usd, odd.order([], sequence=9)),
        "balance": house.balance_of(odd.usd, member).call,
        "free balance": house.free_balance(odd.usd, member).call,
        "settled": house.settled(bytes(32)).call,
    }


@pytest.mark.parametrize("door", list(doors(CallingBack())))
def test_the_house_is_shut_while_tokens_move(odd: CallingBack, door: str):
    """Deposit, withdrawal and rewards: whatever the token tries from inside fails."""
    assert_shut(odd, doors(odd)[door])


CORRIDOR_DOORS = (
    *("open", "close", "post", "accept", "dispute", "agree", "decide", "finish"),
    *("claim", "corridor"),
)
WINDOW_S = 60


def corridor_doors(odd: CallingBack) -> dict[str, Call]:
    """What the token may do at corridors as debtor, creditor and arbiter, each at its turn."""
    house, token, (other, third) = odd.house, odd.odd, odd.members[:2]
    terms = {"window_s": WINDOW_S, "cap": 100}
    odd.send(odd.owner, house.set_arbiter(token))
    odd.send(other, house.deposit(odd.usd, token, 100))
    odd.act(house.open_corridor(odd.usd, other.address, **terms))
    odd.send(third, house.open_corridor(odd.usd, token, **terms))
    due, free, disputed = (posted(odd, cycle) for cycle in range(3))
    odd.act(house.dispute_claim(disputed, 1))
    return {
        "open": house.open_corridor(odd.usd, third.address, **terms),
        "close": house.close_corridor(odd.usd, other.address),
        "post": house.post_claim(
            odd.usd, third.address, cycle_id=bytes(32), records_root=bytes(32), amount=5
        ),
        "accept": house.accept_claim(free),
        "dispute": house.dispute_claim(free, 1),
        "agree": house.agree_claim(disputed, 2),
        "decide": house.decide_claim(disputed, 2),
        "finish": house.finish_claim(due),
        "claim": house.claim_of(free).call,
        "corridor": house.corridor_of(odd.usd, token, other.address).call,
    }


def posted(odd: CallingBack, cycle: int) -> bytes:
    """A claim against the token; the first one's window is over when the second is posted."""
    cycle_id = keccak(b"claimed %d" % cycle)
    call = odd.house.post_claim(
        odd.usd, odd.odd, cycle_id=cycle_id, records_root=bytes(32), amount=10
    )
    if cycle == 1:
        odd.evm.pass_time(WINDOW_S)
    return odd.send(odd.members[0], call).output


@pytest.mark.parametrize("door", CORRIDOR_DOORS)
def test_corridors_are_shut_while_tokens_move(odd: CallingBack, door: str):
    """C5, C16: nothing is claimed, answered, divided or read from inside; outside it would be."""
    call = corridor_doors(odd)[door]
    with odd.evm.anchor():
        odd.act(call)
    assert_shut(odd, call)


def test_every_corridor_door_is_tried(odd: CallingBack):
    assert set(CORRIDOR_DOORS) == set(corridor_doors(odd))


def assert_shut(odd: CallingBack, door: Call) -> None:
    """Whatever moves tokens of the house lets the token do nothing at this door."""
    member = odd.members[0]
    odd.arm(door)
    odd.send(member, odd.house.deposit(odd.usd, member.address, 1))
    assert not odd.called_back()
    odd.send(member, odd.house.request_withdrawal(odd.usd, 1))
    odd.send(member, odd.house.withdraw(odd.usd))
    assert not odd.called_back()
    odd.send(odd.owner, odd.house.set_settler(odd.settler.address))
    odd.settle(odd.order([-5], sequence=1))
    assert not odd.called_back()


def test_the_doors_are_open_otherwise(odd: CallingBack):
    """The callback itself works: the same call from the token, from outside, succeeds."""
    odd.arm(doors(odd)["request"])
    odd.tell("transfer(address,uint256)", ["address", "uint256"], odd.owner.address, 0)
    assert odd.called_back()


def test_a_claim_is_paid_once_whatever_the_token_does(odd: CallingBack):
    """R1: a claim from inside a claim fails, also in a batch; the outer one is paid."""
    host = odd.hosts[0].address
    odd.send(odd.owner, odd.house.set_settler(odd.settler.address))
    row = RewardClaim(account=host, token=odd.odd, lifetime_amount=5, proof=())
    leaf = EntitlementLeaf(account=host, token=odd.odd, lifetime_minor=5)
    odd.settle(odd.order([-10], rewards_root=leaf_hash(leaf)))
    claim = odd.rewards.claim(host, odd.odd, 5, ())
    for back in (odd.rewards.claimed(host, odd.odd).call, claim):
        odd.arm(back)
        with odd.evm.anchor():
            odd.send(odd.stranger, claim)
            assert not odd.called_back()
    odd.arm(odd.rewards.claim_many([row]))
    outcome = odd.send(odd.stranger, odd.rewards.claim_many([row, row]))
    assert int.from_bytes(outcome.output, "big") == 1
    assert odd.rewards.total_claimed(odd.odd).ask(odd.evm) == 5
    with refused("claim: nothing due"):
        odd.send(odd.stranger, claim)
