"""A netting as it is published, and its verifier: O(edges), integers, trusting nobody.

Ranks are the certificate that the weight of what remains is least. Around any cycle the ranks come
back to where they began, so with these two no cycle is left along which less would be owed:

    what remains of an obligation leads up by at least its weight,
    what was set off, wholly or in part, leads up by at most its weight.

The same holds of money paid in (of what was used and of what was not) and paid out. Each party can
check its own edges with its own rank and its counterparties'; nobody needs the whole graph.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, TypeVar

from opencarrier.clearing.netting import (
    POT,
    Edges,
    NettingMode,
    bilateral,
    circular,
    novated,
    weight,
    with_liquidity,
)
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId

NO_PLEDGES: Final[Mapping[PartyId, int]] = {}
K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a netting came to: `flows` stay owed, `paid_in` and `paid_out` moved at once.

    `counterparty` is who took every obligation over (`ccp` alone). `ranks` are the certificate of
    `circular`; the other modes claim no least sum and have none.
    """

    mode: NettingMode
    flows: Edges
    paid_in: Mapping[PartyId, int] = field(default_factory=dict)
    paid_out: Mapping[PartyId, int] = field(default_factory=dict)
    counterparty: PartyId | None = None
    ranks: Mapping[PartyId, int] = field(default_factory=dict)

    @property
    def residual_minor(self) -> int:
        """What stays owed, summed."""
        return sum(self.flows.values())

    @property
    def money_minor(self) -> int:
        """What pledged money was used."""
        return sum(self.paid_in.values())


def publish(
    edges: Edges,
    mode: NettingMode,
    *,
    pledges: Mapping[PartyId, int] = NO_PLEDGES,
    counterparty: PartyId | None = None,
) -> Published:
    """Net by a mode and check the outcome; equal obligations in any order give equal flows.

    `PeerError` where the mode does not take what is given: pledges belong to `circular`, a
    counterparty to `ccp`, which needs one.
    """
    if (counterparty is not None) != (mode is NettingMode.CCP):
        raise PeerError("counterparty", "ccp names the central counterparty, no other mode has one")
    if pledges and mode is not NettingMode.CIRCULAR:
        raise PeerError("pledges", "money is pledged to circular netting")
    if any(amount < 0 or party == POT for party, amount in pledges.items()):
        raise PeerError("pledges", "a party pledges an amount from zero")
    made = _made(edges, mode, pledges, counterparty)
    fault = check(edges, made, pledges=pledges)
    assert fault is None, fault
    return made


def check(
    edges: Edges, told: Published, *, pledges: Mapping[PartyId, int] = NO_PLEDGES
) -> str | None:
    """Say what is wrong with a published netting, None if nothing is; one pass over the edges."""
    if told.mode is NettingMode.CCP:
        return _check_novation(edges, told)
    if told.counterparty is not None:
        return f"{told.counterparty} takes obligations over without novation"
    faults = chain(
        _beyond(told.flows, edges, "is owed"),
        _beyond(told.paid_in, pledges, "is pledged"),
        (f"{party} gets {amount}" for party, amount in told.paid_out.items() if amount <= 0),
        _changed(edges, told),
        _not_least(edges, told, pledges) if told.mode is NettingMode.CIRCULAR else (),
    )
    return next(faults, None)


def ranks_of(edges: Edges, flows: Edges) -> dict[PartyId, int]:
    """Return the certificate of a least flow: least distances over what could still change.

    An assertion where the flow is not least: a rank would fall for ever.
    """
    steps: defaultdict[PartyId, list[tuple[PartyId, int]]] = defaultdict(list)
    for edge, owed in edges.items():
        payer, payee = edge
        flow = flows.get(edge, 0)
        if flow < owed:
            steps[payer].append((payee, weight(edge)))
        if flow:
            steps[payee].append((payer, -weight(edge)))
    ranks = dict.fromkeys(sorted({party for edge in edges for party in edge}), 0)
    _relax(ranks, steps)
    lowest = min(ranks.values(), default=0)
    return {party: rank - lowest for party, rank in ranks.items()}


def _relax(ranks: dict[PartyId, int], steps: Mapping[PartyId, list[tuple[PartyId, int]]]) -> None:
    """Lower ranks until no step lowers one further (Bellman and Ford, with a queue)."""
    lowest = -2 * len(ranks)
    waiting = deque(ranks)
    queued = set(ranks)
    while waiting:
        party = waiting.popleft()
        queued.discard(party)
        rank = ranks[party]
        assert rank >= lowest, "the flow is not least"
        for other, step in steps.get(party, ()):
            if rank + step < ranks[other]:
                ranks[other] = rank + step
                if other not in queued:
                    queued.add(other)
                    waiting.append(other)


def _made(
    edges: Edges,
    mode: NettingMode,
    pledges: Mapping[PartyId, int],
    counterparty: PartyId | None,
) -> Published:
    if counterparty is not None:
        return Published(mode=mode, flows=novated(edges, counterparty), counterparty=counterparty)
    if mode is NettingMode.BILATERAL:
        return Published(mode=mode, flows=bilateral(edges))
    flows = with_liquidity(edges, pledges) if any(pledges.values()) else circular(edges)
    return Published(
        mode=mode,
        flows={edge: amount for edge, amount in flows.items() if POT not in edge},
        paid_in={payer: amount for (payer, payee), amount in flows.items() if payee == POT},
        paid_out={payee: amount for (payer, payee), amount in flows.items() if payer == POT},
        ranks=ranks_of(_arcs(edges, pledges), flows),
    )


def _arcs(edges: Edges, pledges: Mapping[PartyId, int]) -> dict[tuple[PartyId, PartyId], int]:
    """Return all that may flow: obligations, pledges to the pot, and the pot's money to payees."""
    pot = {(party, POT): amount for party, amount in pledges.items() if amount}
    money = sum(pot.values())
    paid_out = {(POT, payee): money for _, payee in edges} if money else {}
    return {**edges, **pot, **paid_out}


def _check_novation(edges: Edges, told: Published) -> str | None:
    """A central counterparty has one result: what each party owes it, or is owed by it."""
    if told.counterparty is None:
        return "novation without a counterparty"
    if told.paid_in or told.paid_out:
        return "money is pledged to circular netting"
    left: defaultdict[PartyId, int] = defaultdict(int)
    for (payer, payee), amount in edges.items():
        left[payer] -= amount
        left[payee] += amount
    left.pop(told.counterparty, None)
    for (payer, payee), amount in told.flows.items():
        if (payer == told.counterparty) == (payee == told.counterparty):
            return f"{payer} pays {payee}, and neither or both are the counterparty"
        if payer == told.counterparty:
            party, owed = payee, left.pop(payee, 0)
        else:
            party, owed = payer, -left.pop(payer, 0)
        if amount <= 0 or amount != owed:
            return f"the net of {party} is {owed}, not {amount}"
    return next((f"the net of {p} is {owed}, not 0" for p, owed in left.items() if owed), None)


def _beyond(told: Mapping[K, int], most: Mapping[K, int], what: str) -> Iterator[str]:
    for key, amount in told.items():
        if not 0 < amount <= most.get(key, 0):
            yield f"{key}: {amount} where {most.get(key, 0)} {what}"


def _changed(edges: Edges, told: Published) -> Iterator[str]:
    """All that a party is owed is what stays owed to it, and money it got less money it paid."""
    left: defaultdict[PartyId, int] = defaultdict(int)
    for sign, flows in ((1, edges), (-1, told.flows)):
        for (payer, payee), amount in flows.items():
            left[payer] -= sign * amount
            left[payee] += sign * amount
    for sign, money in ((1, told.paid_in), (-1, told.paid_out)):
        for party, amount in money.items():
            left[party] += sign * amount
    for party, difference in left.items():
        if difference:
            yield f"the net of {party} changed by {-difference}"


def _not_least(edges: Edges, told: Published, pledges: Mapping[PartyId, int]) -> Iterator[str]:
    arcs = _arcs(edges, pledges)
    flows = {
        **told.flows,
        **{(party, POT): amount for party, amount in told.paid_in.items()},
        **{(POT, party): amount for party, amount in told.paid_out.items()},
    }
    for edge, most in arcs.items():
        if edge[0] not in told.ranks or edge[1] not in told.ranks:
            yield f"{edge}: no rank"
            continue
        climb, flow = told.ranks[edge[1]] - told.ranks[edge[0]], flows.get(edge, 0)
        if flow and climb < weight(edge):
            yield f"{edge}: what remains climbs {climb} ranks, not {weight(edge)}"
        if flow < most and climb > weight(edge):
            yield f"{edge}: what was set off climbs {climb} ranks, beyond {weight(edge)}"
