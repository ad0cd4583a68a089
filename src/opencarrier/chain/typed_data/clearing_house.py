"""What members of a clearing house sign."""

from __future__ import annotations

from opencarrier.chain.typed_data.base import SigningDomain, struct_hash
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

CLEARING_HOUSE_NAME = "opencarrier ClearingHouse"
CLEARING_HOUSE_VERSION = "1"

DEBIT_TYPE_HASH = keccak(
    b"Debit(bytes32 settlement_id,bytes32 rulebook_hash,address token,"
    b"address member,uint256 amount)"
)
MANDATE_TYPE_HASH = keccak(
    b"Mandate(address token,address member,uint256 cap_per_cycle,uint256 valid_until,"
    b"bytes32 rulebook_hash,uint256 nonce)"
)


def clearing_house_domain(*, chain_id: int, contract: Address) -> SigningDomain:
    """Return the signing domain of a clearing house."""
    return SigningDomain(
        name=CLEARING_HOUSE_NAME,
        version=CLEARING_HOUSE_VERSION,
        chain_id=chain_id,
        contract=contract,
    )


def debit_digest(
    domain: SigningDomain,
    *,
    settlement_id: bytes,
    rulebook_hash: bytes,
    token: Address,
    member: Address,
    amount_minor: int,
) -> bytes:
    """Return what a member signs to be debited; the id covers records, nets and rewards."""
    fields = (settlement_id, rulebook_hash, token, member, amount_minor)
    return domain.digest(struct_hash(DEBIT_TYPE_HASH, *fields))


def mandate_digest(
    domain: SigningDomain,
    *,
    token: Address,
    member: Address,
    cap_per_cycle_minor: int,
    valid_until_s: int,
    rulebook_hash: bytes,
    nonce: int,
) -> bytes:
    """Return what a member signs to be debited up to a cap in each cycle."""
    fields = (token, member, cap_per_cycle_minor, valid_until_s, rulebook_hash, nonce)
    return domain.digest(struct_hash(MANDATE_TYPE_HASH, *fields))
