"""What our contracts tell: their events as data, amounts in the token's smallest unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opencarrier.kernel.signatures import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; the class has the event's name and the fields its names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipTransferStarted(Event):
    """Ownership was offered; it takes effect when it is accepted."""

    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipTransferred(Event):
    """A contract has a new owner."""

    previous_owner: Address
    new_owner: Address


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardsPublished(Event):
    """A cycle's money for hosts arrived, `funded` in all, and their root with it."""

    cycle_id: bytes
    root: bytes
    amount: int
    funded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Event):
    """An account was paid `amount`, which makes `lifetime_amount` in all."""

    account: Address
    amount: int
    lifetime_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Event):
    """Tokens moved; the zero address sends what is minted and receives what is burnt."""

    sender: Address
    receiver: Address
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Event):
    """An allowance was set."""

    owner: Address
    spender: Address
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationUsed(Event):
    """A transfer by signature took place (ERC-3009)."""

    authorizer: Address
    nonce: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCanceled(Event):
    """A transfer by signature can no longer take place (ERC-3009)."""

    authorizer: Address
    nonce: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MinterSet(Event):
    """An account may mint, or no longer."""

    minter: Address
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenSet(Event):
    """An account was frozen or freed."""

    account: Address
    frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedSet(Event):
    """A token was paused or resumed."""

    paused: bool


ALL: Mapping[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
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
        RewardsPublished,
        Claimed,
        Transfer,
        Approval,
        AuthorizationUsed,
        AuthorizationCanceled,
        MinterSet,
        FrozenSet,
        PausedSet,
    )
}
"""Every event class by name."""
