"""What the registry of nodes tells: its events as data, amounts in the token's smallest unit.

Times are in seconds since 1970 UTC; a token's id is its node's id as a number.
"""

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
class Transfer(Event):
    """A node has another owner; the zero address sends what is minted (ERC-721)."""

    sender: Address
    receiver: Address
    token_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Event):
    """Somebody may move a node until it has moved; the zero address is nobody (ERC-721)."""

    owner: Address
    approved: Address
    token_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalForAll(Event):
    """Somebody may move all nodes of an owner, or no longer (ERC-721)."""

    owner: Address
    operator: Address
    approved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarSet(Event):
    """Another account may publish roots."""

    registrar: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class BeneficiarySet(Event):
    """Another account gets what bans cost."""

    beneficiary: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardiansSet(Event):
    """From now on `threshold` of these sign a ban."""

    guardians: tuple[Address, ...]
    threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RootPublished(Event):
    """Nodes are proven by another root."""

    epoch: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSet(Event):
    """A node has one more key, in force from `valid_from`."""

    node_id: bytes
    index: int
    operator: Address
    valid_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRevoked(Event):
    """A key of a node signs nothing from `compromised_from` on."""

    node_id: bytes
    index: int
    operator: Address
    compromised_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BondPosted(Event):
    """A node's bond grew by a payer's tokens to `bond`."""

    node_id: bytes
    payer: Address
    amount: int
    bond: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BondWithdrawalRequested(Event):
    """A node's owner gave notice; payable from `ready_at`."""

    node_id: bytes
    amount: int
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BondWithdrawalCancelled(Event):
    """A node's owner took its notice back."""

    node_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BondWithdrawn(Event):
    """A node's owner was paid; `bond` is left."""

    node_id: bytes
    owner: Address
    amount: int
    bond: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Banned(Event):
    """A node is banned until `ends_at`; `escrow` left its bond; an appeal is due by `due_at`."""

    node_id: bytes
    ban_id: bytes
    reason_hash: bytes
    evidence_root: bytes
    starts_at: int
    ends_at: int
    escrow: int
    due_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BanAppealed(Event):
    """A ban is before the arbiter, who decides by `due_at`."""

    ban_id: bytes
    grounds_hash: bytes
    due_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BanUpheld(Event):
    """A ban stood; its escrow is the beneficiary's."""

    ban_id: bytes
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BanLifted(Event):
    """A ban is over; its escrow went back to the node's bond, which is `bond` now."""

    ban_id: bytes
    node_id: bytes
    amount: int
    bond: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected(Event):
    """The beneficiary was paid what bans cost."""

    beneficiary: Address
    amount: int


ALL = named(
    OwnershipTransferStarted,
    OwnershipTransferred,
    Transfer,
    Approval,
    ApprovalForAll,
    RegistrarSet,
    ArbiterSet,
    BeneficiarySet,
    GuardiansSet,
    RootPublished,
    OperatorSet,
    OperatorRevoked,
    BondPosted,
    BondWithdrawalRequested,
    BondWithdrawalCancelled,
    BondWithdrawn,
    Banned,
    BanAppealed,
    BanUpheld,
    BanLifted,
    Collected,
)
