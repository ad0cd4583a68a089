"""What netting leaves of the obligations of 400 operators, and what it and its check cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from opencarrier.clearing.netting import Edges, NettingMode, balances
from opencarrier.clearing.published import Published, check, publish
from opencarrier.kernel.money import PPM
from opencarrier.spine.parties import PartyId

OPERATORS = 400
PARTNERS = 16
_MS = 1_000_000


def run(operators: int = OPERATORS) -> dict[str, Any]:
    """Net the three graphs in every mode; sums in millionths of the gross, CPU in milliseconds."""
    return {
        name: figures(make(operators))
        for name, make in (("month", month), ("dense", dense), ("sparse", sparse))
    }


def figures(edges: Edges) -> dict[str, Any]:
    """Net a graph in every mode, and with half of what is short pledged; each is checked again."""
    gross = sum(edges.values())
    short = {party: -amount for party, amount in balances(edges).items() if amount < 0}
    half = {party: amount // 2 for party, amount in short.items()}
    house = PartyId("op_counterparty")
    ways: dict[str, Callable[[], Published]] = {
        "bilateral": lambda: publish(edges, NettingMode.BILATERAL),
        "circular": lambda: publish(edges, NettingMode.CIRCULAR),
        "circular_pledged": lambda: publish(edges, NettingMode.CIRCULAR, pledges=half),
        "ccp": lambda: publish(edges, NettingMode.CCP, counterparty=house),
    }
    told: dict[str, Any] = {"obligations": len(edges), "gross_minor": gross}
    for name, way in ways.items():
        pledges = half if name == "circular_pledged" else {}
        told[name] = _figures(edges, way, pledges, gross)
    return told


def _figures(
    edges: Edges, way: Callable[[], Published], pledges: dict[PartyId, int], gross: int
) -> dict[str, int]:
    started_ns = time.process_time_ns()
    made = way()
    netted_ns = time.process_time_ns()
    fault = check(edges, made, pledges=pledges)
    assert fault is None, fault
    # What a counterparty passes on was paid to it before, and is counted once.
    left = sum(amount for (payer, _), amount in made.flows.items() if payer != made.counterparty)
    return {
        "residual_ppm": left * PPM // gross,
        "money_ppm": made.money_minor * PPM // gross,
        "flows": len(made.flows),
        "cpu_ms": (netted_ns - started_ns) // _MS,
        "check_cpu_ms": (time.process_time_ns() - netted_ns) // _MS,
    }


def month(operators: int = OPERATORS) -> dict[tuple[PartyId, PartyId], int]:
    """Return a month's shape: each home's subscribers use the next sixteen in a fixed order."""
    names = _names(operators)
    return {
        (names[home], names[(home + step * step) % operators]): _size("month", home, step)
        for home in range(operators)
        for step in range(1, PARTNERS + 1)
        if (step * step) % operators
    }


def dense(operators: int = OPERATORS) -> dict[tuple[PartyId, PartyId], int]:
    """Return a graph in which everybody owes everybody, large ones more."""
    return _gravity("dense", operators, lambda home, visited: True)


def sparse(operators: int = OPERATORS) -> dict[tuple[PartyId, PartyId], int]:
    """Return a graph in which each pair is there with about the chance of a month's partner."""
    most = PARTNERS * (1 << 16) // operators
    return _gravity(
        "sparse", operators, lambda home, visited: _dice("there", home, visited) % (1 << 16) < most
    )


def _gravity(
    name: str, operators: int, there: Callable[[int, int], bool]
) -> dict[tuple[PartyId, PartyId], int]:
    names = _names(operators)
    weights = [_size(name, number, 0) for number in range(operators)]
    return {
        (names[a], names[b]): weights[a] * weights[b] * _size(name, a, b + 1) >> 40 or 1
        for a, b in _pairs(operators)
        if there(a, b)
    }


def _pairs(operators: int) -> Iterator[tuple[int, int]]:
    return ((a, b) for a in range(operators) for b in range(operators) if a != b)


def _names(operators: int) -> list[PartyId]:
    return [PartyId(f"op_{number:04}") for number in range(operators)]


def _size(name: str, first: int, second: int) -> int:
    """Return a size whose logarithm is spread as a sum of coins is: a few are very large."""
    dice = _dice(name, first, second)
    heads = (dice & (1 << 32) - 1).bit_count()
    return (1 << heads) + (dice >> 32) % (1 << heads)


def _dice(*words: object) -> int:
    return int.from_bytes(sha256(repr(words).encode()).digest()[:8], "big")
