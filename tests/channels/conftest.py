from __future__ import annotations

from collections.abc import Iterator

import pytest

from .worlds import World


@pytest.fixture
def world() -> Iterator[World]:
    """Two operators with agreements and plans, Ada with a phone."""
    made = World()
    yield made
    made.close()
