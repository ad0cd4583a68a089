"""What is sold and advertised: adverts, paid answers, what a 402 asks for (x402)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opencarrier.app.api import Body
from opencarrier.app.forms.samples import (
    ADDRESS,
    ASSET,
    AT_US,
    HOME,
    OPERATOR,
    SIGNATURE,
    SUBSCRIBER,
    hex_id,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature (EIP-191 over the document's hash) and whose key made it."""

    kid: str
    octets: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertForm:
    """What access costs at a place, as its seller signed it (`opencarrier-advert/1`)."""

    format: str
    seller: str
    place: str
    currency: str
    price_nano: int
    quality_ppm: int
    valid_from_us: int
    valid_until_us: int
    sequence: int
    signature: Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertTaken:
    """The hash of an advert that was taken."""

    advert: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedLine:
    """Who may serve, with its price and quality."""

    seller: str
    currency: str
    price_nano: int
    quality_ppm: int
    advert: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertsAnswer:
    """Adverts in force at a place, each a JSON text as it was signed; `ranked` where asked for."""

    place: str
    adverts: Sequence[str]
    ranked: Sequence[RankedLine] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpAnswer:
    """Prepaid money that a payment bought."""

    subscriber: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteAnswer:
    """What some use costs on a plan, signed by the hub."""

    home: str
    plan: str
    session_time_s: int
    octets_in: int
    octets_out: int
    asset: str
    amount_minor: int
    tax_minor: int
    plan_hash: str
    tariff_hash: str
    quoted_us: int
    valid_until_us: int
    signed_by: str
    signature: str


REQUIRED_SCHEMA: Final[Mapping[str, Any]] = {
    "title": "PaymentRequired",
    "description": "What to pay, by which schemes; the same stands in PAYMENT-REQUIRED (x402 v2).",
    "type": "object",
    "required": ["x402Version", "error", "resource", "accepts"],
    "properties": {
        "x402Version": {"const": 2},
        "error": {"type": "string"},
        "resource": {"type": "object"},
        "accepts": {"type": "array", "items": {"type": "object"}},
    },
}
REQUIRED: Final = {
    "x402Version": 2,
    "error": "payment_required",
    "resource": {
        "url": "http://localhost:8400/v1/quote",
        "description": "a signed price",
        "mimeType": "application/json",
    },
    "accepts": [
        {
            "scheme": "exact",
            "network": "eip155:31337",
            "asset": ADDRESS,
            "amount": "1000",
            "payTo": ADDRESS,
            "maxTimeoutSeconds": 300,
            "extra": {"name": "Demo USD", "version": "1", "assetTransferMethod": "eip3009"},
        }
    ],
}
ASKS_TO_PAY: Final[Mapping[str, Any]] = {
    "description": "Pay, or why the payment that came does not pay.",
    "content": {"application/json": {"schema": REQUIRED_SCHEMA, "example": REQUIRED}},
}
SOLD = TopUpAnswer(subscriber=SUBSCRIBER, amount_minor=5_000_000)
QUOTED = QuoteAnswer(
    home=HOME,
    plan="basic",
    session_time_s=600,
    octets_in=500_000,
    octets_out=5_000_000,
    asset=ASSET,
    amount_minor=33_521,
    tax_minor=5_587,
    plan_hash=hex_id(1),
    tariff_hash=hex_id(2),
    quoted_us=AT_US,
    valid_until_us=AT_US + 60_000_000,
    signed_by=ADDRESS,
    signature=SIGNATURE,
)
ADVERT = AdvertForm(
    format="opencarrier-advert/1",
    seller=OPERATOR,
    place="s0gs3y",
    currency="USD",
    price_nano=1_900,
    quality_ppm=990_000,
    valid_from_us=AT_US,
    valid_until_us=AT_US + 3_600_000_000,
    sequence=1,
    signature=Signed(kid=ADDRESS, octets=SIGNATURE),
)
TAKEN = AdvertTaken(advert=hex_id(3))
ADVERTS = AdvertsAnswer(
    place="s0gs3y",
    adverts=["{}"],
    ranked=[
        RankedLine(
            seller=OPERATOR,
            currency="USD",
            price_nano=1_900,
            quality_ppm=990_000,
            advert=hex_id(3),
        )
    ],
)
ADVERT_BODY = Body(form=AdvertForm, example=ADVERT)
SEALED: Final = Body(
    form={
        "type": "string",
        "format": "binary",
        "description": "Canonical CBOR: [body, signature]; docs/reference/exchange.md.",
    },
    example="825820…",
    media="application/cbor",
)
