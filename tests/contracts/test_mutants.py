"""The suite must notice every listed mutant of the contracts."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import CONTRACTS, LISTS, MUTANTS, killed


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_text_is_there(mutant):
    """A mutant that no longer fits its source tests nothing."""
    text = Path(CONTRACTS / mutant.source).read_text()
    assert text.replace(mutant.old, mutant.new, 1) != text


def test_there_are_enough():
    assert all(len(found.MUTANTS) >= 20 for found in LISTS if found.SUITE)


@pytest.mark.deep
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_is_killed(mutant):
    assert killed(mutant)
