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
from opencarrier.chain.contracts.reward_distributor import PROOF_MAX, RewardDistributor
from opencarrier.chain.contracts.stable_token import StableToken
from opencarrier.chain.errors import revert_reason

__all__ = [
    "GUARDIANS_MAX",
    "KEYS_MAX",
    "NETS_MAX",
    "NO_ROOT",
    "PROOF_MAX",
    "Ban",
    "ClearingHouse",
    "Contract",
    "Mandate",
    "NodeKey",
    "NodeRegistry",
    "Query",
    "RewardDistributor",
    "StableToken",
    "Stage",
    "Withdrawal",
    "canonical_nets",
    "revert_reason",
]
