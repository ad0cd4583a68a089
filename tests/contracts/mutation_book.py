"""What mutation knows: the contracts and their tests, equivalents, and what became of mutants."""

from __future__ import annotations

import functools
import importlib.util
import json
import tomllib
from collections import Counter, defaultdict
from collections.abc import Container
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from mutation_operators import Edit

from opencarrier.chain.abi import load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONTRACTS = ROOT / "contracts"
RESULTS = ROOT / ".mutation"
EQUIVALENTS = HERE / "equivalents.toml"
SUITE = {
    "BatchChannels": (
        "test_batch_channels.py",
        "test_channel_calls.py",
        "test_channel_hostile.py",
        "test_channel_cheating.py",
        "test_authority_batch_channels.py",
        "test_stateful_batch_channels.py",
    ),
    "ClearingHouse": (
        "test_clearing_house.py",
        "test_odd_tokens.py",
        "test_mandates.py",
        "test_collateral.py",
        "test_corridors.py",
        "test_stateful_corridors.py",
        "test_reentrancy.py",
    ),
    "Erc3009DepositCollector": (
        "test_deposit_collector.py",
        "test_batch_channels.py",
        "test_authority_batch_channels.py",
    ),
    "NodeRegistry": (
        "test_node_bans.py",
        "test_node_registry.py",
        "test_node_ownership.py",
        "test_node_hostile.py",
        "test_node_typed_data.py",
        "test_authority_node_registry.py",
        "test_stateful_node_registry.py",
    ),
    "RewardDistributor": (
        "test_distributor.py",
        "test_distributor_changes.py",
        "test_authority_reward_distributor.py",
        "test_reentrancy.py",
    ),
    "StableToken": ("test_token.py",),
    "StakeDiscount": (
        "test_stake_discount.py",
        "test_stake_hostile.py",
        "test_authority_stake_discount.py",
        "test_stateful_stake_discount.py",
    ),
}
"""The tests that know a contract best."""

SHARED_TESTS = ("test_bindings.py", "test_authority.py", "test_stateful.py")
CHEAPEST = ("Erc3009DepositCollector", "StableToken", "RewardDistributor", "StakeDiscount")
"""Those that compile fastest; a module is tried in them first."""

KILLED, SURVIVED, ENDLESS = "killed", "survived", "endless"
STILLBORN, SAME = "stillborn", "same"
"""Noticed, or not; stopped for want of time; no contract at all, or the same contract."""


@dataclass(frozen=True)
class Target:
    """One source and the contracts it is part of."""

    source: str
    affects: tuple[str, ...]

    @property
    def text(self) -> str:
        """The source as it is."""
        return (CONTRACTS / self.source).read_text()

    @property
    def tests(self) -> tuple[str, ...]:
        """The files of tests that know its contracts, the nearest first."""
        return tuple(dict.fromkeys(file for name in self.affects for file in tests_of(name)))


@functools.cache
def tests_of(contract: str) -> tuple[str, ...]:
    """Return the files of tests that know a contract."""
    shared = (file for file in SHARED_TESTS if contract in (HERE / file).read_text())
    return (*SUITE[contract], *shared)


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, which test noticed it, and how long that took."""

    what: str
    by: str = ""
    code: str = ""
    seconds: float = 0.0


@functools.cache
def build() -> ModuleType:
    """The compiler's driver, `contracts/build.py`."""
    spec = importlib.util.spec_from_file_location("contracts_build", ROOT / "contracts/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reached(name: str) -> list[Path]:
    """Every source that a contract is made of."""
    return sorted(reached_from(CONTRACTS / f"{name}.vy", CONTRACTS))


@functools.cache
def reached_from(source: Path, folder: Path) -> set[Path]:
    """A source and all it imports of ours."""
    found: set[Path] = build()._reached(source, folder)
    return found


def targets() -> dict[str, Target]:
    """Every contract and module, by the name the command line takes."""
    names = sorted(SUITE, key=lambda name: (name not in CHEAPEST, name))
    found = {name: Target(f"{name}.vy", (name,)) for name in names}
    for path in sorted((CONTRACTS / "modules").glob("*.vy")):
        users = tuple(name for name in names if path in reached(name))
        found[f"modules/{path.stem}"] = Target(f"modules/{path.name}", users)
    return found


def equivalents() -> list[dict[str, str]]:
    """Mutants that no test can notice: source, function, lines before and after, reason."""
    listed = tomllib.loads(EQUIVALENTS.read_text()) if EQUIVALENTS.exists() else {}
    return list(listed.get("equivalent", []))


def reason_of(target: Target, edit: Edit, text: str) -> str | None:
    """Why a mutant cannot be noticed; None where it can."""
    old, new = edit.lines(text)
    for one in equivalents():
        place = (one["source"], one.get("function", ""), one["old"], one["new"])
        if place == (target.source, edit.function, old, new):
            return one["reason"]
    return None


class Book:
    """What became of each mutant of a target, kept by its source and what ships around it."""

    def __init__(self, target: Target) -> None:
        self.path = RESULTS / f"{target.source.replace('/', '-')}.jsonl"
        self.text = target.text
        self.codes = [_code_of(name) for name in target.affects]
        self.tests_hash = _hash(*((HERE / file).read_text() for file in target.tests))
        self.known: dict[str, dict] = {}
        self.kills: defaultdict[str, Counter[str]] = defaultdict(Counter)
        if self.path.exists():
            for line in map(json.loads, self.path.read_text().splitlines()):
                self._learn(line)

    def recall(self, edit: Edit, tests: Container[str]) -> Outcome | None:
        """Return what is known: a survivor of these tests, one that a test still there noticed."""
        line = self.known.get(self._key(edit))
        if line is None:
            return None
        if line["what"] == KILLED and line["by"] not in tests:
            return None
        if line["what"] in (SURVIVED, ENDLESS) and line["tests"] != self.tests_hash:
            return None
        return Outcome(line["what"], line["by"])

    def keep(self, edit: Edit, outcome: Outcome) -> None:
        """Remember what became of a mutant."""
        line = {"key": self._key(edit), "function": edit.function, "tests": self.tests_hash}
        line |= {"what": outcome.what, "by": outcome.by, "seconds": round(outcome.seconds, 2)}
        self._learn(line)
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _key(self, edit: Edit) -> str:
        return _hash(edit.apply(self.text), *self.codes)

    def _learn(self, line: dict) -> None:
        self.known[line["key"]] = line
        if line["what"] == KILLED:
            self.kills[line["function"]][line["by"]] += 1


def _code_of(contract: str) -> str:
    """What ships, without its last octets: those tell sources apart, not code."""
    code = load(contract).bytecode
    return code[: -int.from_bytes(code[-2:], "big")].hex()


def _hash(*texts: str) -> str:
    return sha256("\0".join(texts).encode()).hexdigest()
