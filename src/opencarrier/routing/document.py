"""Adverts to JSON and back: one object, every key known, whole numbers only."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, Signature
from opencarrier.routing.model import PLACE_MAX, SignedAdvert
from opencarrier.spine.parties import PartyId
from opencarrier.spine.routing import Advert

OCTETS_MAX: Final = 4_096
FORMAT: Final = "opencarrier-advert/1"

_PLACE: Final = re.compile(rf"[0-9a-z][0-9a-z._-]{{0,{PLACE_MAX - 1}}}")
_PARTY: Final = re.compile(r"op_[0-9a-f]{32}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")
_TEXTS: Final = {"seller": _PARTY, "place": _PLACE, "currency": _CURRENCY}
_NUMBERS: Final = {
    "price_nano": INT64_MAX,
    "quality_ppm": PPM,
    "valid_from_us": INT64_MAX,
    "valid_until_us": INT64_MAX,
    "sequence": INT64_MAX,
}


def is_place(text: str) -> bool:
    """Say whether a text names a place, as a geohash does: lower-case letters, digits, `._-`."""
    return _PLACE.fullmatch(text) is not None


def is_currency(text: str) -> bool:
    """Say whether a text is three capital letters (ISO 4217)."""
    return _CURRENCY.fullmatch(text) is not None


def write_advert(signed: SignedAdvert) -> str:
    """Write a signed advert."""
    signature = {"kid": signed.signature.kid, "octets": "0x" + signed.signature.octets.hex()}
    document = {"format": FORMAT, **signed.advert.terms(), "signature": signature}
    return json.dumps(document, sort_keys=True)


def read_advert(text: str) -> SignedAdvert:
    """Read a signed advert; `PeerError` with reason `advert` for anything else."""
    if len(text) > OCTETS_MAX:
        raise PeerError("advert", f"more than {OCTETS_MAX} octets")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PeerError("advert", f"not JSON: {error}") from None
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        raise PeerError("advert", f"its format is not {FORMAT}")
    signature = _signature(document.pop("signature", None))
    return SignedAdvert(advert=_advert(document), signature=signature)


def _advert(fields: dict[str, Any]) -> Advert:
    if set(fields) != {*_TEXTS, *_NUMBERS}:
        raise PeerError("advert", "a key is unknown or missing")
    for name, form in _TEXTS.items():
        if not isinstance(fields[name], str) or form.fullmatch(fields[name]) is None:
            raise PeerError("advert", f"{name} is out of form")
    for name, most in _NUMBERS.items():
        number = fields[name]
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
            raise PeerError("advert", f"{name} is no whole number up to {most}")
    return Advert(**{**fields, "seller": PartyId(fields["seller"])})


def _signature(value: Any) -> Signature:
    match value:
        case {"kid": str(kid), "octets": str(octets)} if _ADDRESS.fullmatch(kid):
            try:
                raw = bytes.fromhex(octets.removeprefix("0x"))
            except ValueError:
                raw = b""
            if len(raw) == SIGNATURE_OCTETS and len(value) == 2:
                return Signature(Address(kid), raw)
    raise PeerError("advert", "its signature is out of form")
