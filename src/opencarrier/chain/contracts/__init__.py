"""Our contracts as Python, one module each; `base` holds what they share."""

from opencarrier.chain.contracts.base import Contract, Query
from opencarrier.chain.contracts.batch_channels import (
    CALL_OCTETS_MAX,
    CALLS_MAX,
    CLAIM_ROWS_MAX,
    WITHDRAW_DELAY_S_MAX,
    WITHDRAW_DELAY_S_MIN,
    X402_SETTLEMENT_ADDRESS,
    BatchChannels,
    ChannelState,
    PendingWithdrawal,
    ReceiverState,
    VoucherClaim,
)
from opencarrier.chain.contracts.clearing_house import (
    NETS_MAX,
    NO_ROOT,
    ClearingHouse,
    Mandate,
    Withdrawal,
    canonical_nets,
)
from opencarrier.chain.contracts.erc3009_deposit_collector import (
    X402_COLLECTOR_ADDRESS,
    Erc3009DepositCollector,
    collector_data,
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
    "CALLS_MAX",
    "CALL_OCTETS_MAX",
    "CLAIMS_MAX",
    "CLAIM_ROWS_MAX",
    "GUARDIANS_MAX",
    "KEYS_MAX",
    "LOCK_MAX_S",
    "NETS_MAX",
    "NO_ROOT",
    "PROOF_MAX",
    "TIERS_MAX",
    "WITHDRAW_DELAY_S_MAX",
    "WITHDRAW_DELAY_S_MIN",
    "X402_COLLECTOR_ADDRESS",
    "X402_SETTLEMENT_ADDRESS",
    "AddressChange",
    "AmountChange",
    "Ban",
    "BatchChannels",
    "ChannelState",
    "ClearingHouse",
    "Contract",
    "Erc3009DepositCollector",
    "Mandate",
    "NodeKey",
    "NodeRegistry",
    "PendingWithdrawal",
    "Query",
    "ReceiverState",
    "RewardClaim",
    "RewardDistributor",
    "StableToken",
    "Stage",
    "Stake",
    "StakeDiscount",
    "Tier",
    "VoucherClaim",
    "Withdrawal",
    "canonical_nets",
    "collector_data",
    "revert_reason",
]
