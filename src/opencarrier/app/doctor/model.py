"""What an examination finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum


class Health(IntEnum):
    """How a part is; the worst of all parts decides how the command ends."""

    GOOD = 0
    DOUBTFUL = 1
    BROKEN = 2

    @property
    def word(self) -> str:
        """As it is shown."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what it is like, and what to do where it is not good."""

    part: str
    health: Health
    found: str
    fix: str = ""

    def __post_init__(self) -> None:
        """Assert that whoever finds fault says what to do."""
        assert bool(self.fix) == (self.health is not Health.GOOD), self.part


Findings = Iterator[Finding]


def good(part: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(part=part, health=Health.GOOD, found=found)


def doubtful(part: str, found: str, fix: str) -> Finding:
    """Return a finding that a person should see to before long."""
    return Finding(part=part, health=Health.DOUBTFUL, found=found, fix=fix)


def broken(part: str, found: str, fix: str) -> Finding:
    """Return a finding that keeps something from working now."""
    return Finding(part=part, health=Health.BROKEN, found=found, fix=fix)
