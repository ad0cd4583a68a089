"""Proofs by halmos, for all numbers at once, of the sums our money hangs on.

The tier function (StakeDiscount), the accumulator (RewardDistributor), the sum of nets
(ClearingHouse) and the packed balance (StableToken) are proven in the shipped bytecode. What is
false must be found false with a witness, and so must a true claim about a contract with a
mistake in it.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import foundry

from opencarrier.chain.abi import load

CONTRACTS = foundry.ROOT / "contracts"
pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not foundry.is_installed(), reason="forge, halmos, solc not installed"),
]

CORES = {
    "Tiers": ("StakeDiscount", {"check_never_less", "check_the_best_met", "check_at_most_all"}),
    "Accumulator": (
        "RewardDistributor",
        {"check_paid_is_booked_and_funded", "check_a_claim_pays_the_difference_once"},
    ),
    "NetSum": ("ClearingHouse", {"check_net_sum"}),
    "Balances": (
        "StableToken",
        {
            "check_a_transfer_moves_its_amount_alone",
            "check_a_transfer_to_oneself",
            "check_a_freeze_leaves_the_balance",
            "check_minting_never_freezes",
        },
    ),
}

MISTAKES = {
    "Tiers": ("lock_s >= tier.min_lock_s", "lock_s <= tier.min_lock_s"),
    "Accumulator": ("self._totals[token] = totals + amount", "self._totals[token] = totals"),
    "Balances": ("self._accounts[account] |= FROZEN", "self._accounts[account] = FROZEN"),
    "NetSum": ('assert credits == debits, "nets: sum"', 'assert credits <= debits, "nets: sum"'),
}
"""A small wrong change for each core, which its proof must not survive."""

PROVEN = {
    "Accumulator": "5f34f3067b512584ce15003a4b9d06867d40a153c81a1af27ebf4d6de952c93e",
    "NetSum": "8177521b88971e662cc3ec1d4a182408d2f3a1c0d85e2e78dd54aefcdba5de52",
}
"""What takes minutes is proven by `--deep`: the SHA-256 of the bytecode and claims that were."""

CORES_MARKED = [
    pytest.param(one, marks=[pytest.mark.deep] if one in PROVEN else []) for one in CORES
]


@pytest.mark.parametrize("core", CORES_MARKED)
def test_holds_for_all_numbers(core: str, tmp_path: Path) -> None:
    name, claims = CORES[core]
    foundry.project(tmp_path, {name: load(name).bytecode}, [core])
    assert foundry.proven(tmp_path) == dict.fromkeys(claims, "proven")


@pytest.mark.parametrize("core", PROVEN)
def test_what_is_shipped_is_what_was_proven(core: str) -> None:
    """Another contract or claim is proven anew: `./dev test --deep tests/peers/test_halmos.py`."""
    name, _ = CORES[core]
    claims = [foundry.PROOFS / f"{file}.sol" for file in ("Base", f"{core}.t")]
    parts = [load(name).bytecode, *(path.read_bytes() for path in claims)]
    assert sha256(b"".join(parts)).hexdigest() == PROVEN[core]


def test_what_is_false_is_not_proven(tmp_path: Path) -> None:
    """The prover is not vacuous: two planted claims are refuted, each with a witness."""
    code = {"StakeDiscount": load("StakeDiscount").bytecode}
    foundry.project(tmp_path, code, ["Wrong"])
    assert foundry.proven(tmp_path) == {
        "check_no_stake_has_a_discount": "false",
        "check_more_is_always_better": "false",
    }


@pytest.mark.parametrize("core", CORES_MARKED)
def test_a_mistake_is_found(core: str, tmp_path: Path) -> None:
    """The claims are about the contract: with a mistake in it one of them is refuted."""
    name, _ = CORES[core]
    (tmp_path / "project").mkdir()
    code = _mistaken(tmp_path, name, *MISTAKES[core])
    foundry.project(tmp_path / "project", {name: code}, [core])
    assert "false" in foundry.proven(tmp_path / "project").values()


def _mistaken(folder: Path, name: str, old: str, new: str) -> bytes:
    """Compile a contract in which one text is another."""
    sources = folder / "contracts"
    shutil.copytree(CONTRACTS, sources)
    text = (sources / f"{name}.vy").read_text()
    assert text.count(old) == 1, f"{name} says {old} once"
    (sources / f"{name}.vy").write_text(text.replace(old, new))
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return bytes.fromhex(json.loads(build.artefact_text(name, sources))["bytecode"][2:])
