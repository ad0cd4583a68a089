"""Try every mutant that the operators of `mutation_operators` make of the contracts.

    python tests/contracts/mutation.py --contract RewardDistributor
    python tests/contracts/mutation.py --contract modules/ecdsa --sample 20 --seed 1
    python tests/contracts/mutation.py --list --contract NodeRegistry
    python tests/contracts/mutation.py --equivalents

A mutant is compiled, and skipped if it does not compile or compiles to the same code; then those
of the contract's tests that reach the changed lines run on it until one fails, those first that
noticed most in the same function so far. All of that happens in a copy of this process, which has
collected the tests. What became of each mutant is kept in `.mutation/` by the hash of all its
sources, so a run that was stopped goes on where it was; a survivor is tried again once the tests
changed, one that was noticed once that test is gone. Survivors that no test can notice stand in
`equivalents.toml` with the reason; with `--equivalents` these are tried instead, and one that does
not survive is told.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import mutation_book as book
import pytest
from mutation_book import ENDLESS, KILLED, SAME, STILLBORN, SURVIVED, Book, Outcome, Target
from mutation_compiler import check, compiled
from mutation_increments import Kept
from mutation_mistakes import MISTAKES
from mutation_operators import Edit, edits, mistakes, statements
from mutation_reach import Reach
from mutation_tests import Copy, Loop, use_artefacts, with_tests

from opencarrier.chain.abi import load


class Grounds:
    """What all hunts share: contracts as they ship, their tests, and what those reach."""

    def __init__(self, names: Iterable[str], loop: Loop, items: list[pytest.Item]) -> None:
        self.loop, self.items = loop, items
        self.originals = {name: compiled(name, book.CONTRACTS) for name in names}
        self.kept = {name: Kept(name, book.CONTRACTS) for name in names}
        for name, original in self.originals.items():
            check(original, load(name))
        self.reach = Reach(book.SUITE, book.CONTRACTS, book.HERE, book.RESULTS / "reach")
        self.reach.add(loop, items)
        parts = [part for original in self.originals.values() for part in original.lines]
        self.lines = {line for part in parts for line in part.values()}


class Hunt:
    """Tries mutants of one target."""

    def __init__(self, target: Target, grounds: Grounds) -> None:
        self.target, self.grounds = target, grounds
        self.text, self.book = target.text, Book(target)
        self.source = Path(target.source).name
        self.statements = statements(self.text)
        self.killer_of: dict[str, str] = {}

    def outcomes(self, chosen: list[Edit], jobs: int) -> Iterator[tuple[Edit, Outcome]]:
        """Say what became of mutants, from the book where it is known; try so many at once."""
        waiting: deque[tuple[Edit, Outcome | Copy]] = deque()
        for edit in chosen:
            known = self.book.recall(edit, self.grounds.reach.known)
            waiting.append((edit, known or Copy(partial(self._tried, edit))))
            if len(waiting) == jobs:
                yield self._ended(*waiting.popleft())
        while waiting:
            yield self._ended(*waiting.popleft())

    def _ended(self, edit: Edit, became: Outcome | Copy) -> tuple[Edit, Outcome]:
        if isinstance(became, Copy):
            outcome = Outcome(*(became.answer() or (ENDLESS,)))
            if outcome.what == KILLED:
                self.killer_of[outcome.code] = outcome.by
            self.book.keep(edit, outcome)
            return edit, outcome
        return edit, became

    def _tried(self, edit: Edit) -> tuple[str, str, str, float]:
        """In a copy: compile and test one contract after another until a test fails."""
        what, started_s = SAME, time.process_time()
        for name in self.target.affects:
            what, by, code = self._of_contract(name, edit, what)
            if what in (KILLED, STILLBORN):
                return what, by, code, time.process_time() - started_s
        return what, "", "", time.process_time() - started_s

    def _of_contract(self, name: str, edit: Edit, before: str) -> tuple[str, str, str]:
        gc.disable()
        path, text = book.CONTRACTS / self.target.source, edit.apply(self.text)
        mutant = self.grounds.kept[name].compiled_with(path, edit.function, text)
        gc.enable()
        gc.freeze()
        if mutant is None:
            return STILLBORN, "", ""
        if mutant.creation == self.grounds.originals[name].creation:
            return before, "", ""
        code = sha256(mutant.creation).hexdigest()
        by = self.killer_of.get(code)
        if by is None:
            use_artefacts({name: mutant.artefact(load(name))})
            by = self.grounds.loop.first_failure(self.tests_of(name, edit))
        return (KILLED, by, code) if by else (SURVIVED, "", code)

    def tests_of(self, name: str, edit: Edit) -> list[pytest.Item]:
        """Return a contract's tests that reach the changed lines, the likeliest to fail first."""
        known, kills = self.grounds.reach.known, self.book.kills[edit.function]
        tests = [item for item in self.grounds.items if item.path.name in book.tests_of(name)]
        lines = self.lines_of(edit)
        if lines:
            tests = [t for t in tests if lines & set(known[t.nodeid].lines.get(self.source, ()))]

        def worth(test: pytest.Item) -> float:
            return (100 * kills[test.nodeid] + 1) / (known[test.nodeid].seconds + 0.05)

        return sorted(tests, key=worth, reverse=True)

    def lines_of(self, edit: Edit) -> set[int]:
        """Return the lines a test must reach to notice; none where no code tells."""
        line = self.text.count("\n", 0, edit.start) + 1
        around = min((s for s in self.statements if line in s), key=len, default=range(0))
        return {line for line in around if (self.source, line) in self.grounds.lines}


def all_of(target: Target) -> tuple[list[Edit], list[Edit]]:
    """All mutants: those that can be noticed, and those named equivalent."""
    text = target.text
    by_hand = mistakes(text, MISTAKES.get(target.source, ()))
    found: tuple[list[Edit], list[Edit]] = [], []
    for edit in (*edits(text), *by_hand):
        found[book.reason_of(target, edit, text) is not None].append(edit)
    return found


def chosen_of(target: Target, sample: int | None, seed: int) -> list[Edit]:
    """All mutants that can be noticed, or so many of them that a seed picks."""
    found, _ = all_of(target)
    if sample is None or sample >= len(found):
        return found
    return random.Random(seed).sample(found, sample)


def told(target: Target, edit: Edit, text: str) -> str:
    """A mutant in one line each: place, before, after."""
    line = text.count("\n", 0, edit.start) + 1
    old, new = edit.lines(text)
    return f"{target.source}:{line} {edit.operator} {edit.function}\n  - {old}\n  + {new}"


UNNOTICED = (SURVIVED, ENDLESS)
NO_EQUIVALENT = (KILLED, STILLBORN, SAME)
"""What must not become of a mutant, and of one that is named equivalent."""


def run(name: str, hunt: Hunt, chosen: list[Edit], jobs: int, unwanted: Sequence[str]) -> int:
    """Try mutants, tell what is unwanted as it is found and the sum at the end; count those."""
    counts = Counter[str]()
    for edit, outcome in hunt.outcomes(chosen, jobs):
        counts[outcome.what] += 1
        if outcome.what in unwanted:
            print(f"{outcome.what}:", told(hunt.target, edit, hunt.text), flush=True)
    summary = ", ".join(f"{counts[what]} {what}" for what in (KILLED, SURVIVED, ENDLESS))
    print(f"{name}: {summary}; {counts[STILLBORN]} stillborn, {counts[SAME]} the same", flush=True)
    return sum(counts[what] for what in unwanted)


def hunt_all(
    chosen: dict[str, tuple[Target, list[Edit]]], jobs: int, unwanted: Sequence[str] = UNNOTICED
) -> int:
    """Try the chosen mutants of targets; count those of which something unwanted became."""
    count = 0

    def use(loop: Loop, items: list[pytest.Item]) -> None:
        nonlocal count
        grounds = Grounds(
            dict.fromkeys(n for t, _ in chosen.values() for n in t.affects), loop, items
        )
        for name, (target, found) in chosen.items():
            count += run(name, Hunt(target, grounds), found, jobs, unwanted)

    files = dict.fromkeys(file for target, _ in chosen.values() for file in target.tests)
    with_tests((book.HERE / file for file in files), use)
    return count


def main(arguments: list[str]) -> int:
    """Try the mutants of what the arguments name; 1 where one survives, or an equivalent not."""
    parser = argparse.ArgumentParser(description="Try all mutants of the contracts.")
    parser.add_argument("--contract", action="append", help="one, such as modules/merkle")
    parser.add_argument("--sample", type=int, help="try so many, picked by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="try so many at once")
    parser.add_argument("--list", action="store_true", help="name the mutants, try none")
    parser.add_argument("--equivalents", action="store_true", help="try those named equivalent")
    options = parser.parse_args(arguments)
    known = book.targets()
    names = options.contract or sorted(known, key=lambda n: len(edits(known[n].text)))
    chosen = {n: (known[n], chosen_of(known[n], options.sample, options.seed)) for n in names}
    if options.equivalents:
        chosen = {n: (known[n], named) for n in names if (named := all_of(known[n])[1])}
    if options.list:
        for target, found in chosen.values():
            print("\n".join(told(target, edit, target.text) for edit in found))
        return 0
    unwanted = NO_EQUIVALENT if options.equivalents else UNNOTICED
    return 1 if hunt_all(chosen, options.jobs, unwanted) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
