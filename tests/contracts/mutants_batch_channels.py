"""Mutants of BatchChannels.vy, of its collector and of what both share.

Equivalent, so not listed: `state == deposited` as the balance alone, for a channel without money
is one of which nothing was claimed (B2); `_shorten_withdrawal` without its early return, which
writes the nothing that is there.
"""

from __future__ import annotations

from mutant import of

SUITE = {
    "BatchChannels": (
        "test_batch_channels.py",
        "test_channel_calls.py",
        "test_channel_hostile.py",
        "test_channel_cheating.py",
        "test_authority_batch_channels.py",
        "test_stateful_batch_channels.py",
    ),
    "Erc3009DepositCollector": (
        "test_deposit_collector.py",
        "test_batch_channels.py",
        "test_authority_batch_channels.py",
    ),
}
"""The tests that know the contracts best; they run first."""

_DEPOSIT = (
    ("@external\ndef deposit(", "@external\n@reentrant\ndef deposit("),
    ("@external\ndef initiateWithdraw(", "@external\n@reentrant\ndef initiateWithdraw("),
    ("@external\ndef finalizeWithdraw(", "@external\n@reentrant\ndef finalizeWithdraw("),
    ("@external\ndef __default__(", "@external\n@reentrant\ndef __default__("),
    ("@external\ndef settle(", "@external\n@reentrant\ndef settle("),
    ("@external\ndef refund(", "@external\n@reentrant\ndef refund("),
    ("@external\n@view\ndef channels(", "@external\n@view\n@reentrant\ndef channels("),
    ("config.payer == empty(address)\n", "False\n"),
    ("or config.receiver == empty(address)", ""),
    ("or config.receiverAuthorizer == empty(address)", ""),
    ("or config.token == empty(address)", ""),
    ("config.withdrawDelay < MIN_WITHDRAW_DELAY", "config.withdrawDelay <= MIN_WITHDRAW_DELAY"),
    ("config.withdrawDelay > MAX_WITHDRAW_DELAY", "config.withdrawDelay >= MAX_WITHDRAW_DELAY"),
    ("config.withdrawDelay < MIN_WITHDRAW_DELAY or ", ""),
    (" or config.withdrawDelay > MAX_WITHDRAW_DELAY", ""),
    ("= 15 * 60", "= 15 * 61"),
    ("= 30 * 24 * 60 * 60", "= 31 * 24 * 60 * 60"),
    ("    self._check_terms(config)\n", ""),
    ('    if amount == 0:\n        raw_revert(method_id("ZeroDeposit()"))\n', ""),
    ("    if collector == empty(address):\n", "    if False:\n"),
    ("deposited > LOW - (state & LOW)", "deposited >= LOW - (state & LOW)"),
    ("deposited > LOW - (state & LOW)", "False"),
    ("    state += deposited\n    self._channels[channel] = state\n", "    state += deposited\n"),
    ("balanceOf(self) != held + deposited", "balanceOf(self) < held + deposited"),
    ("balanceOf(self) != held + deposited", "balanceOf(self) > held + deposited"),
    ("    if state == deposited:\n", "    if True:\n"),
)

_WITHDRAWAL = (
    ('    if amount == 0:\n        raw_revert(method_id("NothingToWithdraw()"))\n', ""),
    ("if self._withdrawals[channel] != 0:", "if False:"),
    ("wanted > self._unclaimed(", "wanted >= self._unclaimed("),
    ("wanted > self._unclaimed(self._channels[channel])", "wanted > self._channels[channel] & LOW"),
    ("wanted | block.timestamp << 128", "wanted | 1 << 128"),
    ("convert(block.timestamp, uint40) + config.withdrawDelay", "convert(block.timestamp, uint40)"),
    ("    if pending == 0:\n        raw_revert", "    if False:\n        raw_revert"),
    ("block.timestamp < (pending >> 128)", "block.timestamp <= (pending >> 128)"),
    (" + convert(config.withdrawDelay, uint256)", ""),
    ("min(pending & LOW, self._unclaimed(state))", "pending & LOW"),
    ("min(pending & LOW, self._unclaimed(state))", "self._unclaimed(state)"),
    ("min(pending & LOW, self._unclaimed(state))", "min(pending & LOW, state & LOW)"),
    ("    self._withdrawals[channel] = 0\n", ""),
    (
        "    self._channels[channel] = state - amount\n    log IBatchChannels.WithdrawFinalized",
        "    log IBatchChannels.WithdrawFinalized",
    ),
    ("    if amount != 0:\n        payment._pay(config.token, config.payer, amount)\n", ""),
    (
        "payment._pay(config.token, config.payer, amount)",
        "payment._pay(config.token, msg.sender, amount)",
    ),
    ("    if not self._is_payer_side(config):\n", "    if False:\n"),
    ("return msg.sender == config.payer or msg.sender == config.payerAuthorizer", "return True"),
    (
        "return msg.sender == config.payer or msg.sender == config.payerAuthorizer",
        "return msg.sender == config.payer",
    ),
)

_CLAIM = (
    ("        assert method == CLAIM\n", ""),
    ("if method == CLAIM_WITH_SIGNATURE:", "if method != CLAIM:"),
    ("        if not self._is_receiver_side(row.channel):\n", "        if False:\n"),
    (
        "return msg.sender == config.receiver or msg.sender == config.receiverAuthorizer",
        "return msg.sender == config.receiver",
    ),
    (
        "return msg.sender == config.receiver or msg.sender == config.receiverAuthorizer",
        "return True",
    ),
    ("    if not self._is_signed(authorizer, digest, signature_at):\n", "    if False:\n"),
    ("if row.channel.receiverAuthorizer != authorizer:", "if False:"),
    ("    if total <= claimed:\n        return\n", ""),
    ("    if total <= claimed:\n", "    if total < claimed:\n"),
    ("row.total_claimed > row.max_claimable", "row.total_claimed >= row.max_claimable"),
    ("row.total_claimed > row.max_claimable", "False"),
    ("total > state & LOW", "total >= state & LOW"),
    ("total > state & LOW", "False"),
    ("    self._check_voucher(row, self._voucher_digest(channel, row.max_claimable,", "    pass #"),
    (
        "self._voucher_digest(channel, row.max_claimable, separator)",
        "self._voucher_digest(channel, row.total_claimed, separator)",
    ),
    ("amount: uint256 = total - claimed\n", "amount: uint256 = total\n"),
    ("    self._channels[channel] = state & LOW | total << 128\n", ""),
    ("state & LOW | total << 128", "state & LOW | amount << 128"),
    (
        "self._credit(row.channel.receiver, row.channel.token, amount)",
        "self._credit(msg.sender, row.channel.token, amount)",
    ),
    ("    self._credit(row.channel.receiver, row.channel.token, amount)\n", ""),
    ("amount > LOW - (state & LOW)", "False"),
    ("amount > LOW - (state & LOW)", "amount >= LOW - (state & LOW)"),
    ('        raw_revert(method_id("EmptyBatch()"))\n', "        return 0\n"),
    ("    row.signature_at += row_at\n", ""),
    ("first_at + AUTHORIZER_AT", "first_at + 64"),
    (
        "REFUND_SIGNATURE_AT: constant(uint256) = 292",
        "REFUND_SIGNATURE_AT: constant(uint256) = 260",
    ),
    (
        "range(self._rows_count(rows_at), bound=ROWS_MAX)",
        "range(self._rows_count(rows_at), bound=99)",
    ),
    (
        "range(self._rows_count(rows_at), bound=ROWS_MAX)",
        "range(self._rows_count(rows_at), bound=101)",
    ),
    ("slice(abi_encode(entries), 64, 32 * count)", "slice(abi_encode(entries), 32, 32 * count)"),
)

_SIGNED = (
    ("    if authorizer == empty(address):\n", "    if False:\n"),
    ("elif self._recover(digest, row.signature_at) != authorizer:", "elif False:"),
    ("    if length != 65:\n", "    if False:\n"),
    ("s > convert(ecdsa.S_MAX, uint256)", "s >= convert(ecdsa.S_MAX, uint256)"),
    ("s > convert(ecdsa.S_MAX, uint256)", "False"),
    ("    if self._recover(digest, row.signature_at) == empty(address):\n", "    if False:\n"),
    ("    if calldata._word(signature_at) != 65:\n        return empty(address)\n", ""),
    ("if not signer.is_contract:", "if True:"),
    ("signer != empty(address) and self._recover", "self._recover"),
    ("return answered and answer == ERC1271_VALID", "return answered"),
    ("return answered and answer == ERC1271_VALID", "return answer == ERC1271_VALID"),
    ('x"1901"', 'x"1900"'),
)

_REFUND = (
    ("    if amount == 0:\n        return\n    self._receivers", "    self._receivers"),
    ("claimed | claimed << 128", "claimed | amount << 128"),
    ("    self._receivers[receiver][token] = claimed | claimed << 128\n", ""),
    ("payment._pay(token, receiver, amount)", "payment._pay(token, msg.sender, amount)"),
    ("    if not self._is_receiver_side(config):\n", "    if False:\n"),
    ("if nonce != self.refundNonce[channel]:", "if False:"),
    (
        "    if not self._is_signed(config.receiverAuthorizer, digest, signature_at):\n",
        "    if False:\n",
    ),
    ('    if requested == 0:\n        raw_revert(method_id("ZeroRefund()"))\n', ""),
    ("    self.refundNonce[channel] += 1\n", ""),
    ("min(convert(requested, uint256), self._unclaimed(state))", "convert(requested, uint256)"),
    (
        "min(convert(requested, uint256), self._unclaimed(state))",
        "min(convert(requested, uint256), state & LOW)",
    ),
    ("    if amount == 0:\n        return\n    self._channels", "    self._channels"),
    ("    self._shorten_withdrawal(channel, amount)\n", ""),
    ("0 if amount >= pending & LOW else", "0 if amount > pending & LOW else"),
    ("0 if amount >= pending & LOW else pending - amount", "0"),
    (
        "    if state == amount:\n"
        "        log IBatchChannels.ChannelClosed(channelId=channel, config=config)\n"
        "    payment",
        "    payment",
    ),
    ("return (state & LOW) - (state >> 128)", "return state & LOW"),
    ("is_delegate_call=True", "is_delegate_call=False"),
    ("@external\n@reentrant\ndef multicall", "@external\ndef multicall"),
    ("max_outsize=RESULT_SIZE_MAX", "max_outsize=32"),
)

_COLLECTOR = (
    ("    if x402BatchSettlement_ == empty(address):\n", "    if False:\n"),
    ("    if msg.sender != x402BatchSettlement:\n", "    if False:\n"),
    ("keccak256(abi_encode(channelId, salt))", "keccak256(abi_encode(salt, salt))"),
    ("keccak256(abi_encode(channelId, salt))", "keccak256(abi_encode(channelId, channelId))"),
    ("payment._pay(token, x402BatchSettlement, amount)", "payment._pay(token, payer, amount)"),
    ("    payment._pay(token, x402BatchSettlement, amount)\n", ""),
)

MUTANTS = [
    *of(
        "BatchChannels.vy",
        ("BatchChannels",),
        *_DEPOSIT,
        *_WITHDRAWAL,
        *_CLAIM,
        *_SIGNED,
        *_REFUND,
    ),
    *of("Erc3009DepositCollector.vy", ("Erc3009DepositCollector",), *_COLLECTOR),
    *of(
        "modules/calldata.vy",
        ("BatchChannels",),
        ("(length + 31) // 32", "length // 32"),
        ("LENGTH_MAX: constant(uint256) = 1024", "LENGTH_MAX: constant(uint256) = 992"),
        ("self._word(position + 32 + 32 * i)", "self._word(position + 32 * i)"),
        (
            "slice(abi_encode(words), 0, length)",
            "slice(abi_encode(words), 0, 32 * ((length + 31) // 32))",
        ),
    ),
    *of(
        "modules/payment.vy",
        ("BatchChannels",),
        ("    if not extcall", "    if extcall"),
        (", default_return_value=True", ""),
    ),
]
