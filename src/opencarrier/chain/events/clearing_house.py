"""What the clearing house tells: its events as data, amounts in the token's smallest unit."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.chain.events.base import (
    Event,
    OwnershipTransferred,
    OwnershipTransferStarted,
    named,
)
from opencarrier.kernel.signatures import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSet(Event):
    """A member was registered, or its membership ended."""

    member: Address
    registered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlerSet(Event):
    """Another account may settle."""

    settler: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributorSet(Event):
    """The distributor of host entitlements was named."""

    distributor: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class RulebookSet(Event):
    """Another rulebook is in force."""

    rulebook_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlePausedSet(Event):
    """New settlements were stopped or resumed."""

    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateSet(Event):
    """A member's standing mandate changed; `valid_until` in seconds since 1970 UTC."""

    member: Address
    cap_per_cycle: int
    valid_until: int
    rulebook_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited(Event):
    """A member's balance grew by a payer's tokens to `balance`."""

    member: Address
    payer: Address
    amount: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Event):
    """A cycle was settled; its rows follow as `NetApplied`."""

    cycle_id: bytes
    settlement_id: bytes
    sequence: int
    records_root: bytes
    netting_mode: int
    nets_count: int
    rewards_root: bytes
    rewards_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetApplied(Event):
    """A member gained (above zero) or paid (below zero) in a cycle and now holds `balance`."""

    cycle_id: bytes
    member: Address
    amount: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRequested(Event):
    """A member gave notice; payable from `ready_at`, in seconds since 1970 UTC."""

    member: Address
    amount: int
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalCancelled(Event):
    """A member took its notice back."""

    member: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(Event):
    """A member was paid and now holds `balance`."""

    member: Address
    amount: int
    balance: int


ALL = named(
    OwnershipTransferStarted,
    OwnershipTransferred,
    MemberSet,
    SettlerSet,
    DistributorSet,
    RulebookSet,
    SettlePausedSet,
    MandateSet,
    Deposited,
    Settled,
    NetApplied,
    WithdrawalRequested,
    WithdrawalCancelled,
    Withdrawn,
)
