# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Payment channels
@license Apache-2.0
@notice One deposit, many signed vouchers, few claims: a payer signs how much of its
        channel may be claimed in all, the receiver claims the last voucher and sweeps
        what many channels owe it in one transfer. Twin of x402's `batch-settlement`
        contract: the same calls, errors, events and signatures. BatchChannels.md names
        the roles and the invariants.
@dev Two sums share a word by hand: the first in the low 128 bits, the second above.
     Custom errors are reverts of their selector.
"""

from ethereum.ercs import IERC20

from .interfaces import IBatchChannels

# @dev The calls `__default__` answers.
from .interfaces import IBatchClaims

# @dev Rows and signatures are read where they lie.
from .modules import calldata

# @dev One accepted form of a signature.
from .modules import ecdsa

# @dev The signing domain and its EIP-5267 description.
from .modules import eip712

# @dev Every payment.
from .modules import payment

implements: IBatchChannels

initializes: eip712

exports: eip712.eip712Domain


interface IDepositCollector:
    def collect(
        payer: address,
        token: address,
        amount: uint256,
        channelId: bytes32,
        collectorData: Bytes[COLLECTOR_DATA_MAX],
    ): nonpayable


# A row as it lies in the call data, its signature by position.
struct Row:
    channel: IBatchChannels.ChannelConfig
    max_claimable: uint128
    signature_at: uint256
    total_claimed: uint128


MIN_WITHDRAW_DELAY: public(constant(uint40)) = 15 * 60
MAX_WITHDRAW_DELAY: public(constant(uint40)) = 30 * 24 * 60 * 60
ROWS_MAX: constant(uint256) = 100
ROW_SIZE: constant(uint256) = 320
SIGNATURE_MAX: constant(uint256) = 1024
COLLECTOR_DATA_MAX: constant(uint256) = 2048
CALLS_MAX: constant(uint256) = 8
CALL_SIZE_MAX: constant(uint256) = 4096
RESULT_SIZE_MAX: constant(uint256) = 512

# Where a row keeps its channel's `receiverAuthorizer`.
AUTHORIZER_AT: constant(uint256) = 96
# Where the arguments of `claim` and `claimWithSignature` begin, and their second offset.
ARGUMENTS_AT: constant(uint256) = 4
AUTHORIZER_SIGNATURE_AT: constant(uint256) = 36
# Where `refundWithSignature` keeps the offset of its signature: behind seven terms and two numbers.
REFUND_SIGNATURE_AT: constant(uint256) = 292

LOW: constant(uint256) = 2**128 - 1
ARITHMETIC_PANIC: constant(uint256) = 17
ERC1271_VALID: constant(Bytes[32]) = x"1626ba7e00000000000000000000000000000000000000000000000000000000"

CLAIM: constant(Bytes[4]) = method_id(
    "claim((((address,address,address,address,address,uint40,bytes32),uint128),bytes,uint128)[])"
)
CLAIM_WITH_SIGNATURE: constant(Bytes[4]) = method_id(
    "claimWithSignature((((address,address,address,address,address,uint40,bytes32),uint128),bytes,uint128)[],bytes)"
)

CHANNEL_CONFIG_TYPEHASH: public(constant(bytes32)) = keccak256(
    "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
)
VOUCHER_TYPEHASH: public(constant(bytes32)) = keccak256(
    "Voucher(bytes32 channelId,uint128 maxClaimableAmount)"
)
REFUND_TYPEHASH: public(constant(bytes32)) = keccak256(
    "Refund(bytes32 channelId,uint256 nonce,uint128 amount)"
)
CLAIM_ENTRY_TYPEHASH: public(constant(bytes32)) = keccak256(
    "ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
)
CLAIM_BATCH_TYPEHASH: public(constant(bytes32)) = keccak256(
    "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
)

refundNonce: public(HashMap[bytes32, uint256])

# balance, total claimed
_channels: HashMap[bytes32, uint256]
# amount, second of the request
_withdrawals: HashMap[bytes32, uint256]
# total claimed, total settled
_receivers: HashMap[address, HashMap[address, uint256]]


@deploy
def __init__():
    """
    @dev The signing domain is the original's, but for where it stands.
    """
    eip712.__init__("x402 Batch Settlement", "1")


# The payer's part


@external
def deposit(
    config: IBatchChannels.ChannelConfig,
    amount: uint128,
    collector: address,
    collectorData: Bytes[COLLECTOR_DATA_MAX],
):
    """
    @notice Puts money into a channel, which exists from then on; anybody may call, the
            collector decides whether the payer's tokens come.
    @param config The channel's terms.
    @param amount How much arrives; another amount reverts.
    @param collector Who fetches the payer's tokens.
    @param collectorData What the collector needs for that: times, salt, signature.
    """
    self._check_terms(config)
    if amount == 0:
        raw_revert(method_id("ZeroDeposit()"))
    if collector == empty(address):
        raw_revert(method_id("InvalidCollector()"))
    channel: bytes32 = self._channel_id(config, eip712._domain_separator())
    deposited: uint256 = convert(amount, uint256)
    state: uint256 = self._channels[channel]
    if deposited > LOW - (state & LOW):
        raw_revert(method_id("DepositOverflow()"))
    state += deposited
    self._channels[channel] = state
    held: uint256 = staticcall IERC20(config.token).balanceOf(self)
    extcall IDepositCollector(collector).collect(
        config.payer, config.token, deposited, channel, collectorData
    )
    if staticcall IERC20(config.token).balanceOf(self) != held + deposited:
        raw_revert(method_id("DepositCollectionFailed()"))
    if state == deposited:
        log IBatchChannels.ChannelCreated(channelId=channel, config=config)
    log IBatchChannels.Deposited(
        channelId=channel,
        sender=msg.sender,
        amount=amount,
        newBalance=convert(state & LOW, uint128),
    )


@external
def initiateWithdraw(config: IBatchChannels.ChannelConfig, amount: uint128):
    """
    @notice Announces that unclaimed money will be taken out after the channel's delay;
            payer or its authorizer only. Until then the receiver claims as before.
    @param config The channel's terms.
    @param amount How much, at most what is unclaimed now.
    """
    if not self._is_payer_side(config):
        raw_revert(method_id("InvalidChannel()"))
    if amount == 0:
        raw_revert(method_id("NothingToWithdraw()"))
    channel: bytes32 = self._channel_id(config, eip712._domain_separator())
    if self._withdrawals[channel] != 0:
        raw_revert(method_id("WithdrawalAlreadyPending()"))
    wanted: uint256 = convert(amount, uint256)
    if wanted > self._unclaimed(self._channels[channel]):
        raw_revert(method_id("WithdrawAmountExceedsAvailable()"))
    self._withdrawals[channel] = wanted | block.timestamp << 128
    log IBatchChannels.WithdrawInitiated(
        channelId=channel,
        amount=amount,
        finalizeAfter=convert(block.timestamp, uint40) + config.withdrawDelay,
    )


@external
def finalizeWithdraw(config: IBatchChannels.ChannelConfig):
    """
    @notice Pays an announced withdrawal to the payer, as far as the money is still
            unclaimed; payer or its authorizer only.
    @param config The channel's terms.
    """
    if not self._is_payer_side(config):
        raw_revert(method_id("NotAuthorizedToFinalizeWithdraw()"))
    channel: bytes32 = self._channel_id(config, eip712._domain_separator())
    pending: uint256 = self._withdrawals[channel]
    if pending == 0:
        raw_revert(method_id("WithdrawalNotPending()"))
    if block.timestamp < (pending >> 128) + convert(config.withdrawDelay, uint256):
        raw_revert(method_id("WithdrawDelayNotElapsed()"))
    state: uint256 = self._channels[channel]
    amount: uint256 = min(pending & LOW, self._unclaimed(state))
    self._withdrawals[channel] = 0
    self._channels[channel] = state - amount
    log IBatchChannels.WithdrawFinalized(
        channelId=channel, sender=msg.sender, amount=convert(amount, uint128)
    )
    if state == amount:
        log IBatchChannels.ChannelClosed(channelId=channel, config=config)
    if amount != 0:
        payment._pay(config.token, config.payer, amount)


# The receiver's part


@external
def __default__():
    """
    @notice Answers `claim` and `claimWithSignature` of IBatchClaims: books what receivers
            take of their channels, up to the payers' vouchers. No money moves yet.
    @dev As typed arguments 100 rows with signatures of up to 1 KB would cost 51,000 gas
         for a single row, so both read their rows where they lie.
    """
    method: Bytes[4] = slice(msg.data, 0, 4)
    if method == CLAIM_WITH_SIGNATURE:
        self._claim_with_signature()
    else:
        assert method == CLAIM
        self._claim()


@external
def settle(receiver: address, token: address):
    """
    @notice Pays a receiver all it has claimed in a token and not been paid; anybody may call.
    @param receiver Who is paid.
    @param token In which token.
    """
    state: uint256 = self._receivers[receiver][token]
    claimed: uint256 = state & LOW
    amount: uint256 = claimed - (state >> 128)
    if amount == 0:
        return
    self._receivers[receiver][token] = claimed | claimed << 128
    payment._pay(token, receiver, amount)
    log IBatchChannels.Settled(
        receiver=receiver, token=token, sender=msg.sender, amount=convert(amount, uint128)
    )


@external
def refund(config: IBatchChannels.ChannelConfig, amount: uint128):
    """
    @notice Gives unclaimed money back to the payer at once; receiver or its authorizer only.
    @param config The channel's terms.
    @param amount How much; more than what is unclaimed means all of it.
    """
    if not self._is_receiver_side(config):
        raw_revert(method_id("NotAuthorizedToRefund()"))
    self._refund(config, self._channel_id(config, eip712._domain_separator()), amount)


@external
def refundWithSignature(
    config: IBatchChannels.ChannelConfig,
    amount: uint128,
    nonce: uint256,
    receiverAuthorizerSignature: Bytes[SIGNATURE_MAX],
):
    """
    @notice As `refund`, by the signature of the receiver's authorizer; anybody may submit it.
    @param config The channel's terms.
    @param amount How much; more than what is unclaimed means all of it.
    @param nonce The channel's `refundNonce`.
    @param receiverAuthorizerSignature Over channel, nonce and amount; read where it lies.
    """
    separator: bytes32 = eip712._domain_separator()
    channel: bytes32 = self._channel_id(config, separator)
    if nonce != self.refundNonce[channel]:
        raw_revert(method_id("InvalidRefundNonce()"))
    digest: bytes32 = self._refund_digest(channel, nonce, amount, separator)
    signature_at: uint256 = ARGUMENTS_AT + calldata._word(REFUND_SIGNATURE_AT)
    if not self._is_signed(config.receiverAuthorizer, digest, signature_at):
        raw_revert(method_id("InvalidSignature()"))
    self._refund(config, channel, amount)


# Everybody's part


@external
@reentrant
def multicall(
    data: DynArray[Bytes[CALL_SIZE_MAX], CALLS_MAX]
) -> DynArray[Bytes[RESULT_SIZE_MAX], CALLS_MAX]:
    """
    @notice Makes several calls to this contract for the caller, all or none.
    @dev Each call takes the lock for itself.
    @param data The calls.
    @return DynArray What each returned.
    """
    results: DynArray[Bytes[RESULT_SIZE_MAX], CALLS_MAX] = []
    for call: Bytes[CALL_SIZE_MAX] in data:
        results.append(
            raw_call(self, call, max_outsize=RESULT_SIZE_MAX, is_delegate_call=True)
        )
    return results


@external
@view
def channels(channelId: bytes32) -> (uint128, uint128):
    """
    @notice What a channel holds and what was claimed of it.
    @param channelId Which channel.
    @return uint128 All that was deposited less what the payer took back.
    @return uint128 All that was ever claimed.
    """
    return self._pair(self._channels[channelId])


@external
@view
def pendingWithdrawals(channelId: bytes32) -> (uint128, uint40):
    """
    @notice What a payer has announced to take out.
    @param channelId Which channel.
    @return uint128 How much.
    @return uint40 The second of the announcement, zero if there is none.
    """
    pending: uint256 = self._withdrawals[channelId]
    return convert(pending & LOW, uint128), convert(pending >> 128, uint40)


@external
@view
def receivers(receiver: address, token: address) -> (uint128, uint128):
    """
    @notice What a receiver has claimed in a token and been paid of it.
    @param receiver Which receiver.
    @param token Which token.
    @return uint128 All that was ever claimed.
    @return uint128 All that was ever paid.
    """
    return self._pair(self._receivers[receiver][token])


@external
@view
@reentrant
def getChannelId(config: IBatchChannels.ChannelConfig) -> bytes32:
    """
    @notice The id of the channel with these terms, here and on this chain.
    @param config The channel's terms.
    @return bytes32 The id.
    """
    return self._channel_id(config, eip712._domain_separator())


@external
@view
@reentrant
def getVoucherDigest(channelId: bytes32, maxClaimableAmount: uint128) -> bytes32:
    """
    @notice What a payer signs in a voucher.
    @param channelId Which channel.
    @param maxClaimableAmount How much may be claimed in all.
    @return bytes32 The digest.
    """
    return self._voucher_digest(channelId, maxClaimableAmount, eip712._domain_separator())


@external
@view
@reentrant
def getRefundDigest(channelId: bytes32, nonce: uint256, amount: uint128) -> bytes32:
    """
    @notice What a receiver's authorizer signs for a refund.
    @param channelId Which channel.
    @param nonce The channel's `refundNonce`.
    @param amount How much.
    @return bytes32 The digest.
    """
    return self._refund_digest(channelId, nonce, amount, eip712._domain_separator())


@external
@view
@reentrant
def getClaimBatchDigest(
    voucherClaims: DynArray[IBatchChannels.VoucherClaim, ROWS_MAX]
) -> bytes32:
    """
    @notice What a receiver's authorizer signs for a batch of claims.
    @param voucherClaims The rows; their signatures are not part of it.
    @return bytes32 The digest.
    """
    return self._claim_batch_digest(
        self._rows_at(), len(voucherClaims), eip712._domain_separator()
    )


# Claims


@internal
def _claim():
    """
    @dev Rows by the receiver or its authorizer itself, each row for its own channel.
    """
    separator: bytes32 = eip712._domain_separator()
    rows_at: uint256 = self._rows_at()
    for i: uint256 in range(self._rows_count(rows_at), bound=ROWS_MAX):
        row: Row = self._row(rows_at, i)
        if not self._is_receiver_side(row.channel):
            raw_revert(method_id("NotAuthorizedToClaim()"))
        self._claim_row(row, separator)


@internal
def _claim_with_signature():
    """
    @dev Rows under one signature of the authorizer they all name; anybody may submit it.
    """
    separator: bytes32 = eip712._domain_separator()
    rows_at: uint256 = self._rows_at()
    count: uint256 = self._rows_count(rows_at)
    first_at: uint256 = rows_at + calldata._word(rows_at)
    authorizer: address = convert(calldata._word(first_at + AUTHORIZER_AT), address)
    digest: bytes32 = self._claim_batch_digest(rows_at, count, separator)
    signature_at: uint256 = ARGUMENTS_AT + calldata._word(AUTHORIZER_SIGNATURE_AT)
    if not self._is_signed(authorizer, digest, signature_at):
        raw_revert(method_id("InvalidSignature()"))
    for i: uint256 in range(count, bound=ROWS_MAX):
        row: Row = self._row(rows_at, i)
        if row.channel.receiverAuthorizer != authorizer:
            raw_revert(method_id("NotReceiverAuthorizer()"))
        self._claim_row(row, separator)


@internal
def _claim_row(row: Row, separator: bytes32):
    """
    @dev Books one row. A row that claims nothing new is skipped before anything else of it
         is looked at, so a voucher may be shown again.
    """
    channel: bytes32 = self._channel_id(row.channel, separator)
    state: uint256 = self._channels[channel]
    total: uint256 = convert(row.total_claimed, uint256)
    claimed: uint256 = state >> 128
    if total <= claimed:
        return
    if row.total_claimed > row.max_claimable:
        raw_revert(method_id("ClaimExceedsCeiling()"))
    if total > state & LOW:
        raw_revert(method_id("ClaimExceedsBalance()"))
    self._check_voucher(row, self._voucher_digest(channel, row.max_claimable, separator))
    amount: uint256 = total - claimed
    self._channels[channel] = state & LOW | total << 128
    self._credit(row.channel.receiver, row.channel.token, amount)
    log IBatchChannels.Claimed(
        channelId=channel,
        sender=msg.sender,
        claimAmount=convert(amount, uint128),
        newTotalClaimed=row.total_claimed,
    )


@internal
def _credit(receiver: address, token: address, amount: uint256):
    """
    @dev Adds a claim to what the receiver is owed in the token.
    """
    state: uint256 = self._receivers[receiver][token]
    if amount > LOW - (state & LOW):
        raw_revert(abi_encode(ARITHMETIC_PANIC, method_id=method_id("Panic(uint256)")))
    self._receivers[receiver][token] = state + amount


@internal
@view
def _rows_at() -> uint256:
    """
    @dev Where the offsets of the rows begin; their number stands in the word before.
    """
    return ARGUMENTS_AT + calldata._word(ARGUMENTS_AT) + 32


@internal
@view
def _rows_count(rows_at: uint256) -> uint256:
    """
    @dev How many rows there are; none is refused.
    """
    count: uint256 = calldata._word(rows_at - 32)
    if count == 0:
        raw_revert(method_id("EmptyBatch()"))
    return count


@internal
@view
def _row(rows_at: uint256, i: uint256) -> Row:
    """
    @dev One row, every value within its type.
    """
    row_at: uint256 = rows_at + calldata._word(rows_at + 32 * i)
    row: Row = abi_decode(slice(msg.data, row_at, ROW_SIZE), Row)
    row.signature_at += row_at
    return row


@internal
@view
def _check_voucher(row: Row, digest: bytes32):
    """
    @dev The voucher is signed by the payer's authorizer, which is a key, or, where there is
         none, by the payer, which may be a contract.
    """
    authorizer: address = row.channel.payerAuthorizer
    if authorizer == empty(address):
        if not self._is_signed(row.channel.payer, digest, row.signature_at):
            raw_revert(method_id("InvalidSignature()"))
    elif self._recover(digest, row.signature_at) != authorizer:
        self._refuse_voucher(row, digest)


@internal
@view
def _refuse_voucher(row: Row, digest: bytes32):
    """
    @dev Says what is wrong with a key's signature: its length, its form, or its signer.
    """
    length: uint256 = calldata._word(row.signature_at)
    if length != 65:
        raw_revert(
            abi_encode(length, method_id=method_id("ECDSAInvalidSignatureLength(uint256)"))
        )
    s: uint256 = calldata._word(row.signature_at + 64)
    if s > convert(ecdsa.S_MAX, uint256):
        raw_revert(abi_encode(s, method_id=method_id("ECDSAInvalidSignatureS(bytes32)")))
    if self._recover(digest, row.signature_at) == empty(address):
        raw_revert(method_id("ECDSAInvalidSignature()"))
    raw_revert(method_id("InvalidSignature()"))


# Refunds


@internal
def _refund(config: IBatchChannels.ChannelConfig, channel: bytes32, requested: uint128):
    """
    @dev Pays back what is unclaimed, at most what was requested, and shortens an announced
         withdrawal by it. The nonce advances even if nothing is left to pay.
    """
    if requested == 0:
        raw_revert(method_id("ZeroRefund()"))
    self.refundNonce[channel] += 1
    state: uint256 = self._channels[channel]
    amount: uint256 = min(convert(requested, uint256), self._unclaimed(state))
    if amount == 0:
        return
    self._channels[channel] = state - amount
    self._shorten_withdrawal(channel, amount)
    log IBatchChannels.Refunded(
        channelId=channel, sender=msg.sender, amount=convert(amount, uint128)
    )
    if state == amount:
        log IBatchChannels.ChannelClosed(channelId=channel, config=config)
    payment._pay(config.token, config.payer, amount)


@internal
def _shorten_withdrawal(channel: bytes32, amount: uint256):
    """
    @dev What was refunded need not be withdrawn any more.
    """
    pending: uint256 = self._withdrawals[channel]
    if pending == 0:
        return
    self._withdrawals[channel] = 0 if amount >= pending & LOW else pending - amount


# Checks and digests


@internal
@pure
def _check_terms(config: IBatchChannels.ChannelConfig):
    """
    @dev A channel needs all parties but the payer's authorizer, and a delay within bounds.
    """
    if (
        config.payer == empty(address)
        or config.receiver == empty(address)
        or config.receiverAuthorizer == empty(address)
        or config.token == empty(address)
    ):
        raw_revert(method_id("InvalidChannel()"))
    if config.withdrawDelay < MIN_WITHDRAW_DELAY or config.withdrawDelay > MAX_WITHDRAW_DELAY:
        raw_revert(method_id("WithdrawDelayOutOfRange()"))


@internal
@view
def _is_payer_side(config: IBatchChannels.ChannelConfig) -> bool:
    """
    @dev The caller is the payer or its authorizer.
    """
    return msg.sender == config.payer or msg.sender == config.payerAuthorizer


@internal
@view
def _is_receiver_side(config: IBatchChannels.ChannelConfig) -> bool:
    """
    @dev The caller is the receiver or its authorizer.
    """
    return msg.sender == config.receiver or msg.sender == config.receiverAuthorizer


@internal
@view
def _is_signed(signer: address, digest: bytes32, signature_at: uint256) -> bool:
    """
    @dev A key signed, or a contract says that it did (ERC-1271).
    """
    if not signer.is_contract:
        return signer != empty(address) and self._recover(digest, signature_at) == signer
    asked: Bytes[SIGNATURE_MAX + 100] = abi_encode(
        digest,
        calldata._bytes(signature_at),
        method_id=method_id("isValidSignature(bytes32,bytes)"),
    )
    answered: bool = False
    answer: Bytes[32] = b""
    answered, answer = raw_call(
        signer, asked, max_outsize=32, is_static_call=True, revert_on_failure=False
    )
    return answered and answer == ERC1271_VALID


@internal
@view
def _recover(digest: bytes32, signature_at: uint256) -> address:
    """
    @dev Who signed with 65 bytes; the zero address for anything else.
    """
    if calldata._word(signature_at) != 65:
        return empty(address)
    return ecdsa._recover(digest, slice(msg.data, signature_at + 32, 65))


@internal
@pure
def _unclaimed(state: uint256) -> uint256:
    """
    @dev What a channel holds beyond what was claimed.
    """
    return (state & LOW) - (state >> 128)


@internal
@pure
def _pair(state: uint256) -> (uint128, uint128):
    """
    @dev The two sums of a word.
    """
    return convert(state & LOW, uint128), convert(state >> 128, uint128)


@internal
@pure
def _digest(separator: bytes32, struct_hash: bytes32) -> bytes32:
    """
    @dev What is signed for a struct, by a separator at hand: a batch makes many digests.
    """
    return keccak256(concat(x"1901", separator, struct_hash))


@internal
@pure
def _channel_id(config: IBatchChannels.ChannelConfig, separator: bytes32) -> bytes32:
    """
    @dev The digest of a channel's terms.
    """
    return self._digest(separator, keccak256(abi_encode(CHANNEL_CONFIG_TYPEHASH, config)))


@internal
@pure
def _voucher_digest(channel: bytes32, max_claimable: uint128, separator: bytes32) -> bytes32:
    """
    @dev What a payer signs.
    """
    return self._digest(
        separator, keccak256(abi_encode(VOUCHER_TYPEHASH, channel, max_claimable))
    )


@internal
@pure
def _refund_digest(
    channel: bytes32, nonce: uint256, amount: uint128, separator: bytes32
) -> bytes32:
    """
    @dev What a receiver's authorizer signs for a refund.
    """
    return self._digest(
        separator, keccak256(abi_encode(REFUND_TYPEHASH, channel, nonce, amount))
    )


@internal
@view
def _claim_batch_digest(rows_at: uint256, count: uint256, separator: bytes32) -> bytes32:
    """
    @dev What a receiver's authorizer signs for a batch of claims.
    """
    entries: DynArray[bytes32, ROWS_MAX] = []
    for i: uint256 in range(count, bound=ROWS_MAX):
        row: Row = self._row(rows_at, i)
        channel: bytes32 = self._channel_id(row.channel, separator)
        entries.append(
            keccak256(
                abi_encode(CLAIM_ENTRY_TYPEHASH, channel, row.max_claimable, row.total_claimed)
            )
        )
    root: bytes32 = keccak256(slice(abi_encode(entries), 64, 32 * count))
    return self._digest(separator, keccak256(abi_encode(CLAIM_BATCH_TYPEHASH, root)))
