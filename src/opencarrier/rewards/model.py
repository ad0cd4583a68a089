"""Entitlements as data. Amounts are in the smallest unit of the room's asset."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason
from opencarrier.kernel.signatures import Address

NO_ROOT = bytes(32)
"""The root of a cycle in which no host earned anything; the one in force stays."""


class RewardReason(Reason):
    """Why a proof or a claim is refused; of several that apply, the lowest is given."""

    UNKNOWN_ROOT = 1
    UNKNOWN_ACCOUNT = 2
    NOTHING_DUE = 3
    NOT_READY = 4


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EntitlementLeaf:
    """What a payout account has earned in a token since the beginning."""

    account: Address
    token: Address
    lifetime_minor: int

    def __post_init__(self) -> None:
        assert 0 < self.lifetime_minor < 1 << 256, "a leaf's amount is a positive uint256"


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRewards:
    """A cycle's money for hosts: `number` counts this asset's cycles, `funded_minor` all so far."""

    cycle_id: Id
    asset: AssetId
    number: int
    root: bytes
    total_minor: int
    funded_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What an account earned in a cycle, and the lifetime amount that makes."""

    account: Address
    amount_minor: int
    lifetime_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementProof:
    """A leaf and its siblings from the leaf up: with the root, all a claim needs."""

    root: bytes
    cycle_id: Id
    leaf: EntitlementLeaf
    siblings: tuple[bytes, ...]
