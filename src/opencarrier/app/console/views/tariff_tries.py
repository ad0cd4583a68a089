"""Another tariff tried on a month that was: what each line would have cost, from kept sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.views.agreements import (
    LineView,
    lines_of,
    other_of,
    plain_price,
    terms_at,
)
from opencarrier.app.console.views.operator import name_in
from opencarrier.kernel.calendar import month_name, month_named, month_of
from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import to_hex
from opencarrier.rating import line_days
from opencarrier.rating.agreements.model import RoamingAgreement
from opencarrier.rating.agreements.rows import AnyAgreement
from opencarrier.rating.traffic import DAY_US, NOTHING, Traffic
from opencarrier.rating.what_if import NO_COST, Cost, discounted, legs_at, repriced
from opencarrier.spine.parties import PartyId

MONTHS_MAX: Final = 24

Carried: TypeAlias = Mapping[tuple[int, bool], Traffic]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedLine:
    """A line's traffic of the month: what it cost, and what it would have, tax included.

    What it would have cost lies between `least_minor` and `most_minor`, which are one where it is
    known to the unit; `why` says why it is not: `rounding`, `minimum`, `tax`, `quotes`.
    `price_nano` is of what both signed, `new_nano` what is tried, for a step.
    """

    place: int
    line: str
    payer_name: str
    seller_name: str
    uses: int
    currency: str
    plain_per: str
    price_nano: int
    plain_minor: int
    new_nano: int
    new_plain_minor: int
    before_minor: int
    least_minor: int
    most_minor: int
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedSum:
    """What one side would have paid altogether in a currency; bounds as of a line."""

    payer_name: str
    currency: str
    before_minor: int
    least_minor: int
    most_minor: int

    @property
    def is_exact(self) -> bool:
        """Whether it is known to the unit."""
        return self.least_minor == self.most_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class TryView:
    """A month's traffic of an agreement, as it was and at other prices.

    `month` is as ISO 8601 writes it, empty where nothing is kept; `deals` of the agreement sum
    whole periods and are not in it.
    """

    agreement: str
    party: PartyId
    other_name: str
    month: str
    months: tuple[str, ...]
    discount_ppm: int
    lines: tuple[TriedLine, ...]
    sums: tuple[TriedSum, ...]
    why: tuple[str, ...]
    deals: int


def try_view(
    base: Installation,
    unit: Connection,
    party: PartyId,
    found: AnyAgreement,
    *,
    month: str,
    prices: Mapping[int, int],
    discount_ppm: int,
) -> TryView:
    """Try prices, by a line's place in nano-units a step, and a discount on a month's traffic.

    Without a month it is the last whole one that carried anything, else the newest.
    """
    kept = line_days.days(unit, found.hash)
    months = () if kept is None else _months(kept)
    within = month_named(month) if month else _last(months, base.clock.now_us())
    carried: Carried = {}
    if within is not None:
        days = within.start_us // DAY_US, within.end_us // DAY_US
        carried = line_days.carried(unit, found.hash, first_day=days[0], end_day=days[1])
    name = name_in(base, unit)
    lines = tuple(
        _tried(found, line, carried, prices.get(line.place), discount_ppm)
        for line in lines_of(found, name)
        if _uses(carried, line.place)
    )
    return TryView(
        agreement=to_hex(found.hash),
        party=party,
        other_name=name(other_of(found, party)),
        month="" if within is None else month_name(within.start_us),
        months=months,
        discount_ppm=discount_ppm,
        lines=lines,
        sums=_sums(lines),
        why=tuple(sorted({why for line in lines for why in line.why})),
        deals=len(found.deals) if isinstance(found, RoamingAgreement) else 0,
    )


def _tried(
    found: AnyAgreement,
    line: LineView,
    carried: Carried,
    price_nano: int | None,
    discount_ppm: int,
) -> TriedLine:
    terms = terms_at(found, line.place)
    new_nano = line.price_nano if price_nano is None else price_nano
    cost, whole = NO_COST, NOTHING
    for is_quoted in (False, True):
        traffic = carried.get((line.place, is_quoted), NOTHING)
        cost += repriced(terms, traffic, new_nano, is_quoted=is_quoted)
        whole += traffic
    cost = discounted(cost, legs_at(terms, whole, new_nano, cost), discount_ppm)
    return TriedLine(
        place=line.place,
        line=line.line,
        payer_name=line.payer_name,
        seller_name=line.seller_name,
        uses=whole.uses,
        currency=line.currency,
        plain_per=line.plain_per,
        price_nano=line.price_nano,
        plain_minor=line.plain_minor,
        new_nano=new_nano,
        new_plain_minor=plain_price(terms, new_nano),
        before_minor=whole.legs.amount_minor,
        least_minor=cost.least_minor,
        most_minor=cost.most_minor,
        why=_words(cost),
    )


def _words(cost: Cost) -> tuple[str, ...]:
    return () if cost.is_exact else tuple(one.name.lower() for one in sorted(cost.why))


def _sums(lines: Iterable[TriedLine]) -> tuple[TriedSum, ...]:
    groups: defaultdict[tuple[str, str], list[TriedLine]] = defaultdict(list)
    for line in lines:
        groups[line.payer_name, line.currency].append(line)
    return tuple(
        TriedSum(
            payer_name=payer,
            currency=currency,
            before_minor=sum(line.before_minor for line in those),
            least_minor=sum(line.least_minor for line in those),
            most_minor=sum(line.most_minor for line in those),
        )
        for (payer, currency), those in sorted(groups.items())
    )


def _uses(carried: Carried, place: int) -> int:
    return sum(
        carried[place, quoted].uses for quoted in (False, True) if (place, quoted) in carried
    )


def _months(kept: tuple[int, int]) -> tuple[str, ...]:
    """Return the months between two days, the newest first."""
    found = [month_of(kept[1] * DAY_US)]
    first_us = kept[0] * DAY_US
    while found[-1].start_us > first_us and len(found) < MONTHS_MAX:
        found.append(month_of(found[-1].start_us - 1))
    return tuple(month_name(one.start_us) for one in found)


def _last(months: tuple[str, ...], now_us: int) -> Window | None:
    """Return the last whole month of some, else the newest."""
    this = month_name(now_us)
    whole = next((one for one in months if one < this), None)
    chosen = whole or (months[0] if months else "")
    return month_named(chosen)
