"""Periods that are over, in the running daemon: adjusted once, and by the difference when late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.clock import Window
from opencarrier.ledger import chart
from opencarrier.rating import cli, line_uses
from opencarrier.rating.adjustment_inputs import decode_inputs
from opencarrier.rating.adjustments import readjust
from opencarrier.rating.agreements.model import Line, Pricing, RoamingAgreement
from opencarrier.rating.agreements.plans import (
    Balanced,
    Discounted,
    DiscountTier,
    Linear,
    Tier,
    Tiered,
)
from opencarrier.rating.periods import RatedRecord, Verdict, owed, sums_of, windows_in
from opencarrier.rating.rules.v2.charges import LineTerms
from opencarrier.rating.rules.v2.inputs import decode_inputs as decode_charge
from opencarrier.spine import ids
from opencarrier.spine.access import Offered
from opencarrier.spine.money import Due, Kind, Role
from opencarrier.spine.records import Qos, Service
from opencarrier.spine.usage import Usage

from .roaming import BACK, PERIODS_US, TERM, commitment, deal, line, pricing, rate, roaming
from .test_live_roaming import furnished, wifi
from .worlds import (
    ASSET,
    DAY_US,
    HOME,
    KIB,
    PROTOCOL,
    START_US,
    TAX,
    VISITED,
    World,
    counters,
    usage,
)

DOLLAR = 10**6
TIERS = (
    Tier(start=0, fixed_minor=0, price_nano=1_500),
    Tier(start=150 * KIB, fixed_minor=0, price_nano=500),
)
TENTH_OFF = Discounted(whole=True, tiers=(DiscountTier(start_minor=0, discount_ppm=100_000),))


def tiered(*more: Pricing, **changes: Any) -> RoamingAgreement:
    """Return 2,000 nano a KiB, or by tiers where a period's sum makes it less."""
    plan = pricing(lines=("wifi",), plan=Tiered(step=KIB, tiers=TIERS), tax_ppm=200_000)
    terms = {"per": "period", "currency": "USD", **changes}
    return roaming(wifi(tax_ppm=200_000), deals=(deal(plan, *more, **terms),))


def adjust(world: World, at_us: int) -> Sequence[Due]:
    """Adjust in the world's present cycle."""
    cycle_id = ids.cycle_id("test", ASSET, world.cycle)
    return world.service.adjust(world.unit, cycle_id=cycle_id, at_us=at_us)


def legs(due: Due) -> dict[Role, int]:
    return {leg.role: leg.amount_minor for leg in due.allocations}


def on_day(name: str, day: int, kib: int) -> Usage:
    return usage(name, after=counters(kib * KIB), start_us=START_US + day * DAY_US)


def test_a_period_is_adjusted_when_it_is_over_and_once() -> None:
    world = furnished(tiered())
    world.rate(on_day("a", 1, 100), on_day("b", 2, 100), on_day("c", 11, 100))
    before = world.balances()
    assert adjust(world, PERIODS_US[1] - 1) == []
    (due,) = adjust(world, PERIODS_US[1])
    made = due.adjustment
    # 400 were charged and 80 of tax; by tiers it is 225 + 25 and 50. Hosts keep their 240.
    assert (made.amount_minor, made.is_final, made.number) == (-180, True, 0)
    assert legs(due) == {Role.SELLER: -148, Role.PROTOCOL: -2, Role.TAX: -30}
    assert readjust(made.inputs).owed.verdict is Verdict.MET
    moved = {
        name: world.posted(name) - before.get(name, (0, 0))[0]
        for name in (chart.clearing(HOME), chart.clearing(VISITED), chart.clearing(TAX))
    }
    assert moved == {
        chart.clearing(HOME): 180,
        chart.clearing(VISITED): -148,
        chart.clearing(TAX): -30,
    }
    after = world.balances()
    assert adjust(world, PERIODS_US[1] + 9) == [due], "the same cycle again books nothing"
    world.cycle += 1
    assert adjust(world, PERIODS_US[1] + 99) == [], "nor does a later one"
    assert world.balances() == after
    assert world.service.due(world.unit, made.adjustment_id) == due
    (told,) = cli.agreement_adjustments(world.service, world.unit)["adjustments"]
    assert (told["deal"], told["verdict"], told["number"]) == ("volume", "met", 0)
    assert told["legs"] == {"seller": -148, "protocol": -2, "tax": -30}
    assert told["amount_minor"] == told["owed_minor"] == -180
    world.check()
    world.close()


def test_late_use_gives_the_difference_in_the_next_cycle() -> None:
    world, whole = furnished(tiered()), furnished(tiered())
    early, late = [on_day("a", 1, 100), on_day("b", 2, 100)], on_day("late", 3, 60)
    world.rate(*early)
    (first,) = adjust(world, PERIODS_US[1])
    world.rate(late, on_day("next", 12, 60))
    (second,) = adjust(world, PERIODS_US[1] + DAY_US)
    assert (second.adjustment.number, second.adjustment.start_us) == (1, START_US)
    assert decode_inputs(second.adjustment.inputs).booked.seller_minor == legs(first)[Role.SELLER]
    whole.rate(*early, late)
    (once,) = adjust(whole, PERIODS_US[1])
    assert first.amount_minor + second.amount_minor == once.amount_minor
    for role, minor in legs(once).items():
        assert legs(first)[role] + legs(second).get(role, 0) == minor
    for made in (world, whole):
        made.check()
        made.close()


def test_a_clock_set_back_does_not_lose_late_use() -> None:
    world = furnished(tiered())
    world.rate(on_day("a", 1, 100))
    (first,) = adjust(world, PERIODS_US[1])
    world.rate(on_day("late", 3, 100))
    (second,) = adjust(world, PERIODS_US[1] - DAY_US)
    assert (second.adjustment.number, second.adjustment.start_us) == (1, START_US)
    assert (first.amount_minor, second.amount_minor) == (-60, -180 + 60), "as in one cycle"
    world.close()


def test_each_subscriber_of_a_period_counts_once() -> None:
    access = pricing(
        lines=("wifi",), measure="subscribers", plan=Linear(step=1, price_nano=150 * 10**6)
    )
    world = furnished(tiered(access))
    people = [replace(on_day(name, 1, 1), subject=name[0]) for name in ("a1", "a2", "b1")]
    world.rate(*people)
    (due,) = adjust(world, PERIODS_US[1])
    assert decode_inputs(due.adjustment.inputs).sums.subscribers == (0, 2)
    assert due.amount_minor == 2 * 150_000 + (5 + 1) - 3 * 2  # access, and the tiers' 4.5 with tax
    world.close()


def test_balanced_use_reads_both_directions() -> None:
    plan = Balanced(step=KIB, balanced_price_nano=0, unbalanced_price_nano=1_000)
    there = wifi()
    back = replace(BACK, line="wifi-back", services=(Service.WIFI,))
    items = pricing(lines=("wifi",), reverse_lines=("wifi-back",), plan=plan)
    world = furnished(roaming(there, back, deals=(deal(items),)))
    world.directory.nodes["node-1"] = replace(world.node, operator=VISITED)
    world.rate(on_day("there", 1, 100), replace(on_day("back", 1, 70), home=VISITED, visited=HOME))
    (due,) = adjust(world, TERM.end_us)
    assert due.amount_minor == 30 - 200
    world.close()


# GSMA's BWR calculation service: five services, what each is charged, and its taxes.
BWR: dict[str, tuple[Offered, int, int]] = {
    "moc": (Offered(service=Service.VOICE), 1_007, 14_896),
    "mtc": (Offered(service=Service.VOICE, qos=Qos.BRONZE), 3_003, 4_995),
    "sms": (Offered(service=Service.MESSAGE), 1_000, 10_000),
    "data": (Offered(service=Service.DATA), 900, 10_000),
    "x": (Offered(service=Service.EVENT), 600, 10_000),
}


def _bwr_line(name: str) -> Line:
    offered, minor, tax_ppm = BWR[name]
    return line(
        name,
        services=(offered.service,),
        qos=(offered.qos,),
        price_nano=0,
        fixed_minor=minor,
        tax_ppm=tax_ppm,
    )


@pytest.mark.parametrize(
    ("with_tax", "amount_minor", "is_deal"),
    [(True, 6_550, True), (True, 6_565, True), (True, 6_566, False), (False, 6_550, False),
     (False, 6_510, True)],
)  # fmt: skip
def test_the_worked_example_of_bwr_through_the_daemon(
    with_tax: bool, amount_minor: int, is_deal: bool
) -> None:
    """6,565 with taxes meets 6,550, 6,510 without does not; then the charges stand."""
    terms = commitment(
        basis="contract", amount_minor=amount_minor, with_tax=with_tax, shortfall="no_deal"
    )
    item = deal(pricing(lines=tuple(BWR), plan=TENTH_OFF), commitment=terms)
    world = furnished(roaming(*map(_bwr_line, BWR), deals=(item,)))
    world.directory.nodes["node-1"] = world.node
    sessions = [
        usage(name, grant=world.granted(offered=offered)) for name, (offered, *_) in BWR.items()
    ]
    charges, waiting = world.rate(*sessions)
    assert not waiting
    made = [charge for charge in charges if charge.kind is Kind.WHOLESALE]
    assert sum(charge.amount_minor for charge in made) == 6_565
    dues = adjust(world, TERM.end_us)
    assert [due.amount_minor for due in dues] == ([-651 - 5] if is_deal else [])
    assert adjust(world, TERM.end_us + 1) == dues
    world.close()


def test_an_adjustment_is_exchanged_at_the_end_of_its_period() -> None:
    halves = (
        rate(Window(TERM.start_us, PERIODS_US[1] - 1), rate=1, decimals=0),
        rate(Window(PERIODS_US[1] - 1, TERM.end_us), rate=30, decimals=1),
    )
    item = deal(pricing(lines=("wifi",), plan=TENTH_OFF), per="period", currency="EUR")
    world = furnished(roaming(wifi(currency="EUR"), rates=halves, deals=(item,)))
    world.rate(on_day("a", 1, 100))
    (due,) = adjust(world, PERIODS_US[1])
    assert due.adjustment.amount_minor == -20
    assert due.amount_minor == -60
    assert due.exchange == halves[1].terms()
    world.check()
    world.close()


LINES = ("wifi", "more")
USES = st.lists(
    st.tuples(st.sampled_from(LINES), st.integers(0, 29), st.integers(1, 400), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=4)
@given(
    USES,
    st.sampled_from(["none", "no_deal", "send_or_pay"]),
    st.integers(0, 1_500),
    st.lists(st.integers(0, 40), max_size=4),
    st.sampled_from(["period", "term"]),
)
def test_however_reports_and_cycles_fall_all_adjustments_sum_to_what_is_owed(
    uses: list[tuple[str, int, int, int]],
    shortfall: str,
    amount_minor: int,
    closings: list[int],
    per: str,
) -> None:
    """Each use is rated in a cycle of its own, in any order; `rating/periods` is the model."""
    plans = [
        pricing(lines=("wifi",), plan=Tiered(step=KIB, tiers=TIERS), tax_ppm=70_000),
        pricing(lines=("more",), plan=TENTH_OFF),
        pricing(lines=LINES, measure="subscribers", plan=Linear(step=1, price_nano=10**5)),
    ]
    terms = commitment(amount_minor=amount_minor, shortfall=shortfall, tax_ppm=50_000)
    item = deal(*plans, per=per, commitment=terms)
    silver = wifi("more", qos=(Qos.SILVER,), price_nano=3_100, tax_ppm=33_000)
    rest = wifi(qos=(Qos.NONE, Qos.BRONZE, Qos.GOLD), tax_ppm=70_000)
    signed = roaming(rest, silver, deals=(item,))
    world = furnished(signed)
    days = [*closings, *[40] * len(uses)]
    made: dict[bytes, Due] = {}
    grant = world.granted(offered=Offered(qos=Qos.SILVER))
    for number, (name, day, kib, person) in enumerate(uses):
        part = replace(on_day(str(number), day, kib), subject=str(person))
        if name == "more":
            part = replace(part, authorisation_id=grant.authorisation_id)
        world.rate(part)
        for due in adjust(world, START_US + days[number] * DAY_US):
            assert due.adjustment.adjustment_id not in made
            made[due.adjustment.adjustment_id] = due
    world.cycle += 1
    made |= {due.adjustment.adjustment_id: due for due in adjust(world, TERM.end_us)}
    records = _records(world)
    for window in windows_in(signed.periods_us, item):
        sums = sums_of(item, window, records)
        assert line_uses.sums(world.unit, signed, item, window) == sums
        found = owed(item, signed.head.protocol_ppm, sums, is_final=True).legs
        charged = sums.legs(LINES)
        mine = [due for due in made.values() if due.adjustment.start_us == window.start_us]
        for role, name in ((Role.SELLER, "seller_minor"), (Role.TAX, "tax_minor")):
            moved = sum(legs(due).get(role, 0) for due in mine)
            assert moved == getattr(found, name) - getattr(charged, name)
        assert sum(due.amount_minor for due in mine) == found.amount_minor - charged.amount_minor
    world.check()
    assert world.posted(chart.clearing(PROTOCOL)) >= 0
    world.close()


def _records(world: World) -> list[RatedRecord]:
    """Return the charges as the model of deals takes them."""
    found = []
    for part in world.usages.known.values():
        rated = world.service.rated(world.unit, part.usage_id)
        assert rated is not None
        inputs = decode_charge(rated.wholesale.inputs)
        terms = inputs.terms
        assert isinstance(terms, LineTerms)
        found.append(
            RatedRecord(
                line=terms.line.line,
                subject=part.subject.encode(),
                at_us=inputs.tariff_at_us,
                amount=terms.amount(part.counters_to),
                legs=terms.legs(part.counters_to),
            )
        )
    return found
