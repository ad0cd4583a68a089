"""What an account signs to stake without paying for gas."""

from __future__ import annotations

from opencarrier.chain.typed_data.base import SigningDomain, struct_hash
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

STAKE_DISCOUNT_NAME = "opencarrier StakeDiscount"
STAKE_DISCOUNT_VERSION = "1"

STAKE_TYPE_HASH = keccak(
    b"Stake(address account,uint256 amount,uint256 lock_s,uint256 nonce,uint256 deadline)"
)


def stake_discount_domain(*, chain_id: int, contract: Address) -> SigningDomain:
    """Return the signing domain of a stake contract."""
    return SigningDomain(
        name=STAKE_DISCOUNT_NAME,
        version=STAKE_DISCOUNT_VERSION,
        chain_id=chain_id,
        contract=contract,
    )


def stake_digest(
    domain: SigningDomain,
    *,
    account: Address,
    amount_minor: int,
    lock_s: int,
    nonce: int,
    deadline_s: int,
) -> bytes:
    """Return what an account signs to stake so much more for so long from then."""
    fields = (account, amount_minor, lock_s, nonce, deadline_s)
    return domain.digest(struct_hash(STAKE_TYPE_HASH, *fields))


def stake_authorization_nonce(lock_s: int, salt: bytes) -> bytes:
    """Return the nonce of an ERC-3009 authorisation that stakes for so long."""
    return struct_hash(lock_s, salt)
