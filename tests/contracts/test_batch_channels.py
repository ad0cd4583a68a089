"""Payment channels (BatchChannels.md): deposits, claims, settlement, withdrawals, refunds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from channel_world import DELAY_S, DEPOSIT, TOKEN, ChannelWorld
from contract_evm import GENESIS_S, ZERO, key, refused

from opencarrier.chain import events
from opencarrier.chain.contracts import (
    CLAIM_ROWS_MAX,
    WITHDRAW_DELAY_S_MAX,
    WITHDRAW_DELAY_S_MIN,
    BatchChannels,
    ChannelState,
    PendingWithdrawal,
    ReceiverState,
)

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 2 * HALF_ORDER + 1
AMOUNT_MAX = 2**128 - 1


# Deposit


def test_deposit_opens_a_channel(channel_world: ChannelWorld):
    """B12, B13: exactly the amount arrives; the first deposit tells the terms."""
    world = channel_world
    before = world.tokens(world.payer.address)
    told = world.told(world.deposit(3))
    assert told == [
        events.ChannelCreated(channel_id=world.id(), config=world.config),
        events.ChannelDeposited(
            channel_id=world.id(), sender=world.relay.address, amount=3, new_balance=3
        ),
    ]
    assert world.state() == ChannelState(balance_minor=3, total_claimed_minor=0)
    assert world.tokens(world.payer.address) == before - 3
    assert world.tokens(world.channels.address) == 3


def test_deposits_add_up(opened: ChannelWorld):
    told = opened.told(opened.deposit(5))
    assert [type(event) for event in told] == [events.ChannelDeposited]
    assert told[0].new_balance == DEPOSIT + 5 == opened.state().balance_minor


def test_deposit_after_a_claim_creates_nothing(opened: ChannelWorld):
    """A channel of which something was claimed is never new again."""
    opened.claim(opened.row(DEPOSIT))
    opened.send(opened.receiver, opened.channels.refund(opened.config, 1))
    told = opened.told(opened.deposit(DEPOSIT))
    assert [type(event) for event in told] == [events.ChannelDeposited]


@pytest.mark.parametrize("party", ["payer", "receiver", "receiver_authorizer", "token"])
def test_a_channel_needs_its_parties(channel_world: ChannelWorld, party):
    config = replace(channel_world.config, **{party: ZERO})
    with refused("InvalidChannel"):
        channel_world.deposit(1, config)


@pytest.mark.parametrize("delay_s", [WITHDRAW_DELAY_S_MIN, WITHDRAW_DELAY_S_MAX])
def test_delays_within_the_bounds(channel_world: ChannelWorld, delay_s):
    config = channel_world.terms(withdraw_delay_s=delay_s)
    channel_world.deposit(1, config)
    assert channel_world.state(config).balance_minor == 1


@pytest.mark.parametrize("delay_s", [0, WITHDRAW_DELAY_S_MIN - 1, WITHDRAW_DELAY_S_MAX + 1])
def test_delays_beyond_the_bounds(channel_world: ChannelWorld, delay_s):
    with refused("WithdrawDelayOutOfRange"):
        channel_world.deposit(1, channel_world.terms(withdraw_delay_s=delay_s))


def test_deposit_of_nothing_and_by_nobody(channel_world: ChannelWorld):
    world = channel_world
    with refused("ZeroDeposit"):
        world.deposit(0)
    call = world.channels.deposit(world.config, 1, collector=ZERO, collector_data=b"")
    with refused("InvalidCollector"):
        world.send(world.relay, call)


def test_a_balance_stays_within_its_word(channel_world: ChannelWorld):
    """Both sides of the bound: the low half holds 2^128 - 1 and not one more."""
    world = channel_world
    world.fund(world.payer, AMOUNT_MAX)
    world.deposit(AMOUNT_MAX)
    assert world.state() == ChannelState(balance_minor=AMOUNT_MAX, total_claimed_minor=0)
    with refused("DepositOverflow"):
        world.deposit(1)


def test_deposit_by_signature(channel_world: ChannelWorld):
    """E2, E3: a payer without gas opens a channel; nothing stays with the collector."""
    world = channel_world
    world.send(world.relay, world.deposit_signed(DEPOSIT, world.config))
    assert world.state().balance_minor == DEPOSIT
    assert world.tokens(world.collector.address) == 0
    assert world.collector.channels().ask(world.evm) == world.channels.address


def test_a_signed_deposit_is_for_one_channel_once(channel_world: ChannelWorld):
    """E2: the nonce is made of the channel, and used up."""
    world = channel_world
    call = world.deposit_signed(DEPOSIT, world.config)
    foreign = world.channels.artefact().call_data(
        "deposit", *_deposit_arguments(call, world.terms(salt=1))
    )
    with refused("authorization: bad signature"):
        world.send(world.relay, replace(call, data=foreign))
    world.send(world.relay, call)
    with refused("authorization: used"):
        world.send(world.relay, call)


def _deposit_arguments(call, config):
    from opencarrier.chain import abi

    inputs = BatchChannels.artefact().functions["deposit"]["inputs"]
    _, amount, collector, data = abi.decode([abi._type(i) for i in inputs], call.data[4:])
    return typed_terms(config), amount, collector, data


def typed_terms(config):
    """Terms as the ABI wants them."""
    return tuple(getattr(config, name) for name in config.__dataclass_fields__)


# Claim


def test_a_claim_books_and_pays_nothing(opened: ChannelWorld):
    """B2: totals rise, tokens stay until `settle`."""
    told = opened.told(opened.claim(opened.row(7, ceiling=9)))
    assert told == [
        events.ChannelClaimed(
            channel_id=opened.id(),
            sender=opened.receiver.address,
            claim_amount=7,
            new_total_claimed=7,
        )
    ]
    assert opened.state() == ChannelState(balance_minor=DEPOSIT, total_claimed_minor=7)
    assert opened.owed() == ReceiverState(total_claimed_minor=7, total_settled_minor=0)
    assert opened.tokens(opened.receiver.address) == 0


def test_later_vouchers_pay_the_difference(opened: ChannelWorld):
    """B5: cumulative."""
    opened.claim(opened.row(7))
    told = opened.told(opened.claim(opened.row(12)))
    assert (told[0].claim_amount, told[0].new_total_claimed) == (5, 12)
    assert opened.owed().total_claimed_minor == 12


def test_one_voucher_may_be_claimed_bit_by_bit(opened: ChannelWorld):
    for total in (1, 2, 9):
        opened.claim(opened.row(total, ceiling=9))
    assert opened.state().total_claimed_minor == 9


def test_the_ceiling(opened: ChannelWorld):
    """B2: both sides of the voucher's bound."""
    opened.claim(opened.row(9, ceiling=9))
    with refused("ClaimExceedsCeiling"):
        opened.claim(opened.row(11, ceiling=10))


def test_the_balance(opened: ChannelWorld):
    """B2: a voucher may promise more than there is; a claim cannot take it."""
    opened.claim(opened.row(DEPOSIT, ceiling=2 * DEPOSIT))
    with refused("ClaimExceedsBalance"):
        opened.claim(opened.row(DEPOSIT + 1, ceiling=2 * DEPOSIT))
    opened.deposit(1)
    opened.claim(opened.row(DEPOSIT + 1, ceiling=2 * DEPOSIT))


def test_claims_of_the_whole_word(channel_world: ChannelWorld):
    world = channel_world
    world.fund(world.payer, AMOUNT_MAX)
    world.deposit(AMOUNT_MAX)
    world.claim(world.row(AMOUNT_MAX))
    assert world.state() == ChannelState(balance_minor=AMOUNT_MAX, total_claimed_minor=AMOUNT_MAX)
    world.settle()
    assert world.tokens(world.receiver.address) == AMOUNT_MAX
    assert world.owed() == ReceiverState(
        total_claimed_minor=AMOUNT_MAX, total_settled_minor=AMOUNT_MAX
    )


def test_what_one_receiver_is_owed_stays_within_its_word(channel_world: ChannelWorld):
    """B8: a claim beyond 2^128 - 1 in all reverts and leaves nothing behind."""
    world = channel_world
    other = world.terms(salt=1)
    for config in (world.config, other):
        world.fund(world.payer, AMOUNT_MAX)
        world.deposit(AMOUNT_MAX if config is world.config else 1, config)
    world.claim(world.row(AMOUNT_MAX))
    with refused("panic 0x11"):
        world.claim(world.row(1, other))
    assert world.state(other).total_claimed_minor == 0


def test_a_stale_row_is_skipped_whatever_is_wrong_with_it(opened: ChannelWorld):
    """B4: neither ceiling nor balance nor signature of a row that claims nothing new counts."""
    opened.claim(opened.row(7))
    rotten = opened.row(7, ceiling=0, signature=b"")
    older = opened.row(3, signature=b"\x00" * 65)
    told = opened.told(opened.claim(rotten, older, opened.row(8)))
    assert [(e.claim_amount, e.new_total_claimed) for e in told] == [(1, 8)]


def test_the_order_of_checks(opened: ChannelWorld):
    """Stale, ceiling, balance, signature: the first that fails is told."""
    with refused("ClaimExceedsCeiling"):
        opened.claim(opened.row(2 * DEPOSIT, ceiling=1, signature=b""))
    with refused("ClaimExceedsBalance"):
        opened.claim(opened.row(2 * DEPOSIT, signature=b""))
    with refused("ECDSAInvalidSignatureLength"):
        opened.claim(opened.row(2, signature=b""))


def test_an_empty_batch(opened: ChannelWorld):
    with refused("EmptyBatch"):
        opened.claim()
    call = opened.channels.claim_with_signature([], b"")
    with refused("EmptyBatch"):
        opened.send(opened.relay, call)


def test_a_batch_of_many_channels(channel_world: ChannelWorld):
    """B8, B11: each row touches its own channel; one bad row undoes all."""
    world = channel_world
    configs = [world.terms(salt=i) for i in range(3)]
    for config in configs:
        world.deposit(DEPOSIT, config)
    rows = [world.row(i + 1, config) for i, config in enumerate(configs)]
    with refused("InvalidSignature"):
        world.claim(*rows[:2], world.row(3, configs[2], signer=world.relay))
    assert world.owed().total_claimed_minor == 0
    world.claim(*rows)
    assert [world.state(config).total_claimed_minor for config in configs] == [1, 2, 3]
    assert world.owed().total_claimed_minor == 6


def test_one_channel_twice_in_a_batch(opened: ChannelWorld):
    opened.claim(opened.row(3), opened.row(5), opened.row(4))
    assert opened.state().total_claimed_minor == 5 == opened.owed().total_claimed_minor


@pytest.mark.parametrize("who", ["receiver", "receiver_authorizer"])
def test_the_receivers_side_claims(opened: ChannelWorld, who):
    opened.send(getattr(opened, who), opened.channels.claim([opened.row(1)]))
    assert opened.state().total_claimed_minor == 1


def test_every_row_is_the_callers(opened: ChannelWorld):
    """B10: the caller must be on the receiver's side of each row, also of a stale one."""
    foreign = opened.terms(salt=1, receiver=key("other").address, receiver_authorizer=ZERO)
    foreign = replace(foreign, receiver_authorizer=key("other").address)
    opened.deposit(DEPOSIT, foreign)
    with refused("NotAuthorizedToClaim"):
        opened.claim(opened.row(1), opened.row(1, foreign))
    with refused("NotAuthorizedToClaim"):
        opened.claim(opened.row(0, foreign))


def test_claims_by_signature(opened: ChannelWorld):
    """Anybody submits what the receiver's authorizer signed."""
    rows = [opened.row(4)]
    call = opened.channels.claim_with_signature(rows, opened.batch_signature(rows))
    told = opened.told(opened.send(opened.relay, call))
    assert told[0].sender == opened.relay.address
    assert opened.state().total_claimed_minor == 4
    assert opened.told(opened.send(opened.relay, call)) == []


def test_a_batch_signature_covers_every_number(opened: ChannelWorld):
    """B9: another row, amount, order or signer needs another signature."""
    other = opened.terms(salt=1)
    opened.deposit(DEPOSIT, other)
    rows = [opened.row(4), opened.row(5, other)]
    signature = opened.batch_signature(rows)
    changed = [
        [opened.row(3), rows[1]],
        [opened.row(4, ceiling=5), rows[1]],
        [rows[1], rows[0]],
        rows[:1],
        [*rows, rows[0]],
        [rows[0], opened.row(5, opened.terms(salt=2))],
    ]
    for batch in changed:
        call = opened.channels.claim_with_signature(batch, signature)
        with refused("InvalidSignature"):
            opened.send(opened.relay, call)
    for signer in (opened.receiver, opened.payer, opened.relay):
        forged = opened.batch_signature(rows, signer)
        with refused("InvalidSignature"):
            opened.send(opened.relay, opened.channels.claim_with_signature(rows, forged))
    opened.send(opened.relay, opened.channels.claim_with_signature(rows, signature))


@pytest.mark.parametrize("length", [0, 1, 31, 64, 66, 1024])
def test_a_batch_signature_of_a_key_has_65_octets(opened: ChannelWorld, length):
    rows = [opened.row(4)]
    signature = (opened.batch_signature(rows) + bytes(1000))[:length]
    with refused("InvalidSignature"):
        opened.send(opened.relay, opened.channels.claim_with_signature(rows, signature))


def test_all_rows_name_one_authorizer(opened: ChannelWorld):
    """B10: the first row's authorizer speaks for its own channels only."""
    foreign = opened.terms(salt=1, receiver_authorizer=key("other").address)
    opened.deposit(DEPOSIT, foreign)
    rows = [opened.row(4), opened.row(4, foreign)]
    call = opened.channels.claim_with_signature(rows, opened.batch_signature(rows))
    with refused("NotReceiverAuthorizer"):
        opened.send(opened.relay, call)
    assert opened.state().total_claimed_minor == 0


def test_a_batch_nobody_authorizes(channel_world: ChannelWorld):
    """A channel that cannot exist has no authorizer, and no signature is nobody's."""
    world = channel_world
    row = world.row(0, world.terms(receiver_authorizer=ZERO))
    for signature in (b"", bytes(65)):
        call = world.channels.claim_with_signature([row], signature)
        with refused("InvalidSignature"):
            world.send(world.relay, call)


def test_as_many_rows_as_there_may_be(opened: ChannelWorld):
    """B15: 100 rows are taken, 101 are not; the binding refuses them before."""
    rows = [opened.row(i + 1) for i in range(CLAIM_ROWS_MAX)]
    opened.claim(*rows)
    assert opened.state().total_claimed_minor == CLAIM_ROWS_MAX
    with pytest.raises(AssertionError, match="more rows"):
        opened.channels.claim([*rows, rows[0]])
    data = opened.channels.artefact().call_data(
        "claim",
        [((typed_terms(r.config), 1), r.signature, 1) for r in [*rows, rows[0]]],
    )
    with refused(None):
        opened.send(opened.receiver, replace(opened.channels.claim(rows), data=data))


# Vouchers' signatures


@pytest.mark.parametrize(
    "who", ["payer", "receiver", "receiver_authorizer", "relay"], ids=lambda who: who
)
def test_only_the_payers_authorizer_signs_vouchers(opened: ChannelWorld, who):
    """B9, B10: not even the payer where it has named an authorizer."""
    with refused("InvalidSignature"):
        opened.claim(opened.row(1, signer=getattr(opened, who)))


def test_the_payer_signs_where_it_has_no_authorizer(channel_world: ChannelWorld):
    world = channel_world
    config = world.terms(payer_authorizer=ZERO)
    world.deposit(DEPOSIT, config)
    world.claim(world.row(5, config, signer=world.payer))
    assert world.state(config).total_claimed_minor == 5
    for signature in (b"", bytes(65), bytes(64), bytes(66)):
        with refused("InvalidSignature"):
            world.claim(world.row(6, config, signature=signature))
    with refused("InvalidSignature"):
        world.claim(world.row(6, config, signer=world.payer_authorizer))


@pytest.mark.parametrize("length", [0, 1, 64, 66, 130])
def test_a_signature_has_65_octets(opened: ChannelWorld, length):
    signature = (opened.row(1).signature * 2)[:length]
    with refused("ECDSAInvalidSignatureLength"):
        opened.claim(opened.row(1, signature=signature))


def test_a_signature_has_one_form(opened: ChannelWorld):
    """B9: the same signature with high s, another v or zero r is none."""
    good = opened.row(1).signature
    r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
    high = r + (ORDER - s).to_bytes(32, "big") + bytes((55 - v,))
    with refused("ECDSAInvalidSignatureS"):
        opened.claim(opened.row(1, signature=high))
    just = r + (HALF_ORDER + 1).to_bytes(32, "big") + bytes((v,))
    with refused("ECDSAInvalidSignatureS"):
        opened.claim(opened.row(1, signature=just))
    for wrong in (0, 1, 26, 29, 255):
        with refused("ECDSAInvalidSignature"):
            opened.claim(opened.row(1, signature=good[:64] + bytes((wrong,))))
    with refused("ECDSAInvalidSignature"):
        opened.claim(opened.row(1, signature=bytes(32) + good[32:]))
    with refused("InvalidSignature"):
        opened.claim(opened.row(1, signature=good[:64] + bytes((55 - v,))))
    opened.claim(opened.row(1, signature=good))


def test_the_largest_low_s_is_not_malformed(opened: ChannelWorld):
    """The bound itself is a low s: whatever it recovers to is judged as a signer."""
    good = opened.row(1).signature
    edge = good[:32] + HALF_ORDER.to_bytes(32, "big") + good[64:]
    with refused("InvalidSignature"):
        opened.claim(opened.row(1, signature=edge))


# Settle


def test_settle_pays_all_channels_at_once(channel_world: ChannelWorld):
    world = channel_world
    configs = [world.terms(salt=i) for i in range(3)]
    for config in configs:
        world.deposit(DEPOSIT, config)
    world.claim(*(world.row(5, config) for config in configs))
    told = world.told(world.settle())
    assert told == [
        events.ReceiverSettled(
            receiver=world.receiver.address,
            token=world.token.address,
            sender=world.relay.address,
            amount=15,
        )
    ]
    assert world.tokens(world.receiver.address) == 15
    assert world.owed() == ReceiverState(total_claimed_minor=15, total_settled_minor=15)
    assert world.state(configs[0]) == ChannelState(balance_minor=DEPOSIT, total_claimed_minor=5)


def test_settle_with_nothing_due_is_quiet(opened: ChannelWorld):
    """B5: again and again, nothing moves."""
    assert opened.settle().logs == ()
    opened.claim(opened.row(5))
    opened.settle()
    assert opened.settle().logs == ()
    assert opened.tokens(opened.receiver.address) == 5
    opened.claim(opened.row(8))
    opened.settle()
    assert opened.tokens(opened.receiver.address) == 8


# Withdrawal


def test_a_withdrawal_waits(opened: ChannelWorld):
    """B6: paid at the first second allowed, not one sooner."""
    told = opened.told(
        opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, DEPOSIT))
    )
    assert told == [
        events.WithdrawInitiated(
            channel_id=opened.id(), amount=DEPOSIT, finalize_after=GENESIS_S + DELAY_S
        )
    ]
    assert opened.channels.pending_withdrawal(opened.id()).ask(opened.evm) == PendingWithdrawal(
        amount_minor=DEPOSIT, initiated_at_s=GENESIS_S
    )
    before = opened.tokens(opened.payer.address)
    opened.evm.pass_time(DELAY_S - 1)
    with refused("WithdrawDelayNotElapsed"):
        opened.send(opened.payer, opened.channels.finalize_withdraw(opened.config))
    opened.evm.pass_time(1)
    told = opened.told(opened.send(opened.payer, opened.channels.finalize_withdraw(opened.config)))
    assert told == [
        events.WithdrawFinalized(
            channel_id=opened.id(), sender=opened.payer.address, amount=DEPOSIT
        ),
        events.ChannelClosed(channel_id=opened.id(), config=opened.config),
    ]
    assert opened.tokens(opened.payer.address) == before + DEPOSIT
    assert opened.state() == ChannelState(balance_minor=0, total_claimed_minor=0)
    with refused("WithdrawalNotPending"):
        opened.send(opened.payer, opened.channels.finalize_withdraw(opened.config))


def test_the_payers_authorizer_withdraws_to_the_payer(opened: ChannelWorld):
    before = opened.tokens(opened.payer.address)
    withdraw(opened, 5, by=opened.payer_authorizer)
    assert opened.tokens(opened.payer.address) == before + 5
    assert opened.state().balance_minor == DEPOSIT - 5


def test_the_smallest_payments(opened: ChannelWorld):
    """B3: one unit is refunded, settled and withdrawn as any other sum."""
    before = opened.tokens(opened.payer.address)
    opened.send(opened.receiver, opened.channels.refund(opened.config, 1))
    assert opened.tokens(opened.payer.address) == before + 1
    withdraw(opened, 1)
    assert opened.tokens(opened.payer.address) == before + 2
    opened.claim(opened.row(1))
    opened.settle()
    assert opened.tokens(opened.receiver.address) == 1


def withdraw(world: ChannelWorld, amount: int, *, by=None):
    """Announce, wait, take."""
    by = by or world.payer
    world.send(by, world.channels.initiate_withdraw(world.config, amount))
    world.evm.pass_time(DELAY_S)
    return world.send(by, world.channels.finalize_withdraw(world.config))


def test_what_can_be_announced(opened: ChannelWorld):
    """B3: at most what is unclaimed, at least something, one at a time."""
    opened.claim(opened.row(DEPOSIT - 4))
    with refused("NothingToWithdraw"):
        opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, 0))
    with refused("WithdrawAmountExceedsAvailable"):
        opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, 5))
    opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, 4))
    with refused("WithdrawalAlreadyPending"):
        opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, 1))


def test_the_receiver_claims_until_the_end(opened: ChannelWorld):
    """B3, B6: what is claimed meanwhile is not paid back."""
    opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, DEPOSIT))
    opened.evm.pass_time(DELAY_S)
    opened.claim(opened.row(30))
    told = opened.told(opened.send(opened.payer, opened.channels.finalize_withdraw(opened.config)))
    assert [type(event) for event in told] == [events.WithdrawFinalized]
    assert told[0].amount == DEPOSIT - 30
    assert opened.state() == ChannelState(balance_minor=30, total_claimed_minor=30)
    opened.settle()
    assert opened.tokens(opened.channels.address) == 0


def test_a_withdrawal_of_nothing_left_ends_quietly(opened: ChannelWorld):
    """Also long after the delay; the token is not called for nothing."""
    opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, 5))
    opened.claim(opened.row(DEPOSIT))
    opened.evm.pass_time(2 * DELAY_S)
    outcome = opened.send(opened.payer, opened.channels.finalize_withdraw(opened.config))
    assert len(outcome.logs) == 1
    assert opened.told(outcome) == [
        events.WithdrawFinalized(channel_id=opened.id(), sender=opened.payer.address, amount=0)
    ]


def test_a_claim_after_the_withdrawal_loses(opened: ChannelWorld):
    """The stated hazard: only claims count."""
    row = opened.row(DEPOSIT)
    withdraw(opened, DEPOSIT)
    with refused("ClaimExceedsBalance"):
        opened.claim(row)


def test_a_deposit_does_not_cancel_a_withdrawal(opened: ChannelWorld):
    opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, 5))
    opened.deposit(10)
    pending = opened.channels.pending_withdrawal(opened.id()).ask(opened.evm)
    assert pending == PendingWithdrawal(amount_minor=5, initiated_at_s=GENESIS_S)
    opened.evm.pass_time(DELAY_S)
    opened.send(opened.payer, opened.channels.finalize_withdraw(opened.config))
    assert opened.state().balance_minor == DEPOSIT + 5


# Refund


def test_a_refund_is_at_once(opened: ChannelWorld):
    before = opened.tokens(opened.payer.address)
    told = opened.told(opened.send(opened.receiver, opened.channels.refund(opened.config, 5)))
    assert told == [
        events.ChannelRefunded(channel_id=opened.id(), sender=opened.receiver.address, amount=5)
    ]
    assert opened.tokens(opened.payer.address) == before + 5
    assert opened.channels.refund_nonce(opened.id()).ask(opened.evm) == 1


def test_a_refund_of_all_closes(opened: ChannelWorld):
    """More than there is means all of it."""
    call = opened.channels.refund(opened.config, 2 * DEPOSIT)
    told = opened.told(opened.send(opened.receiver_authorizer, call))
    assert [type(event) for event in told] == [events.ChannelRefunded, events.ChannelClosed]
    assert told[0].amount == DEPOSIT
    assert opened.state().balance_minor == 0


def test_a_refund_leaves_what_is_claimed(opened: ChannelWorld):
    """B3: and the channel is not told closed, for something was claimed of it."""
    opened.claim(opened.row(40))
    told = opened.told(opened.send(opened.receiver, opened.channels.refund(opened.config, DEPOSIT)))
    assert [type(event) for event in told] == [events.ChannelRefunded]
    assert told[0].amount == DEPOSIT - 40
    assert opened.state() == ChannelState(balance_minor=40, total_claimed_minor=40)


def test_a_refund_of_nothing(opened: ChannelWorld):
    """The nonce advances even if nothing is left; nothing requested is refused."""
    with refused("ZeroRefund"):
        opened.send(opened.receiver, opened.channels.refund(opened.config, 0))
    opened.claim(opened.row(DEPOSIT))
    assert opened.send(opened.receiver, opened.channels.refund(opened.config, 5)).logs == ()
    assert opened.channels.refund_nonce(opened.id()).ask(opened.evm) == 1


@pytest.mark.parametrize(("refunded", "left"), [(3, 2), (5, 0), (9, 0)])
def test_a_refund_shortens_a_withdrawal(opened: ChannelWorld, refunded, left):
    """What came back need not be withdrawn; a smaller rest keeps its second."""
    opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, 5))
    opened.send(opened.receiver, opened.channels.refund(opened.config, refunded))
    pending = opened.channels.pending_withdrawal(opened.id()).ask(opened.evm)
    assert pending == PendingWithdrawal(amount_minor=left, initiated_at_s=GENESIS_S if left else 0)


def test_a_refund_by_signature(opened: ChannelWorld):
    """B9: once, for that channel, nonce and amount."""
    signature = opened.refund_signature(5, 0)
    call = opened.channels.refund_with_signature(opened.config, 5, nonce=0, signature=signature)
    other = opened.terms(salt=1)
    opened.deposit(DEPOSIT, other)
    for config, amount, nonce, reason in (
        (opened.config, 6, 0, "InvalidSignature"),
        (opened.config, 5, 1, "InvalidRefundNonce"),
        (other, 5, 0, "InvalidSignature"),
    ):
        forged = opened.channels.refund_with_signature(
            config, amount, nonce=nonce, signature=signature
        )
        with refused(reason):
            opened.send(opened.relay, forged)
    told = opened.told(opened.send(opened.relay, call))
    assert told[0].sender == opened.relay.address
    with refused("InvalidRefundNonce"):
        opened.send(opened.relay, call)
    assert opened.state().balance_minor == DEPOSIT - 5


def test_a_direct_refund_uses_up_the_nonce(opened: ChannelWorld):
    """B5: each its own, one after another."""
    signature = opened.refund_signature(5, 0)
    call = opened.channels.refund_with_signature(opened.config, 5, nonce=0, signature=signature)
    for used in (1, 2):
        opened.send(opened.receiver, opened.channels.refund(opened.config, 1))
        assert opened.channels.refund_nonce(opened.id()).ask(opened.evm) == used
        with refused("InvalidRefundNonce"):
            opened.send(opened.relay, call)


def test_the_bound_of_a_refunds_signature(opened: ChannelWorld):
    """The longest is judged, one octet more is no call at all."""
    for length, reason in ((1024, "InvalidSignature"), (1025, None)):
        signature = opened.refund_signature(5, 0).ljust(length, b"\x00")
        call = opened.channels.refund_with_signature(opened.config, 5, nonce=0, signature=signature)
        with refused(reason):
            opened.send(opened.relay, call)


def test_a_signed_refund_of_nothing(opened: ChannelWorld):
    signature = opened.refund_signature(0, 0)
    call = opened.channels.refund_with_signature(opened.config, 0, nonce=0, signature=signature)
    with refused("ZeroRefund"):
        opened.send(opened.relay, call)


def test_a_voucher_outlives_a_full_refund(opened: ChannelWorld):
    """The stated hazard: the same terms, so the same channel and the same vouchers."""
    row = opened.row(30)
    opened.send(opened.receiver, opened.channels.refund(opened.config, DEPOSIT))
    told = opened.told(opened.deposit(40))
    assert [type(event) for event in told] == [events.ChannelCreated, events.ChannelDeposited]
    opened.claim(row)
    assert opened.state() == ChannelState(balance_minor=40, total_claimed_minor=30)
    fresh = opened.terms(salt=9)
    opened.deposit(40, fresh)
    with refused("InvalidSignature"):
        opened.claim(replace(row, config=fresh))


def test_the_collector_serves_its_channels_alone(channel_world: ChannelWorld):
    """E1."""
    from opencarrier.chain.contracts import Erc3009DepositCollector
    from opencarrier.chain.model import Call

    world = channel_world
    data = Erc3009DepositCollector.artefact().call_data(
        "collect", world.payer.address, world.token.address, 1, bytes(32), b""
    )
    with refused("OnlyX402BatchSettlement"):
        world.send(world.relay, Call(to=world.collector.address, data=data))
    with refused("InvalidX402BatchSettlementAddress"):
        world.evm.deploy(world.owner.address, Erc3009DepositCollector.deployment(channels=ZERO))


def test_amounts_on_the_scale_of_the_story(opened: ChannelWorld):
    """A whole life: deposit, claims, settle, withdrawal; every token is where it belongs."""
    supply = opened.token.total_supply().ask(opened.evm)
    opened.claim(opened.row(10 * TOKEN))
    opened.settle()
    withdraw(opened, DEPOSIT - 10 * TOKEN)
    assert opened.tokens(opened.receiver.address) == 10 * TOKEN
    assert opened.tokens(opened.channels.address) == 0
    assert supply == opened.token.total_supply().ask(opened.evm)
