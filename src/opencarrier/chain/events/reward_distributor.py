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


ALL = named(
    RewardsPublished,
    RootVetoed,
    Claimed,
    OwnershipTransferStarted,
    OwnershipTransferred,
)
