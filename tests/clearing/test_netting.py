"""Netting against brute force on tiny graphs, and its verifier against every changed flow."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.clearing import netting
from opencarrier.clearing.netting import NettingMode, check_flows
from opencarrier.spine.parties import PartyId

Graph = dict[tuple[PartyId, PartyId], int]


def graphs(parties: int, amount: int, edges: int) -> st.SearchStrategy[Graph]:
    names = [PartyId(f"op_{n}") for n in range(parties)]
    pairs = [(a, b) for a in names for b in names if a != b]
    return st.dictionaries(st.sampled_from(pairs), st.integers(1, amount), max_size=edges)


def balances(edges: Graph) -> dict[PartyId, int]:
    sums: defaultdict[PartyId, int] = defaultdict(int)
    for (payer, payee), amount in edges.items():
        sums[payer] -= amount
        sums[payee] += amount
    return {party: amount for party, amount in sums.items() if amount}


def least_residual(edges: Graph) -> int:
    """The least sum of residual flows, by trying every one of them."""
    keys, wanted = list(edges), balances(edges)
    best = sum(edges.values())
    for flows in itertools.product(*(range(edges[k] + 1) for k in keys)):
        if sum(flows) < best and balances(dict(zip(keys, flows, strict=True))) == wanted:
            best = sum(flows)
    return best


@settings(max_examples=150, deadline=None)
@given(graphs(parties=4, amount=3, edges=6))
def test_circular_netting_is_least_by_brute_force(edges: Graph) -> None:
    flows = netting.circular(edges)
    assert sum(flows.values()) == least_residual(edges)


@settings(max_examples=200, deadline=None)
@given(
    graphs(parties=7, amount=10**15, edges=30),
    st.sampled_from([NettingMode.BILATERAL, NettingMode.CIRCULAR]),
)
def test_netting_keeps_every_balance_and_every_counterparty(
    edges: Graph, mode: NettingMode
) -> None:
    flows = netting.net(edges, mode)
    assert balances(flows) == balances(edges)
    assert all(0 < flows[edge] <= edges[edge] for edge in flows)
    assert check_flows(edges, flows) is None


@settings(max_examples=100, deadline=None)
@given(graphs(parties=6, amount=10**9, edges=20))
def test_no_cycle_is_left_in_what_circular_netting_leaves(edges: Graph) -> None:
    """Independent of the solver: a residual with a cycle could be made smaller."""
    flows = netting.circular(edges)
    after = defaultdict(list)
    for payer, payee in flows:
        after[payer].append(payee)
    seen: dict[PartyId, int] = {}

    def walk(party: PartyId) -> None:
        seen[party] = 1
        for follower in after[party]:
            assert seen.get(follower) != 1, "a cycle is left"
            if follower not in seen:
                walk(follower)
        seen[party] = 2

    for party in list(after):
        if party not in seen:
            walk(party)


@settings(max_examples=200, deadline=None)
@given(graphs(parties=6, amount=1_000, edges=20), st.data())
def test_the_verifier_catches_any_changed_flow(edges: Graph, data: st.DataObject) -> None:
    flows = netting.circular(edges)
    names = [PartyId(f"op_{n}") for n in range(6)]
    pair = data.draw(st.sampled_from([(a, b) for a in names for b in names if a != b]))
    change = data.draw(st.integers(-2_000, 2_000).filter(bool))
    changed = {**flows, pair: flows.get(pair, 0) + change}
    assert check_flows(edges, {k: v for k, v in changed.items() if v}) is not None


def test_a_flow_that_runs_in_a_circle_more_is_legal_only_within_what_is_owed() -> None:
    a, b, c = (PartyId(f"op_{n}") for n in range(3))
    edges = {(a, b): 5, (b, c): 5, (c, a): 5}
    assert netting.circular(edges) == {}
    assert check_flows(edges, edges) is None
    assert "owed" in str(check_flows(edges, dict.fromkeys(edges, 6)))
    assert "owed" in str(check_flows({(a, b): 5}, {(a, b): 5, (a, c): 1}))
    assert "net of" in str(check_flows({(a, b): 5}, {(a, b): 4}))
    assert "owed" in str(check_flows({(a, b): 5}, {(a, b): -5}))


def test_bilateral_netting_sets_off_pairs_and_nothing_else() -> None:
    a, b, c = (PartyId(f"op_{n}") for n in range(3))
    edges = {(a, b): 7, (b, a): 5, (b, c): 1, (c, a): 4, (a, c): 4}
    assert netting.bilateral(edges) == {(a, b): 2, (b, c): 1}
    assert netting.bilateral({}) == {}
    assert netting.circular({}) == {}


def test_four_hundred_members_net_in_exact_integers() -> None:
    dice = random.Random(7)
    names = [PartyId(f"op_{n}") for n in range(400)]
    edges = {
        (payer, payee): dice.randrange(1, 10**14)
        for payer in names
        for payee in dice.sample(names, 8)
        if payer != payee
    }
    flows = netting.net(edges, NettingMode.CIRCULAR)
    assert sum(flows.values()) < sum(netting.bilateral(edges).values()) < sum(edges.values())
    assert check_flows(edges, flows) is None


def test_a_broken_solver_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = PartyId("op_0"), PartyId("op_1")
    monkeypatch.setattr(netting, "circular", lambda edges: {(a, b): 4})
    with pytest.raises(AssertionError, match="net of"):
        netting.net({(a, b): 5}, NettingMode.CIRCULAR)
