"""Adjustments as records: made from a period's sums, and made again from their inputs alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import MoneyError, int64
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.adjustment_inputs import (
    LEGS,
    AdjustmentInputs,
    decode_inputs,
    encode_inputs,
)
from opencarrier.rating.agreements.exchange import Part, converted
from opencarrier.rating.agreements.model import Deal, ExchangeRate, RoamingAgreement
from opencarrier.rating.periods import NONE, Legs, Owed, PeriodSums, charged, owed
from opencarrier.spine.money import Adjustment, Allocation, Due, Role

_ROLES: Final = {
    "seller_minor": Role.SELLER,
    "host_minor": Role.HOST,
    "protocol_minor": Role.PROTOCOL,
    "tax_minor": Role.TAX,
}


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What an adjustment moves, and how the deal stood when it was made."""

    legs: Legs
    owed: Owed


def inputs_of(
    agreement: RoamingAgreement,
    deal: Deal,
    window: Window,
    sums: PeriodSums,
    *,
    earlier: tuple[Adjustment, ...] = (),
    is_final: bool,
) -> AdjustmentInputs:
    """Gather what the next adjustment of a deal and period is made from."""
    booked = sum((_legs_of(item) for item in earlier), start=NONE)
    names = {name for item in deal.pricings for name in (*item.lines, *item.reverse_lines)}
    lines = {name: item for name, item in sums.lines.items() if name in names}
    return AdjustmentInputs(
        head=agreement.head,
        deal=deal,
        window=window,
        number=len(earlier),
        is_final=is_final,
        sums=PeriodSums(lines, sums.subscribers),
        booked=booked,
    )


def adjust(inputs: AdjustmentInputs) -> Adjustment | None:
    """Make the adjustment, None where nothing is left to move. `MoneyError` beyond 64 bits."""
    legs = adjusted(inputs).legs
    if legs == NONE:
        return None
    deal, head, octets = inputs.deal, inputs.head, encode_inputs(inputs)
    tax_party = next(item.tax_party for item in head.parties if item.party == deal.visited)
    parties = {
        Role.SELLER: deal.visited,
        Role.PROTOCOL: head.protocol_party,
        Role.TAX: tax_party,
    }
    allocations = tuple(
        Allocation(
            role=role,
            party=parties[role],
            account=f"clearing/{parties[role]}",
            amount_minor=getattr(legs, name),
        )
        for name, role in _ROLES.items()
        if getattr(legs, name)
    )
    return Adjustment(
        adjustment_id=derive(
            "adjustment", head.hash, deal.hash, inputs.number, sha256(octets).digest()
        ),
        payer=deal.home,
        seller=deal.visited,
        asset=head.asset,
        currency=deal.currency,
        amount_minor=legs.amount_minor,
        agreement_hash=head.hash,
        deal_hash=deal.hash,
        start_us=inputs.window.start_us,
        end_us=inputs.window.end_us,
        number=inputs.number,
        is_final=inputs.is_final,
        inputs=octets,
        allocations=allocations,
    )


def adjusted(inputs: AdjustmentInputs) -> Adjusted:
    """Return what is owed less what the records were charged and earlier adjustments booked."""
    deal, sums = inputs.deal, inputs.sums
    found = owed(deal, inputs.head.protocol_ppm, sums, is_final=inputs.is_final)
    legs = found.legs - charged(deal, sums) - inputs.booked
    for name in LEGS:
        int64(getattr(legs, name), "an adjustment's leg")
    return Adjusted(legs, found)


def readjust(data: bytes) -> Adjusted:
    """Adjust again from the octets an adjustment carries; `PeerError` where they are no inputs.

    The head and the hashes among them lead to the hash that both operators signed.
    """
    try:
        return adjusted(decode_inputs(data))
    except MoneyError as error:
        raise PeerError("inputs", str(error)) from None


def due_of(agreement: RoamingAgreement, made: Adjustment) -> Due:
    """Exchange an adjustment to its asset, at the rate of the last instant of its period."""
    return _due(made, _rate_at(agreement, made.currency, made.end_us - 1))


def due_again(data: bytes, exchange: ExchangeRate | None) -> Due:
    """Make what is owed again from an adjustment's inputs and the rate it was exchanged at.

    `PeerError` where they move nothing, or the rate is not the one both operators signed for it.
    """
    inputs = decode_inputs(data)
    try:
        made = adjust(inputs)
        if made is None:
            raise PeerError("inputs", "they move nothing")
        _check_rate(inputs, exchange)
        return _due(made, exchange)
    except MoneyError as error:
        raise PeerError("inputs", str(error)) from None


def _check_rate(inputs: AdjustmentInputs, rate: ExchangeRate | None) -> None:
    head, currency = inputs.head, inputs.deal.currency
    if rate is None:
        if currency != head.currency:
            raise PeerError("exchange", f"{currency} has no rate")
        return
    if rate.hash not in head.rate_hashes or rate.currency != currency:
        raise PeerError("exchange", "the rate is not the agreement's")
    if not rate.window.holds(inputs.window.end_us - 1):
        raise PeerError("exchange", "the rate is of another time")


def _due(made: Adjustment, rate: ExchangeRate | None) -> Due:
    legs = tuple(leg.amount_minor for leg in made.allocations)
    if rate is not None:
        legs = converted([Part(legs, rate.rate, rate.decimals)])
    allocations = [
        replace(leg, amount_minor=minor)
        for leg, minor in zip(made.allocations, legs, strict=True)
        if minor
    ]
    return Due(
        adjustment=made,
        exchange=None if rate is None else rate.terms(),
        allocations=tuple(allocations),
    )


def _rate_at(agreement: RoamingAgreement, currency: str, at_us: int) -> ExchangeRate | None:
    if currency == agreement.currency:
        return None
    dated = (item for item in agreement.rates if item.currency == currency)
    return next(item for item in dated if item.window.holds(at_us))


def _legs_of(item: Adjustment) -> Legs:
    by_role = {leg.role: leg.amount_minor for leg in item.allocations}
    return Legs(**{name: by_role.get(role, 0) for name, role in _ROLES.items()})
