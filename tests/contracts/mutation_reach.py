"""Which lines of the contracts each test reaches: it can notice a change only of those.

Each test runs once by itself, so what its fixtures do is its own, on the contracts that ship. What
was found is kept in `.mutation/reach/` by test file until that, a helper or a contract changes.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from boa.vm.py_evm import titanoboa_computation
from mutation_compiler import Compiled, compiled
from mutation_tests import Copy, Loop


@dataclass(frozen=True)
class Reached:
    """What a test takes alone, and the lines it reaches by source."""

    seconds: float
    lines: Mapping[str, list[int]]


class Reach:
    """Finds and keeps which lines tests reach."""

    def __init__(self, names: Iterable[str], contracts: Path, tests: Path, folder: Path) -> None:
        self.names, self.contracts, self.folder = names, contracts, folder
        self.known: dict[str, Reached] = {}
        sources = [p for kind in ("*.vy", "*.vyi") for p in contracts.rglob(kind)]
        helpers = [p for p in tests.glob("*.py") if not p.name.startswith(("test_", "mutation"))]
        self.common = [path.read_bytes() for path in (*sorted(sources), *sorted(helpers))]

    @cached_property
    def codes(self) -> list[Compiled]:
        """The contracts whose lines are known."""
        return [compiled(name, self.contracts) for name in self.names]

    def add(self, loop: Loop, items: list[pytest.Item]) -> None:
        """Find what tests reach, from the folder where it is known; all of them must pass."""
        by_file: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in items:
            by_file[item.path].append(item)
        for path, found in by_file.items():
            told = self._kept(path)
            if not all(item.nodeid in told for item in found):
                told = self._recorded(loop, path, found)
            self.known |= {name: Reached(*one) for name, one in told.items()}

    def _key(self, path: Path) -> str:
        return sha256(b"\0".join([*self.common, path.read_bytes()])).hexdigest()

    def _kept(self, path: Path) -> dict[str, Any]:
        kept = self.folder / f"{path.stem}.json"
        told = json.loads(kept.read_text()) if kept.exists() else {}
        return told["tests"] if told.get("key") == self._key(path) else {}

    def _recorded(self, loop: Loop, path: Path, items: list[pytest.Item]) -> dict[str, Any]:
        assert all(code.lines for code in self.codes)
        key, tests = self._key(path), {}
        for item in items:
            failed, seconds, lines = Copy(partial(self._alone, loop, item)).answer()
            assert not failed, f"the tests fail without a mutant: {failed}"
            tests[item.nodeid] = seconds, lines
        self.folder.mkdir(parents=True, exist_ok=True)
        told = json.dumps({"key": key, "tests": tests})
        (self.folder / f"{path.stem}.json").write_text(told)
        return tests

    def _alone(self, loop: Loop, item: pytest.Item) -> tuple[str, float, dict[str, list[int]]]:
        began_s, visited = time.process_time(), _watched()
        failed = loop.first_failure([item])
        lines: dict[str, set[int]] = defaultdict(set)
        for octets, places in visited.items():
            for source, line in self._lines(octets, places):
                lines[source].add(line)
        found = {source: sorted(places) for source, places in lines.items()}
        return failed, time.process_time() - began_s, found

    def _lines(self, octets: bytes, places: set[int]) -> Iterable[tuple[str, int]]:
        for code in self.codes:
            for part, lines in zip((code.creation, code.runtime), code.lines, strict=True):
                if octets.startswith(part):
                    return (lines[place] for place in places & lines.keys())
        return ()


def _watched() -> dict[bytes, set[int]]:
    """Collect from now on which places of which code ran."""
    visited: dict[bytes, set[int]] = defaultdict(set)
    original = titanoboa_computation.apply_computation.__func__

    def apply(cls, *arguments, **options):
        ran = original(cls, *arguments, **options)
        visited[bytes(ran.code._raw_code_bytes)].update(ran.code._trace)
        return ran

    titanoboa_computation.apply_computation = classmethod(apply)
    return visited
