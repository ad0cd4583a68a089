"""What holders of a token sign: permits (ERC-2612) and authorisations (ERC-3009)."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.chain.typed_data.base import SigningDomain, struct_hash
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

_AUTHORIZATION = (
    b"(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
PERMIT_TYPE_HASH = keccak(
    b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
TRANSFER_TYPE_HASH = keccak(b"TransferWithAuthorization" + _AUTHORIZATION)
RECEIVE_TYPE_HASH = keccak(b"ReceiveWithAuthorization" + _AUTHORIZATION)
CANCEL_TYPE_HASH = keccak(b"CancelAuthorization(address authorizer,bytes32 nonce)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A transfer by signature (ERC-3009); both times are exclusive, the nonce is free to choose."""

    sender: Address
    receiver: Address
    amount_minor: int
    valid_after_s: int
    valid_before_s: int
    nonce: bytes


def permit_digest(
    domain: SigningDomain,
    *,
    owner: Address,
    spender: Address,
    amount_minor: int,
    nonce: int,
    deadline_s: int,
) -> bytes:
    """Return what a holder signs to set an allowance (ERC-2612)."""
    return domain.digest(
        struct_hash(PERMIT_TYPE_HASH, owner, spender, amount_minor, nonce, deadline_s)
    )


def transfer_digest(domain: SigningDomain, authorization: Authorization) -> bytes:
    """Return what a holder signs for a transfer that anybody may submit (ERC-3009)."""
    return domain.digest(struct_hash(TRANSFER_TYPE_HASH, *_fields(authorization)))


def receive_digest(domain: SigningDomain, authorization: Authorization) -> bytes:
    """Return what a holder signs for a transfer that only the receiver may submit (ERC-3009)."""
    return domain.digest(struct_hash(RECEIVE_TYPE_HASH, *_fields(authorization)))


def cancel_digest(domain: SigningDomain, *, authorizer: Address, nonce: bytes) -> bytes:
    """Return what a holder signs to make an unused authorisation unusable (ERC-3009)."""
    return domain.digest(struct_hash(CANCEL_TYPE_HASH, authorizer, nonce))


def _fields(authorization: Authorization) -> tuple[str | int | bytes, ...]:
    return (
        authorization.sender,
        authorization.receiver,
        authorization.amount_minor,
        authorization.valid_after_s,
        authorization.valid_before_s,
        authorization.nonce,
    )
