"""Mutants of RewardDistributor.vy."""

from __future__ import annotations

from mutant import of

SUITE = {"RewardDistributor": ("test_distributor.py", "test_reentrancy.py")}
"""The tests that know the contract best; they run first."""

MUTANTS = of(
    "RewardDistributor.vy",
    ("RewardDistributor",),
    ("# pragma nonreentrancy on", "# pragma nonreentrancy off"),
    ("token_ != empty(address) and clearing_house_ != empty(address)", "token_ != empty(address)"),
    (
        "token_ != empty(address) and clearing_house_ != empty(address)",
        "clearing_house_ != empty(address)",
    ),
    ('assert msg.sender == clearing_house, "publish: not clearing house"', "pass"),
    ("self.funded + amount", "amount"),
    ('assert held >= funded - self.total_claimed, "publish: not funded"', "pass"),
    ("held >= funded - self.total_claimed", "held > funded - self.total_claimed"),
    ("held >= funded - self.total_claimed", "held >= funded"),
    ("held >= funded - self.total_claimed", "held >= amount"),
    ("    self.funded = funded\n", ""),
    ("    self.root = root\n", ""),
    ("    self.root_cycle_id = cycle_id\n", ""),
    (" == self.root", " != empty(bytes32)"),
    ("assert lifetime_amount > paid", "assert lifetime_amount >= paid"),
    ("amount: uint256 = lifetime_amount - paid", "amount: uint256 = lifetime_amount"),
    ("self.total_claimed + amount", "self.total_claimed + lifetime_amount"),
    ("total_claimed <= self.funded", "total_claimed < self.funded"),
    ('assert total_claimed <= self.funded, "claim: over funded"', "pass"),
    ("total_claimed <= self.funded", "amount <= self.funded"),
    ("    self.claimed[account] = lifetime_amount\n", ""),
    ("self.claimed[account] = lifetime_amount", "self.claimed[account] = amount"),
    ("    self.total_claimed = total_claimed\n", ""),
    (".transfer(account, amount,", ".transfer(msg.sender, amount,"),
    (
        "keccak256(keccak256(abi_encode(account, lifetime_amount)))",
        "keccak256(abi_encode(account, lifetime_amount))",
    ),
    ("if convert(node, uint256) < convert(sibling, uint256):", "if True:"),
    ("convert(node, uint256) < convert(sibling", "convert(node, uint256) > convert(sibling"),
    (
        "amount=amount, lifetime_amount=lifetime_amount",
        "amount=lifetime_amount, lifetime_amount=lifetime_amount",
    ),
    ("    return amount\n", "    return lifetime_amount\n"),
)
