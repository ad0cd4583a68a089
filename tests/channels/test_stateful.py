"""Any order of use, payment, forgery, hand-over and withdrawal: the bounds hold.

Invariants: exposure of each side is at most one slice; what may be claimed is at most the voucher,
the acknowledged use at its price, and the deposit; the books say what the channel says.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from opencarrier.channels import store
from opencarrier.channels.model import Payment
from opencarrier.channels.rules import Gate, Standing, closed_gate, paid, used
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.spine.usage import ZERO, Counters

from .worlds import HOME, KIB, SETTINGS, World

DEPOSIT_MINOR = 2_000
SLICE_MINOR = 200
NODES = ("node-1", "node-2")


class PayAsYouUse(RuleBasedStateMachine):
    """An honest phone, an honest gate, and a thief who has every message that was ever sent."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.payer = self.world.payer()
        self.channel_id = self.world.opened(self.payer, deposit_minor=DEPOSIT_MINOR)
        self.sent: list[Payment] = []
        self.standing: Standing | None = None
        self.gate: Gate = closed_gate(SETTINGS)
        self.acked = ZERO
        self.names = 0
        self.priced_minor = 0

    def teardown(self) -> None:
        self.world.close()

    def pay(self, payment: Payment) -> bool:
        """Pay; the model knows what an honest payment earns."""
        taken = self.world.channels.pay(self.world.unit, payment, at_us=self.world.at_us)
        if isinstance(taken, Refusal):
            return False
        self.standing = taken
        return True

    @rule(node=st.sampled_from(NODES))
    def begin(self, node: str) -> None:
        self.names += 1
        grant = self.world.authorise(node)
        begun = self.world.channels.begin(
            self.world.unit,
            grant,
            self.channel_id,
            derive("test-session", self.names),
            at_us=self.world.at_us,
        )
        if isinstance(begun, Standing):
            self.standing, self.gate, self.acked = begun, closed_gate(SETTINGS), ZERO

    @precondition(lambda self: self.standing is not None)
    @rule(more=st.booleans())
    def settle(self, more: bool) -> None:
        """Acknowledge what was used, for the next slice or not."""
        assert self.standing is not None
        counters = Counters(
            session_time_s=self.gate.duration_s, octets_in=self.gate.octets, octets_out=0
        )
        asked = self.world.asked(self.standing)
        sign = self.payer.pay if more else self.payer.acknowledge
        payment = sign(asked, counters, now_s=self.world.now_s)
        if isinstance(payment, Refusal):
            return
        self.sent.append(payment)
        if not self.pay(payment):
            return
        before, after = self.world.priced(self.acked), self.world.priced(counters)
        assert before is not None
        assert after is not None
        self.priced_minor += after - before
        self.acked = counters
        offered = self.world.channels.offer(self.world.unit, self.standing.session)
        if offered is not None and offered.paid:
            self.gate = paid(self.gate, offered)

    @rule(octets=st.integers(0, 150 * KIB), seconds=st.integers(0, 90))
    def use(self, octets: int, seconds: int) -> None:
        self.gate, _ = used(self.gate, octets=octets, duration_s=seconds)

    @precondition(lambda self: self.sent)
    @rule(
        pick=st.integers(0, 50),
        amount=st.integers(0, 2 * DEPOSIT_MINOR),
        octets=st.integers(0, 300 * KIB),
        whose=st.sampled_from(["replay", "inflate", "stretch", "resequence"]),
    )
    def steal(self, pick: int, amount: int, octets: int, whose: str) -> None:
        """Replay, or change what was signed: nothing may be earned by it."""
        old = self.sent[pick % len(self.sent)]
        ack = old.ack
        forged = {
            "replay": old,
            "inflate": replace(old, max_claimable_minor=amount),
            "stretch": replace(old, ack=replace(ack, octets_in=octets)),
            "resequence": replace(old, ack=replace(ack, sequence=ack.sequence + 1)),
        }[whose]
        before = store.channel(self.world.unit, self.channel_id)
        taken = self.world.channels.pay(self.world.unit, forged, at_us=self.world.at_us)
        after = store.channel(self.world.unit, self.channel_id)
        if isinstance(taken, Refusal):
            assert after == before
        elif forged not in self.sent:
            raise AssertionError("a changed message was taken")
        else:
            assert after == before, "a replay moved money"

    @rule(seconds=st.sampled_from([1, 60, 700]))
    def wait(self, seconds: int) -> None:
        self.world.at_us += seconds * SECOND_US

    @precondition(lambda self: self.standing is not None)
    @rule()
    def end(self) -> None:
        assert self.standing is not None
        self.world.channels.end(self.world.unit, self.standing.session.session_id)
        self.gate = closed_gate(SETTINGS)

    @precondition(lambda self: self.names > 3)
    @rule()
    def withdraw(self) -> None:
        """The payer begins its withdrawal on chain."""
        channel = store.channel(self.world.unit, self.channel_id)
        assert channel is not None
        store.put_channel(self.world.unit, replace(channel, withdrawing=True))

    @invariant()
    def exposure_is_one_slice(self) -> None:
        """Each side trusts the other with one slice, in use and in money."""
        assert self.gate.octets - self.acked.octets_in <= SETTINGS.slice_octets
        assert self.gate.duration_s - self.acked.session_time_s <= SETTINGS.slice_s
        channel = store.channel(self.world.unit, self.channel_id)
        assert channel is not None
        assert channel.voucher_minor - channel.due_minor <= SLICE_MINOR

    @invariant()
    def claims_are_covered(self) -> None:
        """Claimed <= min(voucher, rated ack, deposit), and the books agree."""
        channel = store.channel(self.world.unit, self.channel_id)
        assert channel is not None
        assert channel.due_minor == self.priced_minor
        assert channel.claimable_minor <= min(
            channel.voucher_minor, self.priced_minor, channel.deposited_minor
        )
        assert self.world.posted(chart.vouchers(HOME)) == -channel.due_minor
        self.world.check()


PayAsYouUse.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
test_pay_as_you_use = PayAsYouUse.TestCase
