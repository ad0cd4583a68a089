"""What rating asks of rooms that are still to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from opencarrier.spine.access import Grant
from opencarrier.spine.money import Sale
from opencarrier.spine.parties import PartyId, Subscriber

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


class NoSales:
    """Everybody is prepaid."""

    def sale(self, unit: Connection, subscriber: Subscriber, visited: PartyId) -> Sale | None:
        """Return no sale."""
        return None

    def sold(self, unit: Connection, grant: Grant) -> None:
        """Refuse: nothing was sold."""
        raise AssertionError("nothing is sold here")
