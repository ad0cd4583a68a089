"""What the clearing house tells: its events as data, amounts in the token's smallest unit."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.chain.events.base import (
    ArbiterSet,
    Event,
    OwnershipTransferred,
    OwnershipTransferStarted,
    named,
)
from opencarrier.kernel.signatures import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenListed(Event):
    """A token may be held and settled, its next settlement after `last_sequence`."""

    token: Address
    last_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSet(Event):
    """A member was registered in a token, or its membership ended."""

    token: Address
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
    """Another rulebook is in force; mandates of earlier epochs have lapsed."""

    rulebook_hash: bytes
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlePausedSet(Event):
    """New settlements were stopped or resumed."""

    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateSet(Event):
    """A member's standing mandate changed; `valid_until` in seconds since 1970 UTC."""

    token: Address
    member: Address
    cap_per_cycle: int
    valid_until: int
    rulebook_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited(Event):
    """A member's balance grew by a payer's tokens to `balance`."""

    token: Address
    member: Address
    payer: Address
    amount: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Event):
    """A cycle was settled; each of `nets` is a member's row as `spine.ids.net_of_word` reads it."""

    cycle_id: bytes
    settlement_id: bytes
    token: Address
    sequence: int
    records_root: bytes
    netting_mode: int
    rewards_root: bytes
    rewards_amount: int
    nets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRequested(Event):
    """A member gave notice; payable from `ready_at`, in seconds since 1970 UTC."""

    token: Address
    member: Address
    amount: int
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalCancelled(Event):
    """A member took its notice back."""

    token: Address
    member: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(Event):
    """A member was paid and now holds `balance`."""

    token: Address
    member: Address
    amount: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CorridorOpened(Event):
    """A debtor lets a creditor claim, up to `cap` in escrow at a time."""

    token: Address
    debtor: Address
    creditor: Address
    window_s: int
    cap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CorridorClosed(Event):
    """A corridor takes no new claims from `closes_at`, in seconds since 1970 UTC."""

    token: Address
    debtor: Address
    creditor: Address
    closes_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPosted(Event):
    """A claim's amount left its debtor's balance for escrow, disputable before `deadline`."""

    claim_id: bytes
    debtor: Address
    creditor: Address
    token: Address
    cycle_id: bytes
    records_root: bytes
    amount: int
    deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDisputed(Event):
    """The undisputed part was paid to the creditor, the bond left the debtor's balance."""

    claim_id: bytes
    debtor: Address
    creditor: Address
    token: Address
    undisputed: int
    bond: int
    deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimOffered(Event):
    """A party of a dispute said how it would end it."""

    claim_id: bytes
    party: Address
    to_creditor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEnded(Event):
    """Escrow and bond were paid out, and a penalty from the creditor to the debtor."""

    claim_id: bytes
    debtor: Address
    creditor: Address
    token: Address
    to_creditor: int
    to_debtor: int
    penalty: int


ALL = named(
    OwnershipTransferStarted,
    OwnershipTransferred,
    TokenListed,
    MemberSet,
    SettlerSet,
    DistributorSet,
    ArbiterSet,
    RulebookSet,
    SettlePausedSet,
    MandateSet,
    Deposited,
    Settled,
    WithdrawalRequested,
    WithdrawalCancelled,
    Withdrawn,
    CorridorOpened,
    CorridorClosed,
    ClaimPosted,
    ClaimDisputed,
    ClaimOffered,
    ClaimEnded,
)
