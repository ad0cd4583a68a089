"""What the stake for discount tells: its events as data, amounts in the token's smallest unit."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.chain.events.base import Event, named
from opencarrier.kernel.signatures import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class TierSet(Event):
    """At deployment: so much locked for so long carries a discount in parts per million."""

    min_amount: int
    min_lock_s: int
    discount_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendCapSet(Event):
    """At deployment: discounted spend a lock carries, in parts per million of its amount."""

    cap_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeCommitted(Event):
    """An account added to its stake, which is `amount` now and locked until `unlock_at`."""

    account: Address
    added: int
    amount: int
    lock_s: int
    unlock_at: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeWithdrawn(Event):
    """An account has its whole stake back."""

    account: Address
    amount: int
    withdrawn_at: int
    total: int


ALL = named(
    TierSet,
    SpendCapSet,
    StakeCommitted,
    StakeWithdrawn,
)
