"""What an operator has agreed on with others, as pages and API show it: prices in plain words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.api import Cursor, Page
from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.views.operator import name_in
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.money import divide_half_up
from opencarrier.rating.agreements.model import Deal, Line, RoamingAgreement
from opencarrier.rating.agreements.rows import AnyAgreement
from opencarrier.rating.model import Agreement, Tariff
from opencarrier.rating.rules.v2 import Terms
from opencarrier.rating.traffic import as_terms
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service

AGREEMENTS: Final = Cursor("agreements", (str,))
MILLI: Final = 1_000
PLAIN: Final = {
    "octets_total": ("gigabyte", 10**9),
    "octets_in": ("gigabyte", 10**9),
    "octets_out": ("gigabyte", 10**9),
    "duration_s": ("hour", 3_600),
    "sessions": ("session", 1),
    "units": ("message", 1),
}
"""Of what a price is told, by unit, and how much of the unit that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementRow:
    """An agreement with another operator, which of both pay by it, and when it prices anything."""

    agreement: str
    other: PartyId
    name: str
    payers: tuple[str, ...]
    valid_from_us: int
    valid_until_us: int
    lines: int
    deals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """What one kind of use costs whom; `price_nano` is for `next_step` of `unit`.

    `plain_minor` is the same for `plain_per`, to the nearest minor unit of `currency`, which is
    empty where it is the asset that is settled in.
    """

    place: int
    line: str
    payer: PartyId
    payer_name: str
    seller: PartyId
    seller_name: str
    services: tuple[str, ...]
    unit: str
    first_step: int
    next_step: int
    price_nano: int
    plain_minor: int
    plain_per: str
    fixed_minor: int
    minimum_minor: int
    currency: str
    tax_ppm: int
    tax_included: bool
    host_ppm: int
    in_band: bool
    valid_from_us: int
    valid_until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DealView:
    """What a period's sums come to beyond its records; `plans` are the kinds of its pricings."""

    deal: str
    payer_name: str
    seller_name: str
    per: str
    currency: str
    plans: tuple[str, ...]
    committed_minor: int | None
    shortfall: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementView:
    """An agreement as both signed it."""

    agreement: str
    party: PartyId
    name: str
    other: PartyId
    other_name: str
    asset: str
    protocol_ppm: int
    valid_from_us: int
    valid_until_us: int
    lines: tuple[LineView, ...]
    deals: tuple[DealView, ...]
    currencies: tuple[str, ...]


def agreements_view(
    base: Installation, unit: Connection, party: PartyId, *, cursor: str, limit: int
) -> Page[AgreementRow]:
    """Return the agreements an operator is a side of, by hash."""
    key = AGREEMENTS.read(cursor)
    after = None if key is None else _octets(str(key[0]))
    found = base.rating.agreements_at(unit, party, after=after, limit=limit + 1)
    name = name_in(base, unit)
    rows = [_row(one, party, name) for one in found]
    return AGREEMENTS.page(rows, limit, lambda row: (row.agreement,))


def agreement_of(
    base: Installation, unit: Connection, party: PartyId, agreement: str
) -> AnyAgreement | None:
    """Return an agreement that an operator is a side of, None for any other."""
    found = base.rating.agreement(unit, _octets(agreement))
    return found if found is not None and party in sides_of(found) else None


def agreement_view(
    base: Installation, unit: Connection, party: PartyId, found: AnyAgreement
) -> AgreementView:
    """Say what an agreement says."""
    name, other = name_in(base, unit), other_of(found, party)
    term = _term(found)
    roaming = found if isinstance(found, RoamingAgreement) else None
    return AgreementView(
        agreement=to_hex(found.hash),
        party=party,
        name=name(party),
        other=other,
        other_name=name(other),
        asset=found.asset,
        protocol_ppm=found.protocol_ppm,
        valid_from_us=term[0],
        valid_until_us=term[1],
        lines=lines_of(found, name),
        deals=() if roaming is None else tuple(_deal(one, name) for one in roaming.deals),
        currencies=() if roaming is None else tuple(sorted({r.currency for r in roaming.rates})),
    )


def lines_of(found: AnyAgreement, name: Callable[[PartyId], str]) -> tuple[LineView, ...]:
    """Return what prices use, in the order of the document."""
    if isinstance(found, Agreement):
        return tuple(_tariff(place, one, found, name) for place, one in enumerate(found.tariffs))
    return tuple(_line(place, one, name) for place, one in enumerate(found.lines))


def terms_at(found: AnyAgreement, place: int) -> Terms:
    """Return what prices by a line, by its place."""
    return as_terms(found.tariffs[place]) if isinstance(found, Agreement) else found.lines[place]


def sides_of(found: AnyAgreement) -> tuple[PartyId, ...]:
    """Return the operators that agreed."""
    if isinstance(found, Agreement):
        return found.home, found.visited
    return tuple(one.party for one in found.parties)


def other_of(found: AnyAgreement, party: PartyId) -> PartyId:
    """Return with whom an operator agreed: itself where it is both sides."""
    return next((one for one in sides_of(found) if one != party), party)


def plain_price(terms: Terms, price_nano: int) -> int:
    """Return a price for the plain unit, in minor units of its currency, to the nearest."""
    size = PLAIN[terms.unit][1]
    return divide_half_up(price_nano * size, terms.next_step * MILLI)


def _octets(text: str) -> bytes:
    try:
        return from_hex(text)
    except ValueError:
        return b""


def _row(found: AnyAgreement, party: PartyId, name: Callable[[PartyId], str]) -> AgreementRow:
    other, term = other_of(found, party), _term(found)
    roaming, lines = found if isinstance(found, RoamingAgreement) else None, lines_of(found, name)
    return AgreementRow(
        agreement=to_hex(found.hash),
        other=other,
        name=name(other),
        payers=tuple(sorted({line.payer_name for line in lines})),
        valid_from_us=term[0],
        valid_until_us=term[1],
        lines=len(lines),
        deals=0 if roaming is None else len(roaming.deals),
    )


def _term(found: AnyAgreement) -> tuple[int, int]:
    if isinstance(found, RoamingAgreement):
        return found.term.start_us, found.term.end_us
    windows = [one.window for one in found.tariffs]
    return min(w.start_us for w in windows), max(w.end_us for w in windows)


def _tariff(
    place: int, tariff: Tariff, agreed: Agreement, name: Callable[[PartyId], str]
) -> LineView:
    window = tariff.window
    return _view(
        (place, "", agreed.home, agreed.visited),
        as_terms(tariff),
        (Service.WIFI.name.lower(),),
        (window.start_us, window.end_us),
        name,
    )


def _line(place: int, line: Line, name: Callable[[PartyId], str]) -> LineView:
    services = tuple(one.name.lower() for one in line.services)
    window = (line.window.start_us, line.window.end_us)
    return _view((place, line.line, line.home, line.visited), line, services, window, name)


def _view(
    whose: tuple[int, str, PartyId, PartyId],
    terms: Terms,
    services: tuple[str, ...],
    window: tuple[int, int],
    name: Callable[[PartyId], str],
) -> LineView:
    place, line, payer, seller = whose
    return LineView(
        place=place,
        line=line,
        payer=payer,
        payer_name=name(payer),
        seller=seller,
        seller_name=name(seller),
        services=services,
        unit=terms.unit,
        first_step=terms.first_step,
        next_step=terms.next_step,
        price_nano=terms.price_nano,
        plain_minor=plain_price(terms, terms.price_nano),
        plain_per=PLAIN[terms.unit][0],
        fixed_minor=terms.fixed_minor,
        minimum_minor=terms.minimum_minor,
        currency=terms.currency,
        tax_ppm=terms.tax_ppm,
        tax_included=terms.tax_included,
        host_ppm=terms.host_ppm,
        in_band=terms.in_band,
        valid_from_us=window[0],
        valid_until_us=window[1],
    )


def _deal(deal: Deal, name: Callable[[PartyId], str]) -> DealView:
    commitment = deal.commitment
    return DealView(
        deal=deal.deal,
        payer_name=name(deal.home),
        seller_name=name(deal.visited),
        per=deal.per,
        currency=deal.currency,
        plans=tuple(str(one.plan.terms()["kind"]) for one in deal.pricings),
        committed_minor=None if commitment is None else commitment.amount_minor,
        shortfall="" if commitment is None else commitment.shortfall,
    )
