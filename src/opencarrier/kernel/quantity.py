"""Quantities: what was used, in units from one registry, as signed 64-bit integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opencarrier.kernel.money import int64

UNITS: Final[Mapping[str, str]] = {
    "octets_in": "octets from the device to the network",
    "octets_out": "octets from the network to the device",
    "duration_s": "seconds of session time",
    "messages": "messages sent",
    "sessions": "sessions opened",
}
"""Every unit the network meters, units last in the name; directions as RFC 2866 sees them."""


class UnitError(ValueError):
    """The unit is not in the registry."""


@dataclass(frozen=True, slots=True)
class Quantities:
    """Amounts by unit, sorted by unit; zero is absent, so equal amounts are equal quantities."""

    items: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, amounts: Mapping[str, int]) -> Quantities:
        """Make quantities from a mapping; `UnitError` for a unit outside the registry."""
        for unit, amount in amounts.items():
            if unit not in UNITS:
                raise UnitError(f"{unit} is not a unit of the registry")
            int64(amount, unit)
            assert amount >= 0, f"{unit} is negative"
        used = ((unit, amount) for unit, amount in amounts.items() if amount)
        return cls(tuple(sorted(used)))

    def get(self, unit: str) -> int:
        """Return the amount of a unit, zero where it is absent."""
        return dict(self.items).get(unit, 0)

    def as_mapping(self) -> dict[str, int]:
        """Return the amounts as a plain mapping, for encoding and JSON."""
        return dict(self.items)
