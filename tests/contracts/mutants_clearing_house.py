"""Mutants of ClearingHouse.vy."""

from __future__ import annotations

from mutant import of

SUITE = {"ClearingHouse": ("test_clearing_house.py", "test_collateral.py", "test_reentrancy.py")}
"""The tests that know the contract best; they run first."""

MUTANTS = of(
    "ClearingHouse.vy",
    ("ClearingHouse",),
    ("# pragma nonreentrancy on", "# pragma nonreentrancy off"),
    ('assert self.distributor == empty(address), "distributor: already set"', "pass"),
    ('assert publisher == self, "distributor: other clearing house"', "pass"),
    ("member != empty(address) and member != self", "member != empty(address)"),
    ('assert self.is_member[member], "deposit: not member"', "pass"),
    ('assert amount != 0, "amount: zero"\n    balance', "balance"),
    ("    self.total_balance += amount", "    pass"),
    ("balanceOf(self) == held + amount", "balanceOf(self) >= held"),
    ("self.mandate_nonce[msg.sender] += 1", "pass"),
    ("self.mandate_nonce[member] = nonce + 1", "pass"),
    (
        "cap_per_cycle, valid_until, self.rulebook_hash, nonce",
        "cap_per_cycle, valid_until, self.rulebook_hash, empty(uint256)",
    ),
    (
        "cap_per_cycle, valid_until, self.rulebook_hash, nonce",
        "cap_per_cycle, valid_until, empty(bytes32), nonce",
    ),
    ('assert self.withdrawal_of[msg.sender].amount == 0, "withdrawal: already requested"', "pass"),
    ("block.timestamp + notice_s", "block.timestamp"),
    ("block.timestamp >= request.ready_at", "block.timestamp > request.ready_at"),
    ('    assert block.timestamp >= request.ready_at, "withdrawal: notice"', "    pass"),
    (
        "= empty(IClearingHouse.Withdrawal)\n    self.balance_of",
        "= self.withdrawal_of[msg.sender]\n    self.balance_of",
    ),
    ("    self.balance_of[msg.sender] = balance\n", ""),
    ("    self.total_balance -= amount", "    pass"),
    ("min(request.amount, self.balance_of[msg.sender])", "self.balance_of[msg.sender]"),
    ('assert msg.sender == self.settler, "settle: not settler"', "pass"),
    (
        "            records_root,\n            netting_mode,\n            keccak",
        "            netting_mode,\n            keccak",
    ),
    (
        "            netting_mode,\n            keccak256(abi_encode(nets)),\n",
        "            keccak256(abi_encode(nets)),\n            netting_mode,\n",
    ),
    ('assert before == settlement_id, "settled: other content"', "pass"),
    ("        return settlement_id\n    assert not", "        pass\n    assert not"),
    ('assert not self.settle_paused, "settle: paused"', "pass"),
    ('assert sequence == self.last_sequence + 1, "settle: sequence"', "pass"),
    ("sequence == self.last_sequence + 1", "sequence > self.last_sequence"),
    ("    self.last_sequence = sequence\n", ""),
    ("    self.settled[cycle_id] = settlement_id\n", ""),
    ("self.settled_at[cycle_id] = block.timestamp", "pass"),
    ("convert(net.member, uint160) > previous", "convert(net.member, uint160) >= previous"),
    ("previous = convert(net.member, uint160)", "pass"),
    ('assert net.amount != 0, "nets: zero"', "pass"),
    ('assert self.is_member[net.member], "nets: not member"', "pass"),
    ("        if net.amount < 0:", "        if net.amount < -5:"),
    ("            debits += 1\n", ""),
    ('assert debits == len(debit_signatures), "debit: signatures left"', "pass"),
    ('assert debits < len(debit_signatures), "debit: signatures missing"', "pass"),
    ('assert sum + convert(rewards_amount, int256) == 0, "nets: sum"', "pass"),
    ("sum + convert(rewards_amount, int256) == 0", "sum + convert(rewards_amount, int256) <= 0"),
    ("sum + convert(rewards_amount, int256) == 0", "sum + convert(rewards_amount, int256) >= 0"),
    ('>= self.total_balance, "settle: insolvent"', '>= 0, "settle: insolvent"'),
    ("return balance - min(self.withdrawal_of[member].amount, balance)", "return balance"),
    (
        '        assert balance >= debit, "debit: short of collateral"\n        balance -= debit',
        "        balance -= min(balance, debit)",
    ),
    ("        balance += convert(amount, uint256)", "        pass"),
    ("    if len(signature) == 0:", "    if len(signature) <= 1:"),
    ("block.timestamp <= mandate.valid_until", "block.timestamp < mandate.valid_until"),
    ('assert block.timestamp <= mandate.valid_until, "mandate: expired"', "pass"),
    ('assert mandate.rulebook_hash == self.rulebook_hash, "mandate: other rulebook"', "pass"),
    ("amount <= mandate.cap_per_cycle", "amount < mandate.cap_per_cycle"),
    ('assert amount <= mandate.cap_per_cycle, "mandate: over cap"', "pass"),
    (
        "DEBIT_TYPE_HASH, cycle_id, records_root, self.rulebook_hash, member, amount",
        "DEBIT_TYPE_HASH, cycle_id, records_root, self.rulebook_hash, member, empty(uint256)",
    ),
    (
        "DEBIT_TYPE_HASH, cycle_id, records_root, self.rulebook_hash, member, amount",
        "DEBIT_TYPE_HASH, records_root, cycle_id, self.rulebook_hash, member, amount",
    ),
    ("    assert signer != empty(address), refusal\n", ""),
    ("    assert ecdsa._recover(digest, signature) == signer, refusal\n", ""),
    ('        assert rewards_root == empty(bytes32), "rewards: root without money"\n', ""),
    ('    assert rewards_root != empty(bytes32), "rewards: money without root"\n', ""),
    ("    self.total_balance -= rewards_amount\n", ""),
    ("    self._pay(self.distributor, rewards_amount)\n", ""),
    ("    if amount != 0:\n", "    if True:\n"),
)
