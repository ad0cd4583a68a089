"""Roaming agreements as JSON: the very fields that are hashed, read strictly, written equal."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.money import INT64_MAX, PPM, AssetId
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, Signature
from opencarrier.rating.agreements.checks import check
from opencarrier.rating.agreements.model import (
    COMMITMENT_MAX_MINOR,
    DEALS_MAX,
    DECIMALS_MAX,
    LINES_MAX,
    PERIODS_MAX,
    PRICINGS_MAX,
    RATE_MAX,
    RATES_MAX,
    Commitment,
    Deal,
    ExchangeRate,
    Line,
    Pricing,
    RoamingAgreement,
    Signatory,
)
from opencarrier.rating.agreements.plan_terms import read_plan_of
from opencarrier.rating.agreements.reading import Cursor, parse, words_of
from opencarrier.rating.model import (
    ADDRESS_PATTERN,
    ASSET_PATTERN,
    CHARGE_MAX_MINOR,
    PARTY_PATTERN,
    STEP_MAX,
)
from opencarrier.rating.rules.v2 import KIB, UNITS
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Qos, RcoiClass, Service

ROAMING_AGREEMENT: Final = "opencarrier/agreement/v2"
OCTETS_MAX: Final = 1 << 20
BRACKETS_MAX: Final = 16_384
SIGNATURES_MAX: Final = 2

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SIGNATURE: Final = re.compile(rf"0x[0-9a-f]{{{2 * SIGNATURE_OCTETS}}}")
_NAME_HINT: Final = "use lower-case letters, digits, dot, dash, underline"
SERVICES: Final = words_of(Service)
QOS: Final = words_of(Qos)
PRICED: Final = words_of(RcoiClass, RcoiClass.SETTLEMENT_FREE)
"""What is settlement-free costs nothing whatever an agreement says, so none prices it."""


def read_roaming_agreement(source: str) -> tuple[RoamingAgreement, tuple[Signature, ...]]:
    """Read an agreement and the signatures it carries (none to two); `DocumentError` otherwise.

    The signatures are not judged here: whose they must be is for the service to say.
    """
    return roaming_agreement(parse(source, octets_max=OCTETS_MAX, brackets_max=BRACKETS_MAX))


def roaming_agreement(document: Cursor) -> tuple[RoamingAgreement, tuple[Signature, ...]]:
    """Read an agreement from a document that is parsed already."""
    lists = ("lines", "rates", "deals", "signatures")
    fields = document.keys("document", *HEAD_KEYS, *lists)
    fields["document"].one_of((ROAMING_AGREEMENT,))
    agreement = RoamingAgreement(
        **read_roaming_head(fields),
        lines=tuple(read_line(item) for item in fields["lines"].items(1, LINES_MAX)),
        rates=tuple(read_exchange_rate(item) for item in fields["rates"].items(0, RATES_MAX)),
        deals=tuple(read_deal(item) for item in fields["deals"].items(0, DEALS_MAX)),
    )
    check(agreement)
    signatures = fields["signatures"].items(0, SIGNATURES_MAX)
    return agreement, tuple(_signature(item) for item in signatures)


def write_roaming_agreement(
    agreement: RoamingAgreement, signatures: tuple[Signature, ...] = ()
) -> str:
    """Write an agreement as JSON that `read_roaming_agreement` reads back equal."""
    document = {
        "document": ROAMING_AGREEMENT,
        **agreement.head.terms(),
        "lines": [item.terms() for item in agreement.lines],
        "rates": [item.terms() for item in agreement.rates],
        "deals": [item.terms() for item in agreement.deals],
        "signatures": [{"kid": item.kid, "octets": to_hex(item.octets)} for item in signatures],
    }
    return json.dumps(document, indent=2) + "\n"


def read_roaming_head(fields: dict[str, Cursor]) -> dict[str, Any]:
    """Read what an agreement says besides its lists, as a constructor's arguments."""
    return {
        "parties": tuple(_signatory(item) for item in fields["parties"].items(1, 2)),
        "asset": read_asset(fields["asset"]),
        "currency": read_currency(fields["currency"]),
        "protocol_party": read_party(fields["protocol_party"]),
        "protocol_ppm": fields["protocol_ppm"].integer(0, PPM),
        "periods_us": _periods(fields["periods_us"]),
    }


def _signatory(item: Cursor) -> Signatory:
    fields = item.keys("party", "address", "tax_party")
    hint = "write it as 0x and 40 lower-case hex digits"
    return Signatory(
        party=read_party(fields["party"]),
        address=Address(fields["address"].text(ADDRESS_PATTERN, hint)),
        tax_party=read_party(fields["tax_party"]),
    )


def read_line(item: Cursor) -> Line:
    """Read the terms of a line."""
    fields = item.keys(*_LINE_KEYS)
    next_step = fields["next_step"].integer(1, STEP_MAX)
    line: dict[str, Any] = {
        "line": fields["line"].text(_NAME, _NAME_HINT),
        "home": read_party(fields["home"]),
        "visited": read_party(fields["visited"]),
        "window": _window(item, fields),
        "services": fields["services"].words(SERVICES),
        "qos": fields["qos"].words(QOS),
        "rcoi": fields["rcoi"].words(PRICED),
        "unit": fields["unit"].one_of(UNITS),
        "first_step": _first_step(fields["first_step"], next_step),
        "next_step": next_step,
        "price_nano": fields["price_nano"].integer(0, INT64_MAX),
        "fixed_minor": fields["fixed_minor"].integer(0, CHARGE_MAX_MINOR - 1),
        "minimum_minor": fields["minimum_minor"].integer(0, CHARGE_MAX_MINOR - 1),
        "currency": read_currency(fields["currency"]),
        "tax_ppm": fields["tax_ppm"].integer(0, PPM),
        "tax_included": fields["tax_included"].boolean(),
        "host_ppm": fields["host_ppm"].integer(0, PPM),
        "in_band": fields["in_band"].boolean(),
    }
    counts_kib = next_step == KIB and line["unit"].startswith("octets")
    if line["in_band"] and not counts_kib:
        what = "is true, but the line does not count steps of a KiB"
        raise fields["in_band"].wrong(what, "a quote is per 1,024 octets (WBA Linear-Volume-Rate)")
    return Line(**line)


def _first_step(item: Cursor, next_step: int) -> int:
    first_step = item.integer(next_step, STEP_MAX)
    if first_step % next_step:
        raise item.wrong(f"is {first_step}", f"give a multiple of next_step, {next_step}")
    return first_step


def read_exchange_rate(item: Cursor) -> ExchangeRate:
    """Read a dated exchange rate."""
    fields = item.keys("currency", "valid_from_us", "valid_until_us", "rate", "decimals")
    return ExchangeRate(
        currency=read_currency(fields["currency"]),
        window=_window(item, fields),
        rate=fields["rate"].integer(1, RATE_MAX),
        decimals=fields["decimals"].integer(0, DECIMALS_MAX),
    )


def read_deal(item: Cursor) -> Deal:
    """Read the terms of a deal."""
    fields = item.keys("deal", "home", "visited", "per", "currency", "commitment", "pricings")
    commitment = fields["commitment"]
    return Deal(
        deal=fields["deal"].text(_NAME, _NAME_HINT),
        home=read_party(fields["home"]),
        visited=read_party(fields["visited"]),
        per=fields["per"].one_of(("period", "term")),
        currency=read_currency(fields["currency"]),
        commitment=None if commitment.value is None else _commitment(commitment),
        pricings=tuple(_pricing(one) for one in fields["pricings"].items(1, PRICINGS_MAX)),
    )


def _commitment(item: Cursor) -> Commitment:
    fields = item.keys("basis", "amount_minor", "with_tax", "shortfall", "tax_ppm")
    return Commitment(
        basis=fields["basis"].one_of(("contract", "deal")),
        amount_minor=fields["amount_minor"].integer(0, COMMITMENT_MAX_MINOR),
        with_tax=fields["with_tax"].boolean(),
        shortfall=fields["shortfall"].one_of(("none", "no_deal", "send_or_pay")),
        tax_ppm=fields["tax_ppm"].integer(0, PPM),
    )


def _pricing(item: Cursor) -> Pricing:
    fields = item.keys(
        "lines", "reverse_lines", "measure", "plan", "tax_ppm", "tax_included", "in_commitment"
    )
    lines = fields["lines"].items(1, LINES_MAX)
    reverse = fields["reverse_lines"].items(0, LINES_MAX)
    return Pricing(
        lines=tuple(one.text(_NAME, _NAME_HINT) for one in lines),
        reverse_lines=tuple(one.text(_NAME, _NAME_HINT) for one in reverse),
        measure=fields["measure"].one_of(("usage", "subscribers")),
        plan=read_plan_of(fields["plan"]),
        tax_ppm=fields["tax_ppm"].integer(0, PPM),
        tax_included=fields["tax_included"].boolean(),
        in_commitment=fields["in_commitment"].boolean(),
    )


def _periods(item: Cursor) -> tuple[int, ...]:
    ends = item.items(2, PERIODS_MAX + 1)
    found = tuple(end.integer(0, INT64_MAX) for end in ends)
    for at in range(1, len(found)):
        if found[at - 1] >= found[at]:
            raise ends[at].wrong("is not after the one before", "periods follow each other")
    return found


def _window(item: Cursor, fields: dict[str, Cursor]) -> Window:
    start_us = fields["valid_from_us"].integer(0, INT64_MAX)
    end_us = fields["valid_until_us"].integer(0, INT64_MAX)
    if start_us >= end_us:
        raise item.wrong("ends before it starts", "valid_from_us < valid_until_us")
    return Window(start_us, end_us)


def read_party(item: Cursor) -> PartyId:
    """Read the id of a party."""
    hint = "a party id is lower-case letters, digits, dashes and underlines"
    return PartyId(item.text(PARTY_PATTERN, hint))


def read_asset(item: Cursor) -> AssetId:
    """Read the id of an asset (CAIP-19)."""
    return AssetId(item.text(ASSET_PATTERN, "give a CAIP-19 id"))


def read_currency(item: Cursor) -> str:
    """Read the code of a currency (ISO 4217)."""
    return item.text(_CURRENCY, "give three capital letters (ISO 4217)")


def _signature(item: Cursor) -> Signature:
    fields = item.keys("kid", "octets")
    hint = f"octets are {SIGNATURE_OCTETS} (r, s, v), both 0x and lower-case hex digits"
    octets = fields["octets"].text(_SIGNATURE, hint)
    return Signature(Address(fields["kid"].text(ADDRESS_PATTERN, hint)), bytes.fromhex(octets[2:]))


HEAD_KEYS: Final = (
    "parties",
    "asset",
    "currency",
    "protocol_party",
    "protocol_ppm",
    "periods_us",
)
_LINE_KEYS: Final = (
    "line",
    "home",
    "visited",
    "valid_from_us",
    "valid_until_us",
    "services",
    "qos",
    "rcoi",
    "unit",
    "first_step",
    "next_step",
    "price_nano",
    "fixed_minor",
    "minimum_minor",
    "currency",
    "tax_ppm",
    "tax_included",
    "host_ppm",
    "in_band",
)
