"""What payers and receivers of payment channels sign (x402 `batch-settlement`).

A channel has no registration: its id is the digest of its terms in the contract's signing domain,
so the same terms are another channel on another chain or in another contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opencarrier.chain.typed_data.base import SigningDomain, struct_hash
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

BATCH_CHANNELS_NAME = "x402 Batch Settlement"
BATCH_CHANNELS_VERSION = "1"

_CLAIM_ENTRY = b"ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
CHANNEL_CONFIG_TYPE_HASH = keccak(
    b"ChannelConfig(address payer,address payerAuthorizer,address receiver,"
    b"address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
)
VOUCHER_TYPE_HASH = keccak(b"Voucher(bytes32 channelId,uint128 maxClaimableAmount)")
REFUND_TYPE_HASH = keccak(b"Refund(bytes32 channelId,uint256 nonce,uint128 amount)")
CLAIM_ENTRY_TYPE_HASH = keccak(_CLAIM_ENTRY)
CLAIM_BATCH_TYPE_HASH = keccak(b"ClaimBatch(ClaimEntry[] claims)" + _CLAIM_ENTRY)

_AMOUNT_LIMIT = 1 << 128
_DELAY_LIMIT = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """The terms of a channel, fixed for its life.

    Vouchers are signed by `payer_authorizer`, or by the payer itself (a contract by ERC-1271)
    where that is the zero address. `receiver_authorizer` may claim and refund by signature.
    """

    payer: Address
    payer_authorizer: Address
    receiver: Address
    receiver_authorizer: Address
    token: Address
    withdraw_delay_s: int
    salt: bytes

    def __post_init__(self) -> None:
        assert 0 <= self.withdraw_delay_s < _DELAY_LIMIT, "a delay is a uint40"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEntry:
    """One row of a claim as the receiver's authorizer signs it."""

    channel_id: bytes
    max_claimable_minor: int
    total_claimed_minor: int


def batch_channels_domain(*, chain_id: int, contract: Address) -> SigningDomain:
    """Return the signing domain of a channel contract."""
    return SigningDomain(
        name=BATCH_CHANNELS_NAME,
        version=BATCH_CHANNELS_VERSION,
        chain_id=chain_id,
        contract=contract,
    )


def channel_id(domain: SigningDomain, config: ChannelConfig) -> bytes:
    """Return the id of the channel with these terms."""
    parties = (config.payer, config.payer_authorizer, config.receiver, config.receiver_authorizer)
    terms = (config.token, config.withdraw_delay_s, config.salt)
    return domain.digest(struct_hash(CHANNEL_CONFIG_TYPE_HASH, *parties, *terms))


def voucher_digest(domain: SigningDomain, channel_id: bytes, max_claimable: int) -> bytes:
    """Return what a payer signs to let `max_claimable` be claimed over a channel's whole life.

    Joined by hand, as one is checked for every slice of use.
    """
    assert len(channel_id) == 32, "a channel's id has 32 octets"
    amount = _amount(max_claimable).to_bytes(32, "big")
    return domain.digest(keccak(VOUCHER_TYPE_HASH + channel_id + amount))


def claim_batch_digest(domain: SigningDomain, entries: Sequence[ClaimEntry]) -> bytes:
    """Return what a receiver's authorizer signs so that anybody may submit its claims."""
    root = keccak(b"".join(_entry_hash(entry) for entry in entries))
    return domain.digest(struct_hash(CLAIM_BATCH_TYPE_HASH, root))


def refund_digest(
    domain: SigningDomain, *, channel_id: bytes, nonce: int, amount_minor: int
) -> bytes:
    """Return what a receiver's authorizer signs to give unclaimed money back to the payer."""
    return domain.digest(struct_hash(REFUND_TYPE_HASH, channel_id, nonce, _amount(amount_minor)))


def deposit_nonce(channel_id: bytes, salt: int) -> bytes:
    """Return the ERC-3009 nonce that ties a payer's authorisation to one channel."""
    return struct_hash(channel_id, salt)


def _entry_hash(entry: ClaimEntry) -> bytes:
    amounts = (_amount(entry.max_claimable_minor), _amount(entry.total_claimed_minor))
    return struct_hash(CLAIM_ENTRY_TYPE_HASH, entry.channel_id, *amounts)


def _amount(value: int) -> int:
    assert 0 <= value < _AMOUNT_LIMIT, "an amount is a uint128"
    return value
