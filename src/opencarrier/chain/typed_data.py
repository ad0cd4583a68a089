"""EIP-712 digests of everything our contracts take a signature for, computed by hand.

Thirty times faster than a general encoder and read against one in the tests. All amounts are in
the token's smallest unit, all times in seconds since 1970 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

CLEARING_HOUSE_NAME = "opencarrier ClearingHouse"
CLEARING_HOUSE_VERSION = "1"

_AUTHORIZATION = (
    b"(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
DOMAIN_TYPE_HASH = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
DEBIT_TYPE_HASH = keccak(
    b"Debit(bytes32 cycle_id,bytes32 records_root,bytes32 rulebook_hash,"
    b"address member,uint256 amount)"
)
MANDATE_TYPE_HASH = keccak(
    b"Mandate(address member,uint256 cap_per_cycle,uint256 valid_until,"
    b"bytes32 rulebook_hash,uint256 nonce)"
)
PERMIT_TYPE_HASH = keccak(
    b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
TRANSFER_TYPE_HASH = keccak(b"TransferWithAuthorization" + _AUTHORIZATION)
RECEIVE_TYPE_HASH = keccak(b"ReceiveWithAuthorization" + _AUTHORIZATION)
CANCEL_TYPE_HASH = keccak(b"CancelAuthorization(address authorizer,bytes32 nonce)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningDomain:
    """Where a signature counts: one contract on one chain (EIP-712)."""

    name: str
    version: str
    chain_id: int
    contract: Address

    @property
    def separator(self) -> bytes:
        """The domain's separator, equal to the contract's DOMAIN_SEPARATOR()."""
        return _hash(
            DOMAIN_TYPE_HASH,
            keccak(self.name.encode()),
            keccak(self.version.encode()),
            self.chain_id,
            self.contract,
        )

    def digest(self, struct_hash: bytes) -> bytes:
        """Return what is signed for a struct in this domain."""
        return keccak(b"\x19\x01" + self.separator + struct_hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A transfer by signature (ERC-3009); both times are exclusive, the nonce is free to choose."""

    sender: Address
    receiver: Address
    amount_minor: int
    valid_after_s: int
    valid_before_s: int
    nonce: bytes


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
    cycle_id: bytes,
    records_root: bytes,
    rulebook_hash: bytes,
    member: Address,
    amount_minor: int,
) -> bytes:
    """Return what a member signs to be debited in a cycle."""
    fields = (cycle_id, records_root, rulebook_hash, member, amount_minor)
    return domain.digest(_hash(DEBIT_TYPE_HASH, *fields))


def mandate_digest(
    domain: SigningDomain,
    *,
    member: Address,
    cap_per_cycle_minor: int,
    valid_until_s: int,
    rulebook_hash: bytes,
    nonce: int,
) -> bytes:
    """Return what a member signs to be debited up to a cap in each cycle."""
    fields = (member, cap_per_cycle_minor, valid_until_s, rulebook_hash, nonce)
    return domain.digest(_hash(MANDATE_TYPE_HASH, *fields))


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
    return domain.digest(_hash(PERMIT_TYPE_HASH, owner, spender, amount_minor, nonce, deadline_s))


def transfer_digest(domain: SigningDomain, authorization: Authorization) -> bytes:
    """Return what a holder signs for a transfer that anybody may submit (ERC-3009)."""
    return domain.digest(_hash(TRANSFER_TYPE_HASH, *_fields(authorization)))


def receive_digest(domain: SigningDomain, authorization: Authorization) -> bytes:
    """Return what a holder signs for a transfer that only the receiver may submit (ERC-3009)."""
    return domain.digest(_hash(RECEIVE_TYPE_HASH, *_fields(authorization)))


def cancel_digest(domain: SigningDomain, *, authorizer: Address, nonce: bytes) -> bytes:
    """Return what a holder signs to make an unused authorisation unusable (ERC-3009)."""
    return domain.digest(_hash(CANCEL_TYPE_HASH, authorizer, nonce))


def _fields(authorization: Authorization) -> tuple[str | int | bytes, ...]:
    return (
        authorization.sender,
        authorization.receiver,
        authorization.amount_minor,
        authorization.valid_after_s,
        authorization.valid_before_s,
        authorization.nonce,
    )


def _hash(*words: bytes | int | str) -> bytes:
    return keccak(b"".join(_word(word) for word in words))


def _word(value: bytes | int | str) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    if isinstance(value, str):
        octets = bytes.fromhex(value.removeprefix("0x"))
        assert len(octets) == 20, "an address has 20 octets"
        return bytes(12) + octets
    assert len(value) == 32, "a hash has 32 octets"
    return value
