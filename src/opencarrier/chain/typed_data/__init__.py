"""EIP-712 digests of everything our contracts take a signature for, a module for each.

All amounts are in the token's smallest unit, all times in seconds since 1970 UTC.
"""

from opencarrier.chain.typed_data.base import DOMAIN_TYPE_HASH, SigningDomain
from opencarrier.chain.typed_data.batch_channels import (
    BATCH_CHANNELS_NAME,
    BATCH_CHANNELS_VERSION,
    CHANNEL_CONFIG_TYPE_HASH,
    CLAIM_BATCH_TYPE_HASH,
    CLAIM_ENTRY_TYPE_HASH,
    REFUND_TYPE_HASH,
    VOUCHER_TYPE_HASH,
    ChannelConfig,
    ClaimEntry,
    batch_channels_domain,
    channel_id,
    claim_batch_digest,
    deposit_nonce,
    refund_digest,
    voucher_digest,
)
from opencarrier.chain.typed_data.clearing_house import (
    CLEARING_HOUSE_NAME,
    CLEARING_HOUSE_VERSION,
    DEBIT_TYPE_HASH,
    MANDATE_TYPE_HASH,
    clearing_house_domain,
    debit_digest,
    mandate_digest,
)
from opencarrier.chain.typed_data.stable_token import (
    CANCEL_TYPE_HASH,
    PERMIT_TYPE_HASH,
    RECEIVE_TYPE_HASH,
    TRANSFER_TYPE_HASH,
    Authorization,
    cancel_digest,
    permit_digest,
    receive_digest,
    transfer_digest,
)

__all__ = [
    "BATCH_CHANNELS_NAME",
    "BATCH_CHANNELS_VERSION",
    "CANCEL_TYPE_HASH",
    "CHANNEL_CONFIG_TYPE_HASH",
    "CLAIM_BATCH_TYPE_HASH",
    "CLAIM_ENTRY_TYPE_HASH",
    "CLEARING_HOUSE_NAME",
    "CLEARING_HOUSE_VERSION",
    "DEBIT_TYPE_HASH",
    "DOMAIN_TYPE_HASH",
    "MANDATE_TYPE_HASH",
    "PERMIT_TYPE_HASH",
    "RECEIVE_TYPE_HASH",
    "REFUND_TYPE_HASH",
    "TRANSFER_TYPE_HASH",
    "VOUCHER_TYPE_HASH",
    "Authorization",
    "ChannelConfig",
    "ClaimEntry",
    "SigningDomain",
    "batch_channels_domain",
    "cancel_digest",
    "channel_id",
    "claim_batch_digest",
    "clearing_house_domain",
    "debit_digest",
    "deposit_nonce",
    "mandate_digest",
    "permit_digest",
    "receive_digest",
    "refund_digest",
    "transfer_digest",
    "voucher_digest",
]
