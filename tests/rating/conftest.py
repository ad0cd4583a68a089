from __future__ import annotations

from collections.abc import Iterator

import pytest

from .worlds import World, agreement, plan


@pytest.fixture
def world() -> Iterator[World]:
    """An agreement, a plan, money on both sides."""
    made = World()
    assert made.agree(agreement()) is None
    assert made.offer(plan()) is None
    made.top_up(100_000_000)
    made.deposit(100_000_000)
    yield made
    made.close()


@pytest.fixture
def empty() -> Iterator[World]:
    """Nobody has agreed on anything."""
    made = World()
    yield made
    made.close()
