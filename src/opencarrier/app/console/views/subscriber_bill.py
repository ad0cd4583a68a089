"""The bill of a month by service and place, with tax: its sums are of charges with receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.kernel.calendar import month_name
from opencarrier.kernel.clock import Window
from opencarrier.kernel.money import INT64_MAX
from opencarrier.rating.spent import Spent
from opencarrier.spine.parties import Subscriber
from opencarrier.spine.records import Service

MONTHS_SHOWN = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """What one service cost at one operator's places; `net_minor` + `tax_minor` = `price_minor`.

    `borne_minor` of the price is the home's, since no hold covered it; `discount_minor` was taken
    off before.
    """

    service: str
    operator: str
    country: str
    asset: str
    charges: int
    octets: int
    duration_s: int
    net_minor: int
    tax_minor: int
    price_minor: int
    discount_minor: int
    borne_minor: int
    paid_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthLine:
    """A month that has a bill."""

    month: str
    begins_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BillView:
    """A month's bill; `paid_minor` is what left the prepaid money for use of that month.

    Sums are of the venue's asset. `is_over` says that the month has ended; use that is reported
    late still counts in the month in which it ended.
    """

    party: str
    home: str
    month: str
    begins_us: int
    ends_us: int
    is_over: bool
    asset: str
    lines: tuple[BillLine, ...]
    charges: int
    octets: int
    net_minor: int
    tax_minor: int
    price_minor: int
    discount_minor: int
    borne_minor: int
    paid_minor: int
    months: tuple[MonthLine, ...]


def bill_view(place: Onchain, unit: Connection, subscriber: Subscriber, month: Window) -> BillView:
    """Return the bill of a month, empty where nothing was charged."""
    base, asset, party = place.base, place.manifest.asset, subscriber.party_id
    home = base.identity.directory.operator(unit, subscriber.home)
    assert home is not None, "a subscriber without a home"
    found = base.subscribers.month(unit, party, month.start_us)
    mine = [line for line in found if line.asset == asset]
    months = base.subscribers.months(unit, party, before_us=INT64_MAX, limit=MONTHS_SHOWN)
    price_minor = sum(line.amount_minor for line in mine)
    tax_minor = sum(line.tax_minor for line in mine)
    borne_minor = sum(line.overrun_minor for line in mine)
    return BillView(
        party=party,
        home=home.name,
        month=month_name(month.start_us),
        begins_us=month.start_us,
        ends_us=month.end_us,
        is_over=base.clock.now_us() >= month.end_us,
        asset=asset,
        lines=_lines(place, unit, found),
        charges=sum(line.charges for line in mine),
        octets=sum(line.octets for line in mine),
        net_minor=price_minor - tax_minor,
        tax_minor=tax_minor,
        price_minor=price_minor,
        discount_minor=sum(line.discount_minor for line in mine),
        borne_minor=borne_minor,
        paid_minor=price_minor - borne_minor,
        months=tuple(MonthLine(month=month_name(at_us), begins_us=at_us) for at_us in months),
    )


def _lines(place: Onchain, unit: Connection, found: Sequence[Spent]) -> tuple[BillLine, ...]:
    return tuple(_line(place, unit, line) for line in found)


def _line(place: Onchain, unit: Connection, line: Spent) -> BillLine:
    operator = place.base.identity.directory.operator(unit, line.visited)
    return BillLine(
        service=Service(line.service).name.lower(),
        operator=line.visited if operator is None else operator.name,
        country="" if operator is None or operator.jurisdiction == "ZZ" else operator.jurisdiction,
        asset=line.asset,
        charges=line.charges,
        octets=line.octets,
        duration_s=line.duration_s,
        net_minor=line.amount_minor - line.tax_minor,
        tax_minor=line.tax_minor,
        price_minor=line.amount_minor,
        discount_minor=line.discount_minor,
        borne_minor=line.overrun_minor,
        paid_minor=line.paid_minor,
    )
