"""One shop for all tests of the paywall that can share it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.paywall.shop import Shop, shop

from opencarrier.kernel.clock import SECOND_US


@pytest.fixture(scope="session")
def opened(tmp_path_factory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def till(opened: Shop) -> Iterator[Shop]:
    """Time goes on between tests, so that none meets another's rate; books agree after each."""
    clock = opened.made.clock
    clock.set(clock.now_us() + 10 * SECOND_US)
    yield opened
    opened.made.errands.see_payments_through()
    opened.agrees()
