"""A subscriber's money: price before use, cap, channels, and the stake behind a discount."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.views.subscriber import CapLine, cap_line
from opencarrier.chain.contracts import StakeDiscount, Tier
from opencarrier.kernel.calendar import month_of
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.rating.model import RetailPlan
from opencarrier.rating.rules import v1
from opencarrier.spine.parties import Subscriber
from opencarrier.spine.usage import Counters
from opencarrier.staking import rules
from opencarrier.staking.model import Commitment, StakeContract

EXAMPLES = ((10_000_000, 3_600), (100_000_000, 3_600), (1_000_000_000, 3_600))
"""Octets and seconds that the page prices: mail and messages, a while of web, an hour of video."""

CHANNELS_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What so much use in one session would cost now, tax included; null beyond the formula."""

    octets: int
    duration_s: int
    price_minor: int | None
    tax_minor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceView:
    """The price before use: 1e-9 of the currency per begun step of a unit, and examples.

    `discount_ppm` is what a stake takes off now; the examples have it.
    """

    plan: str
    unit: str
    step: int
    price_nano: int
    minimum_minor: int
    tax_ppm: int
    tax_included: bool
    discount_ppm: int
    until_us: int
    examples: tuple[Priced, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLine:
    """Money in a channel: put in, promised by vouchers, and what may still be promised."""

    channel: str
    seller: str
    deposited_minor: int
    promised_minor: int
    left_minor: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelLine:
    """What a stake must have at least, and the discount it carries then."""

    min_minor: int
    min_lock_s: int
    discount_ppm: int
    missing_minor: int
    saves_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeView:
    """A stake and what it buys.

    `saved_minor` was taken off this month's charges. A level's `saves_minor` is what it would
    take off as much use as this month's, and `missing_minor` what the stake lacks for it.
    """

    account: str
    amount_minor: int
    lock_s: int
    unlock_at_s: int
    discount_ppm: int
    saved_minor: int
    levels: tuple[LevelLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyView:
    """All of a subscriber's money; amounts in minor units of the asset."""

    party: str
    home: str
    asset: str
    free_minor: int
    held_minor: int
    asked_back_minor: int
    cap: CapLine | None
    price: PriceView | None
    channels: tuple[ChannelLine, ...]
    stake: StakeView | None
    """Null where the venue has no stakes."""


def money_view(place: Onchain, unit: Connection, subscriber: Subscriber) -> MoneyView:
    """Return a subscriber's money as it stands."""
    base, asset, party = place.base, place.manifest.asset, subscriber.party_id
    at_us = base.clock.now_us()
    balance = ledger.balance(unit, asset, chart.prepaid(party))
    home = base.identity.directory.operator(unit, subscriber.home)
    assert home is not None, "a subscriber without a home"
    return MoneyView(
        party=party,
        home=home.name,
        asset=asset,
        free_minor=balance.free_minor,
        held_minor=balance.debits_pending,
        asked_back_minor=ledger.balance(unit, asset, chart.refunds(party)).posted_minor,
        cap=cap_line(place, unit, subscriber, at_us=at_us),
        price=price_view(place, unit, subscriber),
        channels=_channels(place, unit, subscriber),
        stake=stake_view(place, unit, subscriber),
    )


def price_view(
    place: Onchain, unit: Connection, subscriber: Subscriber, *asked: tuple[int, int]
) -> PriceView | None:
    """Return what use costs before it is used, None where no plan is in force."""
    base = place.base
    at_us = base.clock.now_us()
    plan = base.subscribers.plan(unit, subscriber, at_us=at_us)
    if isinstance(plan, Refusal):
        return None
    found = base.staking.discount(unit, subscriber.party_id, seller=subscriber.home, at_us=at_us)
    discount_ppm = found.ppm if found is not None and found.asset == plan.asset else 0
    price = plan.price
    return PriceView(
        plan=plan.plan_id,
        unit=price.unit,
        step=price.step,
        price_nano=price.price_nano,
        minimum_minor=price.minimum_minor,
        tax_ppm=price.tax_ppm,
        tax_included=price.tax_included,
        discount_ppm=discount_ppm,
        until_us=price.window.end_us,
        examples=tuple(_priced(plan, discount_ppm, *one) for one in asked or EXAMPLES),
    )


def stake_view(place: Onchain, unit: Connection, subscriber: Subscriber) -> StakeView | None:
    """Return a subscriber's stake, what it buys and what more would; None without stakes here."""
    base, party = place.base, subscriber.party_id
    if place.stakes is None:
        return None
    contract = base.staking.contract(unit, place.manifest.at(StakeDiscount))
    if contract is None:
        return None
    at_us = base.clock.now_us()
    binding = base.staking.binding(unit, party)
    held = base.staking.commitment(unit, party, at_us=at_us)
    lines = base.subscribers.month(unit, party, month_of(at_us).start_us)
    mine = [line for line in lines if line.asset == contract.asset]
    saved_minor = sum(line.discount_minor for line in mine)
    full_minor = saved_minor + sum(line.amount_minor - line.tax_minor for line in mine)
    found = rules.discount(contract, held, at_us // SECOND_US)
    return StakeView(
        account="" if binding is None else binding.account,
        amount_minor=0 if held is None else held.amount,
        lock_s=0 if held is None else held.lock_s,
        unlock_at_s=0 if held is None else held.unlock_at_s,
        discount_ppm=0 if found is None else found.ppm,
        saved_minor=saved_minor,
        levels=tuple(_level(tier, held, full_minor) for tier in _ascending(contract)),
    )


def _priced(plan: RetailPlan, discount_ppm: int, octets: int, duration_s: int) -> Priced:
    price = plan.price
    used = Counters(session_time_s=duration_s, octets_in=octets, octets_out=0)
    if price.unit == "octets_out":
        used = Counters(session_time_s=duration_s, octets_in=0, octets_out=octets)
    if not v1.fits(price, v1.quantity(price.unit, used), discount_ppm):
        return Priced(octets=octets, duration_s=duration_s, price_minor=None, tax_minor=None)
    legs = v1.retail_legs(price, discount_ppm, used)
    return Priced(
        octets=octets,
        duration_s=duration_s,
        price_minor=legs.seller_minor + legs.tax_minor,
        tax_minor=legs.tax_minor,
    )


def _channels(place: Onchain, unit: Connection, subscriber: Subscriber) -> tuple[ChannelLine, ...]:
    if place.channels is None:
        return ()
    directory = place.base.identity.directory
    found = place.channels.service.channels(unit, subscriber=subscriber.party_id)
    lines = []
    for channel in found[:CHANNELS_SHOWN]:
        seller = directory.operator(unit, channel.seller)
        state = "ended" if channel.closed else "ending" if channel.withdrawing else "open"
        lines.append(
            ChannelLine(
                channel="0x" + channel.channel_id.hex(),
                seller=channel.seller if seller is None else seller.name,
                deposited_minor=channel.deposited_minor,
                promised_minor=channel.voucher_minor,
                left_minor=max(0, channel.deposited_minor - channel.voucher_minor),
                state=state,
            )
        )
    return tuple(lines)


def _ascending(contract: StakeContract) -> list[Tier]:
    return sorted(contract.tiers, key=lambda tier: (tier.discount_ppm, tier.min_amount))


def _level(tier: Tier, held: Commitment | None, full_minor: int) -> LevelLine:
    amount = 0 if held is None else held.amount
    return LevelLine(
        min_minor=tier.min_amount,
        min_lock_s=tier.min_lock_s,
        discount_ppm=tier.discount_ppm,
        missing_minor=max(0, tier.min_amount - amount),
        saves_minor=full_minor * tier.discount_ppm // 1_000_000,
    )
