"""Accounts over a database in memory, with a clock in the test's hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection
from tests.memory import Memory

from opencarrier.identity.accounts.model import Account
from opencarrier.identity.accounts.service import Accounts, Origin
from opencarrier.identity.accounts.store import metadata
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy

START_US = 1_700_000_000_000_000
ORIGIN = Origin(scheme="http", domain="localhost:8400", chain_id=31337)


@pytest.fixture
def unit() -> Iterator[Connection]:
    engine = Memory(metadata)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START_US)


@pytest.fixture
def accounts(clock: FixedClock) -> Accounts:
    return Accounts(clock, SeededEntropy(1))


@pytest.fixture
def ada(unit: Connection, accounts: Accounts) -> Account:
    made = accounts.book.add(unit, "Ada")
    assert isinstance(made, Account)
    return made
