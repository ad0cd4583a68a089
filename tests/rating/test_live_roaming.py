"""Roaming agreements (document version 2) in the live daemon: lines, exchange rates, offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencarrier.kernel.clock import Window
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import PPM, divide_half_up
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.ledger import chart
from opencarrier.rating.agreements.model import Line, RoamingAgreement
from opencarrier.rating.agreements.rows import rows_of
from opencarrier.rating.changes import TermChanges
from opencarrier.rating.reasons import AccessReason, DocumentReason
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v2 import VERSION
from opencarrier.rating.rules.v2.charges import FreeTerms, LineTerms
from opencarrier.rating.rules.v2.inputs import decode_inputs, encode_inputs
from opencarrier.rating.rules.versions import rerate, signers, wholesale_inputs
from opencarrier.rating.stages import RatingStages
from opencarrier.spine.access import WIFI, Grant, Offered, Quote, Rate
from opencarrier.spine.money import Charge, Kind
from opencarrier.spine.records import Qos, RcoiClass, Service
from opencarrier.spine.usage import Counters, Stretch, Usage

from . import months
from .roaming import TERM, line, rate, roaming, since, until
from .worlds import (
    DAY_US,
    HOME,
    HOST,
    KIB,
    SIGNERS,
    START_US,
    THIRD,
    VISITED,
    World,
    agreement,
    counters,
    plan,
    split,
    tariff,
    usage,
)

FREE = Offered(rcoi=RcoiClass.SETTLEMENT_FREE)
MIDDLE_US = START_US + 5 * DAY_US


def wifi(name: str = "wifi", **changes: Any) -> Line:
    """Return 2,000 nano per begun KiB of Wi-Fi, 60 percent of it the host's."""
    return line(name, **{"services": (Service.WIFI,), "host_ppm": 600_000, **changes})


def furnished(*items: RoamingAgreement) -> World:
    world = World()
    for item in items:
        assert world.agree(item) is None
    assert world.offer(plan()) is None
    world.top_up(100_000_000)
    world.deposit(100_000_000)
    return world


def wholesale(charges: Sequence[Charge]) -> list[Charge]:
    return [charge for charge in charges if charge.kind is Kind.WHOLESALE]


def terms_in(charge: Charge) -> LineTerms | FreeTerms:
    return decode_inputs(charge.inputs).terms


def test_a_session_is_rated_by_its_line_and_again_from_the_charge_alone() -> None:
    signed = roaming(wifi(first_step=60 * KIB, fixed_minor=7, tax_ppm=180_000))
    world = furnished(signed)
    grant = world.granted()
    assert grant.wholesale_tariff_hash == signed.lines[0].hash
    parts = split(usage(grant=grant, after=counters(200 * KIB), closed=True), counters(10 * KIB))
    charges, waiting = world.rate(*parts)
    assert not waiting
    made = wholesale(charges)
    assert sorted(charge.amount_minor for charge in made) == [150, 330]  # 60, then 140 steps more
    for charge in made:
        assert (charge.rule_version, charge.agreement_hash) == (VERSION, signed.hash)
        again = rerate(charge.rule_version, charge.inputs)
        assert again.allocations == charge.allocations
        assert (again.tariff_hash, again.agreement_hash) == (signed.lines[0].hash, signed.hash)
        keys = signers(wholesale_inputs(charge.rule_version, charge.inputs))
        assert keys == (SIGNERS[HOME].address, SIGNERS[VISITED].address)
    assert world.posted(chart.accrued(HOST)) == 244  # 60 percent of 407 without tax
    assert world.rate(*parts)[0] == charges
    world.check()
    world.close()


def test_what_was_offered_finds_the_line() -> None:
    gold = wifi("gold", qos=(Qos.GOLD,), price_nano=9_000)
    rest = wifi(qos=(Qos.NONE, Qos.BRONZE, Qos.SILVER))
    data = line("data", price_nano=500)
    world = furnished(roaming(gold, rest, data))
    for offered, minor in (
        (WIFI, 200),
        (Offered(qos=Qos.GOLD), 900),
        (Offered(service=Service.DATA, rcoi=RcoiClass.SETTLED), 50),
    ):
        grant = world.granted(offered=offered)
        assert world.service.offered(world.unit, grant.authorisation_id) == offered
        item = usage(str(offered), grant=grant)
        (made,) = wholesale(world.rate(item)[0])
        assert made.amount_minor == minor
    voice = world.authorise(offered=Offered(service=Service.VOICE))
    assert isinstance(voice, Refusal)
    assert voice.reason is AccessReason.NO_TARIFF_IN_FORCE
    world.close()


@pytest.mark.parametrize(
    ("quote", "minor"),
    [
        (None, 200),
        (Quote("USD", 2_000), 200),
        (Quote("USD", 1_999), 200),  # 199.9
        (Quote("USD", 1_000), 100),
        (Quote("USD", 0), 0),
    ],
)
def test_a_quote_in_band_counts_where_it_is_not_above_the_line(
    quote: Quote | None, minor: int
) -> None:
    world = furnished(roaming(wifi(in_band=True)))
    grant = world.granted(offered=Offered(quote=quote))
    (made,) = wholesale(world.rate(usage(grant=grant))[0])
    terms = terms_in(made)
    assert isinstance(terms, LineTerms)
    assert (made.amount_minor, terms.dispute) == (minor, None)
    steps = RatingStages().steps(world.unit, [made.usage_id])
    told = next(step.facts for step in steps if step.reason == "wholesale")
    assert (told["line"], told["quote"]) == ("wifi", None)
    assert grant.rate == (None if quote is None else Rate(0, quote))
    assert world.service.grant(world.unit, grant.authorisation_id) == grant
    world.close()


def test_the_cheapest_rate_is_accepted_and_prices_the_session_alone() -> None:
    world = furnished(roaming(wifi(in_band=True)))
    rates = tuple(
        Rate(index, Quote(currency, nano))
        for index, currency, nano in (
            (7, "USD", 1_500),
            (8, "EUR", 1),
            (9, "USD", 900),
            (10, "USD", 900),
            (11, "USD", 2_500),
        )
    )
    grant = world.granted(rates=rates)
    assert grant.rate == Rate(9, Quote("USD", 900))
    (made,) = wholesale(world.rate(usage(grant=grant))[0])
    assert made.amount_minor == 90
    assert rerate(made.rule_version, made.inputs).amount_minor == 90
    world.close()


@pytest.mark.parametrize("quote", [Quote("USD", 2_001), Quote("EUR", 1)])
def test_rates_that_were_not_agreed_are_refused_before_any_use(quote: Quote) -> None:
    world = furnished(roaming(wifi(in_band=True)))
    for refused in (
        world.authorise(rates=(Rate(0, quote), Rate(1, quote))),
        world.authorise(offered=Offered(quote=quote)),
    ):
        assert isinstance(refused, Refusal)
        assert refused.reason is AccessReason.RATE_NOT_ACCEPTABLE
        assert "agreed is at most 2000 nano USD" in refused.detail
    assert world.held() == 0
    world.close()


def test_rates_do_not_count_where_the_agreement_alone_says_the_price() -> None:
    world = furnished(roaming(wifi()))
    grant = world.granted(rates=(Rate(3, Quote("USD", 9_999)),))
    assert grant.rate is None
    (made,) = wholesale(world.rate(usage(grant=grant))[0])
    assert made.amount_minor == 200
    world.close()


def test_a_line_is_for_roaming_under_an_own_oui_alone() -> None:
    own = wifi("own", rcoi=(RcoiClass.OWN,), price_nano=3_000)
    rest = wifi(rcoi=(RcoiClass.NONE, RcoiClass.SETTLED))
    world = furnished(roaming(own, rest))
    for rcoi, minor in ((RcoiClass.OWN, 300), (RcoiClass.SETTLED, 200)):
        grant = world.granted(offered=Offered(rcoi=rcoi))
        (made,) = wholesale(world.rate(usage(rcoi.name, grant=grant))[0])
        assert made.amount_minor == minor
    world.close()


def test_settlement_free_use_costs_nothing_whatever_an_agreement_says() -> None:
    for items in ((), (roaming(wifi()),)):
        world = furnished(*items)
        grant = world.granted(offered=FREE)
        nowhere = usage("nowhere", grant=grant, node_id=None)
        charges, waiting = world.rate(usage(grant=grant), nowhere)
        assert not waiting
        free = wholesale(charges)
        assert len(free) == 2
        for made in free:
            assert made.is_settlement_free
            assert (made.amount_minor, made.allocations) == (0, ())
            assert rerate(made.rule_version, made.inputs).amount_minor == 0
            with pytest.raises(PeerError, match="no agreement"):
                signers(wholesale_inputs(made.rule_version, made.inputs))
        assert sum(charge.amount_minor for charge in charges) == 400  # the plan's price stays
        assert world.posted(chart.clearing(HOME)) == 0
        steps = RatingStages().steps(world.unit, [free[0].usage_id])
        assert [step.reason for step in steps] == ["settlement_free", "retail"]
        world.check()
        world.close()


@pytest.mark.parametrize("changes", ["line", "rate"])
def test_a_line_and_a_dated_rate_cut_a_running_session(changes: str) -> None:
    if changes == "line":
        lines = [until(wifi("early"), 5), since(wifi("late", price_nano=3_000), 5)]
        signed = roaming(*lines, line("voice", services=(Service.VOICE,)))
    else:
        halves = (Window(TERM.start_us, MIDDLE_US), Window(MIDDLE_US, TERM.end_us))
        rates = tuple(
            rate(half, rate=n, decimals=1) for n, half in zip((5, 15), halves, strict=True)
        )
        signed = roaming(wifi(currency="EUR"), rates=rates)
    world = furnished(signed)
    world.at_us = MIDDLE_US - 1
    grant = world.granted()
    found = cut_at(world, grant, START_US - 1, MIDDLE_US + 9)
    assert found == [START_US, MIDDLE_US]
    assert cut_at(world, grant, MIDDLE_US - 1, MIDDLE_US) == []
    assert cut_at(world, grant, MIDDLE_US, MIDDLE_US + 1) == []
    assert cut_at(world, grant, TERM.end_us - 1, TERM.end_us + 1) == [TERM.end_us]
    first, second = split(usage(grant=grant, after=counters(300 * KIB)), counters(100 * KIB))
    items = [
        replace(part, start_us=at, end_us=at + 1)
        for part, at in ((first, MIDDLE_US - 1), (second, MIDDLE_US))
    ]
    amounts = [made.amount_minor for made in in_order(world, items)]
    assert amounts == ([200, 600] if changes == "line" else [100, 600])
    world.check()
    world.close()


def test_free_use_and_other_services_lines_cut_nothing() -> None:
    early, late = (
        until(line("voice", services=(Service.VOICE,)), 5),
        since(line("voice-late", services=(Service.VOICE,)), 5),
    )
    world = furnished(roaming(wifi(), early, late))
    assert cut_at(world, world.granted(), START_US, MIDDLE_US + 1) == []
    assert cut_at(world, world.granted(offered=FREE), START_US - 1, TERM.end_us + 1) == []
    world.close()


def test_agreements_of_both_versions_stand_side_by_side_but_price_nothing_twice() -> None:
    world = furnished()
    old = agreement(tariff(window=Window(START_US - 10 * DAY_US, START_US)))
    assert world.agree(old) is None
    assert world.agree(roaming(wifi())) is None
    assert world.agree(roaming(wifi())) is None, "the same again"
    for other in (
        agreement(tariff(window=Window(START_US, START_US + 1))),
        roaming(wifi("again", price_nano=1)),
        roaming(wifi("gold", qos=(Qos.GOLD,))),
    ):
        refusal = world.agree(other)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is DocumentReason.OVERLAPS
        assert "2000 nano per 1024 octets_total" in refusal.detail
    assert world.agree(roaming(line("voice", services=(Service.VOICE,)))) is None
    before = usage("before", start_us=START_US - 1)
    after = usage("after", start_us=START_US)
    versions = [made.rule_version for made in in_order(world, [before, after])]
    assert versions == [v1.VERSION, VERSION]
    world.close()


def test_use_waits_until_its_agreement_is_there() -> None:
    world = furnished()
    item = usage()
    _, (waiting,) = world.rate(item)
    assert waiting.reason == "no_agreement"
    assert world.agree(roaming(line())) is None
    _, (waiting,) = world.rate()
    assert waiting.reason == "no_tariff_in_force"
    assert world.agree(roaming(wifi())) is None
    (made,) = wholesale(world.rate()[0])
    assert made.amount_minor == 200
    world.close()


def test_an_operator_that_is_no_party_signs_nothing() -> None:
    world = furnished()
    item = roaming(wifi())
    signatures = [SIGNERS[party].sign(item.hash) for party in (HOME, THIRD)]
    refusal = world.service.add_agreement(world.unit, item, signatures, at_us=0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DocumentReason.SIGNATURE_OF_STRANGER
    refusal = world.service.add_agreement(world.unit, item, signatures[:1], at_us=0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DocumentReason.SIGNATURE_MISSING
    world.close()


@st.composite
def deals(draw: st.DrawFn) -> RoamingAgreement:
    """A line of any price within what a session of a few GiB keeps in range, its rate dated."""
    unit = draw(
        st.sampled_from(["octets_total", "octets_in", "octets_out", "duration_s", "sessions"])
    )
    in_band = unit.startswith("octets") and draw(st.booleans())
    next_step = KIB if in_band else draw(st.sampled_from([1, 60, KIB]))
    host_ppm = draw(st.integers(0, PPM))
    terms = {
        "unit": unit,
        "next_step": next_step,
        "first_step": next_step * draw(st.integers(1, 60)),
        "price_nano": draw(st.sampled_from([0, 1, 1_777, 9_000])),
        "fixed_minor": draw(st.sampled_from([0, 5_000])),
        "minimum_minor": draw(st.sampled_from([0, 1_234])),
        "tax_ppm": draw(st.integers(0, PPM)),
        "tax_included": draw(st.booleans()),
        "host_ppm": host_ppm,
        "in_band": in_band,
    }
    foreign = draw(st.booleans())
    rates = (rate(rate=draw(st.integers(1, 10**6)), decimals=3),) if foreign else ()
    item = wifi(currency="EUR" if foreign else "USD", **terms)
    return roaming(item, rates=rates, protocol_ppm=draw(st.integers(0, PPM - host_ppm)))


OFFERS = st.builds(
    Offered,
    qos=st.sampled_from(Qos),
    rcoi=st.sampled_from(RcoiClass),
    quote=st.none() | st.builds(Quote, st.sampled_from(["USD", "EUR"]), st.integers(0, 3_000)),
)
STEPS = st.lists(
    st.tuples(st.integers(0, 900), st.integers(0, 1 << 30), st.integers(0, 1 << 30)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deals(), st.lists(st.tuples(OFFERS, STEPS), min_size=1, max_size=3))
def test_the_month_and_the_daemon_rate_the_same_use_alike(
    tmp_path_factory: pytest.TempPathFactory,
    signed: RoamingAgreement,
    sessions: list[tuple[Offered, list[tuple[int, int, int]]]],
) -> None:
    """Every record to the unit in the line's currency; exchanged, every session's price is."""
    world = furnished(signed)
    world.deposit(1 << 60)
    whose: dict[Id, tuple[Usage, Offered]] = {}
    for number, (offered, steps) in enumerate(sessions):
        grant = world.authorise(offered=offered)
        if isinstance(grant, Refusal):  # a rate that was not agreed: it asks again without
            assert grant.reason is AccessReason.RATE_NOT_ACCEPTABLE
            offered = replace(offered, quote=None)
            grant = world.granted(offered=offered)
        for part in _session(str(number), grant, steps):
            whose[part.usage_id] = part, offered
    charges, waiting = world.rate(*(part for part, _ in whose.values()))
    assert not waiting
    made = {charge.usage_id: charge for charge in wholesale(charges)}
    records = [_record(part, offered) for part, offered in whose.values()]
    folder: Path = tmp_path_factory.mktemp("month")
    months.run(folder, records, rows_of(signed))
    rated = months.rated(folder / "out")
    assert rated.keys() == made.keys()
    for key, row in rated.items():
        _check_record(made[key], row)
    _check_exchanged(made, whose)
    world.check()
    world.close()


def _session(name: str, grant: Grant, steps: Sequence[tuple[int, int, int]]) -> list[Usage]:
    points = []
    totals = [0, 0, 0]
    for step in steps:
        totals = [a + b for a, b in zip(totals, step, strict=True)]
        points.append(Counters(session_time_s=totals[0], octets_in=totals[1], octets_out=totals[2]))
    points = list(dict.fromkeys(points))
    return split(usage(name, grant=grant, after=points[-1]), *points[:-1])


def _record(part: Usage, offered: Offered) -> Any:
    used, before, quote = part.quantities, part.counters_from, offered.quote
    return months.record(
        part.start_us,
        usage_id=part.usage_id,
        session_id=part.session_id,
        home=part.home,
        visited=part.visited,
        reporter=part.visited,
        node=part.node_id,
        qos=offered.qos,
        rcoi=offered.rcoi,
        start_us=part.start_us,
        end_us=part.end_us,
        tariff_at_us=START_US,
        octets_in=used.get("octets_in"),
        octets_out=used.get("octets_out"),
        duration_s=used.get("duration_s"),
        from_octets_in=before.octets_in,
        from_octets_out=before.octets_out,
        from_duration_s=before.session_time_s,
        quoted_currency=None if quote is None else quote.currency,
        quoted_nano_per_kib=None if quote is None else quote.nano_per_kib,
    )


def _check_record(charge: Charge, row: Mapping[str, Any]) -> None:
    inputs = decode_inputs(charge.inputs)
    terms = inputs.terms
    assert row["status"] == 0
    if isinstance(terms, FreeTerms):
        assert charge.amount_minor == sum(row[name] for name in months.LEGS) == 0
        return
    after, before = inputs.counters_to, inputs.counters_from
    legs = terms.legs_in_currency(after) - terms.legs_in_currency(before)
    assert {name: row[name] for name in months.LEGS} == {
        name: getattr(legs, name) for name in months.LEGS
    }
    assert row["dispute"] == (0 if terms.dispute is None else int(terms.dispute))
    if terms.exchange is None:
        assert charge.amount_minor == legs.amount_minor


def _check_exchanged(made: Mapping[Id, Charge], whose: Mapping[Id, tuple[Usage, Offered]]) -> None:
    """Any cuts of a session sum to its price exchanged once, fallen to its legs in the asset."""
    last = {part.session_id: part for part, _ in whose.values()}
    for part in last.values():
        terms = terms_in(made[part.usage_id])
        if isinstance(terms, FreeTerms) or terms.exchange is None:
            continue
        told = terms.legs_in_currency(part.counters_to)
        tax = told.tax_minor if terms.line.tax_included else 0
        price = told.seller_minor + told.host_minor + told.protocol_minor + tax
        exchanged = divide_half_up(price * terms.exchange.rate, 10**terms.exchange.decimals)
        legs = v1.fall(
            exchanged,
            tax_ppm=terms.line.tax_ppm,
            tax_included=terms.line.tax_included,
            host_ppm=terms.line.host_ppm,
            protocol_ppm=terms.head.protocol_ppm,
        )
        parts = [key for key, (one, _) in whose.items() if one.session_id == part.session_id]
        assert sum(made[key].amount_minor for key in parts) == legs.amount_minor


def test_inputs_that_rating_would_not_have_written_are_refused() -> None:
    world = furnished(roaming(wifi(currency="EUR"), rates=(rate(),)))
    (made,) = wholesale(world.rate(usage(grant=world.granted()))[0])
    (free,) = wholesale(world.rate(usage("free", grant=world.granted(offered=FREE)))[0])
    world.close()
    assert encode_inputs(decode_inputs(made.inputs)) == made.inputs
    assert encode_inputs(decode_inputs(free.inputs)) == free.inputs
    document, nothing = decode(made.inputs), decode(free.inputs)
    assert isinstance(document, Mapping)
    assert isinstance(nothing, Mapping)
    other_line = {**document["line"], "price_nano": 1}
    other_rate = {**document["exchange"], "rate": 1}
    offered = document["offered"]
    for change in (
        {"line": other_line},
        {"exchange": other_rate},
        {"exchange": None},
        {"line_hashes": [bytes(32)]},
        {"offered": {**offered, "service": "data"}},
        {"offered": {**offered, "rcoi": "settlement_free"}},
        {"offered": {**offered, "quote": ["usd", 1]}},
        {"offered": {**offered, "quote": ["USD", -1]}},
        {"tariff_at_us": TERM.end_us},
        {"counters_from": [61, 0, 0]},
        {"counters_to": [60, 1 << 62, 1 << 62]},
        {"host": "No One"},
        {"kind": 2},
        {"more": 1},
    ):
        with pytest.raises(PeerError):
            rerate(VERSION, encode({**document, **change}))
    with pytest.raises(PeerError):
        rerate(VERSION, encode({**nothing, "offered": offered}))
    with pytest.raises(PeerError):
        rerate(v1.VERSION, made.inputs)


def cut_at(world: World, grant: Grant, start_us: int, end_us: int) -> list[int]:
    item = Stretch(
        session_id=Id(bytes(32)),
        authorisation_id=grant.authorisation_id,
        home=HOME,
        visited=VISITED,
        start_us=start_us,
        end_us=end_us,
    )
    return list(TermChanges().changes(world.unit, [item]).get(item.session_id, ()))


def in_order(world: World, items: Sequence[Usage]) -> list[Charge]:
    """Rate usages and return their charges between the operators, in their order."""
    charges, waiting = world.rate(*items)
    assert not waiting
    made = {charge.usage_id: charge for charge in wholesale(charges)}
    return [made[item.usage_id] for item in items]
