"""Read the fields of agreements and plans from a mapping: every key known, every key there.

The same reader serves JSON documents and the decoded inputs of a charge, both of which come from
outside, so what is wrong is a `DocumentError`, never an assertion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from opencarrier.kernel.clock import Window
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.rating.model import (
    ADDRESS_PATTERN,
    ASSET_PATTERN,
    BOUNDS,
    PARTY_PATTERN,
    PLAN_PATTERN,
    TARIFF_UNITS,
    Price,
    RetailPlan,
    Tariff,
)
from opencarrier.spine.parties import PartyId

PRICE_KEYS: Final = frozenset(
    (
        "valid_from_us",
        "valid_until_us",
        "unit",
        "step",
        "price_nano",
        "minimum_minor",
        "tax_ppm",
        "tax_included",
    )
)
TARIFF_KEYS: Final = PRICE_KEYS | {"host_ppm"}
HEAD_KEYS: Final = frozenset(
    (
        "home",
        "home_address",
        "visited",
        "visited_address",
        "asset",
        "protocol_party",
        "protocol_ppm",
        "tax_party",
    )
)
PLAN_KEYS: Final = frozenset(
    ("plan_id", "home", "asset", "price", "rate_cap_octets_per_s", "session_s_max", "interim_s")
)

Document: TypeAlias = Mapping[str, Any]


Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a document: keys and indexes from the root."""


class DocumentError(PeerError):
    """A document does not say what it must; `hint` is what to do about it.

    `places` name the values that are wrong, two where they contradict each other.
    """

    def __init__(self, what: str, hint: str, *places: Place) -> None:
        super().__init__("document", what)
        self.what = what
        self.hint = hint
        self.places = places


def read_price(value: Any, where: str) -> Price:
    """Read the terms of a retail price."""
    return Price(**_price(keys(value, PRICE_KEYS, where), where))


def read_tariff(value: Any, where: str) -> Tariff:
    """Read the terms of a wholesale tariff."""
    document = keys(value, TARIFF_KEYS, where)
    return Tariff(host_ppm=integer(document, "host_ppm", where), **_price(document, where))


def read_head(value: Any) -> dict[str, Any]:
    """Read what an agreement says besides its tariffs, as a constructor's arguments."""
    document = keys(value, HEAD_KEYS, "agreement")
    return {
        "home": party(document, "home"),
        "home_address": address(document, "home_address"),
        "visited": party(document, "visited"),
        "visited_address": address(document, "visited_address"),
        "asset": asset(document),
        "protocol_party": party(document, "protocol_party"),
        "protocol_ppm": integer(document, "protocol_ppm", "agreement"),
        "tax_party": party(document, "tax_party"),
    }


def read_plan_terms(value: Any) -> RetailPlan:
    """Read the terms of a retail plan."""
    document = keys(value, PLAN_KEYS, "plan")
    plan_id = text(document, "plan_id", "plan")
    if not PLAN_PATTERN.fullmatch(plan_id):
        raise DocumentError(
            "plan_id is not a plan's name", "use lower-case letters, digits, dot, dash, underline"
        )
    return RetailPlan(
        plan_id=plan_id,
        home=party(document, "home"),
        asset=asset(document),
        price=read_price(document["price"], "price"),
        rate_cap_octets_per_s=integer(document, "rate_cap_octets_per_s", "plan"),
        session_s_max=integer(document, "session_s_max", "plan"),
        interim_s=integer(document, "interim_s", "plan"),
    )


def keys(value: Any, known: frozenset[str], where: str) -> Document:
    """Return a mapping with exactly the known keys."""
    if not isinstance(value, dict):
        raise DocumentError(f"{where} is not an object", "see the example documents")
    unknown, missing = sorted(set(value) - known), sorted(known - set(value))
    if unknown:
        raise DocumentError(f"{where} has an unknown key {unknown[0]!r}", "remove or correct it")
    if missing:
        raise DocumentError(
            f"{where} has no {missing[0]!r}", "every field is given, none is implied"
        )
    return value


def integer(document: Document, name: str, where: str) -> int:
    """Return a whole number within the field's bounds."""
    value = document[name]
    least, greatest = BOUNDS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= greatest:
        raise DocumentError(
            f"{where}.{name} is {value!r}", f"give a whole number from {least} to {greatest}"
        )
    return value


def text(document: Document, name: str, where: str) -> str:
    """Return a text."""
    value = document[name]
    if not isinstance(value, str):
        raise DocumentError(f"{where}.{name} is {value!r}", "give a text")
    return value


def party(document: Document, name: str) -> PartyId:
    """Return a party id."""
    value = text(document, name, "document")
    if not PARTY_PATTERN.fullmatch(value):
        raise DocumentError(
            f"{name} is {value!r}, not a party id", "a party id looks like op_ and 32 hex digits"
        )
    return PartyId(value)


def address(document: Document, name: str) -> Address:
    """Return the address of a key."""
    value = text(document, name, "document")
    if not ADDRESS_PATTERN.fullmatch(value):
        raise DocumentError(
            f"{name} is {value!r}, not an address", "write it as 0x and 40 lower-case hex digits"
        )
    return Address(value)


def asset(document: Document) -> AssetId:
    """Return the asset."""
    value = text(document, "asset", "document")
    if not ASSET_PATTERN.fullmatch(value):
        raise DocumentError(f"asset is {value!r}", "give a CAIP-19 id such as eip155:1/erc20:0x...")
    return AssetId(value)


def _price(document: Document, where: str) -> dict[str, Any]:
    start_us = integer(document, "valid_from_us", where)
    end_us = integer(document, "valid_until_us", where)
    if start_us >= end_us:
        raise DocumentError(f"{where} ends before it starts", "valid_from_us < valid_until_us")
    unit = text(document, "unit", where)
    if unit not in TARIFF_UNITS:
        raise DocumentError(f"{where}.unit is {unit!r}", f"give one of {', '.join(TARIFF_UNITS)}")
    if not isinstance(document["tax_included"], bool):
        raise DocumentError(f"{where}.tax_included is no boolean", "give true or false")
    numbers = ("step", "price_nano", "minimum_minor", "tax_ppm")
    return {
        "window": Window(start_us, end_us),
        "unit": unit,
        "tax_included": document["tax_included"],
        **{name: integer(document, name, where) for name in numbers},
    }
