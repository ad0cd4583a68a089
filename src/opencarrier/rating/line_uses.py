"""What each charge adds to a line of its agreement: what deals sum over a period.

Amounts are in the line's currency: an exchange rate is for what is settled, not for what is summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from opencarrier import rowsets
from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id, derive
from opencarrier.rating.agreements.model import Deal, RoamingAgreement
from opencarrier.rating.periods import Legs, LineSum, PeriodSums
from opencarrier.rating.rules.v1 import WholesaleInputs as TariffInputs
from opencarrier.rating.rules.v2.charges import LineTerms
from opencarrier.rating.rules.versions import WholesaleInputs
from opencarrier.rating.tables import line_uses
from opencarrier.spine.usage import Usage

SUBJECT_OCTETS = 16


def insert(unit: Connection, items: Iterable[tuple[Usage, WholesaleInputs]], cycle_id: Id) -> None:
    """Keep what usages add to their lines; a tariff of version 1 has no deal that would ask."""
    rows = [
        _row(usage, inputs.terms, inputs.tariff_at_us, cycle_id)
        for usage, inputs in items
        if not isinstance(inputs, TariffInputs) and isinstance(inputs.terms, LineTerms)
    ]
    if rows:
        unit.execute(line_uses.insert(), rows)


def used_in(unit: Connection, cycle_id: Id) -> set[tuple[bytes, int, int]]:
    """Return what a cycle's charges were of: agreement, the place of the line, and when."""
    columns = (line_uses.c.agreement_hash, line_uses.c.place, line_uses.c.at_us)
    query = select(*columns).where(line_uses.c.cycle_id == cycle_id).distinct()
    return {(row.agreement_hash, row.place, row.at_us) for row in unit.execute(query)}


def sums(unit: Connection, agreement: RoamingAgreement, deal: Deal, window: Window) -> PeriodSums:
    """Sum what a deal reads of a period: by line, and each pricing's distinct subscribers."""
    places = {line.line: at for at, line in enumerate(agreement.lines)}
    names = {name for item in deal.pricings for name in (*item.lines, *item.reverse_lines)}
    within = (
        line_uses.c.agreement_hash == agreement.hash,
        line_uses.c.at_us >= window.start_us,
        line_uses.c.at_us < window.end_us,
    )
    lines = {
        name: found
        for name in sorted(names)
        if (found := _line_sum(unit, (*within, line_uses.c.place == places[name]))) is not None
    }
    counts = [
        _subscribers(unit, within, [places[name] for name in pricing.lines])
        if pricing.measure == "subscribers"
        else 0
        for pricing in deal.pricings
    ]
    return PeriodSums(lines, tuple(counts))


def _line_sum(unit: Connection, where: Iterable[ColumnElement[bool]]) -> LineSum | None:
    named = ("amount", *Legs.__slots__)
    halves = [half for name in named for half in rowsets.sums(line_uses.c[name], name)]
    row = unit.execute(select(func.count().label("uses"), *halves).where(*where)).one()
    if not row.uses:
        return None
    amount, *legs = (rowsets.whole(row._mapping, name) for name in named)
    return LineSum(amount, Legs(**dict(zip(Legs.__slots__, legs, strict=True))))


def _subscribers(
    unit: Connection, within: Iterable[ColumnElement[bool]], places: Sequence[int]
) -> int:
    subjects = func.count(line_uses.c.subject.distinct())
    query = select(subjects).where(*within, line_uses.c.place.in_(places))
    return int(unit.execute(query).scalar_one())


def _row(usage: Usage, terms: LineTerms, at_us: int, cycle_id: Id) -> dict[str, Any]:
    before, after = usage.counters_from, usage.counters_to
    legs = terms.legs_in_currency(after) - terms.legs_in_currency(before)
    return {
        "usage_id": usage.usage_id,
        "cycle_id": cycle_id,
        "agreement_hash": terms.agreement_hash,
        "place": terms.head.line_hashes.index(terms.line.hash),
        "at_us": at_us,
        "subject": derive("usage/subject", usage.visited, usage.subject)[:SUBJECT_OCTETS],
        "amount": terms.amount(after) - terms.amount(before),
        **{name: getattr(legs, name) for name in legs.__slots__},
    }
