"""Mutants of StakeDiscount.vy and of its histories.

Equivalent, so not listed: `low == high` without its `break` (further steps change nothing);
`lock_s != 0` next to `tiers: lock` stays, but a stake of `lock_s` zero ends at once.
"""

from __future__ import annotations

from mutant import of

SUITE = {
    "StakeDiscount": (
        "test_stake_discount.py",
        "test_authority_stake_discount.py",
        "test_stateful_stake_discount.py",
    )
}
"""The tests that know the contract best; they run first."""

_CONTRACT = of(
    "StakeDiscount.vy",
    ("StakeDiscount",),
    ("# pragma nonreentrancy on", "# pragma nonreentrancy off"),
    ('    assert token_ != empty(address), "address: zero"\n', ""),
    ('    assert len(tiers_) != 0, "tiers: none"\n', ""),
    ('    assert cap_ppm_ <= CAP_MAX_PPM, "cap: too large"\n', ""),
    ("cap_ppm_ <= CAP_MAX_PPM", "cap_ppm_ < CAP_MAX_PPM"),
    ("    log IStakeDiscount.SpendCapSet(cap_ppm=cap_ppm_)\n", ""),
    ("tier.discount_ppm > previous_ppm", "tier.discount_ppm >= previous_ppm"),
    ('        assert tier.discount_ppm > previous_ppm, "tiers: order"\n', ""),
    ("        previous_ppm = tier.discount_ppm\n", ""),
    ("tier.discount_ppm <= PPM", "tier.discount_ppm < PPM"),
    ('        assert tier.discount_ppm <= PPM, "tiers: discount"\n', ""),
    ("tier.min_amount != 0 and tier.min_amount < AMOUNT_END", "tier.min_amount < AMOUNT_END"),
    ("tier.min_amount != 0 and tier.min_amount < AMOUNT_END", "tier.min_amount != 0"),
    ("tier.min_lock_s != 0 and tier.min_lock_s <= LOCK_MAX_S", "tier.min_lock_s <= LOCK_MAX_S"),
    ("tier.min_lock_s != 0 and tier.min_lock_s <= LOCK_MAX_S", "tier.min_lock_s != 0"),
    ("tier.min_lock_s <= LOCK_MAX_S", "tier.min_lock_s < LOCK_MAX_S"),
    ("    self._tiers = tiers_\n", ""),
    # stake
    (
        'assert amount != 0, "amount: zero"\n    self._commit(msg.sender, amount, lock_s)\n'
        "    self._pull",
        "self._commit(msg.sender, amount, lock_s)\n    self._pull",
    ),
    (
        "    self._commit(msg.sender, amount, lock_s)\n    self._pull(msg.sender, amount)\n",
        "    self._commit(msg.sender, amount, lock_s)\n",
    ),
    (
        "    self._commit(msg.sender, amount, lock_s)\n    self._pull(msg.sender, amount)\n",
        "    self._pull(msg.sender, amount)\n",
    ),
    # stake_with_permit
    (
        'assert amount != 0, "amount: zero"\n    self._commit(msg.sender, amount, lock_s)\n    #',
        "self._commit(msg.sender, amount, lock_s)\n    #",
    ),
    ("allowance(msg.sender, self) < amount", "allowance(msg.sender, self) <= amount"),
    ("allowance(msg.sender, self) < amount", "allowance(msg.sender, self) > amount"),
    (
        "        extcall IStableToken(token).permit(msg.sender, self, amount, deadline, v, r, s)\n",
        "        pass\n",
    ),
    (
        "deadline, v, r, s)\n    self._pull(msg.sender, amount)\n",
        "deadline, v, r, s)\n",
    ),
    # stake_with_authorization
    (
        'assert amount != 0, "amount: zero"\n    self._commit(account, amount, lock_s)',
        "self._commit(account, amount, lock_s)",
    ),
    ("keccak256(abi_encode(lock_s, salt))", "keccak256(abi_encode(salt, lock_s))"),
    ("keccak256(abi_encode(lock_s, salt))", "salt"),
    (
        "    self._check_received(held, amount)\n\n\n@external\ndef stake_by",
        "\n\n@external\ndef stake_by",
    ),
    # stake_by_signature
    ('    assert block.timestamp <= deadline, "signature: expired"\n', ""),
    ("block.timestamp <= deadline", "block.timestamp < deadline"),
    ('    assert account != empty(address), "signature: bad"\n', ""),
    (
        "STAKE_TYPE_HASH, account, amount, lock_s, nonce, deadline",
        "STAKE_TYPE_HASH, account, amount, lock_s, nonce, nonce",
    ),
    (
        "STAKE_TYPE_HASH, account, amount, lock_s, nonce, deadline",
        "STAKE_TYPE_HASH, account, lock_s, amount, nonce, deadline",
    ),
    ('    assert ecdsa._recover(digest, signature) == account, "signature: bad"\n', ""),
    ("    self.nonces[account] = nonce + 1\n", ""),
    ("    if amount != 0:\n        self._pull(account, amount)\n", ""),
    # increase
    ('assert amount != 0, "amount: zero"\n    current', "current"),
    (
        '    assert current.amount != 0, "stake: none"\n    self._commit',
        "    self._commit",
    ),
    ("self._commit(msg.sender, amount, current.lock_s)", "self._commit(msg.sender, amount, 1)"),
    (
        "self._commit(msg.sender, amount, current.lock_s)\n    self._pull(msg.sender, amount)",
        "self._commit(msg.sender, amount, current.lock_s)",
    ),
    # extend
    ("self._commit(msg.sender, 0, lock_s)", "self._commit(msg.sender, 1, lock_s)"),
    # withdraw
    ('    assert current.amount != 0, "stake: none"\n    assert block', "    assert block"),
    ('    assert block.timestamp >= current.unlock_at, "stake: locked"\n', ""),
    ("block.timestamp >= current.unlock_at", "block.timestamp > current.unlock_at"),
    ("self._total() - current.amount", "self._total()"),
    ("    checkpoints._push(convert(account, bytes32), 0)\n", ""),
    (
        "    checkpoints._push(TOTAL, total)\n    log IStakeDiscount.StakeWithdrawn",
        "    log IStakeDiscount.StakeWithdrawn",
    ),
    ("account=account, amount=current.amount", "account=account, amount=total"),
    ("withdrawn_at=block.timestamp", "withdrawn_at=current.unlock_at"),
    (
        "transfer(\n        account, current.amount",
        "transfer(\n        msg.sender, current.amount",
    ),
    ("    return current.amount\n", "    return total\n"),
    # views
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
    ("block.timestamp < current.unlock_at", "block.timestamp <= current.unlock_at"),
    (
        "return self._locked_at(account, timepoint).amount\n",
        "return self._stake_at(account, timepoint).amount\n",
    ),
    # inside
    ("current.amount + added", "added"),
    ('    assert amount != 0, "stake: none"\n', ""),
    ("lock_s != 0 and lock_s <= LOCK_MAX_S", "lock_s <= LOCK_MAX_S"),
    ('    assert lock_s != 0 and lock_s <= LOCK_MAX_S, "lock: out of range"\n', ""),
    ("lock_s != 0 and lock_s <= LOCK_MAX_S", "lock_s != 0 and lock_s < LOCK_MAX_S"),
    ("assert lock_s >= current.lock_s", "assert lock_s > current.lock_s"),
    ('    assert lock_s >= current.lock_s, "lock: shorter"\n', ""),
    ("self._total() + added", "self._total() + amount"),
    ('    assert total < AMOUNT_END, "amount: too large"\n', ""),
    ("assert total < AMOUNT_END", "assert total < AMOUNT_END - 1"),
    (
        "    checkpoints._push(convert(account, bytes32), (lock_s << AMOUNT_BITS) | amount)\n",
        "",
    ),
    ("(lock_s << AMOUNT_BITS) | amount", "(lock_s << AMOUNT_BITS) | added"),
    (
        "    checkpoints._push(TOTAL, total)\n    log IStakeDiscount.StakeCommitted",
        "    log IStakeDiscount.StakeCommitted",
    ),
    ("        added=added,\n", "        added=amount,\n"),
    ("unlock_at=block.timestamp + lock_s,\n        total", "unlock_at=lock_s,\n        total"),
    ("    self._check_received(held, amount)\n\n\n@internal", "\n\n@internal"),
    ("self) == held + amount", "self) >= held + amount - 1"),
    ("timepoint < past.unlock_at", "timepoint <= past.unlock_at"),
    ("    if past.content == 0:\n        return empty(IStakeDiscount.Stake)\n", ""),
    ("unlock_at=past.at + lock_s,\n    )", "unlock_at=past.at,\n    )"),
    ("amount >= tier.min_amount and", "amount > tier.min_amount and"),
    ("lock_s >= tier.min_lock_s:", "lock_s > tier.min_lock_s:"),
    ("amount >= tier.min_amount and lock_s", "amount >= tier.min_amount or lock_s"),
    (
        "            discount_ppm = tier.discount_ppm\n",
        "            return tier.discount_ppm\n",
    ),
    ('TOTAL: constant(bytes32) = keccak256("total")', "TOTAL: constant(bytes32) = empty(bytes32)"),
)

_HISTORY = of(
    "modules/checkpoints.vy",
    ("StakeDiscount",),
    ("if count == 0 or self", "if count != 0 and self"),
    ("!= block.timestamp:", "== block.timestamp:"),
    ("        self.counts[key] = count + 1\n", ""),
    ("        count += 1\n", ""),
    ("(block.timestamp << VALUE_BITS) | new_value", "new_value"),
    ("(block.timestamp << VALUE_BITS) | new_value", "block.timestamp << VALUE_BITS"),
    ("assert timepoint < block.timestamp", "assert timepoint <= block.timestamp"),
    ('    assert timepoint < block.timestamp, "timepoint: not past"\n', ""),
    (">> VALUE_BITS > timepoint:", ">> VALUE_BITS >= timepoint:"),
    (">> VALUE_BITS > timepoint:", ">> VALUE_BITS < timepoint:"),
    ("            high = middle\n", "            high = middle + 1\n"),
    ("            low = middle + 1\n", "            low = middle\n"),
    ("range(SEARCH_STEPS)", "range(1)"),
    ("self.words[key][place - 1]", "self.words[key][place]"),
    ("    if place == 0:\n        return empty(Checkpoint)\n", ""),
    ("word & (VALUE_END - 1)", "word"),
    ("at=word >> VALUE_BITS,", "at=word >> (VALUE_BITS + 1),"),
)

MUTANTS = _CONTRACT + _HISTORY
