"""Any sequence of both sides' acts on three channels against a Python model.

Whatever is tried either does what the model says or reverts for the model's reason; after every
step: solvency to the unit (B1), no more claimed than signed and deposited (B2), nothing shrinks
that must not (B5), and the events alone say what the contract says (B12). At the end both sides
leave with what is theirs (B6, B7).
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from channel_model import Channel, Model, Records
from channel_world import DELAY_S, DEPOSIT, ChannelWorld
from contract_evm import refused
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from opencarrier.chain.contracts import PendingWithdrawal, ReceiverState, VoucherClaim
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import KeySigner

CHANNELS = st.integers(0, 2)
AMOUNTS = st.sampled_from([0, 1, 2, 5, DEPOSIT - 1, DEPOSIT, 3 * DEPOSIT])
ROWS = st.lists(st.tuples(CHANNELS, AMOUNTS, AMOUNTS), max_size=4)
SIDES = st.booleans()


class Channels(RuleBasedStateMachine):
    @initialize()
    def deploy(self) -> None:
        self.world = ChannelWorld()
        self.configs = [self.world.terms(salt=number) for number in range(3)]
        self.model = Model(DELAY_S, [Channel() for _ in self.configs])
        self.records = Records()
        self.purse = self.world.tokens(self.world.payer.address)
        self.old: list[VoucherClaim] = []
        self.lowest: tuple[int, ...] = ()

    def attempt(self, sender: KeySigner, call: Call, refusal: str | None) -> None:
        """Send it; it must do what the model did, or revert for the model's reason."""
        with refused(refusal) if refusal else nullcontext():
            self.records.take(self.world.told(self.world.send(sender, call)))

    @rule(number=CHANNELS, amount=AMOUNTS)
    def deposit(self, number: int, amount: int) -> None:
        call = self.world.deposit_call(amount, self.configs[number])
        self.attempt(self.world.relay, call, self.model.deposit(number, amount))

    @rule(rows=ROWS, signed=SIDES)
    def claim(self, rows: list[tuple[int, int, int]], signed: bool) -> None:
        claims = [
            self.world.row(total, self.configs[number], ceiling=ceiling)
            for number, ceiling, total in rows
        ]
        for number, ceiling, _ in rows:
            channel = self.model.channels[number]
            channel.highest_voucher = max(channel.highest_voucher, ceiling)
        self.old += claims
        sender, call = self.world.receiver, self.world.channels.claim(claims)
        if signed:
            signature = self.world.batch_signature(claims)
            sender = self.world.relay
            call = self.world.channels.claim_with_signature(claims, signature)
        self.attempt(sender, call, self.model.claim(rows))

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """B4: an older claim again, whatever happened since, is judged by its numbers alone."""
        if not self.old:
            return
        claim = data.draw(st.sampled_from(self.old))
        number = self.configs.index(claim.config)
        row = (number, claim.max_claimable_minor, claim.total_claimed_minor)
        self.attempt(
            self.world.receiver, self.world.channels.claim([claim]), self.model.claim([row])
        )

    @rule(number=CHANNELS, amount=AMOUNTS)
    def forge(self, number: int, amount: int) -> None:
        """B9: a voucher for another channel, or by another key, never counts."""
        foreign = self.world.row(amount, self.configs[number])
        here = self.configs[number - 1]
        forged = self.world.row(amount, here, signature=foreign.signature)
        channel = self.model.channels[number - 1]
        if channel.claimed < amount <= channel.balance:
            self.attempt(
                self.world.receiver, self.world.channels.claim([forged]), "InvalidSignature"
            )

    @rule()
    def settle(self) -> None:
        self.model.settle()
        call = self.world.channels.settle(self.world.receiver.address, self.world.token.address)
        self.attempt(self.world.relay, call, None)

    @rule(number=CHANNELS, amount=AMOUNTS, by_payer=SIDES)
    def announce(self, number: int, amount: int, by_payer: bool) -> None:
        refusal = self.model.announce(number, amount, self.world.evm.now_s)
        sender = self.world.payer if by_payer else self.world.payer_authorizer
        call = self.world.channels.initiate_withdraw(self.configs[number], amount)
        self.attempt(sender, call, refusal)

    @rule(number=CHANNELS, by_payer=SIDES)
    def take(self, number: int, by_payer: bool) -> None:
        refusal = self.model.take(number, self.world.evm.now_s)
        sender = self.world.payer if by_payer else self.world.payer_authorizer
        self.attempt(sender, self.world.channels.finalize_withdraw(self.configs[number]), refusal)

    @rule(number=CHANNELS, amount=AMOUNTS, signed=SIDES)
    def refund(self, number: int, amount: int, signed: bool) -> None:
        config, nonce = self.configs[number], self.model.channels[number].refund_nonce
        sender, call = self.world.receiver, self.world.channels.refund(config, amount)
        if signed:
            signature = self.world.refund_signature(amount, nonce, config)
            sender = self.world.relay
            call = self.world.channels.refund_with_signature(
                config, amount, nonce=nonce, signature=signature
            )
        self.attempt(sender, call, self.model.refund(number, amount))

    @rule(seconds=st.sampled_from([1, DELAY_S - 1, DELAY_S]))
    def wait(self, seconds: int) -> None:
        self.world.evm.pass_time(seconds)

    @invariant()
    def the_contract_holds_what_it_owes(self) -> None:
        """B1, B3: to the unit; and nobody has more than the other side lost."""
        world, model = self.world, self.model
        assert world.tokens(world.channels.address) == model.held
        assert world.tokens(world.receiver.address) == model.settled
        spent = sum(channel.deposited for channel in model.channels)
        assert world.tokens(world.payer.address) == self.purse - spent + model.returned

    @invariant()
    def the_contract_is_the_model(self) -> None:
        """B2, B5."""
        world, model = self.world, self.model
        for config, channel in zip(self.configs, model.channels, strict=True):
            identifier, state = world.id(config), world.state(config)
            assert (state.balance_minor, state.total_claimed_minor) == (
                channel.balance,
                channel.claimed,
            )
            assert 0 <= channel.claimed <= min(channel.highest_voucher, channel.balance)
            assert channel.balance <= channel.deposited
            pending = world.channels.pending_withdrawal(identifier).ask(world.evm)
            assert pending == PendingWithdrawal(
                amount_minor=channel.withdrawal[0], initiated_at_s=channel.withdrawal[1]
            )
            nonce = world.channels.refund_nonce(identifier).ask(world.evm)
            assert nonce == channel.refund_nonce
        assert world.owed() == ReceiverState(
            total_claimed_minor=model.claimed, total_settled_minor=model.settled
        )
        rising = (model.claimed, model.settled, *(c.refund_nonce for c in model.channels))
        assert all(now >= then for now, then in zip(rising, self.lowest, strict=False))
        self.lowest = rising

    @invariant()
    def the_events_are_the_contract(self) -> None:
        """B12."""
        for config, channel in zip(self.configs, self.model.channels, strict=True):
            identifier = self.world.id(config)
            assert self.records.balance[identifier] == channel.balance
            assert self.records.claimed[identifier] == channel.claimed
            assert self.records.pending[identifier] == channel.withdrawal[0]
        due = self.model.claimed - self.model.settled
        pair = (self.world.receiver.address, self.world.token.address)
        assert self.records.owed[pair] == due

    def teardown(self) -> None:
        """B6, B7: without the other side's help everybody leaves with what is theirs."""
        if not hasattr(self, "model"):
            return
        self.settle()
        for number, channel in enumerate(self.model.channels):
            if channel.unclaimed and channel.withdrawal == (0, 0):
                self.announce(number, channel.unclaimed, True)
        self.wait(DELAY_S)
        for number, channel in enumerate(self.model.channels):
            if channel.withdrawal != (0, 0):
                self.take(number, False)
        left = sum(channel.unclaimed for channel in self.model.channels)
        assert self.world.tokens(self.world.channels.address) == left


def _case(*, max_examples: int, stateful_step_count: int):
    case = type("Case", (Channels.TestCase,), {})
    case.settings = settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return case


TestChannels = _case(max_examples=10, stateful_step_count=20)
TestChannelsDeep = pytest.mark.deep(
    pytest.mark.timeout(1200)(_case(max_examples=150, stateful_step_count=50))
)
