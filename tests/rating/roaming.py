"""Roaming agreements for tests: two operators, a term of three periods of ten days."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from opencarrier.kernel.clock import Window
from opencarrier.rating.agreements.documents import PRICED, write_roaming_agreement
from opencarrier.rating.agreements.model import (
    Commitment,
    Deal,
    ExchangeRate,
    Line,
    Pricing,
    RoamingAgreement,
    Signatory,
)
from opencarrier.rating.agreements.plans import Linear
from opencarrier.spine.records import Qos, Service

from .worlds import ASSET, DAY_US, HOME, KIB, PROTOCOL, SIGNERS, START_US, TAX, VISITED

TERM = Window(START_US, START_US + 30 * DAY_US)
PERIODS_US = tuple(START_US + 10 * DAY_US * number for number in range(4))
ALL_QOS = tuple(Qos)
ALL_RCOI = tuple(PRICED.values())
GIB = 1 << 30


def line(name: str = "data-there", **changes: Any) -> Line:
    """Return 2,000 nano per begun KiB of data for the whole term, without tax."""
    terms: dict[str, Any] = {
        "line": name,
        "home": HOME,
        "visited": VISITED,
        "window": TERM,
        "services": (Service.DATA,),
        "qos": ALL_QOS,
        "rcoi": ALL_RCOI,
        "unit": "octets_total",
        "first_step": KIB,
        "next_step": KIB,
        "price_nano": 2_000,
        "fixed_minor": 0,
        "minimum_minor": 0,
        "currency": "USD",
        "tax_ppm": 0,
        "tax_included": False,
        "host_ppm": 0,
        "in_band": False,
    }
    return Line(**{**terms, **changes})


BACK = line("data-back", home=VISITED, visited=HOME)


def pricing(**changes: Any) -> Pricing:
    """Return one dollar per GiB of the data there."""
    terms: dict[str, Any] = {
        "lines": ("data-there",),
        "reverse_lines": (),
        "measure": "usage",
        "plan": Linear(step=GIB, price_nano=10**9),
        "tax_ppm": 0,
        "tax_included": False,
        "in_commitment": True,
    }
    return Pricing(**{**terms, **changes})


def deal(*pricings: Pricing, **changes: Any) -> Deal:
    terms: dict[str, Any] = {
        "deal": "volume",
        "home": HOME,
        "visited": VISITED,
        "per": "term",
        "currency": "USD",
        "commitment": None,
        "pricings": pricings or (pricing(),),
    }
    return Deal(**{**terms, **changes})


def commitment(**changes: Any) -> Commitment:
    terms: dict[str, Any] = {
        "basis": "deal",
        "amount_minor": 0,
        "with_tax": False,
        "shortfall": "send_or_pay",
        "tax_ppm": 0,
    }
    return Commitment(**{**terms, **changes})


def rate(window: Window = TERM, **changes: Any) -> ExchangeRate:
    terms: dict[str, Any] = {"currency": "EUR", "window": window, "rate": 10_835, "decimals": 4}
    return ExchangeRate(**{**terms, **changes})


def roaming(*lines: Line, **changes: Any) -> RoamingAgreement:
    signatories = [
        Signatory(party=party, address=SIGNERS[party].address, tax_party=TAX)
        for party in (HOME, VISITED)
    ]
    terms: dict[str, Any] = {
        "parties": tuple(signatories),
        "asset": ASSET,
        "currency": "USD",
        "protocol_party": PROTOCOL,
        "protocol_ppm": 10_000,
        "periods_us": PERIODS_US,
        "lines": lines or (line(), BACK),
        "rates": (),
        "deals": (),
    }
    return RoamingAgreement(**{**terms, **changes})


def written(agreement: RoamingAgreement) -> dict[str, Any]:
    """Return an agreement as parsed JSON, to be spoilt."""
    document: dict[str, Any] = json.loads(write_roaming_agreement(agreement))
    return document


def until(item: Line, day: int, **changes: Any) -> Line:
    """Return a line that ends some days after the term began."""
    return replace(item, window=Window(TERM.start_us, START_US + day * DAY_US), **changes)


def since(item: Line, day: int, **changes: Any) -> Line:
    """Return a line that begins some days after the term began."""
    return replace(item, window=Window(START_US + day * DAY_US, TERM.end_us), **changes)
