"""What the stable token tells: its events as data, amounts in the token's smallest unit."""

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


ALL = named(
    OwnershipTransferStarted,
    OwnershipTransferred,
    Transfer,
    Approval,
    AuthorizationUsed,
    AuthorizationCanceled,
    MinterSet,
    FrozenSet,
    PausedSet,
)
