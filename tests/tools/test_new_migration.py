"""The next migration's number follows the highest there is."""

from __future__ import annotations

import pytest
from tools.new_migration import following


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], "0001"),
        (["0001"], "0002"),
        (["0012", "0003", "0001"], "0013"),
        (["0099"], "0100"),
        (["9999"], "10000"),
    ],
)
def test_gaps_do_not_matter(known: list[str], expected: str) -> None:
    """Of three files of which one is 0012, the next is 0013."""
    assert following(known) == expected
