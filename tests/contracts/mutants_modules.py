"""Mutants of what contracts share."""

from __future__ import annotations

from mutant import of

SUITE: dict[str, tuple[str, ...]] = {}
SIGNING = ("ClearingHouse", "StableToken")

MUTANTS = [
    *of(
        "modules/ecdsa.vy",
        SIGNING,
        ("convert(s, uint256) > convert(S_MAX, uint256) or ", ""),
        ("s: bytes32 = extract32(signature, 32)", "s: bytes32 = extract32(signature, 31)"),
        ("    if len(signature) != 65:\n        return empty(address)\n", ""),
    ),
    *of(
        "modules/eip712.vy",
        SIGNING,
        ("chain.id == FIRST_CHAIN_ID and self == FIRST_ADDRESS", "True"),
        ("chain.id == FIRST_CHAIN_ID and self == FIRST_ADDRESS", "self == FIRST_ADDRESS"),
        ("chain.id == FIRST_CHAIN_ID and self == FIRST_ADDRESS", "chain.id == FIRST_CHAIN_ID"),
        ('concat(x"1901", ', 'concat(x"1900", '),
        ("(0x0f, NAME", "(0x1f, NAME"),
        (
            "abi_encode(DOMAIN_TYPE_HASH, keccak256(NAME), keccak256(VERSION), chain.id, self)",
            "abi_encode(DOMAIN_TYPE_HASH, keccak256(NAME), keccak256(NAME), chain.id, self)",
        ),
    ),
    *of(
        "modules/ownable.vy",
        SIGNING,
        ('assert owner_ != empty(address), "owner: zero"', "pass"),
        ('assert msg.sender == self.pending_owner, "owner: not offered"', "pass"),
        ("    self.pending_owner = empty(address)\n", ""),
        ('assert msg.sender == self.owner, "owner: not caller"', "pass"),
        ("    self.pending_owner = new_owner\n", "    self.owner = new_owner\n"),
    ),
]
