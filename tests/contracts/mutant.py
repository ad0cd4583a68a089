"""What a mutant is: one text of a source, replaced once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One text of a source, and what it becomes; `affects` names the contracts to compile."""

    source: str
    old: str
    new: str
    affects: tuple[str, ...]

    def __str__(self) -> str:
        """Say what was changed where."""
        return f"{self.source}: {self.old.strip()} -> {self.new.strip() or '(nothing)'}"


def of(source: str, affects: tuple[str, ...], *pairs: tuple[str, str]) -> list[Mutant]:
    """List the mutants of one source."""
    return [Mutant(source, old, new, affects) for old, new in pairs]
