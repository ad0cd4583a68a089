"""Positions, nets, maturity, defaulters: properties over generated cycles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.clearing import netting, rules
from opencarrier.clearing.model import DeferralReason, OpenPosition, Policy
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.signatures import Address
from opencarrier.spine.money import Position, RatedUsage, Role
from opencarrier.spine.parties import Beneficiary, PartyId
from opencarrier.spine.usage import Rung

from .facts import CYCLE, PROTOCOL, TAX, host, operator, payout, rated, salted


@st.composite
def usages(draw: st.DrawFn) -> list[RatedUsage]:
    count = draw(st.integers(0, 25))
    return [
        rated(
            n,
            home=draw(st.integers(0, 4)),
            visited=draw(st.integers(0, 4)),
            amount=draw(st.integers(0, 10**12)),
            host_number=draw(st.integers(0, 3)),
            host_ppm=draw(st.integers(0, 700_000)),
            tax_ppm=draw(st.integers(0, 180_000)),
        )
        for n in range(count)
    ]


def positions(items: list[RatedUsage]) -> list[Position]:
    pairs = rules.by_pair(salted(item) for item in items)
    return [
        rules.draft(CYCLE, pair, Rung.CO_SIGNED, "bf", records).position
        for pair, records in pairs.items()
    ]


@settings(max_examples=100, deadline=None)
@given(usages())
def test_nets_are_zero_sum_and_equal_to_their_charges(items: list[RatedUsage]) -> None:
    nets = rules.nets(positions(items))
    assert sum(nets.members.values()) + sum(nets.hosts.values()) == 0
    by_charge = rules.nets_of_charges(item.wholesale for item in items)
    assert _nonzero(nets.members) == _nonzero(by_charge.members)
    assert _nonzero(nets.hosts) == _nonzero(by_charge.hosts)
    assert all(amount >= 0 for amount in nets.hosts.values())


@st.composite
def beneficiaries(draw: st.DrawFn) -> list[Beneficiary]:
    """One to sixteen addresses that share the whole between cuts drawn at random."""
    cuts = draw(st.sets(st.integers(1, PPM - 1), max_size=15))
    edges = [0, *sorted(cuts), PPM]
    made = [
        Beneficiary(payout=payout(host(n)), share_ppm=after - before)
        for n, (before, after) in enumerate(pairwise(edges))
    ]
    return draw(st.permutations(made))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, INT64_MAX), beneficiaries())
def test_a_split_is_exact_whatever_the_order(amount: int, named: list[Beneficiary]) -> None:
    """Nobody has less than its part rounded down, all but the lowest address exactly that."""
    parts = rules.split(amount, named)
    assert sum(parts.values()) == amount
    assert list(parts) == sorted(parts)
    assert parts == rules.split(amount, sorted(named, key=lambda b: b.payout, reverse=True))
    floors = {b.payout: amount * b.share_ppm // PPM for b in named}
    rest = amount - sum(floors.values())
    assert 0 <= rest < len(named)
    assert parts.get(min(floors), 0) == floors.pop(min(floors)) + rest
    assert all(parts.get(address, 0) == floor for address, floor in floors.items())


def test_a_split_of_little_leaves_nobody_out_of_the_sum() -> None:
    thirds = zip("abc", (333_333, 333_334, 333_333), strict=True)
    named = [Beneficiary(payout=Address("0x" + c * 40), share_ppm=ppm) for c, ppm in thirds]
    split = [list(rules.split(amount, named).values()) for amount in (0, 1, 2, 3, 100)]
    assert split == [[], [1], [2], [2, 1], [34, 33, 33]]


@settings(max_examples=100, deadline=None)
@given(usages(), st.sampled_from([netting.NettingMode.BILATERAL, netting.NettingMode.CIRCULAR]))
def test_netting_never_changes_a_net(items: list[RatedUsage], mode: netting.NettingMode) -> None:
    made = positions(items)
    flows = netting.net(netting.obligations(made), mode)
    sums: dict[PartyId, int] = {}
    for (payer, payee), amount in flows.items():
        sums[payer] = sums.get(payer, 0) - amount
        sums[payee] = sums.get(payee, 0) + amount
    nets = rules.nets(made)
    wanted: dict[PartyId, int] = dict(nets.members)
    for party, amount in nets.hosts.items():
        wanted[party] = wanted.get(party, 0) + amount
    assert _nonzero(sums) == _nonzero(wanted)


@settings(max_examples=60, deadline=None)
@given(usages(), st.randoms(use_true_random=False))
def test_order_decides_nothing(items: list[RatedUsage], dice: Any) -> None:
    made = positions(items)
    dice.shuffle(items)
    assert positions(items) == made
    shuffled = list(made)
    dice.shuffle(shuffled)
    assert rules.nets(shuffled) == rules.nets(made)
    assert netting.obligations(shuffled) == netting.obligations(made)


@settings(max_examples=150, deadline=None)
@given(usages(), st.lists(st.integers(0, 10**12), min_size=5, max_size=5), st.data())
def test_after_the_defaulter_rule_nobody_is_short(
    items: list[RatedUsage], held: list[int], data: st.DataObject
) -> None:
    made = positions(items)
    collateral = {operator(n): amount for n, amount in enumerate(held)}

    def bears(party: PartyId) -> int:
        return collateral.get(party, 0)

    kept, removed = rules.remove_defaulters(made, bears)
    for party, amount in rules.nets(kept).members.items():
        assert amount >= -bears(party), party
    assert len(kept) + len(removed) == len(made)
    assert {p.position_id for p in kept} | {d.position_id for d in removed} == {
        p.position_id for p in made
    }
    permuted = data.draw(st.permutations(made))
    assert rules.remove_defaulters(permuted, bears)[0] == kept
    again, none = rules.remove_defaulters(kept, bears)
    assert (again, none) == (kept, [])
    if all(amount >= -bears(party) for party, amount in rules.nets(made).members.items()):
        assert removed == []


def test_a_defaulter_leaves_with_both_directions_and_the_rest_is_recomputed() -> None:
    """0 owes 1, 1 owes 2, and 1 can pay 2 only with what 0 pays: both leave, one after the other.

    The position of 2 at 3 stays.
    """
    items = [
        rated(1, home=0, visited=1, amount=1_000),
        rated(2, home=1, visited=2, amount=900),
        rated(3, home=1, visited=0, amount=10),
        rated(4, home=2, visited=3, amount=50),
    ]
    held = {operator(2): 50}
    kept, removed = rules.remove_defaulters(positions(items), lambda p: held.get(p, 0))
    assert [(p.debtor, p.creditor) for p in kept] == [(operator(2), operator(3))]
    assert {d.reason for d in removed} == {"short_of_collateral"}
    assert {(d.debtor, d.creditor) for d in removed} == {
        (operator(0), operator(1)),
        (operator(1), operator(2)),
        (operator(1), operator(0)),
    }


def test_a_members_own_use_owes_the_onward_legs_only() -> None:
    (position,) = positions([rated(1, home=0, visited=0, amount=1_000, tax_ppm=100_000)])
    nets = rules.nets([position])
    assert nets.members == {operator(0): -720, PROTOCOL: 20, TAX: 100}
    assert nets.hosts == {host(0): 600}
    assert netting.obligations([position]) == {
        (operator(0), host(0)): 600,
        (operator(0), PROTOCOL): 20,
        (operator(0), TAX): 100,
    }


def test_legs_are_summed_by_role_and_party_without_the_sellers_share() -> None:
    (position,) = positions(
        [rated(n, home=0, visited=1, amount=1_000, host_number=n % 2) for n in range(4)]
    )
    assert [(leg.role, leg.party, leg.amount_minor) for leg in position.legs] == [
        (Role.HOST, host(0), 1_200),
        (Role.HOST, host(1), 1_200),
        (Role.PROTOCOL, PROTOCOL, 80),
    ]
    assert position.amount_minor == 4_000
    assert position.records == 4


def open_position(number: int, amount: int, cut_us: int, **changes: Any) -> OpenPosition:
    record = salted(rated(number, home=0, visited=1, amount=amount))
    (pair,) = rules.by_pair([record])
    rung = changes.get("rung", Rung.ONE_SIDED)
    position = rules.draft(CYCLE, pair, rung, "bf", [record]).position
    return OpenPosition(position=position, cut_us=cut_us, accepted=changes.get("accepted", False))


def test_silence_is_acceptance_after_the_window_and_up_to_the_cap() -> None:
    policy = Policy(one_sided_window_us=100, one_sided_cap_minor=50)
    old, big, small, late = (
        open_position(1, 30, cut_us=0),
        open_position(2, 40, cut_us=1),
        open_position(3, 20, cut_us=2),
        open_position(4, 1, cut_us=950),
    )
    due, waiting = rules.mature([late, small, big, old], at_us=1_000, policy=policy)
    assert [p.amount_minor for p in due] == [30, 20]
    assert [(d.amount_minor, d.reason) for d in waiting] == [(40, "over_cap"), (1, "window_open")]
    due, waiting = rules.mature([big, late], at_us=1_049, policy=policy)
    assert [p.amount_minor for p in due] == [40]
    due, waiting = rules.mature([late], at_us=1_050, policy=policy)
    assert [p.amount_minor for p in due] == [1]


def test_what_both_signed_waits_for_nothing() -> None:
    policy = Policy(one_sided_window_us=100, one_sided_cap_minor=0)
    signed = open_position(1, 30, cut_us=0, rung=Rung.CO_SIGNED)
    accepted = open_position(2, 40, cut_us=0, accepted=True)
    silent = open_position(3, 50, cut_us=0)
    due, waiting = rules.mature([signed, accepted, silent], at_us=0, policy=policy)
    assert sorted(p.amount_minor for p in due) == [30, 40]
    assert [d.reason for d in waiting] == ["window_open"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 50)), max_size=8),
    st.integers(0, 300),
    st.data(),
)
def test_maturity_never_exceeds_the_cap_in_any_order(
    drawn: list[tuple[int, int]], cap: int, data: st.DataObject
) -> None:
    made = [open_position(n, amount, cut_us) for n, (amount, cut_us) in enumerate(drawn)]
    policy = Policy(one_sided_window_us=10, one_sided_cap_minor=cap)
    due, waiting = rules.mature(made, at_us=45, policy=policy)
    assert sum(p.amount_minor for p in due) <= cap
    assert len(due) + len(waiting) == len(made)
    assert rules.mature(data.draw(st.permutations(made)), at_us=45, policy=policy) == (due, waiting)


def test_excluded_parties_leave_with_the_reason() -> None:
    made = positions([rated(1, home=0, visited=1, amount=5), rated(2, home=2, visited=3, amount=5)])
    kept, out = rules.exclude(made, {operator(1): "not a member at the venue"})
    assert [p.debtor for p in kept] == [operator(2)]
    assert [(d.reason, d.detail) for d in out] == [("excluded", "op_1: not a member at the venue")]


def test_reasons_have_a_written_order() -> None:
    assert [reason.name for reason in sorted(DeferralReason)] == [
        "OTHER_ASSET",
        "NOT_MEMBER",
        "NO_PAYOUT",
        "UNCLAIMED",
        "WINDOW_OPEN",
        "OVER_CAP",
        "EXCLUDED",
        "SHORT_OF_COLLATERAL",
        "REPLACED",
    ]


def _nonzero(nets: Any) -> dict[PartyId, int]:
    return {party: amount for party, amount in nets.items() if amount}
