"""Our contracts as Python, one module each; `base` holds what they share."""

from opencarrier.chain.contracts.base import Contract, Query
from opencarrier.chain.contracts.clearing_house import (
    NETS_MAX,
    NO_ROOT,
    ClearingHouse,
    Mandate,
    Withdrawal,
    canonical_nets,
)
from opencarrier.chain.contracts.node_registry import (
    GUARDIANS_MAX,
    KEYS_MAX,
    Ban,
    NodeKey,
    NodeRegistry,
    Stage,
)
from opencarrier.chain.contracts.reward_distributor import (
    CLAIMS_MAX,
    PROOF_MAX,
    AddressChange,
    AmountChange,
    RewardClaim,
    RewardDistributor,
)
from opencarrier.chain.contracts.stable_token import StableToken
from opencarrier.chain.contracts.stake_discount import (
    LOCK_MAX_S,
    TIERS_MAX,
    Stake,
    StakeDiscount,
    Tier,
)
from opencarrier.chain.errors import revert_reason

__all__ = [
    "CLAIMS_MAX",
    "GUARDIANS_MAX",
    "KEYS_MAX",
    "LOCK_MAX_S",
    "NETS_MAX",
    "NO_ROOT",
    "PROOF_MAX",
    "TIERS_MAX",
    "AddressChange",
    "AmountChange",
    "Ban",
    "ClearingHouse",
    "Contract",
    "Mandate",
    "NodeKey",
    "NodeRegistry",
    "Query",
    "RewardClaim",
    "RewardDistributor",
    "StableToken",
    "Stage",
    "Stake",
    "StakeDiscount",
    "Tier",
    "Withdrawal",
    "canonical_nets",
    "revert_reason",
]
