"""Old and foreign vouchers: the cheating with balance proofs that Raiden's channels had to meet.

There both sides could close with an older proof, replay one after settlement, show a channel's
proof in another, or promise more than was deposited. Here only the receiver shows vouchers, so an
old one costs nobody but itself; each case says what both sides end with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import pytest
from channel_world import DELAY_S, ChannelWorld
from contract_evm import refused, vyper

from opencarrier.chain.contracts import BatchChannels, VoucherClaim

DEPOSIT = 35


@dataclass(frozen=True)
class Cheat:
    """Acts in order, and what the receiver has when both have left; the payer has the rest.

    A number shows the voucher of that amount; `refused` names those that are not taken. "leave"
    announces, waits and takes; "announce" and "take" are its halves; "refund" gives all back.
    """

    acts: tuple[int | str, ...]
    receiver: int
    refused: tuple[int, ...] = ()
    deposit: int = DEPOSIT


CASES = {
    "the last voucher": Cheat((17,), 17),
    "closing with an old one": Cheat((10,), 10),
    "closing with the oldest": Cheat((1,), 1),
    "closing with none": Cheat((), 0),
    "an old one, then the last": Cheat((10, 17), 17),
    "an update with an older one": Cheat((17, 10), 17),
    "the same again": Cheat((17, 17, 17), 17),
    "the same again after settling": Cheat((17, "settle", 17, "settle"), 17),
    "an older one after settling": Cheat((17, "settle", 10, "settle"), 17),
    "a newer one after settling": Cheat((10, "settle", 17, "settle"), 17),
    "all of the deposit": Cheat((DEPOSIT,), DEPOSIT),
    "more than the deposit": Cheat((DEPOSIT + 1,), 0, refused=(DEPOSIT + 1,)),
    "far more than the deposit": Cheat((2**128 - 1,), 0, refused=(2**128 - 1,)),
    "more, then what there is": Cheat((DEPOSIT + 1, 17), 17, refused=(DEPOSIT + 1,)),
    "more than is left after a refund": Cheat((10, "refund", 17), 10, refused=(17,)),
    "after a refund of all": Cheat(("refund", 17), 0, refused=(17,)),
    "while the payer waits": Cheat(("announce", 17, "take"), 17),
    "an old one while the payer waits": Cheat(("announce", 10, "take"), 10),
    "old and new while the payer waits": Cheat(("announce", 10, 17, "take"), 17),
    "all while the payer waits": Cheat(("announce", DEPOSIT, "take"), DEPOSIT),
    "after the payer left": Cheat(("leave", 17), 0, refused=(17,)),
    "old before, new after the payer left": Cheat((10, "leave", 17), 10, refused=(17,)),
    "the last again after the payer left": Cheat((17, "leave", 17), 17),
    "settled after the payer left": Cheat((17, "leave", "settle", 10), 17),
    "the payer tries twice": Cheat(("announce", 17, "take", "leave"), 17),
    "the payer leaves little by little": Cheat((17, "leave", "leave"), 17),
    "nothing deposited": Cheat((1,), 0, refused=(1,), deposit=0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_nobody_gains_by_an_old_voucher(channel_world: ChannelWorld, case: Cheat):
    """B2, B3, B4: the highest voucher shown in time is paid, and every token is accounted for."""
    world, before = channel_world, channel_world.tokens(channel_world.payer.address)
    if case.deposit:
        world.deposit(case.deposit)
    for act in case.acts:
        if act in case.refused:
            with refused("ClaimExceedsBalance"):
                _act(world, act)
        else:
            _act(world, act)
    world.settle()
    _act(world, "leave")
    assert world.tokens(world.receiver.address) == case.receiver
    assert world.tokens(world.payer.address) == before - case.receiver
    assert world.tokens(world.channels.address) == 0


def _act(world: ChannelWorld, act: int | str) -> None:
    state = world.state()
    match act:
        case int():
            world.claim(world.row(act))
        case "settle":
            world.settle()
        case "refund":
            world.send(world.receiver, world.channels.refund(world.config, DEPOSIT))
        case "announce" if state.unclaimed_minor:
            call = world.channels.initiate_withdraw(world.config, state.unclaimed_minor)
            world.send(world.payer, call)
        case "take":
            world.evm.pass_time(DELAY_S)
            world.send(world.payer, world.channels.finalize_withdraw(world.config))
        case "leave" if state.unclaimed_minor:
            _act(world, "announce")
            _act(world, "take")


def test_every_order_of_three_vouchers_is_the_same(channel_world: ChannelWorld):
    """B4: what counts is the highest, in one batch or in three."""
    world = channel_world
    world.deposit(DEPOSIT)
    rows = [world.row(total) for total in (5, 10, 17)]
    for order in permutations(rows):
        for batches in ([order], [(row,) for row in order]):
            with world.evm.anchor():
                for batch in batches:
                    world.claim(*batch)
                world.settle()
                assert world.tokens(world.receiver.address) == 17


def _reopened(world: ChannelWorld) -> VoucherClaim:
    """A voucher of a channel that was used, settled and emptied, then opened with a fresh salt."""
    row = world.row(17)
    world.claim(row)
    world.settle()
    _act(world, "leave")
    return row


def test_a_voucher_after_settlement_and_reopening(channel_world: ChannelWorld):
    """B9: the successor has another id; the old channel is still at 17 and pays nothing twice."""
    world = channel_world
    world.deposit(DEPOSIT)
    row = _reopened(world)
    fresh = world.terms(salt=1)
    world.deposit(DEPOSIT, fresh)
    with refused("InvalidSignature"):
        world.claim(replace(row, config=fresh))
    world.deposit(DEPOSIT)
    world.claim(row)
    world.settle()
    assert world.tokens(world.receiver.address) == 17
    assert world.state().total_claimed_minor == 17


@pytest.mark.parametrize(
    "changed",
    ["payer", "payer_authorizer", "receiver", "token", "withdraw_delay_s", "salt"],
)
def test_a_voucher_in_another_channel(channel_world: ChannelWorld, changed):
    """B9: whatever term differs, it is another channel."""
    world = channel_world
    other = {
        "payer": world.relay.address,
        "payer_authorizer": world.relay.address,
        "receiver": world.relay.address,
        "token": vyper(PLAIN_TOKEN, sender=world.owner.address, evm=world.evm),
        "withdraw_delay_s": DELAY_S + 1,
        "salt": b"\x02" * 32,
    }
    foreign = replace(world.config, **{changed: other[changed]})
    world.fund(world.relay)
    world.deposit(DEPOSIT)
    world.deposit(DEPOSIT, foreign)
    claim = world.channels.claim([replace(world.row(17), config=foreign)])
    with refused("InvalidSignature"):
        world.send(world.receiver_authorizer, claim)


PLAIN_TOKEN = """
# pragma version 0.4.3
# pragma evm-version cancun
balanceOf: public(HashMap[address, uint256])

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    self.balanceOf[receiver] += amount
    return True
"""


def test_a_voucher_in_another_contract(channel_world: ChannelWorld):
    """B9: the same terms and the same code elsewhere are another channel."""
    world = channel_world
    world.deposit(DEPOSIT)
    row = world.row(17)
    elsewhere = BatchChannels(world.evm.deploy(world.owner.address, BatchChannels.deployment()))
    deposit = elsewhere.deposit(world.config, DEPOSIT, collector=world.puller, collector_data=b"")
    world.send(world.relay, deposit)
    with refused("InvalidSignature"):
        world.send(world.receiver, elsewhere.claim([row]))
    world.claim(row)


def test_a_voucher_that_promises_more_than_it_was_signed_for(channel_world: ChannelWorld):
    """B2, B9: neither a higher ceiling nor a higher total comes out of a signature."""
    world = channel_world
    world.deposit(DEPOSIT)
    row = world.row(17)
    with refused("InvalidSignature"):
        world.claim(replace(row, max_claimable_minor=18, total_claimed_minor=18))
    with refused("ClaimExceedsCeiling"):
        world.claim(replace(row, total_claimed_minor=18))
    with refused("InvalidSignature"):
        world.claim(replace(row, max_claimable_minor=16, total_claimed_minor=16))
    world.claim(row)


def test_a_payer_who_is_the_receiver_gains_nothing(channel_world: ChannelWorld):
    """B1: paying oneself moves one's own money in a circle."""
    world = channel_world
    config = world.terms(receiver=world.payer.address, receiver_authorizer=world.payer.address)
    before = world.tokens(world.payer.address)
    world.deposit(DEPOSIT, config)
    world.send(world.payer, world.channels.claim([world.row(17, config)]))
    world.send(world.payer, world.channels.refund(config, DEPOSIT))
    world.send(world.relay, world.channels.settle(world.payer.address, world.token.address))
    assert world.tokens(world.payer.address) == before
    assert world.tokens(world.channels.address) == 0
