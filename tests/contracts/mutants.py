"""Small wrong changes to the contracts, each of which some test must notice.

    python tests/contracts/mutants.py            try all, name the survivors
    python tests/contracts/mutants.py 7 21       try some

A mutant is a text in one source, replaced once. It is compiled in a copy of the sources; the
tests then run on the mutant's bytecode through `OPENCARRIER_TEST_ARTEFACTS`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONTRACTS = ROOT / "contracts"
ALL = ("ClearingHouse", "RewardDistributor", "StableToken")
SIGNING = ("ClearingHouse", "StableToken")
SUITE = {
    "StableToken": ("test_token.py",),
    "ClearingHouse": ("test_clearing_house.py", "test_collateral.py", "test_reentrancy.py"),
    "RewardDistributor": ("test_distributor.py", "test_reentrancy.py"),
}
COMMON = ("test_authority.py", "test_bindings.py", "test_stateful.py")


@dataclass(frozen=True)
class Mutant:
    """One text of a source, and what it becomes; `affects` names the contracts to compile."""

    source: str
    old: str
    new: str
    affects: tuple[str, ...]

    def __str__(self) -> str:
        """Say what was changed where."""
        return f"{self.source}: {self.old.strip()} -> {self.new.strip() or '(nothing)'}"


def _of(source: str, affects: tuple[str, ...], *pairs: tuple[str, str]) -> list[Mutant]:
    return [Mutant(source, old, new, affects) for old, new in pairs]


TOKEN = _of(
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

HOUSE = _of(
    "ClearingHouse.vy",
    ("ClearingHouse",),
    ("# pragma nonreentrancy on", "# pragma nonreentrancy off"),
    ('assert self.distributor == empty(address), "distributor: already set"', "pass"),
    ('assert staticcall rewards.token() == token, "distributor: other token"', "pass"),
    (
        'assert staticcall rewards.clearing_house() == self, "distributor: other clearing house"',
        "pass",
    ),
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

REWARDS = _of(
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

MODULES = [
    *_of(
        "modules/ecdsa.vy",
        SIGNING,
        ("convert(s, uint256) > convert(S_MAX, uint256) or ", ""),
        ("s: bytes32 = extract32(signature, 32)", "s: bytes32 = extract32(signature, 31)"),
        ("    if len(signature) != 65:\n        return empty(address)\n", ""),
    ),
    *_of(
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
    *_of(
        "modules/ownable.vy",
        SIGNING,
        ('assert owner_ != empty(address), "owner: zero"', "pass"),
        ('assert msg.sender == self.pending_owner, "owner: not offered"', "pass"),
        ("    self.pending_owner = empty(address)\n", ""),
        ('assert msg.sender == self.owner, "owner: not caller"', "pass"),
        ("    self.pending_owner = new_owner\n", "    self.owner = new_owner\n"),
    ),
]

MUTANTS: list[Mutant] = [*TOKEN, *HOUSE, *REWARDS, *MODULES]


def mutate(mutant: Mutant, folder: Path) -> Path:
    """Compile a mutant into `folder` and return where the artefacts are."""
    sources, artefacts = folder / "contracts", folder / "artefacts"
    shutil.copytree(CONTRACTS, sources)
    path = sources / mutant.source
    text = path.read_text()
    assert mutant.old in text, f"no such text: {mutant}"
    path.write_text(text.replace(mutant.old, mutant.new, 1))
    build = _build()
    shutil.copytree(build.ARTEFACTS, artefacts)
    for name in mutant.affects:
        (artefacts / f"{name}.json").write_text(build.artefact_text(name, sources))
    return artefacts


def killed(mutant: Mutant) -> bool:
    """Say whether the suite notices a mutant."""
    tests = [file for name in mutant.affects for file in SUITE[name]]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "OPENCARRIER_TEST_ARTEFACTS": str(mutate(mutant, Path(folder))),
        }
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-n0", "-m", "not deep", *(str(HERE / file) for file in (*tests, *COMMON))]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert ran.returncode in (0, 1), ran.stdout.decode() + ran.stderr.decode()
    return ran.returncode == 1


def _build():
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(numbers: list[str]) -> int:
    """Try mutants; print each survivor; return 1 if there is one."""
    survivors = 0
    for number in [int(n) for n in numbers] or range(len(MUTANTS)):
        if not killed(MUTANTS[number]):
            survivors += 1
            print(f"{number} survives: {MUTANTS[number]}", flush=True)
    print(f"{survivors} of {len(numbers) or len(MUTANTS)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
