# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Deposits by the payer's signature
@license Apache-2.0
@notice Fetches a payer's tokens for a channel by an ERC-3009 authorisation, so that a payer
        needs no gas. The authorisation's nonce is made of the channel, so it pays for no
        other. Twin of x402's collector: the same calls, errors and nonces.
        Erc3009DepositCollector.md names the roles and the invariants.
"""

from .interfaces import IErc3009DepositCollector

# @dev Every payment.
from .modules import payment

implements: IErc3009DepositCollector


interface IERC3009:
    def receiveWithAuthorization(
        sender: address,
        receiver: address,
        amount: uint256,
        valid_after: uint256,
        valid_before: uint256,
        nonce: bytes32,
        signature: Bytes[SIGNATURE_MAX],
    ): nonpayable


SIGNATURE_MAX: constant(uint256) = 1024
COLLECTOR_DATA_MAX: constant(uint256) = 2048

x402BatchSettlement: public(immutable(address))


@deploy
def __init__(x402BatchSettlement_: address):
    """
    @param x402BatchSettlement_ The channels that may collect, and where the money goes.
    """
    if x402BatchSettlement_ == empty(address):
        raw_revert(method_id("InvalidX402BatchSettlementAddress()"))
    x402BatchSettlement = x402BatchSettlement_


@external
def collect(
    payer: address,
    token: address,
    amount: uint256,
    channelId: bytes32,
    collectorData: Bytes[COLLECTOR_DATA_MAX],
):
    """
    @notice Moves a payer's tokens to the channels; the channels only.
    @param payer Whose tokens, and who signed.
    @param token An ERC-3009 token whose authorisations carry their signature as bytes.
    @param amount How many.
    @param channelId The channel they are for; part of the nonce.
    @param collectorData The two times, a salt and the signature, as the ABI encodes them.
    """
    if msg.sender != x402BatchSettlement:
        raw_revert(method_id("OnlyX402BatchSettlement()"))
    valid_after: uint256 = 0
    valid_before: uint256 = 0
    salt: uint256 = 0
    signature: Bytes[SIGNATURE_MAX] = b""
    valid_after, valid_before, salt, signature = abi_decode(
        collectorData, (uint256, uint256, uint256, Bytes[SIGNATURE_MAX])
    )
    extcall IERC3009(token).receiveWithAuthorization(
        payer,
        self,
        amount,
        valid_after,
        valid_before,
        keccak256(abi_encode(channelId, salt)),
        signature,
    )
    payment._pay(token, x402BatchSettlement, amount)
