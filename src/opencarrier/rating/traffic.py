"""What a line carried, summed so that another price can be tried without its records. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final, TypeAlias

from opencarrier.kernel.clock import SECOND_US
from opencarrier.rating.model import Tariff
from opencarrier.rating.periods import NONE, Legs
from opencarrier.rating.rules import v1, v2
from opencarrier.rating.rules.v2.charges import LineTerms, amounts_of
from opencarrier.rating.rules.versions import WholesaleInputs
from opencarrier.spine.usage import Counters, Usage

DAY_US: Final = 86_400 * SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What records of one line came to: `steps` and `amount` of its unit, `legs` in its currency.

    `uses` counts records, `sessions` those that a session began with.
    """

    uses: int
    sessions: int
    steps: int
    amount: int
    legs: Legs

    def __add__(self, other: Traffic) -> Traffic:
        """Add what other records came to."""
        names = self.__slots__
        return Traffic(**{name: getattr(self, name) + getattr(other, name) for name in names})


NOTHING: Final = Traffic(uses=0, sessions=0, steps=0, amount=0, legs=NONE)


@dataclass(frozen=True, slots=True, order=True)
class LineDay:
    """A line, by its place in its agreement, on a day since 1970 (UTC) of the tariff's instant.

    Quoted is what a price was offered for in band: such records have prices of their own.
    """

    agreement_hash: bytes
    day: int
    place: int
    is_quoted: bool


Kept: TypeAlias = tuple[LineDay, Traffic]


def kept(usage: Usage, inputs: WholesaleInputs) -> Kept | None:
    """Return what a record adds to which line and day; None where nothing priced it."""
    before, after, day = usage.counters_from, usage.counters_to, inputs.tariff_at_us // DAY_US
    if isinstance(inputs, v1.WholesaleInputs):
        head, tariff = inputs.head, inputs.tariff
        place = head.tariff_hashes.index(tariff.hash)
        legs = [v1.wholesale_legs(tariff, head.protocol_ppm, one) for one in (before, after)]
        terms = as_terms(tariff)
        line = LineDay(head.hash, day, place, is_quoted=False)
        return line, _added(terms, legs[1] - legs[0], before, after)
    if not isinstance(inputs.terms, LineTerms):
        return None
    found = inputs.terms
    place = found.head.line_hashes.index(found.line.hash)
    quoted = found.line.in_band and found.offered.quote is not None
    legs_after = found.legs_in_currency(after) - found.legs_in_currency(before)
    line = LineDay(found.agreement_hash, day, place, is_quoted=quoted)
    return line, _added(found.line, legs_after, before, after)


def by_line(items: Iterable[Kept]) -> dict[LineDay, Traffic]:
    """Sum what records add, by line and day."""
    found: dict[LineDay, list[Traffic]] = {}
    for line, one in items:
        found.setdefault(line, []).append(one)
    return {line: reduce(add, those) for line, those in found.items()}


def as_terms(tariff: Tariff) -> v2.Terms:
    """Return a tariff of version 1 in version 2's terms, which price alike to the unit."""
    return v2.Terms(
        unit=tariff.unit,
        first_step=tariff.step,
        next_step=tariff.step,
        price_nano=tariff.price_nano,
        fixed_minor=0,
        minimum_minor=tariff.minimum_minor,
        currency="",
        tax_ppm=tariff.tax_ppm,
        tax_included=tariff.tax_included,
        host_ppm=tariff.host_ppm,
        in_band=False,
    )


def _added(terms: v2.Terms, legs: Legs, before: Counters, after: Counters) -> Traffic:
    first, last = (v2.quantity(terms.unit, amounts_of(one)) for one in (before, after))
    return Traffic(
        uses=1,
        sessions=int(first == 0 < last),
        steps=v2.steps(terms, last) - v2.steps(terms, first),
        amount=last - first,
        legs=legs,
    )
