"""What payment channels tell: their events as data, amounts in the token's smallest unit."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.chain.events.base import Event, named
from opencarrier.chain.typed_data.batch_channels import ChannelConfig
from opencarrier.kernel.signatures import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCreated(Event):
    """A channel holds money for the first time, or again after it was emptied unclaimed."""

    channel_id: bytes
    config: ChannelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelClosed(Event):
    """A channel of which nothing was ever claimed is empty."""

    channel_id: bytes
    config: ChannelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelDeposited(Event):
    """Money arrived in a channel."""

    channel_id: bytes
    sender: Address
    amount: int
    new_balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelClaimed(Event):
    """A receiver took more of a channel; its money waits to be settled."""

    channel_id: bytes
    sender: Address
    claim_amount: int
    new_total_claimed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettled(Event):
    """A receiver was paid what it had claimed."""

    receiver: Address
    token: Address
    sender: Address
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRefunded(Event):
    """A payer got unclaimed money back from the receiver's side."""

    channel_id: bytes
    sender: Address
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawInitiated(Event):
    """A payer announced a withdrawal; it can be taken from `finalize_after` on."""

    channel_id: bytes
    amount: int
    finalize_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawFinalized(Event):
    """A payer took unclaimed money out of a channel."""

    channel_id: bytes
    sender: Address
    amount: int


ALL = {
    **named(ChannelCreated, ChannelClosed, WithdrawInitiated, WithdrawFinalized),
    "Deposited": ChannelDeposited,
    "Claimed": ChannelClaimed,
    "Settled": ReceiverSettled,
    "Refunded": ChannelRefunded,
}
"""By the names their logs carry; four of them are other contracts' names too."""
