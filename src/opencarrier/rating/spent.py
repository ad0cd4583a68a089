"""What each subscriber spent in each month: its retail charges, summed where they are booked.

A line is a seller, a visited operator, a service, an asset. Use counts in the month in which it
ended (UTC), however late it was rated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from opencarrier.kernel.calendar import month_of
from opencarrier.kernel.money import AssetId
from opencarrier.rating.tables import spent
from opencarrier.spine.money import Charge, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Usage

_SUMS: Final = (
    "charges",
    "octets",
    "duration_s",
    "amount_minor",
    "tax_minor",
    "discount_minor",
    "overrun_minor",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was used and charged in a month at one place of one service; tax is in the amount.

    `overrun_minor` is what no hold covered: the home bears it, the subscriber pays the rest.
    """

    subscriber: PartyId
    month_us: int
    seller: PartyId
    visited: PartyId
    service: int
    asset: AssetId
    charges: int
    octets: int
    duration_s: int
    amount_minor: int
    tax_minor: int
    discount_minor: int
    overrun_minor: int

    @property
    def paid_minor(self) -> int:
        """What left the subscriber's money."""
        return self.amount_minor - self.overrun_minor


_KEYS: Final = tuple(item.name for item in fields(Spent) if item.name not in _SUMS)


def line_of(charge: Charge, usage: Usage, service: int, *, overrun_minor: int) -> Spent:
    """Return what one charge adds."""
    used = usage.quantities
    return Spent(
        subscriber=charge.payer,
        month_us=month_of(usage.end_us).start_us,
        seller=charge.seller,
        visited=usage.visited,
        service=service,
        asset=charge.asset,
        charges=1,
        octets=used.get("octets_in") + used.get("octets_out"),
        duration_s=used.get("duration_s"),
        amount_minor=charge.amount_minor,
        tax_minor=sum(leg.amount_minor for leg in charge.allocations if leg.role is Role.TAX),
        discount_minor=charge.discount_minor,
        overrun_minor=overrun_minor,
    )


def add(unit: Connection, lines: Iterable[Spent]) -> list[Spent]:
    """Add charges to the sums of their months; return what was added, a line for each key."""
    found: dict[tuple[object, ...], Spent] = {}
    for line in lines:
        key = tuple(getattr(line, name) for name in _KEYS)
        known = found.get(key)
        found[key] = line if known is None else _sum(known, line)
    added = [found[key] for key in sorted(found, key=str)]
    if added:
        unit.execute(_ADD, [asdict(line) for line in added])
    return added


def lines(unit: Connection, subscriber: PartyId, month_us: int) -> list[Spent]:
    """Return a month's lines by service, visited operator, seller and asset."""
    columns = spent.c
    query = (
        select(spent)
        .where(columns.subscriber == subscriber, columns.month_us == month_us)
        .order_by(columns.service, columns.visited, columns.seller, columns.asset)
    )
    return [Spent(**row) for row in unit.execute(query).mappings()]


def months(unit: Connection, subscriber: PartyId, *, before_us: int, limit: int) -> Sequence[int]:
    """Return the months before one in which something was charged, the newest first."""
    columns = spent.c
    query = (
        select(columns.month_us)
        .where(columns.subscriber == subscriber, columns.month_us < before_us)
        .distinct()
        .order_by(columns.month_us.desc())
        .limit(limit)
    )
    return list(unit.scalars(query))


def paid_minor(
    unit: Connection, subscriber: PartyId, *, seller: PartyId, asset: AssetId, month_us: int
) -> int:
    """Return what a subscriber paid one seller in a month."""
    columns = spent.c
    query = select(func.sum(columns.amount_minor - columns.overrun_minor)).where(
        columns.subscriber == subscriber,
        columns.month_us == month_us,
        columns.seller == seller,
        columns.asset == asset,
    )
    return int(unit.scalar(query) or 0)


def _sum(one: Spent, other: Spent) -> Spent:
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in _SUMS})


_NEW: Final = insert(spent)
_ADD: Final = _NEW.on_conflict_do_update(
    index_elements=list(_KEYS),
    set_={name: spent.c[name] + _NEW.excluded[name] for name in _SUMS},
)
