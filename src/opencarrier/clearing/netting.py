"""Netting: fewer and smaller payments, and nobody's net changed.

`bilateral` sets off pairs. `circular` keeps a residual 0 <= g <= obligation on every edge and every
party's balance, and minimises the sum of g (Fleischman and Dini 2020): every removed unit lies on a
cycle, so nobody gets a new counterparty. Pledged money is more edges of the same flow, to and from
a pot. `ccp` is novation: every obligation becomes one with a central counterparty that is named.
The solver need not be trusted: `check_flows` here and `published` read its result in O(edges) and
share no code with it.
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
    CCP = 3


OWED_WEIGHT = 2
MONEY_WEIGHT = 1
"""What a unit still owed and one of money weigh. A cycle of the flow passes the pot at most once,
so twice as much makes the debt least first, and then the money: no unit of it clears nothing."""

POT = PartyId("")
"""Where pledged money is paid in and out; no party has an empty id."""


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
    """Return the residual flows of a mode, checked before anybody sees them.

    `ccp` is none of them: its flows run along no obligation (`novated`).
    """
    assert mode is not NettingMode.CCP, "novation names a counterparty"
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


def with_liquidity(
    edges: Edges, pledges: Mapping[PartyId, int]
) -> dict[tuple[PartyId, PartyId], int]:
    """Clear most debt with least money: the residual flows, and what goes through the pot.

    `pledges` is what each party would pay at most, in minor units. A flow to `POT` is what a party
    pays in, one from it what a party gets out; all others are what stays owed.
    """
    pot = {(party, POT): amount for party, amount in sorted(pledges.items()) if amount}
    money = sum(pot.values())
    paid_out = {(POT, payee): money for _, payee in edges} if money else {}
    flows = _minimum_flow(dict(sorted(edges.items())) | pot | dict(sorted(paid_out.items())))
    return {edge: amount for edge, amount in sorted(flows.items()) if amount > 0}


def novated(edges: Edges, counterparty: PartyId) -> dict[tuple[PartyId, PartyId], int]:
    """Replace every obligation by one with the central counterparty, net of each party's others.

    Who owes more than it is owed pays the counterparty, who is owed more is paid by it.
    """
    flows: dict[tuple[PartyId, PartyId], int] = {}
    for party, amount in balances(edges).items():
        if party != counterparty and amount:
            edge = (party, counterparty) if amount < 0 else (counterparty, party)
            flows[edge] = abs(amount)
    return dict(sorted(flows.items()))


def balances(edges: Edges) -> dict[PartyId, int]:
    """Return what each party is owed less what it owes; they sum to zero."""
    sums: defaultdict[PartyId, int] = defaultdict(int)
    for (payer, payee), amount in edges.items():
        sums[payer] -= amount
        sums[payee] += amount
    return dict(sorted(sums.items()))


def weight(edge: tuple[PartyId, PartyId]) -> int:
    """Return what a unit of flow weighs: what comes out of the pot nothing, it was paid in."""
    payer, payee = edge
    if payer == POT:
        return 0
    return MONEY_WEIGHT if payee == POT else OWED_WEIGHT


def _minimum_flow(edges: Edges) -> dict[tuple[PartyId, PartyId], int]:
    """Return the flow of least weight that leaves every balance of the obligations as it is."""
    if not edges:
        return {}
    from networkx import DiGraph, network_simplex

    graph = DiGraph()
    owed = {edge: amount for edge, amount in edges.items() if POT not in edge}
    for party in sorted({party for edge in edges for party in edge}):
        graph.add_node(party, demand=0)
    for party, amount in balances(owed).items():
        graph.nodes[party]["demand"] = amount
    for edge, amount in edges.items():
        graph.add_edge(*edge, capacity=amount, weight=weight(edge))
    _, flows = network_simplex(graph)
    return {(payer, payee): flows[payer][payee] for payer, payee in edges}
