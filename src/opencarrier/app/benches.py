"""The benches by name; each is imported only when it is run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

BENCHES = {
    "access": "opencarrier.bench.access",
    "chain": "opencarrier.bench.chain",
    "clearing": "opencarrier.bench.clearing",
    "console": "opencarrier.bench.console",
    "demo": "opencarrier.bench.demo",
    "ledger": "opencarrier.ledger.bench",
    "map": "opencarrier.bench.panning",
    "netting": "opencarrier.clearing.bench",
    "pages": "opencarrier.bench.pages",
    "records": "opencarrier.clearing.tree_bench",
    "rating": "opencarrier.rating.bench",
    "rounds": "opencarrier.bench.rounds",
    "soak": "opencarrier.bench.soak",
    "tap": "opencarrier.bench.tap",
    "workers": "opencarrier.bench.workers",
}


SIZED = frozenset(("clearing", "pages"))
"""Benches that can be told how many records to make."""


def run(name: str, *, records: int | None = None) -> dict[str, Any]:
    """Run a bench and return its figures: CPU seconds and ratios, not wall time."""
    size = {} if records is None else {"records": records}
    told: dict[str, Any] = import_module(BENCHES[name]).run(**size)
    return told
