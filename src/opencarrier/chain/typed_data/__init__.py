"""EIP-712 digests of everything our contracts take a signature for, a module for each.

All amounts are in the token's smallest unit, all times in seconds since 1970 UTC.
"""

from opencarrier.chain.typed_data.base import DOMAIN_TYPE_HASH, SigningDomain
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
    "CANCEL_TYPE_HASH",
    "CLEARING_HOUSE_NAME",
    "CLEARING_HOUSE_VERSION",
    "DEBIT_TYPE_HASH",
    "DOMAIN_TYPE_HASH",
    "MANDATE_TYPE_HASH",
    "PERMIT_TYPE_HASH",
    "RECEIVE_TYPE_HASH",
    "TRANSFER_TYPE_HASH",
    "Authorization",
    "SigningDomain",
    "cancel_digest",
    "clearing_house_domain",
    "debit_digest",
    "mandate_digest",
    "permit_digest",
    "receive_digest",
    "transfer_digest",
]
