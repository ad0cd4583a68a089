"""The room's door over a database: take, clear, release, finish, sign, prove."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from opencarrier.clearing import proofs, rules, store, tree
from opencarrier.clearing.model import RecordProof, Standing
from opencarrier.clearing.service import ClearingService
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine import ids
from opencarrier.spine.money import SETTLEMENT_FREE, Cleared, RatedUsage
from opencarrier.spine.usage import Rung

from .facts import (
    ASSET,
    CYCLE,
    PROTOCOL,
    People,
    Rates,
    clearing,
    database,
    host,
    key,
    operator,
    payout,
    rated,
    rich,
)

LATER = ids.cycle_id("test", ASSET, 2)


@pytest.fixture
def unit() -> Iterator[Connection]:
    with database() as connection:
        yield connection


def clear(
    service: ClearingService, unit: Connection, *, cycle_id: Id = CYCLE, at_us: int = 0
) -> Cleared:
    return service.clear(unit, cycle_id=cycle_id, at_us=at_us, collateral=rich, excluded={})


def some() -> list[RatedUsage]:
    return [
        rated(n, home=n % 4, visited=(n + 1 + n // 4) % 5, amount=50 + n, host_number=n % 3)
        for n in range(20)
    ]


def test_a_cycle_is_taken_cleared_and_proven(unit: Connection) -> None:
    rates, people = Rates(), People()
    service = clearing(rates, people)
    charges = rates.add(some())
    positions = service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=5)
    assert all(p.rung is Rung.CO_SIGNED for p in positions)
    cleared = clear(service, unit)
    assert cleared.positions == len(positions)
    assert cleared.records == 20
    assert cleared.gross_minor == sum(50 + n for n in range(20))
    assert cleared.deferred == ()
    assert 0 < cleared.net_minor <= cleared.gross_minor
    assert {e.payout for e in cleared.entitlements} == {payout(host(n)) for n in range(3)}
    refused = service.proof(unit, charges[0].usage_id)
    assert isinstance(refused, Refusal)
    assert refused.code == "not_settled"
    service.finish(unit, cycle_id=CYCLE)
    assert service.usages(unit, CYCLE) == sorted(rates.known)
    for usage_id in rates.known:
        proof = service.proof(unit, usage_id)
        assert isinstance(proof, RecordProof)
        data = tree.leaf_data(usage_id, proof.commitments)
        assert tree.root_of_record(data, proof.path) == cleared.records_root
        assert proof.settled_in == CYCLE


def test_no_record_no_proof(unit: Connection) -> None:
    refused = clearing(Rates(), People()).proof(unit, CYCLE)
    assert isinstance(refused, Refusal)
    assert refused.code == "no_record"


def test_two_installations_reach_the_same_ids_in_any_order() -> None:
    """The second one has the same usages the other way round, and other salts are other roots."""
    items = some()
    outcomes = []
    for order, seed in ((items, 1), (items[::-1], 1), (items, 2)):
        rates = Rates()
        service = clearing(rates, People(), seed=seed)
        with database() as unit:
            service.take(unit, cycle_id=CYCLE, charges=rates.add(order), cut_us=5)
            outcomes.append(clear(service, unit))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].records_root != outcomes[2].records_root
    assert outcomes[0].nets == outcomes[2].nets


def test_a_usage_has_one_record(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    charges = rates.add(some())
    assert service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=5)
    assert not service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=6)
    assert not service.take(unit, cycle_id=LATER, charges=charges, cut_us=7)


def test_what_waits_for_its_wholesale_charge_is_left_out(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    (charge,) = rates.add([rated(1, home=0, visited=1, amount=9)])
    del rates.known[charge.usage_id]
    assert not service.take(unit, cycle_id=CYCLE, charges=[charge], cut_us=5)


def test_records_that_owe_nothing_make_no_position(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    free = rates.add([rated(1, home=0, visited=1, amount=0)])
    assert not service.take(unit, cycle_id=CYCLE, charges=free, cut_us=5)
    mixed = rates.add(
        [rated(2, home=0, visited=1, amount=0), rated(3, home=0, visited=1, amount=1)]
    )
    (position,) = service.take(unit, cycle_id=CYCLE, charges=mixed, cut_us=5)
    assert position.records == 2


def test_a_retail_charge_rated_later_is_no_part_of_the_record(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    early = rated(1, home=0, visited=1, amount=9, retail=False)
    service.take(unit, cycle_id=CYCLE, charges=rates.add([early]), cut_us=5)
    clear(service, unit)
    service.finish(unit, cycle_id=CYCLE)
    rates.add([rated(1, home=0, visited=1, amount=9)])
    proof = service.proof(unit, early.usage.usage_id)
    assert isinstance(proof, RecordProof)
    assert proof.commitments.retail is None


def test_a_one_sided_position_matures_into_a_later_cycle_and_keeps_its_id(
    unit: Connection,
) -> None:
    """A weak session at t=5 is silent until t=1005, then enters the next cycle's root."""
    rates = Rates()
    service = clearing(rates, People(), window_us=1_000)
    charges = rates.add(
        [rated(1, home=0, visited=1, amount=90, weak=True), rated(2, home=0, visited=1, amount=7)]
    )
    made = service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=5)
    assert sorted(p.rung for p in made) == [Rung.ONE_SIDED, Rung.CO_SIGNED]
    first = clear(service, unit, at_us=5)
    assert (first.positions, first.gross_minor) == (1, 7)
    assert [d.reason for d in first.deferred] == ["window_open"]
    service.finish(unit, cycle_id=CYCLE)
    assert [d.reason for d in service.waiting(unit, at_us=1_004)] == ["window_open"]
    assert not service.waiting(unit, at_us=1_005)
    assert clear(service, unit, cycle_id=LATER, at_us=1_004).positions == 0
    second = clear(service, unit, cycle_id=LATER, at_us=1_005)
    assert (second.positions, second.gross_minor) == (1, 90)
    service.finish(unit, cycle_id=LATER)
    proof = service.proof(unit, charges[0].usage_id)
    assert isinstance(proof, RecordProof)
    assert (proof.path.cycle_id, proof.settled_in) == (CYCLE, LATER)
    assert proof.position_id in {p.position_id for p in made}
    data = tree.leaf_data(proof.usage_id, proof.commitments)
    assert tree.root_of_record(data, proof.path) == second.records_root


def test_capped_positions_wait_with_a_reason_and_then_go(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People(), window_us=0, cap_minor=100)
    for number in (1, 2):
        charges = rates.add([rated(number, home=0, visited=1, amount=90, weak=True)])
        service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=number)
    first = clear(service, unit, at_us=10)
    assert (first.positions, [d.reason for d in first.deferred]) == (1, ["over_cap"])
    service.finish(unit, cycle_id=CYCLE)
    assert clear(service, unit, cycle_id=LATER, at_us=10).gross_minor == 90


def test_a_missing_signature_puts_everything_of_the_pair_on_the_lower_rung(
    unit: Connection,
) -> None:
    rates, people = Rates(), People(absent=[operator(0)])
    service = clearing(rates, people)
    charges = rates.add(
        [
            rated(1, home=0, visited=1, amount=5),
            rated(2, home=0, visited=1, amount=6, weak=True),
            rated(3, home=2, visited=1, amount=7),
        ]
    )
    made = {p.debtor: p for p in service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=0)}
    assert made[operator(0)].rung is Rung.ONE_SIDED
    assert made[operator(0)].records == 2
    assert made[operator(2)].rung is Rung.CO_SIGNED
    claim = store.position(unit, made[operator(0)].position_id)
    assert claim is not None
    assert [party for party, _ in claim.signatures] == [operator(1)]


def test_the_debtors_signature_ends_the_wait(unit: Connection) -> None:
    rates, people = Rates(), People(absent=[operator(0)])
    service = clearing(rates, people)
    charges = rates.add([rated(1, home=0, visited=1, amount=5)])
    (position,) = service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=0)
    digest = rules.statement_digest(position.position_id)
    good = key(operator(0)).sign(digest)

    def accept(position_id: Id, party: int, signature: object) -> str | None:
        outcome = service.accept(unit, position_id, operator(party), signature)  # type: ignore[arg-type]
        return None if outcome is None else outcome.code

    assert accept(CYCLE, 0, good) == "unknown_position"
    assert accept(position.position_id, 2, good) == "not_a_party"
    assert accept(position.position_id, 0, key(operator(0)).sign(CYCLE)) == "bad_signature"
    assert accept(position.position_id, 0, key(operator(1)).sign(digest)) == "bad_signature"
    assert clear(service, unit).positions == 0
    assert accept(position.position_id, 0, good) is None
    assert accept(position.position_id, 0, good) is None
    assert clear(service, unit).positions == 1
    (statement,) = service.statements(unit, CYCLE)
    assert len(statement.positions[0].signatures) == 2


def test_statements_are_gross_per_direction(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    items = [rated(1, home=0, visited=1, amount=5), rated(2, home=1, visited=0, amount=3)]
    service.take(unit, cycle_id=CYCLE, charges=rates.add(items), cut_us=0)
    (statement,) = service.statements(unit, CYCLE)
    assert (statement.first, statement.second) == (operator(0), operator(1))
    assert (statement.first_owes_minor, statement.second_owes_minor) == (5, 3)
    assert {s.standing for s in statement.positions} == {Standing.OPEN}


def test_a_released_cycle_is_cleared_again_to_the_same(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    service.take(unit, cycle_id=CYCLE, charges=rates.add(some()), cut_us=0)
    before = clear(service, unit)
    service.release(unit, cycle_id=CYCLE)
    assert clear(service, unit) == before
    assert clear(service, unit, cycle_id=LATER).positions == 0


def test_who_is_no_member_or_has_no_payout_waits_with_the_reason(unit: Connection) -> None:
    rates, people = Rates(), People()
    service = clearing(rates, people)
    people.strangers = {operator(2)}
    people.unpaid = {host(5)}
    items = [
        rated(1, home=2, visited=1, amount=500),
        rated(2, home=0, visited=1, amount=500, host_number=5),
        rated(3, home=3, visited=1, amount=500),
    ]
    service.take(unit, cycle_id=CYCLE, charges=rates.add(items), cut_us=0)
    cleared = clear(service, unit, at_us=10**9)
    assert cleared.positions == 1
    assert {d.reason: d.detail for d in cleared.deferred} == {
        "not_member": "op_2",
        "no_payout": "host_5",
    }
    people.strangers = {PROTOCOL}
    service.release(unit, cycle_id=CYCLE)
    assert clear(service, unit, at_us=10**9).positions == 0


def test_short_members_and_excluded_ones_stay_open(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    items = [rated(n, home=n, visited=4, amount=100) for n in range(3)]
    service.take(unit, cycle_id=CYCLE, charges=rates.add(items), cut_us=0)
    cleared = service.clear(
        unit,
        cycle_id=CYCLE,
        at_us=0,
        collateral=lambda party: 0 if party == operator(0) else 100,
        excluded={operator(1): "not a member at the venue"},
    )
    assert cleared.gross_minor == 100
    assert {d.debtor: d.reason for d in cleared.deferred} == {
        operator(0): "short_of_collateral",
        operator(1): "excluded",
    }
    service.finish(unit, cycle_id=CYCLE)
    assert clear(service, unit, cycle_id=LATER).gross_minor == 200


def test_charges_behind_a_cycle_sum_to_its_nets(unit: Connection) -> None:
    rates = Rates()
    service = clearing(rates, People())
    service.take(unit, cycle_id=CYCLE, charges=rates.add(some()), cut_us=0)
    owed = service.unsettled(unit)
    cleared = clear(service, unit)
    charged = service.charged(unit, cycle_id=CYCLE)
    moved = {net.party: net.amount_minor for net in cleared.nets}
    assert {p: a for p, a in charged.members.items() if a} == moved
    assert owed == service.unsettled(unit)
    assert {e.host: e.amount_minor for e in cleared.entitlements} == charged.hosts
    service.finish(unit, cycle_id=CYCLE)
    assert service.unsettled(unit).members == {}


def test_the_prover_remembers_few_trees(unit: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "TREES_MAX", 2)
    rates = Rates()
    service = clearing(rates, People())
    service.take(unit, cycle_id=CYCLE, charges=rates.add(some()), cut_us=0)
    clear(service, unit)
    service.finish(unit, cycle_id=CYCLE)
    for usage_id in rates.known:
        assert isinstance(service.proof(unit, usage_id), RecordProof)
        assert len(service._prover._trees) <= 2


def test_settlement_free_use_makes_no_position_and_no_record(unit: Connection) -> None:
    free, paid = (rated(n, home=0, visited=1, amount=7 * n) for n in range(2))
    wholesale = replace(free.wholesale, agreement_hash=SETTLEMENT_FREE, allocations=())
    rates = Rates()
    charges = rates.add([replace(free, wholesale=wholesale), paid])
    service = clearing(rates, People())
    (position,) = service.take(unit, cycle_id=CYCLE, charges=charges, cut_us=0)
    assert (position.records, position.amount_minor) == (1, 7)
    ids_of = [item.usage.usage_id for item in (free, paid)]
    assert store.recorded(unit, ids_of) == {paid.usage.usage_id}
