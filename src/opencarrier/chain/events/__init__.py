"""What our contracts tell, a module for each; amounts in the token's smallest unit."""

from opencarrier.chain.events.base import Event, OwnershipTransferred, OwnershipTransferStarted
from opencarrier.chain.events.clearing_house import (
    Deposited,
    DistributorSet,
    MandateSet,
    MemberSet,
    NetApplied,
    RulebookSet,
    Settled,
    SettlePausedSet,
    SettlerSet,
    WithdrawalCancelled,
    WithdrawalRequested,
    Withdrawn,
)
from opencarrier.chain.events.reward_distributor import (
    Claimed,
    RewardsPublished,
    RootVetoed,
)
from opencarrier.chain.events.stable_token import (
    Approval,
    AuthorizationCanceled,
    AuthorizationUsed,
    FrozenSet,
    MinterSet,
    PausedSet,
    Transfer,
)
from opencarrier.chain.events.stake_discount import (
    SpendCapSet,
    StakeCommitted,
    StakeWithdrawn,
    TierSet,
)

__all__ = [
    "Approval",
    "AuthorizationCanceled",
    "AuthorizationUsed",
    "Claimed",
    "Deposited",
    "DistributorSet",
    "Event",
    "FrozenSet",
    "MandateSet",
    "MemberSet",
    "MinterSet",
    "NetApplied",
    "OwnershipTransferStarted",
    "OwnershipTransferred",
    "PausedSet",
    "RewardsPublished",
    "RootVetoed",
    "RulebookSet",
    "SettlePausedSet",
    "Settled",
    "SettlerSet",
    "SpendCapSet",
    "StakeCommitted",
    "StakeWithdrawn",
    "TierSet",
    "Transfer",
    "WithdrawalCancelled",
    "WithdrawalRequested",
    "Withdrawn",
]
