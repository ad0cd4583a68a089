"""Channels in Python: what each call should do, and what the events alone say they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from opencarrier.chain import events


@dataclass
class Channel:
    """One channel's sums; `withdrawal` is an amount and its second, (0, 0) for none."""

    balance: int = 0
    claimed: int = 0
    withdrawal: tuple[int, int] = (0, 0)
    refund_nonce: int = 0
    highest_voucher: int = 0
    deposited: int = 0

    @property
    def unclaimed(self) -> int:
        return self.balance - self.claimed


@dataclass
class Model:
    """What the contract should hold, its channels by number; each call names its refusal.

    All channels have one payer, receiver and token, so payments are one number a side.
    """

    delay_s: int
    channels: list[Channel]
    claimed: int = 0
    settled: int = 0
    returned: int = 0

    @property
    def held(self) -> int:
        """All tokens the contract owes to anybody (B1)."""
        return sum(c.unclaimed for c in self.channels) + self.claimed - self.settled

    def deposit(self, number: int, amount: int) -> str | None:
        if amount == 0:
            return "ZeroDeposit"
        self.channels[number].balance += amount
        self.channels[number].deposited += amount
        return None

    def claim(self, rows: Iterable[tuple[int, int, int]]) -> str | None:
        """Rows of channel, ceiling and total, in order; nothing is kept of a refused batch."""
        rows = list(rows)
        if not rows:
            return "EmptyBatch"
        totals = {number: self.channels[number].claimed for number, _, _ in rows}
        for number, ceiling, total in rows:
            if total <= totals[number]:
                continue
            if total > ceiling:
                return "ClaimExceedsCeiling"
            if total > self.channels[number].balance:
                return "ClaimExceedsBalance"
            totals[number] = total
        for number, total in totals.items():
            self.claimed += total - self.channels[number].claimed
            self.channels[number].claimed = total
        return None

    def settle(self) -> int:
        due, self.settled = self.claimed - self.settled, self.claimed
        return due

    def announce(self, number: int, amount: int, now_s: int) -> str | None:
        channel = self.channels[number]
        if amount == 0:
            return "NothingToWithdraw"
        if channel.withdrawal != (0, 0):
            return "WithdrawalAlreadyPending"
        if amount > channel.unclaimed:
            return "WithdrawAmountExceedsAvailable"
        channel.withdrawal = (amount, now_s)
        return None

    def take(self, number: int, now_s: int) -> str | None:
        channel = self.channels[number]
        amount, since_s = channel.withdrawal
        if channel.withdrawal == (0, 0):
            return "WithdrawalNotPending"
        if now_s < since_s + self.delay_s:
            return "WithdrawDelayNotElapsed"
        channel.withdrawal = (0, 0)
        self._give_back(channel, min(amount, channel.unclaimed))
        return None

    def refund(self, number: int, amount: int) -> str | None:
        channel = self.channels[number]
        if amount == 0:
            return "ZeroRefund"
        channel.refund_nonce += 1
        paid = min(amount, channel.unclaimed)
        self._give_back(channel, paid)
        pending, since_s = channel.withdrawal
        left = max(pending - paid, 0)
        channel.withdrawal = (left, since_s) if left else (0, 0)
        return None

    def _give_back(self, channel: Channel, amount: int) -> None:
        channel.balance -= amount
        self.returned += amount


@dataclass
class Records:
    """What the events alone say (B12), by channel id and by receiver and token."""

    balance: Counter[bytes] = field(default_factory=Counter)
    claimed: Counter[bytes] = field(default_factory=Counter)
    pending: Counter[bytes] = field(default_factory=Counter)
    owed: Counter[tuple[str, str]] = field(default_factory=Counter)
    parties: dict[bytes, tuple[str, str]] = field(default_factory=dict)

    def take(self, told: Iterable[events.Event]) -> None:
        """Book events in their order."""
        for event in told:
            self._book(event)

    def _book(self, event: events.Event) -> None:
        match event:
            case events.ChannelCreated():
                config = event.config
                self.parties[event.channel_id] = (config.receiver, config.token)
            case events.ChannelDeposited():
                self.balance[event.channel_id] += event.amount
                assert event.new_balance == self.balance[event.channel_id]
            case events.ChannelClaimed():
                self.claimed[event.channel_id] += event.claim_amount
                assert event.new_total_claimed == self.claimed[event.channel_id]
                self.owed[self.parties[event.channel_id]] += event.claim_amount
            case events.ReceiverSettled():
                self.owed[event.receiver, event.token] -= event.amount
            case events.ChannelRefunded():
                self.balance[event.channel_id] -= event.amount
                left = self.pending[event.channel_id] - event.amount
                self.pending[event.channel_id] = max(left, 0)
            case events.WithdrawInitiated():
                self.pending[event.channel_id] = event.amount
            case events.WithdrawFinalized():
                self.balance[event.channel_id] -= event.amount
                self.pending[event.channel_id] = 0
            case events.ChannelClosed():
                assert self.balance[event.channel_id] == 0 == self.claimed[event.channel_id]
