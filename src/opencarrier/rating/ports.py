"""What rating asks of rooms that are still to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from opencarrier.spine.parties import PartyId

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Discounts(Protocol):
    """Whoever knows what discount a subscriber has earned."""

    def ppm(self, unit: Connection, subscriber: PartyId, at_us: int) -> int:
        """Return the discount in parts per million of the retail price, 0 to 1,000,000."""
        ...


class NoDiscounts:
    """Everybody pays the full price."""

    def ppm(self, unit: Connection, subscriber: PartyId, at_us: int) -> int:
        """Return no discount."""
        return 0
