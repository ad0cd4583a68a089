"""Netting: fewer and smaller payments, nobody's net changed, nobody gets a new counterparty.

A residual flow g keeps 0 <= g <= obligation on every edge and every party's balance. `circular`
minimises the sum of g (Fleischman and Dini 2020): every removed unit lies on a cycle. The solver
need not be trusted: `check_flows` reads its result in O(edges) and shares no code with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import TypeAlias

from opencarrier.spine.money import Position
from opencarrier.spine.parties import PartyId

Edges: TypeAlias = Mapping[tuple[PartyId, PartyId], int]
"""What the first owes the second, in minor units, above zero."""


class NettingMode(IntEnum):
    """How residual payments are made; the number enters the settlement's id."""

    BILATERAL = 1
    CIRCULAR = 2


def obligations(positions: Iterable[Position]) -> dict[tuple[PartyId, PartyId], int]:
    """Sum who owes whom: debtors their creditors, creditors onward to hosts, protocol and tax.

    What a party owes itself is no obligation.
    """
    edges: defaultdict[tuple[PartyId, PartyId], int] = defaultdict(int)
    for position in positions:
        edges[position.debtor, position.creditor] += position.amount_minor
        for leg in position.legs:
            edges[position.creditor, leg.party] += leg.amount_minor
    return {
        (payer, payee): amount
        for (payer, payee), amount in sorted(edges.items())
        if payer != payee and amount
    }


def net(edges: Edges, mode: NettingMode) -> dict[tuple[PartyId, PartyId], int]:
    """Return the residual flows of a mode, checked before anybody sees them."""
    flows = bilateral(edges) if mode is NettingMode.BILATERAL else circular(edges)
    fault = check_flows(edges, flows)
    assert fault is None, fault
    return flows


def bilateral(edges: Edges) -> dict[tuple[PartyId, PartyId], int]:
    """Set off each pair's two directions; the larger keeps the difference."""
    flows = {
        (payer, payee): amount - edges.get((payee, payer), 0)
        for (payer, payee), amount in edges.items()
    }
    return {edge: amount for edge, amount in sorted(flows.items()) if amount > 0}


def circular(edges: Edges) -> dict[tuple[PartyId, PartyId], int]:
    """Minimise the sum of residual flows over the given edges (min-cost flow on integers).

    Parties that owe nobody lie on no cycle; their edges are kept as they are and not solved.
    """
    payers = {payer for payer, _ in edges}
    solved = {edge: amount for edge, amount in sorted(edges.items()) if edge[1] in payers}
    kept = {edge: amount for edge, amount in edges.items() if edge[1] not in payers}
    flows = kept | _minimum_flow(solved)
    return {edge: amount for edge, amount in sorted(flows.items()) if amount > 0}


def check_flows(edges: Edges, flows: Edges) -> str | None:
    """Say what is wrong with residual flows, None if nothing is: O(edges), integers only.

    Checked are: every flow runs along an obligation, is above zero and not beyond it; every
    party's balance is what its obligations make it. Not checked: that the sum is least.
    """
    balance: defaultdict[PartyId, int] = defaultdict(int)
    for (payer, payee), amount in edges.items():
        balance[payer] -= amount
        balance[payee] += amount
    for (payer, payee), amount in flows.items():
        owed = edges.get((payer, payee), 0)
        if not 0 < amount <= owed:
            return f"{payer} pays {payee} {amount} where {owed} is owed"
        balance[payer] += amount
        balance[payee] -= amount
    for party, difference in balance.items():
        if difference:
            return f"the net of {party} changed by {-difference}"
    return None


def _minimum_flow(edges: Edges) -> dict[tuple[PartyId, PartyId], int]:
    if not edges:
        return {}
    from networkx import DiGraph, network_simplex

    graph = DiGraph()
    demand: defaultdict[PartyId, int] = defaultdict(int)
    for (payer, payee), amount in edges.items():
        demand[payer] -= amount
        demand[payee] += amount
    for party in sorted(demand):
        graph.add_node(party, demand=demand[party])
    for (payer, payee), amount in edges.items():
        graph.add_edge(payer, payee, capacity=amount, weight=1)
    _, flows = network_simplex(graph)
    return {(payer, payee): flows[payer][payee] for payer, payee in edges}
