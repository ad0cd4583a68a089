"""The flat table an agreement compiles to: one row prices a record, whichever engine reads it.

A record's row is the one of its home, visited operator and service whose class is the record's (or
`ANY`) with `valid_from_us <= at < valid_until_us`. The checks at load leave at most one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias, TypeVar

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.rating.agreements.documents import PRICED
from opencarrier.rating.agreements.model import ExchangeRate, Line, RoamingAgreement
from opencarrier.rating.model import Agreement, Tariff
from opencarrier.rating.rules.v2 import Terms
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Qos, Service

ANY: Final = -1
"""A row for every quality or consortium class there is."""

AnyAgreement: TypeAlias = Agreement | RoamingAgreement
E = TypeVar("E", bound=IntEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Terms):
    """One line of an agreement for one service, while one exchange rate is in force.

    `place` is the line's in its document. Amounts are in `currency` (empty where it is the asset
    itself); a sum of them times `rate` / 10^`decimals` is in the asset.
    """

    agreement_hash: Id
    place: int
    home: PartyId
    visited: PartyId
    service: int
    qos: int
    rcoi: int
    valid_from_us: int
    valid_until_us: int
    protocol_ppm: int
    rate: int
    decimals: int
    asset: AssetId
    protocol_party: PartyId
    tax_party: PartyId


def rows_of(agreement: AnyAgreement) -> list[Row]:
    """Return the rows of an agreement of either version, in the order of its lines."""
    agreement_hash = agreement.hash
    if isinstance(agreement, Agreement):
        return [
            row
            for place, tariff in enumerate(agreement.tariffs)
            for row in _tariff_rows(agreement, agreement_hash, tariff, place)
        ]
    return [
        row
        for place, line in enumerate(agreement.lines)
        for row in _line_rows(agreement, agreement_hash, line, place)
    ]


def pairs_of(agreement: AnyAgreement) -> set[tuple[PartyId, PartyId]]:
    """Return the directions an agreement prices: home and visited."""
    if isinstance(agreement, Agreement):
        return {(agreement.home, agreement.visited)}
    return {(line.home, line.visited) for line in agreement.lines}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A tariff, or a line while one exchange rate is in force: whose use it prices, and when."""

    tariff_hash: Id
    home: PartyId
    visited: PartyId
    window: Window


def spans_of(agreement: AnyAgreement) -> list[Span]:
    """Return when an agreement prices which direction, in the order of its lines."""
    if isinstance(agreement, Agreement):
        pair = {"home": agreement.home, "visited": agreement.visited}
        return [
            Span(tariff_hash=tariff.hash, window=tariff.window, **pair)
            for tariff in agreement.tariffs
        ]
    return [
        Span(tariff_hash=line.hash, home=line.home, visited=line.visited, window=window)
        for line in agreement.lines
        for window, _, _ in rates_over(agreement, line.currency, line.window)
    ]


def signers_of(agreement: AnyAgreement) -> dict[Address, PartyId]:
    """Return whose keys sign an agreement: both operators', or the one's."""
    if isinstance(agreement, RoamingAgreement):
        return {item.address: item.party for item in agreement.parties}
    return {
        agreement.home_address: agreement.home,
        agreement.visited_address: agreement.visited,
    }


def rates_over(
    agreement: RoamingAgreement, currency: str, window: Window
) -> Iterator[tuple[Window, int, int]]:
    """Return the parts of a window in which one exchange rate holds, with rate and decimals."""
    if currency == agreement.currency:
        yield window, 1, 0
        return
    rates = [item for item in agreement.rates if item.currency == currency]
    for item in sorted(rates, key=lambda rate: rate.window.start_us):
        if item.window.overlaps(window):
            yield _both(item, window), item.rate, item.decimals


def _line_rows(
    agreement: RoamingAgreement, agreement_hash: Id, line: Line, place: int
) -> Iterator[Row]:
    common: dict[str, Any] = {
        **{name: getattr(line, name) for name in Terms.__slots__},
        "agreement_hash": agreement_hash,
        "place": place,
        "home": line.home,
        "visited": line.visited,
        "protocol_ppm": agreement.protocol_ppm,
        "asset": agreement.asset,
        "protocol_party": agreement.protocol_party,
        "tax_party": agreement.signatory(line.visited).tax_party,
    }
    classes: list[dict[str, Any]] = [
        {"service": service, "qos": qos, "rcoi": rcoi}
        for service in line.services
        for qos in _or_any(line.qos, len(Qos))
        for rcoi in _or_any(line.rcoi, len(PRICED))
    ]
    for window, rate, decimals in rates_over(agreement, line.currency, line.window):
        span: dict[str, Any] = {"valid_from_us": window.start_us, "valid_until_us": window.end_us}
        for one in classes:
            yield Row(**common, **span, **one, rate=rate, decimals=decimals)


def _tariff_rows(
    agreement: Agreement, agreement_hash: Id, tariff: Tariff, place: int
) -> Iterator[Row]:
    """Return a version 1 tariff's rows: whatever the service, it has one price for all."""
    for service in Service:
        yield Row(
            agreement_hash=agreement_hash,
            place=place,
            home=agreement.home,
            visited=agreement.visited,
            service=service,
            qos=ANY,
            rcoi=ANY,
            valid_from_us=tariff.window.start_us,
            valid_until_us=tariff.window.end_us,
            unit=tariff.unit,
            first_step=tariff.step,
            next_step=tariff.step,
            price_nano=tariff.price_nano,
            fixed_minor=0,
            minimum_minor=tariff.minimum_minor,
            tax_ppm=tariff.tax_ppm,
            tax_included=tariff.tax_included,
            host_ppm=tariff.host_ppm,
            protocol_ppm=agreement.protocol_ppm,
            in_band=False,
            currency="",
            rate=1,
            decimals=0,
            asset=agreement.asset,
            protocol_party=agreement.protocol_party,
            tax_party=agreement.tax_party,
        )


def _or_any(named: Sequence[E], known: int) -> Sequence[int]:
    """Return the classes a line names, or that it is for any."""
    return (ANY,) if len(named) == known else named


def _both(item: ExchangeRate, window: Window) -> Window:
    start_us = max(item.window.start_us, window.start_us)
    return Window(start_us, min(item.window.end_us, window.end_us))
