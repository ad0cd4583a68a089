"""Examples of what addresses take: of the right form, of nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opencarrier.app.forms.samples import ADDRESS, HOME, HOST, OPERATOR, SUBSCRIBER, hex_id

PARTIES: Final[Mapping[str, str]] = {
    "operators": OPERATOR,
    "hosts": HOST,
    "subscribers": SUBSCRIBER,
}
"""Whose id stands behind a word of a path."""

SAMPLES: Final[Mapping[str, object]] = {
    "act": "ask",
    "agreement": hex_id(20),
    "ban": hex_id(21),
    "code": "last_key",
    "east": 3_000_000,
    "endpoint": "hook_5e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b",
    "exchange": hex_id(22),
    "grounds_hash": hex_id(23),
    "home": HOME,
    "identifier": hex_id(24),
    "level": 5,
    "lifted": True,
    "month": "2026-01",
    "name": "ClearingHouse",
    "named": "A",
    "node": "cafe-1",
    "node_id": "cafe-1",
    "north": 49_000_000,
    "number": "1",
    "payout": ADDRESS,
    "place": "cafe-1",
    "plan": "prepaid",
    "relay_id": hex_id(25),
    "sequence": 1,
    "session": "a1" * 16,
    "session_id": hex_id(26),
    "south": 48_000_000,
    "tx_hash": hex_id(27),
    "usage": hex_id(28),
    "usage_id": hex_id(28),
    "west": 2_000_000,
}
"""By name: one name is one kind of thing in every address."""


def example_of(path: str, name: str) -> object | None:
    """Return what a parameter of a path may be, None where nothing is to be shown."""
    if name == "party":
        return PARTIES.get(path.split("/")[2])
    return SAMPLES.get(name)
