"""A database in memory and an installation over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Connection
from tests.memory import Memory

from opencarrier.identity.sealing import FileSealingKey
from opencarrier.identity.service import Identity
from opencarrier.identity.store import metadata
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.spine.parties import Operator

START_US = 1_700_000_000_000_000


@dataclass
class World:
    """An installation with its clock and its stopwatch in the test's hand."""

    clock: FixedClock = field(default_factory=lambda: FixedClock(START_US))
    entropy: SeededEntropy = field(default_factory=lambda: SeededEntropy(1))
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.sealing_key = FileSealingKey(self.entropy.octets("sealing-key", 64))
        self.identity = self.another()

    def another(self) -> Identity:
        """Return what a second process over the same database would have."""
        return Identity(
            self.sealing_key,
            clock=self.clock,
            entropy=self.entropy,
            monotonic_s=lambda: self.now_s,
        )


@pytest.fixture
def engine() -> Iterator[Memory]:
    engine = Memory(metadata)
    yield engine
    engine.dispose()


@pytest.fixture
def unit(engine: Memory) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def identity(world: World) -> Identity:
    return world.identity


@pytest.fixture
def lumen(unit: Connection, identity: Identity) -> Operator:
    made = identity.register.add_operator(
        unit, name="Lumen Mobile", jurisdiction="FR", realms=["lumen.example"], plmns=["20893"]
    )
    assert isinstance(made, Operator)
    return made


@pytest.fixture
def baobab(unit: Connection, identity: Identity) -> Operator:
    made = identity.register.add_operator(
        unit, name="Baobab Telecom", jurisdiction="SN", realms=["baobab.example"], plmns=["60897"]
    )
    assert isinstance(made, Operator)
    return made
