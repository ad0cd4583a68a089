"""Receipts made again from terms drawn at random: their sums are right, so a later step breaks.

Nobody signed what is drawn, nor is it on any chain. A verifier that rates it otherwise than ours
names the step of rating instead; where an amount is wrong by one, both must name that step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from tests.rating import roaming, worlds

from opencarrier.clearing.dues import due_part, flows_of
from opencarrier.clearing.tree import charge_part
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.adjustment_inputs import SUM_MAX, AdjustmentInputs, encode_inputs
from opencarrier.rating.adjustments import due_again
from opencarrier.rating.agreements.model import Commitment, Deal, ExchangeRate, Pricing
from opencarrier.rating.agreements.plans import (
    BackToFirst,
    Balanced,
    Discounted,
    DiscountTier,
    Flat,
    Linear,
    NotCharged,
    Plan,
    Tier,
    Tiered,
)
from opencarrier.rating.model import CHARGE_MAX_MINOR, STEP_MAX, TARIFF_UNITS
from opencarrier.rating.periods import LineSum, PeriodSums, windows_in
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v2 import KIB, UNITS, VERSION, Quote
from opencarrier.rating.rules.v2 import inputs as v2_inputs
from opencarrier.rating.rules.v2.charges import LineTerms
from opencarrier.rating.rules.v2.charges import WholesaleInputs as LineInputs
from opencarrier.rating.rules.versions import rerate
from opencarrier.receipts.document import read_receipt, write_receipt
from opencarrier.receipts.due_document import read_due_receipt, write_due_receipt
from opencarrier.receipts.model import Opened, Sealed
from opencarrier.spine.access import Offered
from opencarrier.spine.records import Service
from opencarrier.spine.usage import Counters

NAMES = ("a", "b", "c-1")
TRIES = 20


def number(random: Random, most: int, least: int = 0) -> int:
    """Draw a number: often one at a bound, often small, else of any length."""
    drawn = random.choice(
        [least, least + 1, most, most - 1, random.randrange(1_000), random.randrange(PPM),
         random.randrange(1 << random.randrange(1, 101))]
    )  # fmt: skip
    return min(most, max(least, drawn))


def remade(text: str, random: Random, count: int) -> Iterator[str]:
    """A settled receipt with so many other contents of its kind, each of them made right."""
    make = _adjustment if '"adjustment": ' in text else random.choice((_by_line, _by_tariff, _plan))
    for _ in range(count):
        for _ in range(TRIES):
            found = make(text, random)
            if found is not None:
                yield found
                break


def _wrong(random: Random, content: dict[str, Any]) -> dict[str, Any]:
    """Return a content, a third of the time with an amount that is wrong by one."""
    if random.randrange(3) or not content["allocations"]:
        return content
    legs = [list(leg) for leg in content["allocations"]]
    random.choice(legs)[3] += random.choice((-1, 1))
    return {**content, "allocations": legs}


# charges


def _counters(random: Random) -> tuple[Counters, Counters]:
    most = random.choice((1 << 61, 1 << 34, 1 << 24))
    pairs = [sorted(number(random, most) for _ in range(2)) for _ in range(3)]
    before, after = zip(*pairs, strict=True)
    return _counted(*before), _counted(*after)


def _counted(seconds: int, octets_in: int, octets_out: int) -> Counters:
    return Counters(session_time_s=seconds, octets_in=octets_in, octets_out=octets_out)


def _price(random: Random) -> dict[str, Any]:
    return {
        "price_nano": number(random, random.choice((INT64_MAX, 5_000))),
        "minimum_minor": number(random, CHARGE_MAX_MINOR - 1),
        "tax_ppm": number(random, PPM),
        "tax_included": random.choice((False, True)),
    }


def _by_tariff(text: str, random: Random) -> str | None:
    protocol_ppm = number(random, PPM)
    tariff = worlds.tariff(
        **_price(random), unit=random.choice(TARIFF_UNITS), step=number(random, STEP_MAX, 1),
        host_ppm=number(random, PPM - protocol_ppm),
    )  # fmt: skip
    before, after = _counters(random)
    head = worlds.agreement(tariff, protocol_ppm=protocol_ppm).head
    made = v1.WholesaleInputs(
        head=head, tariff=tariff, tariff_at_us=worlds.START_US, host=worlds.HOST,
        counters_from=before, counters_to=after,
    )  # fmt: skip
    return _charged(text, random, v1.encode_inputs(made), v1.VERSION, "wholesale")


def _plan(text: str, random: Random) -> str | None:
    price = worlds.price(
        **_price(random), unit=random.choice(TARIFF_UNITS), step=number(random, STEP_MAX, 1)
    )
    before, after = _counters(random)
    made = v1.RetailInputs(
        plan=worlds.plan(price=price), plan_at_us=worlds.START_US, subscriber=worlds.SUBSCRIBER,
        discount_ppm=number(random, PPM), counters_from=before, counters_to=after,
    )  # fmt: skip
    return _charged(text, random, v1.encode_inputs(made), v1.VERSION, "retail")


def _by_line(text: str, random: Random) -> str | None:
    protocol_ppm, exchange = number(random, PPM), _rate(random)
    next_step = random.choice((KIB, number(random, STEP_MAX, 1)))
    unit = random.choice(UNITS)
    line = roaming.line(
        **_price(random), unit=unit, next_step=next_step,
        first_step=next_step * number(random, STEP_MAX // next_step, 1),
        fixed_minor=number(random, CHARGE_MAX_MINOR - 1), currency=_currency(exchange),
        host_ppm=number(random, PPM - protocol_ppm),
        in_band=next_step == KIB and unit.startswith("octets"),
    )  # fmt: skip
    signed = roaming.roaming(line, rates=_rates(exchange), protocol_ppm=protocol_ppm)
    quote = Quote(random.choice(("USD", "EUR")), number(random, 2 * line.price_nano))
    offered = Offered(service=Service.DATA, quote=random.choice((None, quote)))
    before, after = _counters(random)
    made = LineInputs(
        terms=LineTerms(head=signed.head, line=line, exchange=exchange, offered=offered),
        tariff_at_us=worlds.START_US, host=worlds.HOST, counters_from=before, counters_to=after,
    )  # fmt: skip
    return _charged(text, random, v2_inputs.encode_inputs(made), VERSION, "wholesale")


def _charged(text: str, random: Random, inputs: bytes, version: str, name: str) -> str | None:
    """Put a charge in place of a receipt's own, the rest of it sealed."""
    try:
        priced = rerate(version, inputs)
    except PeerError:
        return None
    receipt, usage = read_receipt(text), worlds.usage()
    content = charge_part(v1.charge(usage, priced, inputs, rule_version=version))
    sealed, opened = Sealed(commitment=bytes(32)), Opened(salt=bytes(32), content=content)
    opened = replace(opened, content=_wrong(random, content))
    parts = {"usage": sealed, "wholesale": sealed, "retail": sealed, name: opened}
    path, signatures = receipt.path, {}
    if name == "wholesale":
        path = replace(path, debtor=priced.payer, creditor=priced.seller, asset=priced.asset)
    else:
        signatures = {"agreement_signatures": (), "statement_signatures": ()}
    return write_receipt(
        replace(receipt, usage_id=usage.usage_id, path=path, **parts, **signatures)
    )


# adjustments


def _rate(random: Random) -> ExchangeRate | None:
    if random.randrange(2):
        return None
    return ExchangeRate(
        currency="EUR", window=roaming.TERM, rate=number(random, 10**15, 1),
        decimals=number(random, 12),
    )  # fmt: skip


def _rates(exchange: ExchangeRate | None) -> tuple[ExchangeRate, ...]:
    return () if exchange is None else (exchange,)


def _currency(exchange: ExchangeRate | None) -> str:
    return "USD" if exchange is None else exchange.currency


def _adjustment(text: str, random: Random) -> str | None:
    exchange = _rate(random)
    deal = _deal(random, _currency(exchange))
    signed = replace(
        roaming.roaming(roaming.line(), rates=_rates(exchange), protocol_ppm=number(random, PPM)),
        deals=(deal,),
    )
    made = AdjustmentInputs(
        head=signed.head, deal=deal, number=number(random, 1 << 20),
        window=random.choice(windows_in(signed.periods_us, deal)),
        is_final=random.randrange(4) > 0, sums=_sums(random, deal),
        booked=replace(_legs(random), host_minor=0),
    )  # fmt: skip
    try:
        due = due_again(encode_inputs(made), exchange)
    except PeerError:
        return None
    flows = list(flows_of(due))
    if not flows:
        return None
    flow, receipt = random.choice(flows), read_due_receipt(text)
    content = _wrong(random, due_part(due, flow.role))
    path = replace(
        receipt.path, debtor=flow.debtor, creditor=flow.creditor,
        asset=due.adjustment.asset, amount_minor=flow.amount_minor,
    )  # fmt: skip
    opened = replace(receipt.adjustment, content=content)
    found = replace(receipt, record_id=Id(flow.record_id), adjustment=opened, path=path)
    return write_due_receipt(found)


def _deal(random: Random, currency: str) -> Deal:
    commitment = Commitment(
        basis=random.choice(("contract", "deal")), amount_minor=number(random, 10**18),
        with_tax=random.choice((False, True)), tax_ppm=number(random, PPM),
        shortfall=random.choice(("none", "no_deal", "send_or_pay", "send_or_pay")),
    )  # fmt: skip
    return roaming.deal(
        *(_pricing(random) for _ in range(random.randrange(1, 4))), currency=currency,
        per=random.choice(("period", "term")),
        commitment=random.choice((None, commitment, commitment)),
    )  # fmt: skip


def _pricing(random: Random) -> Pricing:
    return Pricing(
        lines=_names(random, 1), reverse_lines=_names(random, 0), plan=_period_plan(random),
        measure=random.choice(("usage", "usage", "subscribers")), tax_ppm=number(random, PPM),
        tax_included=random.choice((False, True)), in_commitment=random.choice((False, True)),
    )  # fmt: skip


def _names(random: Random, least: int) -> tuple[str, ...]:
    """Names of lines, some of which had no record, one perhaps twice."""
    return tuple(random.choices((*NAMES, "none"), k=random.randrange(least, 4)))


def _period_plan(random: Random) -> Plan:
    step = number(random, STEP_MAX, 1)
    starts = sorted({number(random, INT64_MAX) for _ in range(random.randrange(1, 5))})
    price_nano, fixed_minor = number(random, 10**12), number(random, 10**18)
    off = tuple(DiscountTier(start_minor=at, discount_ppm=number(random, PPM)) for at in starts)
    tiers = tuple(
        Tier(start=at, fixed_minor=number(random, 10**12), price_nano=number(random, 10**9))
        for at in starts
    )
    return random.choice(
        (
            NotCharged(), Flat(fixed_minor=fixed_minor), Linear(step=step, price_nano=price_nano),
            BackToFirst(step=step, tiers=tiers), Tiered(step=step, tiers=tiers),
            Balanced(step=step, balanced_price_nano=price_nano,
                     unbalanced_price_nano=number(random, 10**9)),
            Discounted(whole=False, tiers=off), Discounted(whole=True, tiers=off),
        )
    )  # fmt: skip


def _sums(random: Random, deal: Deal) -> PeriodSums:
    names: Sequence[str] = random.sample(NAMES, random.choice((0, 1, 2, 3, 3, 3)))
    most = random.choice((SUM_MAX, 1 << 40))
    lines = {name: LineSum(number(random, most), _legs(random)) for name in names}
    return PeriodSums(lines, tuple(number(random, 1 << 40) for _ in deal.pricings))


def _legs(random: Random) -> v1.WholesaleLegs:
    names = v1.WholesaleLegs.__slots__
    return v1.WholesaleLegs(**{name: number(random, 1 << 50) for name in names})
