"""The artefacts are what the sources compile to, and the sources keep the house rules."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
SOURCES = sorted([*CONTRACTS.rglob("*.vy"), *CONTRACTS.rglob("*.vyi")])
CODE_OCTETS_MAX = 24_576  # EIP-170
TWO = ("RewardDistributor", "StableToken")


def _build():
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.artefact_text = functools.cache(module.artefact_text)
    return module


@pytest.fixture(scope="module")
def build():
    return _build()


def test_artefacts_are_current_wherever_they_are_built(build, tmp_path: Path, capsys, monkeypatch):
    """A copy in another folder compiles to the committed octets; one changed octet is named.

    Two of them here: `./dev lint` checks that each is current.
    """
    monkeypatch.setattr(build, "NAMES", TWO)
    sources, artefacts = tmp_path / "elsewhere", tmp_path / "artefacts"
    shutil.copytree(CONTRACTS, sources)
    shutil.copytree(build.ARTEFACTS, artefacts)
    assert build.main(["--check", "--contracts", str(sources)]) == 0
    path = artefacts / "StableToken.json"
    path.write_text(path.read_text().replace("bytecode", "bytecodes", 1))
    arguments = ["--check", "--contracts", str(sources), "--artefacts", str(artefacts)]
    capsys.readouterr()
    assert build.main(arguments) == 1
    said = capsys.readouterr().err
    assert str(path) in said
    assert "RewardDistributor" not in said
    assert "hint: " in said


BANNED = ("unsafe_", "raw_call", "raw_revert", "@reentrant", "@raw_return", "selfdestruct")
ALLOWED = {
    "BatchChannels.vy": {"raw_call", "raw_revert", "@reentrant"},
    "Erc3009DepositCollector.vy": {"raw_revert"},
    "payment.vy": {"raw_revert"},
    "RewardDistributor.vy": {"raw_call", "@reentrant"},
}
"""What has its reason written beside it: x402's errors have no words, a batch calls its own."""

OURS = {"ethereum.ercs", ".interfaces", "..interfaces", ".modules", "."}
"""What a source may import: the compiler's ERCs and our own files."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_house_rules(path: Path):
    """Pinned compiler, guarded entry, checked arithmetic, nothing raw, no foreign library."""
    text = path.read_text()
    assert "# pragma version 0.4.3\n" in text
    if path.suffix == ".vy":
        assert "# pragma nonreentrancy on\n" in text
        assert "# pragma evm-version cancun\n" in text
    used = {word for word in BANNED if word in text}
    assert used == ALLOWED.get(path.name, set())
    imports = re.findall(r"^(?:from|import) (\S+)", text, re.M)
    assert set(imports) <= OURS
    assert "@license Apache-2.0" in text


@pytest.mark.parametrize("path", [p for p in SOURCES if p.suffix == ".vy"], ids=lambda p: p.name)
def test_every_function_is_described(path: Path):
    """An external function has a notice, an internal one a remark."""
    text = path.read_text()
    functions = re.findall(
        r"((?:^@\w+\n)+)def (\w+)\(.*?\)(?: -> .*?)?:\n(    \"\"\".*?\"\"\")?", text, re.M | re.S
    )
    assert len(functions) == len(re.findall(r"^def ", text, re.M))
    for decorators, name, described in functions:
        wanted = "@notice" if "@external" in decorators else "@"
        assert wanted in described, name


def test_code_fits_a_contract(build):
    from opencarrier.chain.abi import load

    for name in build.NAMES:
        artefact = load(name)
        deployed = artefact.runtime_length + sum(v.length for v in artefact.immutables)
        assert deployed < CODE_OCTETS_MAX
        assert artefact.compiler == "vyper 0.4.3"
