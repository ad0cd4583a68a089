from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from .books import engine, opened


@pytest.fixture
def unit() -> Iterator[Connection]:
    """A unit of work on a ledger whose accounts are open."""
    made = engine()
    with made.begin() as connection:
        opened(connection)
        yield connection
    made.dispose()
