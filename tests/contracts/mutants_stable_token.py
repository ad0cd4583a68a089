"""Mutants of StableToken.vy."""

from __future__ import annotations

from mutant import of

SUITE = {"StableToken": ("test_token.py",)}
"""The tests that know the contract best; they run first."""

MUTANTS = of(
    "StableToken.vy",
    ("StableToken",),
    ('    assert not self.is_frozen[msg.sender], "token: frozen"\n    allowed', "    allowed"),
    ("assert allowed >= amount", "assert allowed > amount"),
    ("assert allowed >= amount", "assert allowed + 1 >= amount"),
    ("if allowed != max_value(uint256):", "if True:"),
    ("if allowed != max_value(uint256):", "if False:"),
    ("self._approve(sender, msg.sender, allowed - amount)", "self._approve(sender, msg.sender, 0)"),
    ('assert block.timestamp <= deadline, "permit: expired"', "pass"),
    ("block.timestamp <= deadline", "block.timestamp < deadline"),
    ("self.nonces[owner] = nonce + 1", "pass"),
    (
        "PERMIT_TYPE_HASH, owner, spender, amount,",
        "PERMIT_TYPE_HASH, owner, spender, empty(uint256),",
    ),
    ('assert signer != empty(address) and signer == owner, "permit: bad signature"', "pass"),
    ('signer == owner, "permit', 'True, "permit'),
    ('signer != empty(address) and signer == owner, "permit', 'signer == owner, "permit'),
    ('assert msg.sender == receiver, "authorization: not receiver"', "pass"),
    ("            RECEIVE_TYPE_HASH, sender", "            TRANSFER_TYPE_HASH, sender"),
    ("block.timestamp > valid_after", "block.timestamp >= valid_after"),
    ("block.timestamp < valid_before", "block.timestamp <= valid_before"),
    ('assert not self.authorizationState[authorizer][nonce], "authorization: used"', "pass"),
    ("    self.authorizationState[authorizer][nonce] = True", "    pass"),
    ("signer != empty(address) and signer == authorizer", "signer == authorizer"),
    ("signer != empty(address) and signer == authorizer", "signer != empty(address)"),
    ("    self.totalSupply += amount", "    pass"),
    ("    self.totalSupply -= amount", "    pass"),
    ("    self.balanceOf[account] += amount", "    self.balanceOf[account] = amount"),
    ("self.balanceOf[receiver] += amount", "self.balanceOf[receiver] += amount + 1"),
    ("self.is_frozen[account] = False", "pass"),
    ("self.is_paused = paused", "self.is_paused = True"),
    ('assert not self.is_paused, "token: paused"', "pass"),
    ("receiver != empty(address) and receiver != self", "receiver != empty(address)"),
    ("receiver != empty(address) and receiver != self", "receiver != self"),
    ('    assert not self.is_frozen[receiver], "token: frozen"', "    pass"),
    ('    assert not self.is_frozen[sender], "token: frozen"', "    pass"),
    (
        "assert not self.is_frozen[owner] and not self.is_frozen[spender]",
        "assert not self.is_frozen[owner]",
    ),
    (
        "assert not self.is_frozen[owner] and not self.is_frozen[spender]",
        "assert not self.is_frozen[spender]",
    ),
)
