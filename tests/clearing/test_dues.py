"""Adjustments as positions: either sign, conserved, once, each with a record that proves itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from opencarrier.clearing import tree
from opencarrier.clearing.dues import (
    PART,
    WHOLE,
    due_part,
    flows_of,
    leaf_data,
    record_id,
    with_flows,
)
from opencarrier.clearing.model import DueProof, Standing
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine import ids
from opencarrier.spine.money import Adjustment, Allocation, Due, Nets, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

from .facts import ASSET, CYCLE, PROTOCOL, TAX, People, Rates, clearing, database, operator, rated
from .test_service import clear

LATER = ids.cycle_id("test", ASSET, 2)


@pytest.fixture
def unit() -> Iterator[Connection]:
    with database() as connection:
        yield connection


def due(number: int, seller: int, protocol: int = 0, tax: int = 0, *, home: int = 0) -> Due:
    """An adjustment between two operators, its legs already in the asset."""
    payer, owner = operator(home), operator(1)
    parties = {Role.SELLER: owner, Role.PROTOCOL: PROTOCOL, Role.TAX: TAX}
    amounts = {Role.SELLER: seller, Role.PROTOCOL: protocol, Role.TAX: tax}
    legs = tuple(
        Allocation(role=role, party=party, account=f"clearing/{party}", amount_minor=amounts[role])
        for role, party in parties.items()
        if amounts[role]
    )
    made = Adjustment(
        adjustment_id=derive("adjustment", number),
        payer=payer,
        seller=owner,
        asset=ASSET,
        currency="USD",
        amount_minor=seller + protocol + tax,
        agreement_hash=bytes(32),
        deal_hash=bytes(32),
        start_us=0,
        end_us=1,
        number=0,
        is_final=True,
        inputs=b"inputs",
        allocations=legs,
    )
    return Due(adjustment=made, exchange=None, allocations=legs)


def sums(item: Due) -> dict[PartyId, int]:
    """Return what each party gains by the legs: the payer bears their sum."""
    found: defaultdict[PartyId, int] = defaultdict(int)
    found[item.adjustment.payer] -= item.amount_minor
    for leg in item.allocations:
        found[leg.party] += leg.amount_minor
    return {party: minor for party, minor in found.items() if minor}


AMOUNTS = st.integers(-1_000, 1_000)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, st.integers(0, 2)), max_size=4))
def test_flows_come_to_the_legs_party_by_party(items: list[tuple[int, int, int, int]]) -> None:
    made = [due(n, *legs, home=home) for n, (*legs, home) in enumerate(items)]
    flows = [flow for item in made for flow in flows_of(item)]
    assert all(flow.amount_minor > 0 and flow.debtor != flow.creditor for flow in flows)
    found = with_flows(Nets(members={}, hosts={}), flows)
    expected: defaultdict[PartyId, int] = defaultdict(int)
    for item in made:
        for party, minor in sums(item).items():
            expected[party] += minor
    assert {p: n for p, n in found.members.items() if n} == {p: n for p, n in expected.items() if n}


def test_a_credit_lowers_what_use_came_to_and_is_proven(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    charges = rates.add([rated(1, home=0, visited=1, amount=1_000, host_ppm=0, protocol_ppm=0)])
    credit = due(1, -100, -10, 5)
    rates.dues[credit.adjustment.adjustment_id] = credit
    service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=0)
    taken = service.take_dues(unit, cycle_id=CYCLE, dues=[credit], cut_us=0)
    told = [(one.debtor, one.creditor, one.amount_minor, one.rung) for one in taken]
    assert told == [
        (operator(1), operator(0), 105, Rung.CO_SIGNED),
        (PROTOCOL, operator(1), 10, Rung.CO_SIGNED),
        (operator(1), TAX, 5, Rung.CO_SIGNED),
    ]
    assert service.take_dues(unit, cycle_id=LATER, dues=[credit], cut_us=1) == []
    cleared = clear(service, unit)
    nets = {net.party: net.amount_minor for net in cleared.nets}
    assert nets == {operator(0): -895, operator(1): 900, PROTOCOL: -10, TAX: 5}
    assert (cleared.positions, cleared.records) == (4, 4)
    statement = next(
        one for one in service.statements(unit, CYCLE)
        if {one.first, one.second} == {operator(0), operator(1)}
    )  # fmt: skip
    assert (statement.first_owes_minor, statement.second_owes_minor) == (1_000, 105)
    refused = service.due_record(unit, record_id(credit.adjustment.adjustment_id, WHOLE))
    assert isinstance(refused, Refusal)
    service.finish(unit, cycle_id=CYCLE)
    assert service.charged(unit, cycle_id=CYCLE).members == nets
    for role in (WHOLE, Role.PROTOCOL, Role.TAX):
        proof = service.due_record(unit, record_id(credit.adjustment.adjustment_id, role))
        assert isinstance(proof, DueProof)
        commitment = tree.commit(PART, proof.salt, due_part(credit, role))
        leaf = leaf_data(record_id(credit.adjustment.adjustment_id, role), commitment)
        assert tree.root_of_record(leaf, proof.path) == cleared.records_root == proof.records_root
    for missing in (Role.SELLER, Role.HOST):
        named = record_id(credit.adjustment.adjustment_id, missing)
        assert service.due_record(unit, named) is None
    usage_id = charges[0].usage_id
    assert not isinstance(service.proof(unit, usage_id), Refusal)


@pytest.mark.parametrize(
    ("absent", "waits"), [(0, [0]), (1, [0, 1, 2]), (None, [])], ids=["payer", "seller", "none"]
)
def test_what_the_other_side_has_not_signed_waits_as_use_does(
    unit: Connection, absent: int | None, waits: list[int]
) -> None:
    people = People(absent=[] if absent is None else [operator(absent)])
    rates = Rates()
    service = clearing(rates, people, window_us=1_000)
    item = due(1, 100, 10, 5)
    taken = service.take_dues(unit, cycle_id=CYCLE, dues=[item], cut_us=0)
    one_sided = [n for n, one in enumerate(taken) if one.rung is Rung.ONE_SIDED]
    assert one_sided == waits
    clear(service, unit, at_us=999)
    standing = [service.position(unit, one.position_id) for one in taken]
    still = [n for n, one in enumerate(standing) if one and one.standing is Standing.OPEN]
    assert still == waits


def test_what_nobody_else_is_owed_is_no_position(unit: Connection) -> None:
    service = clearing(Rates(), People())
    own = due(1, 100, 10, home=1)
    (onward,) = service.take_dues(unit, cycle_id=CYCLE, dues=[own], cut_us=0)
    assert (onward.debtor, onward.creditor, onward.amount_minor) == (operator(1), PROTOCOL, 10)
    assert service.take_dues(unit, cycle_id=CYCLE, dues=[due(2, 7, home=1)], cut_us=0) == []


@settings(max_examples=5)
@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=5))
def test_cycles_of_adjustments_alone_sum_to_zero_and_to_what_is_behind_them(
    items: list[tuple[int, int, int]],
) -> None:
    rates = Rates()
    service = clearing(rates, People())
    with database() as unit:
        made = [due(n, *legs) for n, legs in enumerate(items)]
        rates.dues = {item.adjustment.adjustment_id: item for item in made}
        taken = service.take_dues(unit, cycle_id=CYCLE, dues=made, cut_us=0)
        before = service.unsettled(unit).members
        cleared = clear(service, unit)
        assert cleared.positions == len(taken)
        charged = service.charged(unit, cycle_id=CYCLE).members
        assert charged == before
        assert {n.party: n.amount_minor for n in cleared.nets} == {
            party: minor for party, minor in charged.items() if minor
        }


@pytest.mark.parametrize("weak", [False, True])
def test_no_credit_is_paid_before_its_use(unit: Connection, weak: bool) -> None:
    """While one-sided use waits between two operators, their adjustments wait beside it."""
    rates = Rates()
    service = clearing(rates, People(), window_us=1_000)
    charges = rates.add([rated(1, home=0, visited=1, amount=1_000, weak=weak)])
    service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=0)
    dues = [due(1, -100, -10, -5), due(2, -7, home=2)]
    taken = service.take_dues(unit, cycle_id=CYCLE, dues=dues, cut_us=0)
    rungs = [Rung.ONE_SIDED if weak else Rung.CO_SIGNED] * 3 + [Rung.CO_SIGNED]
    assert [one.rung for one in taken] == rungs
    assert clear(service, unit, at_us=999).positions == (1 if weak else 5)
    if weak:
        service.finish(unit, cycle_id=CYCLE)
        assert clear(service, unit, cycle_id=LATER, at_us=1_000).positions == 4
