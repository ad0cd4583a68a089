"""Mutants of ClearingHouse.vy and of the modules that only it is made of.

Equivalent, so not listed: a mandate's epoch compared without masking (`settle` runs unpaused, so
nothing stands above it); `_pay` asking the token for nothing (the token of the tests agrees).
"""

from __future__ import annotations

from mutant import of

SUITE = {
    "ClearingHouse": (
        "test_clearing_house.py",
        "test_collateral.py",
        "test_corridors.py",
        "test_stateful_corridors.py",
        "test_reentrancy.py",
    )
}
"""The tests that know the contract best; they run first."""

_HOUSE = of(
    "ClearingHouse.vy",
    ("ClearingHouse",),
    ("# pragma nonreentrancy on", "# pragma nonreentrancy off"),
    ('assert mandate_interval_s_ <= MANDATE_INTERVAL_MAX_S, "terms: too long"', "pass"),
    (
        "mandate_interval_s_ <= MANDATE_INTERVAL_MAX_S",
        "mandate_interval_s_ < MANDATE_INTERVAL_MAX_S",
    ),
    ('assert token.is_contract, "token: not contract"', "pass"),
    ('assert accounts.tokens[token] == 0, "token: already listed"', "pass"),
    ('assert last_sequence < accounts.SEQUENCE_MAX // 2, "token: sequence"', "pass"),
    ("last_sequence < accounts.SEQUENCE_MAX // 2", "last_sequence <= accounts.SEQUENCE_MAX // 2"),
    ('assert accounts.tokens[token] != 0, "token: not listed"', "pass"),
    ("member != empty(address) and member != self", "member != empty(address)"),
    ("member != empty(address) and member != self", "member != self"),
    ('assert self.distributor == empty(address), "distributor: already set"', "pass"),
    ('assert listens_to == self, "distributor: other clearing house"', "pass"),
    ("self.gate & ~PAUSED", "self.gate"),
    ("self.gate | PAUSED if", "self.gate if"),
    ("self.gate | PAUSED if", "self.gate + PAUSED if"),
    ('    assert member != empty(address), "mandate: bad signature"\n', ""),
    ('    assert ecdsa._recover(digest, signature) == member, "mandate: bad signature"\n', ""),
    (
        "                self.rulebook_hash,\n                self.mandate",
        "                self.mandate",
    ),
    (
        "                token,\n                member,\n                cap",
        "                member,\n                cap",
    ),
    ("                self.mandate_nonce[token][member],\n", ""),
    ('    assert convert(msg.sender, uint256) == gate & SETTLER_MASK, "settle: not settler"\n', ""),
    (
        "            token,\n            cycle_id,\n            records_root",
        "            cycle_id,\n            records_root",
    ),
    ("            records_root,\n            netting_mode,\n", "            netting_mode,\n"),
    (
        "            netting_mode,\n            keccak256(abi_encode(nets)),\n",
        "            netting_mode,\n",
    ),
    (
        "            rewards_root,\n            rewards_amount,\n        )\n    )",
        "            rewards_amount,\n        )\n    )",
    ),
    ('assert before == settlement_id, "settled: other content"', "pass"),
    ("        return settlement_id\n    assert gate", "        pass\n    assert gate"),
    ('assert gate < PAUSED, "settle: paused"', "pass"),
    ('assert asset != 0, "token: not listed"', "pass"),
    ('assert sequence == last + 1, "settle: sequence"', "pass"),
    ("sequence == last + 1", "sequence > last"),
    ("    self.settled[cycle_id] = settlement_id\n", ""),
    ("credits: uint256 = rewards_amount", "credits: uint256 = 0"),
    ("assert member > previous", "assert member >= previous"),
    ("        previous = member\n", ""),
    ('assert word >= accounts.PRESENT, "nets: not member"', "pass"),
    ('assert amount != 0, "nets: zero"', "pass"),
    (
        "if amount < accounts.AMOUNT_SIGN:\n            credits",
        "if amount <= accounts.AMOUNT_SIGN:\n            credits",
    ),
    ("            credits += amount\n", ""),
    (
        "assert balance + amount <= accounts.BALANCE_MAX",
        "assert balance + amount < accounts.BALANCE_MAX",
    ),
    ('assert balance + amount <= accounts.BALANCE_MAX, "balance: too large"', "pass"),
    ("            accounts.words[token][convert(member, address)] = word + amount\n", ""),
    ("        debits += amount\n", ""),
    ('assert balance >= amount, "debit: short of collateral"', "pass"),
    ("assert balance >= amount", "assert balance > amount"),
    ("        accounts.words[token][convert(member, address)] = word - amount\n", ""),
    ("len(debit_signatures) >= at + SIGNATURE_OCTETS", "len(debit_signatures) > at"),
    (
        "len(debit_signatures) >= at + SIGNATURE_OCTETS",
        "len(debit_signatures) > at + SIGNATURE_OCTETS",
    ),
    ("            accounts._check_mandate(word, amount, gate >> EPOCH_AT)\n", ""),
    ("            mandated = True\n", ""),
    (
        "            assert ecdsa._recover_vrs(digest, v, r, s) == signer,"
        ' "debit: bad signature"\n',
        "",
    ),
    ("        at += SIGNATURE_OCTETS\n", ""),
    ("len(debit_signatures) == 0 or len(debit_signatures) == at", "True"),
    ('assert credits == debits, "nets: sum"', "pass"),
    ("assert credits == debits", "assert credits <= debits"),
    ("assert credits == debits", "assert credits >= debits"),
    ("(1 << accounts.SEQUENCE_AT) - rewards_amount", "(1 << accounts.SEQUENCE_AT)"),
    ("asset += (1 << accounts.SEQUENCE_AT) - rewards_amount", "asset -= rewards_amount"),
    ("self._with_mandates(asset) if mandated else asset", "asset"),
    ("self._with_mandates(asset) if mandated else asset", "self._with_mandates(asset)"),
    ("    self._fund_rewards(token, cycle_id, rewards_root, rewards_amount)\n", ""),
    ('assert held >= asset & accounts.TOTAL_MAX, "settle: insolvent"', "pass"),
    ("assert held >= asset & accounts.TOTAL_MAX", "assert held > asset & accounts.TOTAL_MAX"),
    ("accounts._balance(token, member) < accounts", "accounts._balance(token, member) <= accounts"),
    ("                return member\n", "                pass\n"),
    (
        "DEBIT_TYPE_HASH, settlement_id, self.rulebook_hash",
        "DEBIT_TYPE_HASH, settlement_id, empty(bytes32)",
    ),
    ("self.rulebook_hash, token, member, amount", "self.rulebook_hash, member, token, amount"),
    (
        "self.rulebook_hash, token, member, amount",
        "self.rulebook_hash, token, member, empty(uint256)",
    ),
    ('    assert block.timestamp >= used_at + mandate_interval_s, "mandate: too soon"\n', ""),
    (
        "block.timestamp >= used_at + mandate_interval_s",
        "block.timestamp > used_at + mandate_interval_s",
    ),
    ("(block.timestamp - used_at) <<", "block.timestamp <<"),
    ("self.gate & ~SETTLER_MASK | convert", "self.gate | convert"),
    ("self.gate & ~SETTLER_MASK | convert", "convert"),
    ("    self.gate += 1 << EPOCH_AT\n", ""),
    ("    self.rulebook_hash = rulebook_hash\n", ""),
    ("    self.mandate_nonce[token][member] += 1\n", ""),
    ('        assert rewards_root == empty(bytes32), "rewards: root without money"\n', ""),
    ('    assert rewards_root != empty(bytes32), "rewards: money without root"\n', ""),
    ("    collateral._pay(token, distributor, rewards_amount)\n", ""),
)

_ACCOUNTS = of(
    "modules/accounts.vy",
    ("ClearingHouse",),
    ('assert balance <= BALANCE_MAX, "balance: too large"', "pass"),
    ("assert balance <= BALANCE_MAX", "assert balance < BALANCE_MAX"),
    ('assert balance >= amount, "balance: short"', "pass"),
    ("assert balance >= amount", "assert balance > amount"),
    ("= word + amount\n    return balance", "= word\n    return balance"),
    ("= word - amount\n    return balance", "= word\n    return balance"),
    ("    return balance - amount", "    return balance"),
    ('assert amount <= TOTAL_MAX - (word & TOTAL_MAX), "balance: too large"', "pass"),
    ("amount <= TOTAL_MAX - (word & TOTAL_MAX)", "amount < TOTAL_MAX - (word & TOTAL_MAX)"),
    ("    self.tokens[token] = word + amount\n", "    pass\n"),
    ("PRESENT | (last_sequence << SEQUENCE_AT)", "PRESENT"),
    ("self.words[token][member] & (PRESENT - 1)", "0"),
    ("word | PRESENT if registered else word", "word | PRESENT"),
    (
        "    assert cap_per_cycle <= CAP_MAX and valid_until <="
        ' VALID_UNTIL_MAX, "mandate: too large"\n',
        "",
    ),
    ("cap_per_cycle <= CAP_MAX and", "cap_per_cycle < CAP_MAX and"),
    ("valid_until <= VALID_UNTIL_MAX,", "valid_until < VALID_UNTIL_MAX,"),
    ("word & ~MANDATE_MASK | mandate", "word | mandate"),
    ("word & ~MANDATE_MASK | mandate", "mandate"),
    ("block.timestamp <= (word", "block.timestamp < (word"),
    (
        "    assert block.timestamp <= (word >> VALID_UNTIL_AT) &"
        ' VALID_UNTIL_MAX, "mandate: expired"\n',
        "",
    ),
    ('    assert epoch == (word >> EPOCH_AT) & EPOCH_MAX, "mandate: other rulebook"\n', ""),
    ('    assert amount <= (word >> CAP_AT) & CAP_MAX, "mandate: over cap"\n', ""),
    ("assert amount <= (word >> CAP_AT)", "assert amount < (word >> CAP_AT)"),
    ("MANDATES_AT_AT) & MANDATES_AT_MAX", "MANDATES_AT_AT)"),
)

_COLLATERAL = of(
    "modules/collateral.vy",
    ("ClearingHouse",),
    ("# pragma nonreentrancy on", "# pragma nonreentrancy off"),
    ('assert notice_s_ <= NOTICE_MAX_S, "terms: too long"', "pass"),
    ("notice_s_ <= NOTICE_MAX_S", "notice_s_ < NOTICE_MAX_S"),
    ('assert accounts._is_member(token, member), "deposit: not member"', "pass"),
    ('assert amount != 0, "amount: zero"\n    balance', "balance"),
    ("    accounts._add_total(token, amount)\n", ""),
    ("balanceOf(self) == held + amount", "balanceOf(self) >= held"),
    ('assert amount != 0, "amount: zero"\n    assert self', "assert self"),
    (
        "    assert self.withdrawal_of[token][msg.sender].amount == 0,"
        ' "withdrawal: already requested"\n',
        "",
    ),
    ("block.timestamp + notice_s", "block.timestamp"),
    (
        'assert self.withdrawal_of[token][msg.sender].amount != 0, "withdrawal: not requested"',
        "pass",
    ),
    ('assert request.amount != 0, "withdrawal: not requested"', "pass"),
    ("block.timestamp >= request.ready_at", "block.timestamp > request.ready_at"),
    ('    assert block.timestamp >= request.ready_at, "withdrawal: notice"\n', ""),
    (
        "min(request.amount, accounts._balance(token, msg.sender))",
        "accounts._balance(token, msg.sender)",
    ),
    (
        "    self.withdrawal_of[token][msg.sender] = empty(IClearingHouse.Withdrawal)\n    balance",
        "    balance",
    ),
    (
        "    self.withdrawal_of[token][msg.sender] = empty(IClearingHouse.Withdrawal)\n    log",
        "    log",
    ),
    ("    accounts.tokens[token] -= amount\n", ""),
    ("    self._pay(token, msg.sender, amount)\n", ""),
    ("return balance - min(self.withdrawal_of[token][member].amount, balance)", "return balance"),
    (
        "return balance - min(self.withdrawal_of[token][member].amount, balance)",
        "return balance - self.withdrawal_of[token][member].amount",
    ),
)

_CORRIDORS = of(
    "modules/corridors.vy",
    ("ClearingHouse",),
    ('assert bond_ppm_ <= MILLION, "terms: bond"', "pass"),
    ("bond_ppm_ <= MILLION", "bond_ppm_ < MILLION"),
    ('assert arbitration_s_ <= ARBITRATION_MAX_S, "terms: too long"', "pass"),
    ("arbitration_s_ <= ARBITRATION_MAX_S", "arbitration_s_ < ARBITRATION_MAX_S"),
    ('    assert accounts._is_member(token, msg.sender), "corridor: not member"\n', ""),
    ('    assert accounts._is_member(token, creditor), "corridor: not member"\n', ""),
    ('    assert creditor != msg.sender, "corridor: with oneself"\n', ""),
    ("window_s != 0 and window_s <= WINDOW_MAX_S", "window_s <= WINDOW_MAX_S"),
    ("window_s != 0 and window_s <= WINDOW_MAX_S", "window_s != 0"),
    ("window_s <= WINDOW_MAX_S,", "window_s < WINDOW_MAX_S,"),
    ('    assert block.timestamp >= corridor.closes_at, "corridor: open"\n', ""),
    ("block.timestamp >= corridor.closes_at", "block.timestamp > corridor.closes_at"),
    ("    corridor.window_s = window_s\n", ""),
    ("    corridor.cap = cap\n", ""),
    ('    assert closes_at == max_value(uint256), "corridor: not open"\n', ""),
    ("block.timestamp + collateral.notice_s", "block.timestamp"),
    ("    self.corridor_of[token][msg.sender][creditor].closes_at = closes_at\n", ""),
    ('    assert block.timestamp < corridor.closes_at, "corridor: not open"\n', ""),
    ("block.timestamp < corridor.closes_at", "block.timestamp <= corridor.closes_at"),
    ('    assert amount != 0, "amount: zero"\n', ""),
    ('    assert corridor.escrowed + amount <= corridor.cap, "claim: over cap"\n', ""),
    ("corridor.escrowed + amount <= corridor.cap", "amount <= corridor.cap"),
    ("corridor.escrowed + amount <= corridor.cap", "corridor.escrowed + amount < corridor.cap"),
    ("abi_encode(token, cycle_id, debtor, msg.sender)", "abi_encode(cycle_id, debtor, msg.sender)"),
    ("abi_encode(token, cycle_id, debtor, msg.sender)", "abi_encode(token, debtor, msg.sender)"),
    ("abi_encode(token, cycle_id, debtor, msg.sender)", "abi_encode(token, cycle_id, msg.sender)"),
    ("abi_encode(token, cycle_id, debtor, msg.sender)", "abi_encode(token, cycle_id, debtor)"),
    ('    assert self.claim_of[claim_id].state == 0, "claim: posted before"\n', ""),
    ("block.timestamp + corridor.window_s", "block.timestamp"),
    ("    accounts._debit(token, debtor, amount)\n", ""),
    ("    self.corridor_of[token][debtor][msg.sender].escrowed += amount\n", ""),
    (
        '    assert claim.state == OPEN, "claim: not open"\n    assert'
        ' msg.sender == claim.debtor, "claim: not debtor"\n    self',
        '    assert msg.sender == claim.debtor, "claim: not debtor"\n    self',
    ),
    ('    assert msg.sender == claim.debtor, "claim: not debtor"\n    self', "    self"),
    (
        '    assert claim.state == OPEN, "claim: not open"\n    assert'
        ' msg.sender == claim.debtor, "claim: not debtor"\n    assert',
        '    assert msg.sender == claim.debtor, "claim: not debtor"\n    assert',
    ),
    ('    assert msg.sender == claim.debtor, "claim: not debtor"\n    assert', "    assert"),
    ('    assert block.timestamp < claim.deadline, "claim: window over"\n', ""),
    (
        'block.timestamp < claim.deadline, "claim: window',
        'block.timestamp <= claim.deadline, "claim: window',
    ),
    ('    assert undisputed < claim.amount, "dispute: nothing disputed"\n', ""),
    ("undisputed < claim.amount", "undisputed <= claim.amount"),
    ("    claim.amount -= undisputed\n", ""),
    ("bond_ppm + MILLION - 1) // MILLION", "bond_ppm) // MILLION"),
    ("    claim.deadline = block.timestamp + arbitration_s\n", ""),
    ("    claim.state = DISPUTED\n", ""),
    ("    self.claim_of[claim_id] = claim\n    accounts", "    accounts"),
    ("    accounts._debit(claim.token, claim.debtor, claim.bond)\n", ""),
    ("    self._release(claim, undisputed)\n", ""),
    ("    accounts._credit(claim.token, claim.creditor, undisputed)\n", ""),
    ('    assert msg.sender == self.arbiter, "decide: not arbiter"\n', ""),
    (
        '    assert claim.state == DISPUTED, "claim: not disputed"\n    assert block',
        "    assert block",
    ),
    ('    assert block.timestamp < claim.deadline, "claim: time over"\n', ""),
    (
        'block.timestamp < claim.deadline, "claim: time',
        'block.timestamp <= claim.deadline, "claim: time',
    ),
    ('    assert to_creditor <= claim.amount, "claim: over amount"\n    if', "    if"),
    (
        'assert to_creditor <= claim.amount, "claim: over amount"\n    if',
        'assert to_creditor < claim.amount, "claim: over amount"\n    if',
    ),
    ("2 * to_creditor > claim.amount", "2 * to_creditor >= claim.amount"),
    ("2 * to_creditor > claim.amount", "to_creditor > claim.amount"),
    (
        "to_creditor + claim.bond, claim.amount - to_creditor, 0",
        "to_creditor, claim.amount - to_creditor, 0",
    ),
    (
        "accounts._balance(claim.token, claim.creditor) + to_creditor",
        "accounts._balance(claim.token, claim.creditor)",
    ),
    ("min(claim.bond, balance)", "claim.bond"),
    ("min(claim.bond, balance)", "0"),
    ('    assert claim.state == DISPUTED, "claim: not disputed"\n    assert msg', "    assert msg"),
    (
        "    assert msg.sender == claim.debtor or msg.sender =="
        ' claim.creditor, "claim: not party"\n',
        "",
    ),
    ('    assert to_creditor <= claim.amount, "claim: over amount"\n    other', "    other"),
    ("claim.creditor if msg.sender == claim.debtor else claim.debtor", "msg.sender"),
    ("self.offers[claim_id][other] == to_creditor + 1", "self.offers[claim_id][other] != 0"),
    (
        "self.offers[claim_id][other] == to_creditor + 1",
        "self.offers[claim_id][other] == to_creditor",
    ),
    ("    self.offers[claim_id][msg.sender] = to_creditor + 1\n", ""),
    ("claim.state == OPEN or claim.state == DISPUTED", "True"),
    ('    assert block.timestamp >= claim.deadline, "claim: not due"\n', ""),
    ("block.timestamp >= claim.deadline", "block.timestamp > claim.deadline"),
    (
        "self._end(claim_id, claim, 0, claim.amount + claim.bond, 0)",
        "self._end(claim_id, claim, 0, claim.amount, 0)",
    ),
    ("    self.claim_of[claim_id].state = ENDED\n", ""),
    ("    self._release(claim, claim.amount)\n", ""),
    ("    accounts._credit(claim.token, claim.creditor, to_creditor)\n", ""),
    ("    accounts._debit(claim.token, claim.creditor, penalty)\n", ""),
    ("to_debtor + penalty)", "to_debtor)"),
)

MUTANTS = _HOUSE + _ACCOUNTS + _COLLATERAL + _CORRIDORS
