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
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from boa.vm.py_evm import titanoboa_computation
from mutation_compiler import Compiled
from mutation_tests import Copy, Loop


@dataclass(frozen=True)
class Reached:
    """What a test takes alone, and the lines it reaches by source."""

    seconds: float
    lines: Mapping[str, list[int]]


class Reach:
    """Finds and keeps which lines tests reach."""

    def __init__(self, codes: list[Compiled], tests: Path, folder: Path) -> None:
        self.codes, self.folder = codes, folder
        self.known: dict[str, Reached] = {}
        helpers = [p for p in tests.glob("*.py") if not p.name.startswith(("test_", "mutation"))]
        self.common = [code.creation for code in codes]
        self.common += [path.read_bytes() for path in sorted(helpers)]

    def add(self, loop: Loop, items: list[pytest.Item]) -> None:
        """Find what tests reach, from the folder where it is known; all of them must pass."""
        by_file: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in items:
            by_file[item.path].append(item)
        for path, found in by_file.items():
            kept = self.folder / f"{path.stem}.json"
            key = sha256(b"\0".join([*self.common, path.read_bytes()])).hexdigest()
            told = json.loads(kept.read_text()) if kept.exists() else {}
            if told.get("key") != key:
                tests = {item.nodeid: self._alone(loop, item) for item in found}
                told = {"key": key, "tests": tests}
                self.folder.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(told))
            self.known |= {name: Reached(*one) for name, one in told["tests"].items()}

    def _alone(self, loop: Loop, item: pytest.Item) -> tuple[float, dict[str, list[int]]]:
        began = time.monotonic()
        failed, lines = Copy(partial(self._recorded, loop, item)).answer()
        assert not failed, f"the tests fail without a mutant: {failed}"
        return time.monotonic() - began, lines

    def _recorded(self, loop: Loop, item: pytest.Item) -> tuple[str, dict[str, list[int]]]:
        visited = _watched()
        failed = loop.first_failure([item])
        lines: dict[str, set[int]] = defaultdict(set)
        for octets, places in visited.items():
            for source, line in self._lines(octets, places):
                lines[source].add(line)
        return failed, {source: sorted(found) for source, found in lines.items()}

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
