"""Channels on a chain that forgets, and in a token that pauses and freezes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chain.lying_node import LyingNode, saying, without_last

from opencarrier.chain import logs as chain_logs
from opencarrier.chain.client import connect
from opencarrier.chain.contracts import VoucherClaim, collector_data
from opencarrier.chain.model import Call
from opencarrier.chain.quorum import QuorumClient
from opencarrier.chain.typed_data import (
    Authorization,
    ChannelConfig,
    ClaimEntry,
    claim_batch_digest,
    deposit_nonce,
    voucher_digest,
)
from opencarrier.channels import custody, store
from opencarrier.channels.custody import ChannelFollower
from opencarrier.channels.model import Channel, Deposit
from opencarrier.channels.opening import DEPOSIT_TTL_S_MAX
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.sim.payer import Payer

from .chains import ADA_KEY, DEPTH, MONEY_MINOR, OWNER, Street
from .worlds import HOME, KIB, SIGNERS, refused

DEPOSIT_MINOR = 50_000
USED_MINOR = 160
"""80 KiB at 2 a KiB."""

SELLER = SIGNERS[HOME].address
DEPTHS = [
    depth if depth in (1, DEPTH - 1) else pytest.param(depth, marks=pytest.mark.deep)
    for depth in range(1, DEPTH)
]
"""A block is final under eight others; the ends of that are tried with every change."""


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    made = Street(tmp_path)
    yield made
    made.close()


def deposit_call(street: Street, config: ChannelConfig, deposit: Deposit) -> Call:
    """The deposit as its payer would bring it to the chain itself."""
    authorization = Authorization(
        sender=config.payer,
        receiver=street.collector,
        amount_minor=deposit.amount_minor,
        valid_after_s=deposit.valid_after_s,
        valid_before_s=deposit.valid_before_s,
        nonce=deposit_nonce(deposit.channel_id, deposit.salt),
    )
    data = collector_data(authorization, salt=deposit.salt, signature=deposit.signature)
    return street.contract.deposit(
        config, deposit.amount_minor, collector=street.collector, collector_data=data
    )


def test_a_deposit_made_before_its_channel_is_registered_is_found(street: Street) -> None:
    """The follower has read past it; the contract is asked, and the deposit is not made twice."""
    payer = street.world.payer()
    config, deposit = payer.open(SELLER, DEPOSIT_MINOR, now_s=street.world.now_s)
    street.send(ADA_KEY, deposit_call(street, config, deposit))
    street.network.mine(2 * DEPTH)
    street.tend()
    channel = street.world.registered_as(config, deposit)
    street.settle(2)
    assert street.seen(channel).deposited_minor == DEPOSIT_MINOR
    assert store.count_opening(street.world.unit) == 0
    assert street.balance(ADA_KEY.address) == MONEY_MINOR - DEPOSIT_MINOR
    street.served(payer, channel, 80 * KIB)
    street.settle()
    assert street.seen(channel).claimed_minor == USED_MINOR
    street.agrees(channel)


def test_a_withdrawal_begun_before_registration_is_found_too(street: Street) -> None:
    payer = street.world.payer()
    config, deposit = payer.open(SELLER, DEPOSIT_MINOR, now_s=street.world.now_s)
    street.send(ADA_KEY, deposit_call(street, config, deposit))
    street.send(ADA_KEY, street.contract.initiate_withdraw(config, DEPOSIT_MINOR))
    street.network.mine(2 * DEPTH)
    street.tend()
    channel = street.world.registered_as(config, deposit)
    street.tend()
    assert street.seen(channel).withdrawing
    lease = street.world.channels.lease(
        street.world.unit, channel.channel_id, "node-1", at_us=street.world.at_us
    )
    assert refused(lease) == "channel_ended"


def test_what_was_claimed_before_registration_is_not_earned_here(street: Street) -> None:
    """Another installation of the seller served it before: here it begins where that ended."""
    payer = street.world.payer()
    config, deposit = payer.open(SELLER, DEPOSIT_MINOR, now_s=street.world.now_s)
    street.send(ADA_KEY, deposit_call(street, config, deposit))
    street.send(OWNER, foreign_claim(street, payer, config, 700))
    street.network.mine(2 * DEPTH)
    street.tend()
    channel = street.world.registered_as(config, deposit)
    street.tend()
    seen = street.seen(channel)
    assert (seen.deposited_minor, seen.claimed_minor, seen.due_minor) == (DEPOSIT_MINOR, 700, 700)
    assert street.world.posted(chart.vouchers(HOME)) == 0
    begun = street.world.begun(channel.channel_id)
    assert (begun.lease.floor_minor, begun.session.base_minor) == (700, 700)


def test_some_awaited_deposits_are_looked_for_in_a_pass_and_the_others_next(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custody, "AWAITED_MAX", 2)
    payer = street.world.payer()
    channels = [street.world.registered(payer) for _ in range(3)]
    now_us = street.world.at_us
    street.network.mine(4)
    assert "final block" in street.follower.follow(street.begin, now_us=now_us).note
    street.network.mine(DEPTH)
    street.claimer.drive(street.begin, now_us=now_us)
    street.relayer.drive(street.begin, now_us=now_us)
    street.manager.drive(street.begin, now_us=now_us)
    street.network.mine(DEPTH)

    def seen() -> int:
        street.follower.follow(street.begin, now_us=now_us)
        return sum(street.seen(channel).deposited_minor > 0 for channel in channels)

    assert (seen(), seen()) == (1, 3), "two had their turn before, in vain"


def test_so_many_ranges_of_blocks_are_read_in_a_pass_and_the_rest_next(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deposit of the last block that a pass reads is seen; one of the next waits for the next."""
    monkeypatch.setattr(custody, "BATCHES_MAX", 2)
    monkeypatch.setattr(chain_logs, "BLOCKS_PER_BATCH_MAX", 8)
    payer, seen = street.world.payer(), []
    for blocks in (15, 16):
        config, deposit = payer.open(SELLER, DEPOSIT_MINOR, now_s=street.world.now_s)
        street.network.mine(blocks - 1 - street.network.node.head.number)
        street.send(ADA_KEY, deposit_call(street, config, deposit))
        assert street.network.node.head.number == blocks
        seen.append(street.world.registered_as(config, deposit))
    street.network.mine(2 * DEPTH)

    def deposited() -> list[bool]:
        street.follower.follow(street.begin, now_us=street.world.at_us)
        return [street.seen(channel).deposited_minor > 0 for channel in seen]

    assert (deposited(), deposited()) == ([True, False], [True, True])


def test_a_deposit_that_never_comes_is_awaited_until_it_expires(street: Street) -> None:
    """Nobody else's deposit waits behind it, and less than it promised is taken at the end."""
    world, payer = street.world, street.world.payer()
    channel = world.registered(payer, deposit_minor=MONEY_MINOR + 1)
    street.network.mine(DEPTH)
    street.tend()
    assert store.count_opening(world.unit) == 1
    street.pass_s(DEPOSIT_TTL_S_MAX)
    street.network.mine(1)
    street.tend()
    assert store.count_opening(world.unit) == 0
    assert street.seen(channel).deposited_minor == 0


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_deposit_that_a_reorg_takes_away_was_never_served_on(street: Street, depth: int) -> None:
    """Before a deposit is final nothing is served on it, so a reorg of any depth costs nobody."""
    world, payer = street.world, street.world.payer()
    street.network.mine(DEPTH)
    before = street.network.fork()
    channel = world.registered(payer)
    street.tend()
    assert street.state(channel).balance_minor == DEPOSIT_MINOR
    street.network.mine(depth - 1)
    street.tend()
    assert street.seen(channel).deposited_minor == 0, "it is not final"
    lease = world.channels.lease(world.unit, channel.channel_id, "node-1", at_us=world.at_us)
    assert refused(lease) == "nothing_deposited"
    street.network.reorg(before, depth)
    assert street.state(channel).balance_minor == 0
    street.settle(3)
    assert street.seen(channel).deposited_minor == DEPOSIT_MINOR, "it is brought there again"
    street.served(payer, channel, 80 * KIB)
    street.settle()
    street.agrees(channel)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_claim_that_a_reorg_takes_away_is_made_again_once(street: Street, depth: int) -> None:
    channel = earned(street)
    before = street.network.fork()
    street.tend()
    street.tend()
    assert street.state(channel).total_claimed_minor == USED_MINOR
    street.network.mine(max(depth - 1, 0))
    street.tend()
    assert street.seen(channel).claimed_minor == 0, "nothing is booked before it is final"
    street.network.reorg(before, depth)
    assert street.state(channel).total_claimed_minor == 0
    street.settle()
    assert street.seen(channel).claimed_minor == USED_MINOR
    assert street.balance(SELLER) == USED_MINOR
    street.agrees(channel)


def test_a_claim_that_was_dropped_is_replaced_and_counts_once(street: Street) -> None:
    """The endpoint loses what it is given; later offers pay more, and one of them is mined."""
    channel = earned(street)
    street.network.dropping, street.network.handed_over = True, []
    for _ in range(4):
        street.tend()
        street.network.mine(1)
    assert len(set(street.network.handed_over)) > 1, "it was replaced by one that pays more"
    assert street.state(channel).total_claimed_minor == 0
    street.network.dropping = False
    street.restart()
    street.settle()
    assert street.seen(channel).claimed_minor == USED_MINOR
    assert street.balance(SELLER) == USED_MINOR
    street.agrees(channel)


def test_a_token_paused_during_a_claim_loses_nothing(street: Street) -> None:
    """What is earned is claimed, for no token moves; it is paid once the pause is over."""
    channel = earned(street)
    street.send(OWNER, street.token.set_paused(paused=True))
    street.settle()
    assert street.seen(channel).claimed_minor == USED_MINOR
    assert street.balance(SELLER) == 0
    street.agrees(channel)
    street.send(OWNER, street.token.set_paused(paused=False))
    street.settle()
    assert street.balance(SELLER) == USED_MINOR
    street.agrees(channel)


def test_a_frozen_receiver_is_paid_when_it_is_free_again(street: Street) -> None:
    channel = earned(street)
    street.send(OWNER, street.token.freeze(SELLER))
    street.settle()
    assert (street.seen(channel).claimed_minor, street.balance(SELLER)) == (USED_MINOR, 0)
    street.send(OWNER, street.token.unfreeze(SELLER))
    street.settle()
    assert street.balance(SELLER) == USED_MINOR
    street.agrees(channel)


def test_a_frozen_payer_holds_up_its_own_refund_and_no_claim(street: Street) -> None:
    """The seller is paid; the rest waits in the contract until its payer may be paid."""
    channel = earned(street)
    street.send(OWNER, street.token.freeze(ADA_KEY.address))
    street.world.channels.close(street.world.unit, channel.channel_id)
    street.settle()
    assert street.balance(SELLER) == USED_MINOR
    assert street.state(channel).unclaimed_minor == DEPOSIT_MINOR - USED_MINOR
    street.agrees(channel)
    street.send(OWNER, street.token.unfreeze(ADA_KEY.address))
    street.settle()
    assert street.balance(ADA_KEY.address) == MONEY_MINOR - USED_MINOR
    street.agrees(channel)


def test_a_frozen_payer_cannot_open_and_is_not_served(street: Street) -> None:
    street.send(OWNER, street.token.freeze(ADA_KEY.address))
    channel = street.world.registered(street.world.payer())
    street.settle(2)
    assert street.seen(channel).deposited_minor == 0
    street.send(OWNER, street.token.unfreeze(ADA_KEY.address))
    street.settle(2)
    assert street.seen(channel).deposited_minor == DEPOSIT_MINOR


@pytest.mark.parametrize("first", ["claim", "withdrawal"])
def test_a_payer_who_withdraws_during_a_claim_gets_no_earned_money(
    street: Street, first: str
) -> None:
    """Whichever comes first, the claim is through within the delay and nothing is paid twice."""
    channel = earned(street)
    if first == "claim":
        street.tend()
    wanted = street.state(channel).unclaimed_minor
    street.send(ADA_KEY, street.contract.initiate_withdraw(channel.config, wanted))
    street.settle()
    assert street.seen(channel).withdrawing
    street.pass_s(channel.config.withdraw_delay_s)
    street.send(ADA_KEY, street.contract.finalize_withdraw(channel.config))
    street.settle()
    assert street.balance(SELLER) == USED_MINOR
    assert street.balance(ADA_KEY.address) == MONEY_MINOR - USED_MINOR
    assert street.seen(channel).closed
    more = street.world.channels.lease(
        street.world.unit, channel.channel_id, "node-1", at_us=street.world.at_us
    )
    assert isinstance(more, Refusal)
    street.agrees(channel)


def foreign_claim(street: Street, payer: Payer, config: ChannelConfig, amount: int) -> Call:
    """What the seller claims from somewhere else, on a voucher nobody here has seen."""
    channel_id = payer.channel_id
    assert payer._delegate is not None
    voucher = payer._delegate.sign(voucher_digest(street.venue.domain, channel_id, amount))
    entry = ClaimEntry(
        channel_id=channel_id, max_claimable_minor=amount, total_claimed_minor=amount
    )
    batch = SIGNERS[HOME].sign(claim_batch_digest(street.venue.domain, [entry]))
    claim = VoucherClaim(
        config=config,
        max_claimable_minor=amount,
        signature=voucher.octets,
        total_claimed_minor=amount,
    )
    return street.contract.claim_with_signature([claim], batch.octets)


def test_an_endpoint_that_lies_or_lags_books_nothing(street: Street) -> None:
    """With two endpoints a claim is booked when both have said so."""
    lying = LyingNode(street.network.request)
    second = connect("embedded:", node=lying, finality=street.client.finality)  # type: ignore[arg-type]
    channel = earned(street)

    def begin_anew() -> None:
        """Endpoints that differed are not believed any more until somebody looked."""
        street.follower = ChannelFollower(street.venue, QuorumClient(street.client, second))

    for method, lie in (
        ("eth_getLogs", without_last),
        ("eth_getLogs", saying([])),
        ("eth_blockNumber", saying("0x1")),
    ):
        lying.lies = {method: lie}
        begin_anew()
        street.settle(2)
        assert street.state(channel).total_claimed_minor == USED_MINOR
        assert street.seen(channel).claimed_minor == 0, method
    lying.lies = {}
    begin_anew()
    street.settle(2)
    assert street.seen(channel).claimed_minor == USED_MINOR
    street.agrees(channel)


def earned(street: Street) -> Channel:
    """A channel with its deposit final, of which a session has used 80 KiB."""
    payer = street.world.payer()
    channel = street.world.registered(payer)
    street.settle(2)
    assert street.seen(channel).deposited_minor == DEPOSIT_MINOR
    street.served(payer, channel, 80 * KIB)
    return channel
