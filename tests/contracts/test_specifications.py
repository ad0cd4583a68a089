"""Every invariant of every specification is named by a test, and no table names one that is not."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "contracts"
TESTS = (ROOT / "tests" / "contracts", ROOT / "tests" / "peers", ROOT / "tests" / "chain")
LABEL = re.compile(r"\*\*([A-Z]\d+)\*\*")
ROW = re.compile(r"\| ((?:[A-Z]\d+ ?)+)\|$", re.MULTILINE)


def labels(name: str) -> list[str]:
    return LABEL.findall((CONTRACTS / f"{name}.md").read_text())


@cache
def told() -> frozenset[str]:
    """Every label that a test or what it stands on tells of; a range names all between."""
    text = "\n".join(
        path.read_text()
        for folder in TESTS
        for path in folder.rglob("*.py")
        if path != Path(__file__)
    )
    names = set(re.findall(r"\b[A-Z]\d+\b", text))
    for letter, first, last in re.findall(r"\b([A-Z])(\d+)(?:-| to )[A-Z]?(\d+)\b", text):
        names |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return frozenset(names)


NAMES = sorted(path.stem for path in CONTRACTS.glob("*.vy"))


@pytest.mark.parametrize("name", NAMES)
def test_every_invariant_is_named_by_a_test(name):
    assert labels(name), "a specification has invariants"
    assert [label for label in labels(name) if label not in told()] == []


@pytest.mark.parametrize("name", NAMES)
def test_invariants_are_counted(name):
    """One letter, from one on, none left out: a label is a place in the specification."""
    letter = labels(name)[0][0]
    assert labels(name) == [f"{letter}{number}" for number in range(1, len(labels(name)) + 1)]


def test_the_table_names_what_there_is():
    rows = ROW.findall((CONTRACTS / "README.md").read_text())
    named = {label for row in rows for label in row.split()}
    assert len(rows) == 10
    assert named <= {label for name in NAMES for label in labels(name)}
