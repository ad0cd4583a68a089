"""Mutants of RewardDistributor.vy."""

from __future__ import annotations

from mutant import of

SUITE = {"RewardDistributor": ("test_distributor.py", "test_reentrancy.py")}
"""The tests that know the contract best; they run first."""

MUTANTS = of(
    "RewardDistributor.vy",
    ("RewardDistributor",),
    ("# pragma nonreentrancy on", "# pragma nonreentrancy off"),
    ('assert clearing_house_ != empty(address), "address: zero"', "pass"),
    ("    self.guardian = guardian_\n", ""),
    ('assert msg.sender == clearing_house, "publish: not clearing house"', "pass"),
    ('assert self.ready_at[token][root] == 0, "publish: known root"', "pass"),
    ("self.funded[token] + amount", "amount"),
    ('assert held >= funded - self.total_claimed[token], "publish: not funded"', "pass"),
    ("held >= funded - self", "held > funded - self"),
    ("held >= funded - self.total_claimed[token]", "held >= funded"),
    ("held >= funded - self.total_claimed[token]", "held >= amount"),
    ("block.timestamp + delay_s", "block.timestamp"),
    ("    self.funded[token] = funded\n", ""),
    ("    self.ready_at[token][root] = ready_at\n", ""),
    ('assert msg.sender == self.guardian, "veto: not guardian"', "pass"),
    ('assert block.timestamp < self.ready_at[token][root], "veto: too late"', "pass"),
    ("block.timestamp < self.ready_at", "block.timestamp <= self.ready_at"),
    ("    self.is_vetoed[token][root] = True\n", ""),
    ('assert ready_at != 0, "claim: bad proof"', "pass"),
    ('assert block.timestamp >= ready_at, "claim: not ready"', "pass"),
    ("block.timestamp >= ready_at", "block.timestamp > ready_at"),
    ('assert not self.is_vetoed[token][root], "claim: vetoed"', "pass"),
    ("assert lifetime_amount > paid", "assert lifetime_amount >= paid"),
    ("amount: uint256 = lifetime_amount - paid", "amount: uint256 = lifetime_amount"),
    ("self.total_claimed[token] + amount", "self.total_claimed[token] + lifetime_amount"),
    ("total_claimed <= self.funded", "total_claimed < self.funded"),
    ('assert total_claimed <= self.funded[token], "claim: over funded"', "pass"),
    ("total_claimed <= self.funded", "amount <= self.funded"),
    ("    self.claimed[account][token] = lifetime_amount\n", ""),
    ("self.claimed[account][token] = lifetime_amount", "self.claimed[account][token] = amount"),
    ("    self.total_claimed[token] = total_claimed\n", ""),
    (".transfer(account, amount,", ".transfer(msg.sender, amount,"),
    (
        "keccak256(keccak256(abi_encode(account, token, lifetime_amount)))",
        "keccak256(abi_encode(account, token, lifetime_amount))",
    ),
    ("if convert(node, uint256) < convert(sibling, uint256):", "if True:"),
    ("convert(node, uint256) < convert(sibling", "convert(node, uint256) > convert(sibling"),
    ("amount=amount, lifetime_amount", "amount=lifetime_amount, lifetime_amount"),
    ("    return amount\n", "    return lifetime_amount\n"),
)
