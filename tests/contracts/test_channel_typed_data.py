"""What is signed for channels: fixed vectors, a general encoder and the x402 SDK agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import key
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st
from test_bindings import DOMAIN_TYPE, addresses, reference_digest, uints, words
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.batch_settlement import constants as sdk_constants
from x402.mechanisms.evm.batch_settlement import types as sdk_types
from x402.mechanisms.evm.batch_settlement.authorizer_signer import (
    LocalAuthorizerSigner,
    sign_claim_batch,
    sign_refund,
)
from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
from x402.mechanisms.evm.batch_settlement.encoding import build_erc3009_deposit_nonce
from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id

from opencarrier.chain import typed_data
from opencarrier.chain.typed_data import ChannelConfig, ClaimEntry, SigningDomain
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import recover

CANONICAL = "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003"
HERE = typed_data.batch_channels_domain(chain_id=31337, contract=CANONICAL)
CONFIG_MEMBERS = (
    "address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,"
    "address token,uint40 withdrawDelay,bytes32 salt"
)
VECTOR = ChannelConfig(
    payer=CANONICAL,
    payer_authorizer=CANONICAL,
    receiver=CANONICAL,
    receiver_authorizer=CANONICAL,
    token=CANONICAL,
    withdraw_delay_s=900,
    salt=b"\x01" * 32,
)

amounts = st.integers(0, 2**128 - 1)
chain_ids = st.integers(1, 2**53 - 1)
domains = st.builds(
    lambda chain_id, contract: typed_data.batch_channels_domain(
        chain_id=chain_id, contract=contract
    ),
    chain_ids,
    addresses,
)
configs = st.builds(
    ChannelConfig,
    payer=addresses,
    payer_authorizer=addresses | st.just("0x" + "00" * 20),
    receiver=addresses,
    receiver_authorizer=addresses,
    token=addresses,
    withdraw_delay_s=st.integers(0, 2**40 - 1),
    salt=words,
)
entries = st.builds(
    ClaimEntry, channel_id=words, max_claimable_minor=amounts, total_claimed_minor=amounts
)


def test_vectors():
    """Measured on the canonical contract, anvil's chain id, canonical address."""
    identifier = typed_data.channel_id(HERE, VECTOR)
    digest = typed_data.voucher_digest(HERE, identifier, 12_345)
    assert HERE.separator.hex() == (
        "bf720f8d28a5c76a2f7743512598984fa4b90dd1efdb19af73f64cc6587d68af"
    )
    assert identifier.hex() == "b943d02cefafc5861bcf7f5679c1d19a257f844abc230fdf29d1e2f62f2b5d6b"
    assert digest.hex() == "46d2e6bb7c788e8c8e31aab86cd4e7bdf44eedd7d84fcdaae7bf64dff3f35d15"


@given(domains, configs)
def test_channel_id(domain: SigningDomain, config: ChannelConfig):
    values = (config.payer, config.payer_authorizer, config.receiver, config.receiver_authorizer)
    values += (config.token, config.withdraw_delay_s, config.salt)
    assert typed_data.channel_id(domain, config) == reference_digest(
        domain, "ChannelConfig", CONFIG_MEMBERS, values
    )


@given(domains, words, amounts, uints)
def test_voucher_and_refund_digests(domain: SigningDomain, channel, amount, nonce):
    assert typed_data.voucher_digest(domain, channel, amount) == reference_digest(
        domain, "Voucher", "bytes32 channelId,uint128 maxClaimableAmount", (channel, amount)
    )
    members = "bytes32 channelId,uint256 nonce,uint128 amount"
    assert typed_data.refund_digest(
        domain, channel_id=channel, nonce=nonce, amount_minor=amount
    ) == reference_digest(domain, "Refund", members, (channel, nonce, amount))


@given(domains, st.lists(entries, max_size=4))
def test_claim_batch_digest(domain: SigningDomain, rows: list[ClaimEntry]):
    """An empty batch has a digest too, though nobody can claim it."""
    claims = [
        {
            "channelId": row.channel_id,
            "maxClaimableAmount": row.max_claimable_minor,
            "totalClaimed": row.total_claimed_minor,
        }
        for row in rows
    ]
    signable = encode_typed_data(
        full_message={
            "types": {"EIP712Domain": DOMAIN_TYPE, **sdk_constants.CLAIM_BATCH_TYPES},
            "primaryType": "ClaimBatch",
            "domain": {
                "name": domain.name,
                "version": domain.version,
                "chainId": domain.chain_id,
                "verifyingContract": domain.contract,
            },
            "message": {"claims": claims},
        }
    )
    assert typed_data.claim_batch_digest(domain, rows) == keccak(
        b"\x19" + signable.version + signable.header + signable.body
    )


@given(chain_ids, configs, amounts, uints)
def test_the_sdk_signs_the_same(chain_id, config: ChannelConfig, amount, nonce):
    """The unmodified SDK's channel id, voucher, claim batch, refund and nonce are ours."""
    secret = keccak(b"receiver authorizer")
    signer = LocalAuthorizerSigner(Account.from_key(secret))
    us = key("receiver authorizer").address
    domain = typed_data.batch_channels_domain(chain_id=chain_id, contract=CANONICAL)
    identifier = typed_data.channel_id(domain, config)
    theirs = sdk_config(config)
    network = f"eip155:{chain_id}"
    assert compute_channel_id(theirs, network) == "0x" + identifier.hex()
    claims = [
        sdk_types.VoucherClaim(
            channel=theirs,
            max_claimable_amount=str(amount),
            signature="0x",
            total_claimed=str(amount // 2),
        )
    ]
    entry = ClaimEntry(
        channel_id=identifier, max_claimable_minor=amount, total_claimed_minor=amount // 2
    )
    batch = bytes.fromhex(sign_claim_batch(signer, claims, network)[2:])
    assert recover(typed_data.claim_batch_digest(domain, [entry]), batch) == us
    refund = sign_refund(signer, "0x" + identifier.hex(), amount, nonce, network)
    digest = typed_data.refund_digest(
        domain, channel_id=identifier, nonce=nonce, amount_minor=amount
    )
    assert recover(digest, bytes.fromhex(refund[2:])) == us
    voucher = sign_voucher(
        EthAccountSigner(Account.from_key(secret)), "0x" + identifier.hex(), str(amount), network
    )
    digest = typed_data.voucher_digest(domain, identifier, amount)
    assert recover(digest, bytes.fromhex(voucher.signature[2:])) == us
    assert build_erc3009_deposit_nonce("0x" + identifier.hex(), hex(nonce)) == (
        "0x" + typed_data.deposit_nonce(identifier, nonce).hex()
    )


def test_the_same_terms_elsewhere_are_another_channel():
    """B9: chain id and contract are part of a channel's name."""
    elsewhere = [
        replace(HERE, chain_id=HERE.chain_id + 1),
        replace(HERE, contract="0x" + "11" * 20),
    ]
    found = {typed_data.channel_id(domain, VECTOR) for domain in (HERE, *elsewhere)}
    assert len(found) == 3


@pytest.mark.parametrize("amount", [-1, 2**128])
def test_amounts_are_uint128(amount):
    entry = ClaimEntry(channel_id=bytes(32), max_claimable_minor=0, total_claimed_minor=amount)
    with pytest.raises(AssertionError, match="uint128"):
        typed_data.voucher_digest(HERE, bytes(32), amount)
    with pytest.raises(AssertionError, match="uint128"):
        typed_data.refund_digest(HERE, channel_id=bytes(32), nonce=0, amount_minor=amount)
    with pytest.raises(AssertionError, match="uint128"):
        typed_data.claim_batch_digest(HERE, [entry])


@pytest.mark.parametrize("delay_s", [-1, 2**40])
def test_delays_are_uint40(delay_s):
    with pytest.raises(AssertionError, match="uint40"):
        replace(VECTOR, withdraw_delay_s=delay_s)


def sdk_config(config: ChannelConfig) -> sdk_types.ChannelConfig:
    """The same terms in the SDK's words."""
    return sdk_types.ChannelConfig(
        payer=to_checksum_address(config.payer),
        payer_authorizer=to_checksum_address(config.payer_authorizer),
        receiver=to_checksum_address(config.receiver),
        receiver_authorizer=to_checksum_address(config.receiver_authorizer),
        token=to_checksum_address(config.token),
        withdraw_delay=config.withdraw_delay_s,
        salt="0x" + config.salt.hex(),
    )
