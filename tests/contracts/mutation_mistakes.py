"""Mistakes that no operator makes, by source: a text and what stands in its place.

The wrong value of the right type, who is paid instead, one function left open while tokens move.
"""

from __future__ import annotations

MISTAKES: dict[str, tuple[tuple[str, str], ...]] = {
    "BatchChannels.vy": (
        ("@external\ndef deposit(", "@external\n@reentrant\ndef deposit("),
        ("@external\ndef initiateWithdraw(", "@external\n@reentrant\ndef initiateWithdraw("),
        ("@external\ndef finalizeWithdraw(", "@external\n@reentrant\ndef finalizeWithdraw("),
        ("@external\ndef __default__(", "@external\n@reentrant\ndef __default__("),
        ("@external\ndef settle(", "@external\n@reentrant\ndef settle("),
        ("@external\ndef refund(", "@external\n@reentrant\ndef refund("),
        ("@external\n@view\ndef channels(", "@external\n@view\n@reentrant\ndef channels("),
        (
            "wanted > self._unclaimed(self._channels[channel])",
            "wanted > self._channels[channel] & LOW",
        ),
        ("wanted | block.timestamp << 128", "wanted | 1 << 128"),
        ("min(pending & LOW, self._unclaimed(state))", "min(pending & LOW, state & LOW)"),
        (
            "payment._pay(config.token, config.payer, amount)",
            "payment._pay(config.token, msg.sender, amount)",
        ),
        (
            "self._voucher_digest(channel, row.max_claimable, separator)",
            "self._voucher_digest(channel, row.total_claimed, separator)",
        ),
        ("state & LOW | total << 128", "state & LOW | amount << 128"),
        (
            "self._credit(row.channel.receiver, row.channel.token, amount)",
            "self._credit(msg.sender, row.channel.token, amount)",
        ),
        ("first_at + AUTHORIZER_AT", "first_at + 64"),
        (
            "slice(abi_encode(entries), 64, 32 * count)",
            "slice(abi_encode(entries), 32, 32 * count)",
        ),
        ("claimed | claimed << 128", "claimed | amount << 128"),
        ("payment._pay(token, receiver, amount)", "payment._pay(token, msg.sender, amount)"),
        (
            "min(convert(requested, uint256), self._unclaimed(state))",
            "min(convert(requested, uint256), state & LOW)",
        ),
        ("@external\n@reentrant\ndef multicall", "@external\ndef multicall"),
    ),
    "ClearingHouse.vy": (
        (
            "DEBIT_TYPE_HASH, settlement_id, self.rulebook_hash",
            "DEBIT_TYPE_HASH, settlement_id, empty(bytes32)",
        ),
        (
            "self.rulebook_hash, token, member, amount",
            "self.rulebook_hash, token, member, empty(uint256)",
        ),
    ),
    "Erc3009DepositCollector.vy": (
        ("keccak256(abi_encode(channelId, salt))", "keccak256(abi_encode(salt, salt))"),
        ("keccak256(abi_encode(channelId, salt))", "keccak256(abi_encode(channelId, channelId))"),
        ("payment._pay(token, x402BatchSettlement, amount)", "payment._pay(token, payer, amount)"),
    ),
    "RewardDistributor.vy": (
        ("# Anybody's part\n\n\n@external\n", "# Anybody's part\n\n\n@external\n@reentrant\n"),
        ("unclaimed: uint256 = funded - claimed", "unclaimed: uint256 = amount"),
        ("(unclaimed << TIME_BITS) | ready_at", "(funded << TIME_BITS) | ready_at"),
        ("(unclaimed << TIME_BITS) | ready_at", "(amount << TIME_BITS) | ready_at"),
        (
            "keccak256(keccak256(abi_encode(account, token, lifetime_amount)))",
            "keccak256(abi_encode(account, token, lifetime_amount))",
        ),
        (".transfer(payout, amount,", ".transfer(msg.sender, amount,"),
        (".transfer(payout, amount,", ".transfer(account, amount,"),
        ("amount=amount, lifetime_amount", "amount=lifetime_amount, lifetime_amount"),
        ("    return amount\n", "    return lifetime_amount\n"),
        ("@external\n@reentrant\n", "@external\n"),
    ),
    "StableToken.vy": (
        (
            "PERMIT_TYPE_HASH, owner, spender, amount,",
            "PERMIT_TYPE_HASH, owner, spender, empty(uint256),",
        ),
        (
            "self._move_authorized(RECEIVE_TYPE_HASH",
            "self._move_authorized(TRANSFER_TYPE_HASH",
        ),
        ("self._accounts[account] |= FROZEN", "self._accounts[account] ^= FROZEN"),
        ("self._accounts[account] &= SUPPLY_MAX", "self._accounts[account] ^= FROZEN"),
    ),
    "StakeDiscount.vy": (
        ("keccak256(abi_encode(lock_s, salt))", "salt"),
        (
            "STAKE_TYPE_HASH, account, amount, lock_s, nonce, deadline",
            "STAKE_TYPE_HASH, account, amount, lock_s, nonce, nonce",
        ),
        ("self._commit(msg.sender, amount, current.lock_s)", "self._commit(msg.sender, amount, 1)"),
        ("account=account, amount=current.amount", "account=account, amount=total"),
        ("withdrawn_at=block.timestamp", "withdrawn_at=current.unlock_at"),
        (
            "transfer(\n        account, current.amount",
            "transfer(\n        msg.sender, current.amount",
        ),
        ("    return current.amount\n", "    return total\n"),
        ("* cap_ppm // PPM", "* PPM // PPM"),
        ("* cap_ppm // PPM", "// PPM * cap_ppm"),
        (
            "self._locked_at(account, timepoint).amount * cap",
            "self._stake_at(account, timepoint).amount * cap",
        ),
        (
            "past: IStakeDiscount.Stake = self._locked_at(account, timepoint)\n",
            "past: IStakeDiscount.Stake = self._stake_at(account, timepoint)\n",
        ),
        ("convert(block.timestamp, uint48)", "convert(block.number, uint48)"),
        (
            "return self._locked_at(account, timepoint).amount\n",
            "return self._stake_at(account, timepoint).amount\n",
        ),
        ("self._total() + added", "self._total() + amount"),
        ("(lock_s << AMOUNT_BITS) | amount", "(lock_s << AMOUNT_BITS) | added"),
        ("        added=added,\n", "        added=amount,\n"),
    ),
    "modules/calldata.vy": (
        (
            "slice(abi_encode(words), 0, length)",
            "slice(abi_encode(words), 0, 32 * ((length + 31) // 32))",
        ),
    ),
    "modules/corridors.vy": (
        ("claim.creditor if msg.sender == claim.debtor else claim.debtor", "msg.sender"),
    ),
    "modules/eip712.vy": (
        (
            "abi_encode(DOMAIN_TYPE_HASH, keccak256(NAME), keccak256(VERSION), chain.id, self)",
            "abi_encode(DOMAIN_TYPE_HASH, keccak256(NAME), keccak256(NAME), chain.id, self)",
        ),
    ),
    "modules/erc721.vy": (
        ("[INTERFACE_ERC165, INTERFACE_ERC721]", "[INTERFACE_ERC721, INTERFACE_ERC721]"),
    ),
    "modules/ownable.vy": (
        ("    self.pending_owner = new_owner\n", "    self.owner = new_owner\n"),
    ),
}
