"""Another tariff on a month's sums: what rating each record again would have said, or around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.money import PPM
from opencarrier.rating import line_days
from opencarrier.rating.agreements.model import Line
from opencarrier.rating.periods import NONE, Legs
from opencarrier.rating.rules import v1, v2
from opencarrier.rating.rules.v2.charges import LineTerms, WholesaleInputs
from opencarrier.rating.rules.versions import wholesale_inputs
from opencarrier.rating.tables import line_uses
from opencarrier.rating.traffic import DAY_US, NOTHING, LineDay, Traffic, as_terms, by_line, kept
from opencarrier.rating.what_if import (
    Cost,
    Why,
    discounted,
    legs_at,
    repriced,
)
from opencarrier.spine.access import Offered, Quote
from opencarrier.spine.money import Kind
from opencarrier.spine.usage import ZERO, Counters

from .roaming import line, rate, roaming
from .worlds import HOST, KIB, START_US, World, agreement, counters, plan, split, tariff, usage

PRICES = st.one_of(
    st.integers(0, 5_000), st.sampled_from([0, 1_000, 2_000, 3_000_000]), st.just(2_000)
)
CUTS = st.lists(st.integers(0, 40_000), min_size=1, max_size=4)


@dataclass(frozen=True)
class Session:
    """Octets after each of its records, and what it was quoted."""

    after: Sequence[int]
    quote: Quote | None


@st.composite
def lines(draw: st.DrawFn) -> Line:
    step = draw(st.sampled_from([1, 10, KIB]))
    return line(
        first_step=step * draw(st.sampled_from([1, 1, 60])),
        next_step=step,
        price_nano=draw(PRICES),
        fixed_minor=draw(st.sampled_from([0, 0, 7])),
        minimum_minor=draw(st.sampled_from([0, 0, 30])),
        tax_ppm=draw(st.sampled_from([0, 0, 180_000])),
        tax_included=draw(st.booleans()),
        in_band=step == KIB and draw(st.booleans()),
    )


@st.composite
def sessions(draw: st.DrawFn) -> list[Session]:
    made = []
    for _ in range(draw(st.integers(0, 5))):
        quoted = draw(st.none() | st.builds(Quote, st.sampled_from(["USD", "EUR"]), PRICES))
        made.append(Session(sorted(draw(CUTS)), quoted))
    return made


def inputs_of(priced: Line, session: Session) -> list[WholesaleInputs]:
    offered = Offered(service=priced.services[0], rcoi=priced.rcoi[0], quote=session.quote)
    signed = roaming(priced)
    terms = LineTerms(head=signed.head, line=priced, exchange=None, offered=offered)
    states = [ZERO, *(Counters(session_time_s=0, octets_in=n, octets_out=0) for n in session.after)]
    return [
        WholesaleInputs(
            terms=terms, tariff_at_us=START_US, host=HOST, counters_from=one, counters_to=other
        )
        for one, other in pairwise(states)
    ]


def rated(priced: Line, played: Sequence[Session]) -> int:
    """Rate every record by the rules, one after the other."""
    total = 0
    for session in played:
        for item in inputs_of(priced, session):
            assert isinstance(item.terms, LineTerms)
            legs = item.terms.legs_in_currency
            total += (legs(item.counters_to) - legs(item.counters_from)).amount_minor
    return total


def summed(priced: Line, played: Sequence[Session]) -> dict[bool, Traffic]:
    found = {False: NOTHING, True: NOTHING}
    for session in played:
        for item in inputs_of(priced, session):
            one = kept(
                replace(usage(), counters_from=item.counters_from, counters_to=item.counters_to),
                item,
            )
            assert one is not None
            found[one[0].is_quoted] += one[1]
    return found


def tried(priced: Line, played: Sequence[Session], price_nano: int) -> Cost:
    both = summed(priced, played)
    plain, quoted = (
        repriced(priced, both[is_quoted], price_nano, is_quoted=is_quoted)
        for is_quoted in (False, True)
    )
    return plain + quoted


@settings(max_examples=60, deadline=None)
@given(lines(), sessions(), PRICES)
def test_what_rating_again_would_say_lies_within_the_bounds(priced, played, price_nano):
    """Exact where it says so; at the price that was, it is what was charged."""
    cost = tried(priced, played, price_nano)
    again = rated(replace(priced, price_nano=price_nano), played)
    assert cost.least_minor <= again <= cost.most_minor
    assert bool(cost.why) or cost.is_exact
    assert tried(priced, played, priced.price_nano) == Cost(
        least_minor=rated(priced, played), most_minor=rated(priced, played)
    )


@settings(max_examples=25, deadline=None)
@given(lines(), sessions(), PRICES, st.integers(0, PPM))
def test_a_discount_is_the_deals(priced, played, price_nano, discount_ppm):
    """On what was charged it is what a deal of the agreement makes of it, to the unit."""
    both = summed(priced, played)
    again = replace(priced, price_nano=price_nano)
    cost = tried(priced, played, price_nano)
    legs = legs_at(priced, both[False] + both[True], price_nano, cost)
    found = discounted(cost, legs, discount_ppm)
    charged = sum_legs(again, played)
    untaxed = charged.amount_minor - charged.tax_minor
    keep = untaxed - (untaxed * discount_ppm * 2 + PPM) // (2 * PPM)
    expected = (
        keep if not untaxed else keep + (charged.tax_minor * keep * 2 + untaxed) // (2 * untaxed)
    )
    assert found.least_minor <= expected <= found.most_minor
    if legs is not None and untaxed:
        assert found.is_exact


def sum_legs(priced: Line, played: Sequence[Session]) -> Legs:
    total = NONE
    for session in played:
        for item in inputs_of(priced, session):
            assert isinstance(item.terms, LineTerms)
            legs = item.terms.legs_in_currency
            total += legs(item.counters_to) - legs(item.counters_from)
    return total


def test_whole_prices_without_tax_or_minimum_are_exact_and_why_not_is_said():
    played = [Session([1_500, 90_000], None), Session([700], None)]
    priced = line(first_step=60 * KIB)
    assert tried(priced, played, 3_000) == Cost(least_minor=444, most_minor=444)
    assert tried(priced, played, 2_500).why == {Why.ROUNDING}
    assert tried(replace(priced, tax_ppm=180_000), played, 3_000).why == {Why.TAX}
    assert tried(replace(priced, minimum_minor=999), played, 3_000).why == {Why.MINIMUM}
    quoted = [Session([5_000], Quote("USD", 1_500))]
    assert tried(line(in_band=True), quoted, 1_000).why == {Why.QUOTES}
    assert tried(line(in_band=True), played, 1_000).is_exact


def test_a_tariff_of_the_first_version_prices_alike():
    """Its sums are tried in version 2's terms: to the unit what version 1 charges."""
    priced = tariff(price_nano=1_900, minimum_minor=40, tax_ppm=180_000)
    for octets in (0, 1, KIB, 90_001):
        used = counters(octets)
        legs = v1.wholesale_legs(priced, 10_000, used)
        amounts = v2.Amounts(octets_in=octets, duration_s=60)
        assert v2.rate(as_terms(priced), 10_000, before=v2.NOTHING, used=amounts).legs == legs


# what is kept


def test_what_is_kept_is_the_recount_of_what_was_rated():
    """By both versions, exchanged or not, in parts and again: the sums are those of the charges."""
    wifi = line("wifi", services=(line().services[0],), currency="EUR")
    for agreed, offered in (
        (agreement(tariff(tax_ppm=180_000)), {}),
        (
            roaming(wifi, rates=(rate(),)),
            {"offered": Offered(service=wifi.services[0], rcoi=wifi.rcoi[0])},
        ),
    ):
        world = World()
        assert world.agree(agreed) is None
        assert world.offer(plan()) is None
        world.top_up(100_000_000)
        world.deposit(100_000_000)
        grant = world.granted(**offered)
        item = usage(grant=grant, after=counters(200 * KIB + 3), closed=True)
        parts = split(item, counters(10 * KIB), counters(77 * KIB))
        charges, waiting = world.rate(*parts)
        assert not waiting
        world.rate(*parts)
        priced = [
            (parts_by_id[charge.usage_id], wholesale_inputs(charge.rule_version, charge.inputs))
            for parts_by_id in [{part.usage_id: part for part in parts}]
            for charge in charges
            if charge.kind is Kind.WHOLESALE
        ]
        expected = by_line(one for pair in priced if (one := kept(*pair)) is not None)
        ((key, traffic),) = expected.items()
        assert (traffic.uses, traffic.sessions) == (3, 1)
        found = line_days.carried(world.unit, agreed.hash, first_day=key.day, end_day=key.day + 1)
        assert dict(found) == {(key.place, False): traffic}
        assert line_days.days(world.unit, agreed.hash) == (key.day, key.day)
        assert not line_days.carried(world.unit, agreed.hash, first_day=0, end_day=key.day)
        uses = world.unit.execute(line_uses.select()).mappings().all()
        if uses:
            assert sum(row["amount"] for row in uses) == traffic.amount
            assert sum(row["seller_minor"] for row in uses) == traffic.legs.seller_minor
        world.close()


@pytest.mark.parametrize("amount", [1 << 62, (1 << 62) - 1, 0])
def test_sums_go_beyond_64_bits(amount):
    """Three sessions at the guard of the formula are kept whole."""
    world = World()
    traffic = Traffic(uses=1, sessions=1, steps=amount, amount=amount, legs=NONE)
    row = line_days._row(LineDay(bytes(32), START_US // DAY_US, 0, False), traffic)
    for _ in range(3):
        world.unit.execute(line_days._ADD, [row])
    found = line_days.carried(world.unit, bytes(32), first_day=0, end_day=1 << 30)
    assert found[0, False].amount == found[0, False].steps == 3 * amount
    world.close()
