"""The benches by name; each is imported only when it is run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

BENCHES = {
    "access": "opencarrier.bench.access",
    "chain": "opencarrier.bench.chain",
    "demo": "opencarrier.bench.demo",
    "ledger": "opencarrier.ledger.bench",
    "netting": "opencarrier.clearing.bench",
    "rating": "opencarrier.rating.bench",
    "tap": "opencarrier.bench.tap",
}


def run(name: str) -> dict[str, Any]:
    """Run a bench and return its figures: CPU seconds and ratios, not wall time."""
    told: dict[str, Any] = import_module(BENCHES[name]).run()
    return told
