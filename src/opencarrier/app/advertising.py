"""Adverts as people and devices meet them: made, taken, listed, chosen from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.routing import store
from opencarrier.routing.document import read_advert, write_advert
from opencarrier.routing.model import SignedAdvert
from opencarrier.spine.parties import PartyId
from opencarrier.spine.routing import Advert, Candidate


def sign(base: Installation, unit: Connection, advert: Advert) -> SignedAdvert | None:
    """Sign an advert with its seller's key; None where that is not held here."""
    seller = base.identity.directory.operator(unit, advert.seller)
    assert seller is not None, "who advertises is an operator here"
    signature = base.identity.notary.sign(unit, seller.address, advert.hash)
    return None if signature is None else SignedAdvert(advert=advert, signature=signature)


def advert_of(
    base: Installation,
    seller: PartyId,
    *,
    place: str,
    currency: str,
    price_nano: int,
    quality_ppm: int,
    hours: int,
) -> Advert:
    """Make an advert from now on; its sequence is the clock, so a later one replaces it."""
    now_us = base.clock.now_us()
    return Advert(
        seller=seller,
        place=place,
        currency=currency,
        price_nano=price_nano,
        quality_ppm=quality_ppm,
        valid_from_us=now_us,
        valid_until_us=now_us + hours * 3_600 * SECOND_US,
        sequence=now_us,
    )


def take(base: Installation, text: str) -> SignedAdvert | Refusal:
    """Take an advert's text; `PeerError` where it is none."""
    signed = read_advert(text)
    with base.store.write() as unit:
        refusal = base.routing.take(unit, signed, at_us=base.clock.now_us())
    return signed if refusal is None else refusal


def listed(base: Installation, place: str) -> list[str]:
    """Return the adverts in force at a place, each as its seller signed it."""
    with base.store.read() as unit:
        found = store.adverts_at(unit, place, base.clock.now_us())
    return [write_advert(item) for item in found]


def chosen(base: Installation, place: str, home: PartyId, plan_id: str) -> list[dict[str, Any]]:
    """Return who may serve a plan's subscribers at a place, the best first."""
    at_us = base.clock.now_us()
    with base.store.read() as unit:
        found = base.routing.ranked(unit, place, home, plan_id, at_us=at_us)
    return [told(item) for item in found]


def told(candidate: Candidate) -> dict[str, Any]:
    """Put a candidate in JSON's terms."""
    return {
        "seller": candidate.seller,
        "currency": candidate.currency,
        "price_nano": candidate.price_nano,
        "quality_ppm": candidate.quality_ppm,
        "advert": to_hex(candidate.advert_hash),
    }
