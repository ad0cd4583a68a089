"""What rating does where nobody answers a port."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from opencarrier.kernel.ids import Id
from opencarrier.spine.access import Grant
from opencarrier.spine.money import Sale
from opencarrier.spine.parties import PartyId, Subscriber

if TYPE_CHECKING:
    from sqlalchemy import Connection


class NoDiscounts:
    """Everybody pays the full price."""

    def staked(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        """Return nobody."""
        return set()

    def discount(
        self, unit: Connection, subscriber: PartyId, *, seller: PartyId, at_us: int
    ) -> None:
        """Return no discount."""
        return


class NoChoices:
    """Nothing was chosen from."""

    def choice(self, unit: Connection, session_id: Id) -> None:
        """Return no choice."""
        return


class NoSales:
    """Everybody is prepaid."""

    def payers(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        """Return nobody."""
        return set()

    def sale(self, unit: Connection, subscriber: Subscriber, visited: PartyId) -> Sale | None:
        """Return no sale."""
        return None

    def sold(self, unit: Connection, grant: Grant) -> None:
        """Refuse: nothing was sold."""
        raise AssertionError("nothing is sold here")
