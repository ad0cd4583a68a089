"""Try every mutant that the operators of `mutation_operators` make of the contracts.

    python tests/contracts/mutation.py --contract RewardDistributor
    python tests/contracts/mutation.py --contract modules/ecdsa --sample 20 --seed 1
    python tests/contracts/mutation.py --list --contract NodeRegistry

A mutant is compiled, and skipped if it does not compile or compiles to the same bytecode; then the
contract's own tests (`SUITE` in `mutants_*.py`) run on it in a forked process until one fails,
those first that noticed most so far. What became of each is kept in `.mutation/` by the hash of
all its sources, so a run that was stopped goes on where it was; a survivor is tried again once the
tests changed. Survivors that no test can notice stand in `equivalents.toml` with the reason.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mutants import CONTRACTS, HERE, ROOT, SUITE
from mutation_operators import Edit, edits

RESULTS = ROOT / ".mutation"
EQUIVALENTS = HERE / "equivalents.toml"
SHARED_TESTS = ("test_bindings.py", "test_authority.py", "test_stateful.py")
OPTIONS = (
    *("-x", "-q", "-n0", "--assert=plain", "-p", "no:cacheprovider"),
    *("-m", "not deep and not peer", "-c", str(ROOT / "pyproject.toml")),
)
SECONDS_MAX = 900
POLL_S = 0.02

KILLED, SURVIVED, ENDLESS = "killed", "survived", "endless"
STILLBORN, SAME = "stillborn", "same"
"""Noticed, or not; still running after `SECONDS_MAX`; no contract at all, or the same contract."""


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
        own = [file for name in self.affects for file in SUITE[name]]
        shared = [
            file
            for file in SHARED_TESTS
            if any(name in (HERE / file).read_text() for name in self.affects)
        ]
        return tuple(dict.fromkeys([*own, *shared]))


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, and which test noticed it."""

    what: str
    by: str = ""
    seconds: float = 0.0
    durations: Mapping[str, float] = field(default_factory=dict, compare=False)


@functools.cache
def build() -> ModuleType:
    """The compiler's driver, `contracts/build.py`."""
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reached(name: str) -> list[Path]:
    """Every source that a contract is made of."""
    return sorted(build()._reached(CONTRACTS / f"{name}.vy", CONTRACTS))


def targets() -> dict[str, Target]:
    """Every contract and module, by the name the command line takes."""
    names = [name for name in build().NAMES if name in SUITE]
    found = {name: Target(f"{name}.vy", (name,)) for name in names}
    for path in sorted((CONTRACTS / "modules").glob("*.vy")):
        users = tuple(name for name in names if path in reached(name))
        found[f"modules/{path.stem}"] = Target(f"modules/{path.name}", users)
    return found


# Equivalents


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


# One mutant


def compiled(target: Target, edit: Edit | None, folder: Path) -> dict[str, str] | None:
    """Compile a target's contracts with an edit into artefacts; None if one does not compile."""
    sources = folder / "contracts"
    shutil.copytree(CONTRACTS, sources)
    if edit is not None:
        (sources / target.source).write_text(edit.apply(target.text))
    try:
        return {name: build().artefact_text(name, sources) for name in target.affects}
    except Exception:
        return None


def bytecode_of(artefacts: dict[str, str]) -> str:
    """Tell artefacts apart by what runs; Vyper's last octets tell sources apart, not code."""
    found = []
    for _, text in sorted(artefacts.items()):
        octets = bytes.fromhex(json.loads(text)["bytecode"].removeprefix("0x"))
        found.append(octets[: -int.from_bytes(octets[-2:], "big")])
    return sha256(b"".join(found)).hexdigest()


class Watcher:
    """A pytest plug-in: known killers first, slow tests last; remembers what failed."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self.failed = ""
        self.seconds: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list) -> None:
        """Order the tests."""
        items.sort(key=lambda item: -self.weights.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report) -> None:
        """Remember a test."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid


def prepare(tests: Iterable[str]) -> None:
    """Load once what every copy of this process needs, the tests included."""
    import pytest
    from hypothesis import Phase, settings

    # A failure is enough; it need not be made small, nor be remembered.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutation", database=None, derandomize=True, phases=phases)
    settings.load_profile("mutation")
    with redirect_stdout(io.StringIO()):
        code = pytest.main([*OPTIONS, "--collect-only", *(str(HERE / file) for file in tests)])
    assert code == 0, "the tests can be collected"


def in_fork(tests: Iterable[str], artefacts: Path, weights: dict[str, float]) -> Outcome:
    """Run tests on a folder of artefacts in a copy of this process; `by` is what failed first."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("r", suffix=".json") as answer:
        child = os.fork()
        if child == 0:
            _play(tests, artefacts, weights, Path(answer.name))
        while time.monotonic() - began < SECONDS_MAX:
            if os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(POLL_S)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Outcome(ENDLESS, seconds=SECONDS_MAX)
        told = answer.read()
    code, failed, durations = json.loads(told) if told else (2, "the process ended", {})
    assert code in (0, 1, 2), f"pytest ended with {code}"
    what = KILLED if code else SURVIVED
    by = failed or ("collection" if code else "")
    return Outcome(what, by, time.monotonic() - began, durations)


def _play(tests: Iterable[str], artefacts: Path, weights: dict[str, float], answer: Path) -> None:
    """Be the copy: run the tests, write down what failed, and end."""
    import pytest

    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    watcher, code = Watcher(weights), 2
    try:
        import_module("contract_evm").use_artefacts(str(artefacts))
        code = int(pytest.main([*OPTIONS, *(str(HERE / file) for file in tests)], [watcher]))
    finally:
        answer.write_text(json.dumps([code, watcher.failed, watcher.seconds]))
        os._exit(0)


# All mutants


class Book:
    """What became of each mutant of a target, kept in a file by the hash of its sources."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.path = RESULTS / f"{target.source.replace('/', '-')}.jsonl"
        self.rest = [
            p.read_text()
            for p in sorted({p for name in target.affects for p in reached(name)})
            if p != CONTRACTS / target.source
        ]
        self.tests_hash = _hash(*((HERE / file).read_text() for file in target.tests))
        self.known: dict[str, dict] = {}
        if self.path.exists():
            lines = self.path.read_text().splitlines()
            self.known = {line["key"]: line for line in map(json.loads, lines)}

    def key(self, edit: Edit, text: str) -> str:
        """Name a mutant by everything it is compiled from."""
        return _hash(edit.apply(text), *self.rest)

    def recall(self, key: str) -> Outcome | None:
        """Return what is known; a survivor of other tests is not known."""
        line = self.known.get(key)
        if line is None or (
            line["what"] in (SURVIVED, ENDLESS) and line["tests"] != self.tests_hash
        ):
            return None
        return Outcome(line["what"], line["by"], line["seconds"])

    def keep(self, key: str, outcome: Outcome) -> None:
        """Remember what became of a mutant."""
        line = {"key": key, "tests": self.tests_hash, "what": outcome.what}
        line |= {"by": outcome.by, "seconds": round(outcome.seconds, 2)}
        self.known[key] = line
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def weights(self, durations: Mapping[str, float]) -> dict[str, float]:
        """What each test is worth first: mutants it noticed per second it takes, then its speed."""
        kills = Counter(line["by"] for line in self.known.values() if line["what"] == KILLED)
        return {
            test: (100 * kills[test] + 1) / (seconds + 0.05) for test, seconds in durations.items()
        }


def _hash(*texts: str) -> str:
    return sha256("\0".join(texts).encode()).hexdigest()


class Hunt:
    """Tries mutants of one target."""

    def __init__(self, target: Target) -> None:
        self.target, self.text, self.book = target, target.text, Book(target)
        self.by_bytecode: dict[str, Outcome] = {}
        self.durations: Mapping[str, float] = {}
        with tempfile.TemporaryDirectory() as folder:
            original = compiled(target, None, Path(folder))
            assert original, "the contract itself compiles"
            self.by_bytecode[bytecode_of(original)] = Outcome(SAME)

    def check(self) -> None:
        """The tests pass on the contract as it is; what they notice is the change."""
        prepare(self.target.tests)
        outcome = in_fork(self.target.tests, build().ARTEFACTS, {})
        assert outcome.what == SURVIVED, f"the tests fail without a mutant: {outcome.by}"
        self.durations = outcome.durations

    def of(self, edit: Edit) -> Outcome:
        """Say what became of a mutant, from the book where it is known."""
        key = self.book.key(edit, self.text)
        outcome = self.book.recall(key)
        if outcome is None:
            outcome = self._tried(edit)
            self.book.keep(key, outcome)
        return outcome

    def _tried(self, edit: Edit) -> Outcome:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            artefacts = compiled(self.target, edit, folder)
            if artefacts is None:
                return Outcome(STILLBORN)
            bytecode = bytecode_of(artefacts)
            if bytecode not in self.by_bytecode:
                shutil.copytree(build().ARTEFACTS, folder / "artefacts")
                for contract, text in artefacts.items():
                    (folder / "artefacts" / f"{contract}.json").write_text(text)
                weights = self.book.weights(self.durations)
                outcome = in_fork(self.target.tests, folder / "artefacts", weights)
                self.by_bytecode[bytecode] = outcome
            return self.by_bytecode[bytecode]


def hunt(target: Target, chosen: list[Edit]) -> Iterator[tuple[Edit, Outcome]]:
    """Try mutants of a target in turn."""
    tried = Hunt(target)
    tried.check()
    for edit in chosen:
        yield edit, tried.of(edit)


def chosen_of(target: Target, sample: int | None, seed: int) -> list[Edit]:
    """All mutants that can be noticed, or so many of them that a seed picks."""
    text = target.text
    found = [edit for edit in edits(text) if reason_of(target, edit, text) is None]
    if sample is None or sample >= len(found):
        return found
    return random.Random(seed).sample(found, sample)


def told(target: Target, edit: Edit, text: str) -> str:
    """A mutant in one line each: place, before, after."""
    line = text.count("\n", 0, edit.start) + 1
    old, new = edit.lines(text)
    return f"{target.source}:{line} {edit.operator} {edit.function}\n  - {old}\n  + {new}"


def run(name: str, target: Target, chosen: list[Edit]) -> int:
    """Try mutants, tell survivors as they are found and the sum at the end; count survivors."""
    text, counts = target.text, Counter[str]()
    for edit, outcome in hunt(target, chosen):
        counts[outcome.what] += 1
        if outcome.what == SURVIVED:
            print("survives:", told(target, edit, text), flush=True)
    summary = ", ".join(f"{counts[what]} {what}" for what in (KILLED, SURVIVED, ENDLESS))
    print(f"{name}: {summary}; {counts[STILLBORN]} stillborn, {counts[SAME]} the same", flush=True)
    return counts[SURVIVED]


def main(arguments: list[str]) -> int:
    """Try the mutants of what the arguments name; 1 where one survives."""
    parser = argparse.ArgumentParser(description="Try all mutants of the contracts.")
    parser.add_argument("--contract", action="append", help="one, such as modules/merkle")
    parser.add_argument("--sample", type=int, help="try so many, picked by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="name the mutants, try none")
    options = parser.parse_args(arguments)
    known, survivors = targets(), 0
    for name in options.contract or sorted(known, key=lambda n: len(edits(known[n].text))):
        target = known[name]
        chosen = chosen_of(target, options.sample, options.seed)
        if options.list:
            print("\n".join(told(target, edit, target.text) for edit in chosen))
            continue
        survivors += run(name, target, chosen)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
