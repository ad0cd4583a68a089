"""What the reward distributor tells: its events as data, amounts in the token's smallest unit."""

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
class RewardsPublished(Event):
    """A cycle's money for hosts arrived, `funded` in all, with the root that pays it later."""

    token: Address
    cycle_id: bytes
    root: bytes
    amount: int
    funded: int
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RootVetoed(Event):
    """The guardian keeps a root from ever paying."""

    token: Address
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Event):
    """An account was paid `amount`, which makes `lifetime_amount` in all."""

    account: Address
    token: Address
    amount: int
    lifetime_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSkipped(Event):
    """A claim in a batch failed and changed nothing."""

    account: Address
    token: Address
    lifetime_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutRequested(Event):
    """An account wants its claims paid elsewhere from `ready_at` on."""

    account: Address
    token: Address
    payout: Address
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutCancelled(Event):
    """An account took its request back."""

    account: Address
    token: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutSet(Event):
    """An account's claims are paid elsewhere; the zero address is the account itself."""

    account: Address
    token: Address
    payout: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRaiseRequested(Event):
    """A publication may add up to `cap` from `ready_at` on, once somebody applies it."""

    token: Address
    cap: int
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapSet(Event):
    """A publication may add up to `cap`."""

    token: Address
    cap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardianRequested(Event):
    """Another guardian may take office from `ready_at` on."""

    guardian: Address
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardianSet(Event):
    """A guardian took office."""

    guardian: Address


ALL = named(
    RewardsPublished,
    RootVetoed,
    Claimed,
    ClaimSkipped,
    PayoutRequested,
    PayoutCancelled,
    PayoutSet,
    CapRaiseRequested,
    CapSet,
    GuardianRequested,
    GuardianSet,
    OwnershipTransferStarted,
    OwnershipTransferred,
)
