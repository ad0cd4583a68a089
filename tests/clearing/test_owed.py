"""What a party is owed, as the database sums it: what the positions come to one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from opencarrier.clearing import owed, rules, store
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import INT64_MAX, AssetId
from opencarrier.spine.money import Allocation, Position, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

PARTIES = [PartyId(f"op_{name}") for name in "abcd"]
CYCLE = Id(bytes(32))
LEGS = (Role.HOST, Role.PROTOCOL, Role.TAX)


def position(number: int, debtor: PartyId, creditor: PartyId, amount: int, legs) -> Position:
    left, onward = amount, []
    for role, party, share in legs:
        part = min(left, amount * share // 10)
        left -= part
        if part:
            leg = Allocation(role=role, party=party, account=f"x/{party}", amount_minor=part)
            onward.append(leg)
    return Position(
        position_id=Id(derive("test/position", number)),
        cycle_id=CYCLE,
        debtor=debtor,
        creditor=creditor,
        asset=AssetId("test"),
        jurisdiction="fr",
        rung=Rung.CO_SIGNED,
        pair_root=bytes(32),
        records=1 + number,
        amount_minor=amount,
        legs=tuple(sorted(onward)),
    )


@st.composite
def books(draw: st.DrawFn) -> list[tuple[Position, bool]]:
    """Positions, each with whether it is settled; legs of one role and party are one."""
    party = st.sampled_from(PARTIES)
    made = []
    for number in range(draw(st.integers(0, 7))):
        legs = [(role, draw(party), draw(st.integers(0, 5))) for role in LEGS]
        amount = draw(st.integers(1, INT64_MAX))
        one = position(number, draw(party), draw(party), amount, legs)
        made.append((one, draw(st.booleans())))
    return made


@pytest.fixture(scope="module")
def engine():
    made = create_engine("sqlite://")
    store.metadata.create_all(made)
    return made


@settings(max_examples=25, deadline=None)
@given(books())
def test_sums_are_those_of_the_positions_and_the_net_is_that_of_the_rules(engine, book):
    with engine.connect() as unit, unit.begin() as transaction:
        for one, _ in book:
            store.add_position(unit, one, cut_us=1, signed={})
        settled = [one for one, is_settled in book if is_settled]
        store.take(unit, CYCLE, [one.position_id for one in settled], {})
        store.finish(unit, CYCLE)
        waiting = [one for one, is_settled in book if not is_settled]
        for party in PARTIES:
            for found, positions in (
                (owed.settled_in(unit, CYCLE, party), settled),
                (owed.unsettled(unit, party), waiting),
            ):
                assert found.net_minor == rules.nets(positions).members.get(party, 0)
                to_it = [one for one in positions if one.creditor == party != one.debtor]
                assert {one.other for one in found.to_it} == {one.debtor for one in to_it}
                assert sum(one.records for one in found.to_it) == sum(o.records for o in to_it)
                assert sum(one.amount_minor for one in found.to_it) == sum(
                    one.amount_minor for one in to_it
                )
        transaction.rollback()
