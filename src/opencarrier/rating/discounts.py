"""The discounts of authorisations, and how much use was had at them.

Spend at a discount is what was paid and what the discount took off. The cap of a lock bounds it
over all of a home's authorisations together: what was spent, and what open ones may still reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, bindparam, case, func, select

from opencarrier.rating.holds import Authorisation
from opencarrier.rating.tables import by_ids, discounts
from opencarrier.spine.money import Charge, Discount, StakeReading
from opencarrier.spine.parties import PartyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What was spent at an authorisation's discount, and what it may still reach.

    `ends_us` is when the lock ends and use has its full price; None where the discount was
    promised to the end, as to a device that signs for each slice at it.
    """

    reading: StakeReading
    reserved_minor: int
    spent_minor: int
    ends_us: int | None = None

    def holds(self, at_us: int) -> bool:
        """Say whether use that begins at an instant has the discount."""
        return self.ends_us is None or at_us < self.ends_us

    def released(self) -> Spending:
        """Return the spending when nothing more can be had at it."""
        return replace(self, reserved_minor=0)

    def after(self, charge: Charge, *, done: bool) -> Spending:
        """Return the spending after a charge; `done` releases what was not reached."""
        value_minor = charge.amount_minor + charge.discount_minor
        left_minor = 0 if done else max(0, self.reserved_minor - value_minor)
        return replace(self, reserved_minor=left_minor, spent_minor=self.spent_minor + value_minor)


def insert(
    unit: Connection,
    authorisation: Authorisation,
    discount: Discount,
    *,
    reserved_minor: int,
    ends_us: int | None,
) -> None:
    """Keep the discount of an authorisation, and reserve what it may reach."""
    row = {
        "authorisation_id": authorisation.authorisation_id,
        "home": authorisation.home,
        "contract": discount.reading.contract,
        "account": discount.reading.account,
        "timepoint_s": discount.reading.timepoint_s,
        "lock_began_s": discount.lock_began_s,
        "reserved_minor": reserved_minor,
        "spent_minor": 0,
        "expires_us": authorisation.hold_expires_us,
        "ends_us": ends_us,
    }
    unit.execute(discounts.insert(), row)


def by_authorisation(unit: Connection, ids: Iterable[bytes]) -> dict[bytes, Spending]:
    """Return the spendings of those authorisations that have a discount."""
    return {
        row.authorisation_id: Spending(
            reading=StakeReading(
                contract=row.contract, account=row.account, timepoint_s=row.timepoint_s
            ),
            reserved_minor=row.reserved_minor,
            spent_minor=row.spent_minor,
            ends_us=row.ends_us,
        )
        for row in by_ids(unit, select(discounts), ids, discounts.c.authorisation_id)
    }


def write(unit: Connection, items: Mapping[bytes, Spending]) -> None:
    """Write how far spendings have come."""
    rows = [
        {"key": key, "new_reserved": item.reserved_minor, "new_spent": item.spent_minor}
        for key, item in items.items()
    ]
    if rows:
        unit.execute(_COME, rows)


def left_minor(unit: Connection, home: PartyId, discount: Discount, at_us: int) -> int:
    """Return what a lock's cap still covers at a home.

    What an authorisation reserved lapses with its hold; use that comes later still counts.
    """
    columns = discounts.c
    open_minor = case((columns.expires_us > at_us, columns.reserved_minor), else_=0)
    query = select(func.coalesce(func.sum(columns.spent_minor + open_minor), 0)).where(
        columns.home == home,
        columns.contract == discount.reading.contract,
        columns.account == discount.reading.account,
        columns.lock_began_s == discount.lock_began_s,
    )
    return discount.cap_minor - int(unit.execute(query).scalar_one())


_COME: Final = (
    discounts.update()
    .where(discounts.c.authorisation_id == bindparam("key"))
    .values(reserved_minor=bindparam("new_reserved"), spent_minor=bindparam("new_spent"))
)
