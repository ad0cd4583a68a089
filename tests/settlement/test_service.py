"""A cycle from cut to finality over a chain with faults."""

from __future__ import annotations

import pytest
from tests.clearing.facts import ASSET, PROTOCOL, host, key, operator, payout, rated

from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.clearing.model import RecordProof
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer, derive
from opencarrier.settlement.model import Alarm, AttemptState, CycleState
from opencarrier.spine import ids
from opencarrier.spine.money import RatedUsage

from .fake_chain import FakeChain, FakeSigner, change, claim, deposit, withdraw
from .world import SECOND_US, Installation, collateral, fund, single


def roaming(first: int = 0) -> list[RatedUsage]:
    """0 owes 1 and 2, 1 owes 2, 2 owes 0, and 3 serves its own."""
    pairs = [(0, 1), (0, 2), (1, 2), (2, 0), (3, 3), (0, 1)]
    return [
        rated(first + n, home=h, visited=v, amount=1_000 * (n + 1), host_number=n % 3)
        for n, (h, v) in enumerate(pairs)
    ]


def attempt(place: Installation) -> object:
    with place.engine.begin() as unit:
        ((cycle, found), *_) = place.service.cycles(unit)
        assert found is not None
        return cycle, found


def test_a_cycle_is_closed_sent_confirmed_and_posted() -> None:
    chain, place = single()
    closed = place.close(roaming())
    assert closed.cycle.state is CycleState.ORDERED
    assert closed.attempt is not None
    order = closed.attempt.order
    assert closed.attempt.gross_minor == 21_000
    assert sum(net.amount_minor for net in order.nets) == -order.rewards_minor
    assert place.held(collateral(operator(0))) > 0
    assert place.balance(collateral(operator(0))) == 100_000
    driven = place.settle()
    assert driven.cycle is not None
    assert driven.cycle.state is CycleState.FINAL
    assert chain.state.settled[order.cycle_id] == order.settlement_id
    assert place.held(collateral(operator(0))) == 0
    assert place.balance(chart.entitled(payout(host(0)), host(0))) == 600 * (1 + 4)
    assert place.balance(chart.clearing(PROTOCOL)) == 0
    place.assert_agrees()
    with place.engine.begin() as unit:
        ((_, final),) = place.service.cycles(unit)
        assert final is not None
        assert final.order == order
        assert (final.state, final.positions, final.records) == (AttemptState.FINAL, 5, 6)
        assert final.tx_hash is not None
        assert chain.receipt(final.tx_hash) is not None
        for usage_id in place.clearing.usages(unit, order.cycle_id):
            proof = place.clearing.proof(unit, usage_id)
            assert isinstance(proof, RecordProof)
            assert proof.records_root == order.records_root


def test_nothing_is_posted_before_it_is_final() -> None:
    chain, place = single()
    place.close(roaming())
    place.drive()
    chain.mine()
    driven = place.drive()
    assert driven.cycle is not None
    assert driven.cycle.state is CycleState.SENT
    assert place.balance(collateral(operator(0))) == 100_000
    assert place.refused() == "in_flight"
    with place.engine.begin() as unit:
        assert not place.service.waiting(unit, at_us=0)


def test_three_cycles_in_a_row_and_claims_between() -> None:
    chain, place = single()
    for number in range(3):
        place.close(roaming(10 * number))
        place.settle()
        due = chain.state.pool
        owed = chart.entitled(payout(host(0)), host(0))
        chain.do(claim(payout(host(0)), place.balance(owed)))
        chain.mine(4)
        assert place.follow() == ""
        assert chain.state.pool < due
        place.assert_agrees()
    assert chain.state.last_sequence == 3


def test_an_empty_cycle_sends_nothing_and_uses_up_no_number() -> None:
    chain, place = single()
    first = place.close()
    assert (first.attempt, first.cycle.state, first.usages) == (None, CycleState.OPEN, 0)
    place.drive()
    assert not chain.mempool
    second = place.close(roaming())
    assert second.cycle.cycle_id == first.cycle.cycle_id == ids.cycle_id("test", ASSET, 1)
    assert second.cycle.cuts == 2
    place.settle()
    assert chain.state.last_sequence == 1


def test_one_sided_usage_waits_for_its_window_and_settles_in_a_later_cut() -> None:
    _, place = single()
    place.options["window_us"] = 60 * SECOND_US
    place.restart()
    weak = rated(1, home=0, visited=1, amount=900, weak=True)
    closed = place.close([weak])
    assert closed.attempt is None
    assert [d.reason for d in closed.cleared.deferred] == ["window_open"]
    place.tick(60)
    closed = place.close()
    assert closed.attempt is not None
    assert closed.attempt.gross_minor == 900
    place.settle()
    place.assert_agrees()
    with place.engine.begin() as unit:
        proof = place.clearing.proof(unit, weak.usage.usage_id)
    assert isinstance(proof, RecordProof)


def test_capped_usage_waits_with_a_reason_and_goes_cycle_by_cycle() -> None:
    _, place = single()
    place.options |= {"window_us": 0, "cap_minor": 1_000}
    place.restart()
    items = [rated(n, home=0, visited=1, amount=400, weak=True) for n in range(5)]
    closed = place.close([*items, rated(9, home=0, visited=1, amount=1_001, weak=True)])
    assert [d.reason for d in closed.cleared.deferred] == ["over_cap"] * 3
    paid = []
    for _ in range(3):
        assert closed.attempt is not None
        paid.append(closed.attempt.gross_minor)
        place.settle()
        closed = place.close()
    assert sorted(paid) == [400, 800, 800]
    assert closed.attempt is None
    assert [(d.reason, d.amount_minor) for d in closed.cleared.deferred] == [("over_cap", 1_001)]
    place.assert_agrees()


def test_who_is_short_in_the_ledger_leaves_and_the_rest_is_paid() -> None:
    chain, place = single()
    poor = [rated(50, home=1, visited=2, amount=500_000)]
    closed = place.close([*roaming(), *poor])
    assert {d.debtor for d in closed.cleared.deferred} >= {operator(1)}
    assert {d.reason for d in closed.cleared.deferred} == {"short_of_collateral"}
    place.settle()
    place.assert_agrees()
    chain.do(deposit(key(operator(1)).address, 600_000))
    chain.mine(4)
    place.follow()
    closed = place.close()
    assert closed.attempt is not None
    assert not closed.cleared.deferred
    place.settle()
    place.assert_agrees()


def test_who_is_short_at_the_venue_leaves_in_the_next_attempt() -> None:
    """Operator 0 withdraws before the ledger hears of it: the first attempt reverts."""
    chain, place = single()
    chain.do(withdraw(key(operator(0)).address, 100_000))
    chain.mine()
    first = place.close(roaming())
    driven = place.settle()
    assert driven.cycle is not None
    assert (driven.cycle.state, driven.cycle.attempt) == (CycleState.FINAL, 2)
    with place.engine.begin() as unit:
        dead, final = place.service.attempts(unit, driven.cycle.cycle_id)
    assert dead.state is AttemptState.DEAD
    assert dead.reason == "reverted: debit: short of collateral"
    assert first.attempt is not None
    assert final.order.settlement_id != first.attempt.order.settlement_id
    assert all(row.party != operator(0) for row in final.rows)
    assert place.held(collateral(operator(0))) == 0
    place.assert_agrees()


def test_where_the_last_debtor_is_short_the_cycle_is_open_again() -> None:
    chain, place = single()
    chain.do(withdraw(key(operator(0)).address, 100_000))
    chain.mine()
    place.close([rated(1, home=0, visited=1, amount=900)])
    driven = place.settle()
    assert driven.cycle is not None
    assert driven.cycle.state is CycleState.OPEN
    assert driven.note == "open again: nothing is due any more"
    chain.do(deposit(key(operator(0)).address, 900))
    chain.mine(4)
    place.follow()
    closed = place.close()
    assert closed.cycle.attempt == 2
    place.settle()
    assert chain.state.last_sequence == 1
    place.assert_agrees()


def test_without_key_a_member_is_debited_by_its_mandate_up_to_the_cap() -> None:
    chain, place = single()
    place.people.absent = {operator(0)}
    place.options["window_us"] = 0
    place.restart()
    address = key(operator(0)).address
    chain.do(lambda state: state.mandates.update({address: 1_500}) or [])
    chain.mine(4)
    place.close([rated(1, home=0, visited=1, amount=1_500)])
    place.settle()
    place.close([rated(2, home=0, visited=1, amount=1_501), rated(3, home=1, visited=2, amount=9)])
    driven = place.settle()
    assert driven.cycle is not None
    assert (driven.cycle.state, driven.cycle.attempt) == (CycleState.FINAL, 2)
    place.assert_agrees()


def test_a_member_the_venue_does_not_know_leaves_with_the_reason() -> None:
    chain, place = single()
    chain.do(lambda state: state.members.remove(key(operator(2)).address) or [])
    chain.mine()
    place.close(roaming())
    driven = place.settle()
    assert driven.cycle is not None
    assert driven.cycle.state is CycleState.FINAL
    with place.engine.begin() as unit:
        _, final = place.service.attempts(unit, driven.cycle.cycle_id)
    assert all(row.party != operator(2) for row in final.rows)
    place.assert_agrees()


def test_a_paused_venue_leaves_the_cycle_open_for_the_next_close() -> None:
    chain, place = single()
    chain.do(change(is_paused=True))
    place.close(roaming())
    driven = place.settle()
    assert driven.cycle is not None
    assert driven.cycle.state is CycleState.OPEN
    assert driven.note == "open again: settling is paused at the venue"
    chain.do(change(is_paused=False))
    chain.mine()
    place.close()
    place.settle()
    place.assert_agrees()


def test_another_sequence_at_the_venue_halts() -> None:
    chain, place = single()
    chain.do(change(last_sequence=7))
    place.close(roaming())
    driven = place.settle()
    assert driven.halt is not None
    assert driven.halt.alarm is Alarm.SEQUENCE
    assert place.refused() == "halted"
    place.check()
    with place.engine.begin() as unit:
        place.service.resume(unit)
        assert place.service.halt(unit) is None


def test_a_revert_nobody_can_explain_is_not_repeated_at_once() -> None:
    chain, place = single()
    place.close(roaming())
    chain.do(change(is_paused=True))
    place.drive()
    chain.mine()
    chain.do(change(is_paused=False))
    chain.mine(4)
    driven = place.drive()
    assert driven.cycle is not None
    assert driven.cycle.state is CycleState.OPEN
    assert driven.note == "open again: reverted"
    for _ in range(7):
        chain.do(change(is_paused=True))
        place.close()
        place.drive()
        chain.mine()
        chain.do(change(is_paused=False))
        chain.mine(4)
        driven = place.drive()
    assert driven.halt is not None
    assert driven.halt.alarm is Alarm.ATTEMPTS_EXHAUSTED
    place.check()


@pytest.mark.parametrize("fault", ["refused", "lost", "timeout_after_mining"])
def test_a_send_that_fails_or_seems_to_is_one_settlement(fault: str) -> None:
    chain, place = single()
    place.close(roaming())
    chain.fault = fault
    place.drive()
    place.restart()
    place.settle()
    assert len(chain.state.settled) == 1
    place.assert_agrees()


@pytest.mark.parametrize("keep", [True, False])
def test_a_reorg_above_finality_sends_the_same_again(keep: bool) -> None:
    chain, place = single()
    closed = place.close(roaming())
    place.drive()
    chain.mine()
    place.drive()
    chain.reorg(1, keep=keep)
    place.settle()
    assert closed.attempt is not None
    assert list(chain.state.settled.values()) == [closed.attempt.order.settlement_id]
    place.assert_agrees()


def test_a_reorg_of_what_was_final_halts_and_unposts_nothing() -> None:
    chain, place = single()
    place.close(roaming())
    place.settle()
    posted = place.balance(collateral(operator(0)))
    chain.reorg(6, keep=False)
    chain.mine(6)
    driven = place.drive()
    assert driven.halt is not None
    assert driven.halt.alarm is Alarm.DEEP_REORG
    assert place.balance(collateral(operator(0))) == posted
    assert place.refused() == "halted"
    assert place.drive().halt is not None


def test_a_chain_that_only_lags_behind_is_waited_for() -> None:
    chain, place = single()
    place.close(roaming())
    place.settle()
    later = chain.blocks
    chain.blocks = later[:-3]
    driven = place.drive()
    assert driven.halt is None
    assert "behind" in driven.note
    chain.blocks = later
    assert place.drive().note == "nothing is in flight"


def test_a_claim_waits_for_its_entitlement() -> None:
    chain, place = single()
    place.close([rated(1, home=0, visited=1, amount=5_000)])
    place.drive()
    chain.mine()
    chain.do(claim(payout(host(0)), 3_000))
    chain.mine(4)
    assert "nobody here earned" in place.follow()
    place.settle()
    assert place.follow() == ""
    place.assert_agrees()


def test_a_reorg_of_a_booked_deposit_halts_and_a_lagging_chain_does_not() -> None:
    chain, place = single()
    later = chain.blocks
    chain.blocks = later[:2]
    assert place.follow() == "the venue is behind what was final"
    chain.blocks = later
    chain.reorg(len(chain.blocks) - 1)
    assert "halted" in place.follow()
    assert place.refused() == "halted"


def test_a_chain_that_does_not_answer_is_a_refusal_and_a_note() -> None:
    chain, place = single()
    place.meter_usage(roaming())
    chain.calls_fail = True
    assert place.refused() == "venue_unavailable"
    chain.calls_fail = False
    place.close()
    chain.calls_fail = True
    assert "does not answer" in place.drive().note
    assert "does not answer" in place.follow()
    chain.calls_fail = False
    place.settle()
    place.assert_agrees()


def test_a_cut_does_not_go_back() -> None:
    _, place = single()
    place.close()
    place.now_us = 0
    assert place.refused() == "cut_before_last"


def test_a_close_that_cannot_be_prepared_leaves_nothing() -> None:
    chain, place = single()
    place.meter_usage(roaming())
    chain.fees = lambda: (_ for _ in ()).throw(  # type: ignore[method-assign]
        ChainUnavailableError("busy", outcome_unknown=False)
    )
    assert place.refused() == "venue_unavailable"
    with place.engine.begin() as unit:
        assert place.service.cycle(unit) is None
    place.check()


def test_too_many_members_are_refused_before_anything_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, place = single()
    monkeypatch.setattr("opencarrier.settlement.service.NETS_MAX", 5)
    assert place.refused() == "too_many_members"


def test_withdrawals_and_claims_wait_for_what_a_settlement_brings() -> None:
    """Operator 1 withdraws what it was paid before our ledger has posted the settlement."""
    chain, place = single()
    place.close([rated(1, home=0, visited=1, amount=5_000)])
    place.drive()
    chain.mine()
    chain.do(withdraw(key(operator(1)).address, 10**9))
    chain.mine(4)
    assert "exceeds_credits" in place.follow()
    chain.do(claim(payout(host(0)), 3_000))
    chain.mine(4)
    assert "exceeds_credits" in place.follow()
    place.settle()
    assert place.follow() == ""
    assert place.balance(collateral(operator(1))) == 0
    place.assert_agrees()


def test_a_stranger_with_money_is_kept_under_its_address() -> None:
    chain, place = single()
    stranger = payout(operator(9))
    chain.do(deposit(stranger, 77))
    chain.mine(4)
    place.follow()
    assert place.balance(f"collateral/{stranger}") == 77
    place.assert_agrees()


def test_reconcile_finds_every_kind_of_difference() -> None:
    chain, place = single()
    place.close(roaming())
    place.settle()
    place.assert_agrees()
    earner = payout(host(0))
    chain.state.balances[key(operator(0)).address] += 1
    chain.state.pool += 2
    chain.state.claimed[earner] = 5
    chain.state.notices[key(operator(1)).address] = 3
    chain.mine(3)
    assert {
        (line.what, line.other_minor - line.ledger_minor) for line in place.reconcile().findings
    } == {
        ("collateral/op_0", 1),
        ("noticed/op_1", 3),
        ("custody", 3),
        ("entitled", 2),
        (f"entitled/{earner}", -5),
    }


def test_reconcile_names_the_addresses_whose_differences_cancel() -> None:
    """One was paid what another's books lost: every total agrees, two lines do not."""
    _, place = single()
    place.close(roaming())
    place.settle()
    names = [chart.entitled(payout(host(number)), host(number)) for number in (0, 1)]
    with place.engine.begin() as unit:
        planted = Transfer(
            transfer_id=derive("transfer", "planted"),
            asset=ASSET,
            debit=names[0],
            credit=names[1],
            amount_minor=9,
            code="planted",
        )
        assert ledger.apply(unit, [planted], place.now_us) == [None]
    found = {line.what: line.other_minor - line.ledger_minor for line in place.reconcile().findings}
    assert found == {name.rpartition("/")[0]: by for name, by in zip(names, (9, -9), strict=True)}


def test_reconcile_sums_the_charges_again() -> None:
    _, place = single()
    items = roaming()
    place.close(items)
    place.settle()
    usage_id = items[0].usage.usage_id
    place.rates.known[usage_id] = rated(0, home=0, visited=1, amount=2_000)
    changed = {line.what for line in place.reconcile().findings}
    assert changed == {
        "charges/host/host_0",
        "charges/member/op_0",
        "charges/member/op_1",
        f"charges/member/{PROTOCOL}",
    }


def test_two_installations_that_agree_settle_once() -> None:
    """Same facts, same seed, same key, one chain: whoever is mined, both post."""
    chain = FakeChain()
    places = [Installation(chain, FakeSigner(chain)) for _ in range(2)]
    fund(chain, places[0].people)
    for place in places:
        place.follow()
    closed = [place.close(roaming()) for place in places]
    assert closed[0].attempt == closed[1].attempt
    for place in places:
        place.settle()
        place.assert_agrees()
    assert len(chain.state.settled) == 1


def test_a_twin_that_lost_its_nonce_still_posts_what_is_its_own() -> None:
    """B's transaction has another nonce than A's, which is mined first; B's is a no-op."""
    chain = FakeChain()
    a, b = (Installation(chain, FakeSigner(chain)) for _ in range(2))
    fund(chain, a.people)
    for place in (a, b):
        place.follow()
    a.close(roaming())
    a.drive()
    b.close(roaming())
    for place in (a, b):
        place.settle()
        place.assert_agrees()
    with b.engine.begin() as unit:
        ((_, mine),) = b.service.cycles(unit)
    with a.engine.begin() as unit:
        ((_, theirs),) = a.service.cycles(unit)
    assert mine is not None
    assert theirs is not None
    assert mine.tx_hash == theirs.tx_hash


def test_two_installations_that_differ_settle_once_and_the_other_halts() -> None:
    chain = FakeChain()
    a, b = (Installation(chain, FakeSigner(chain)) for _ in range(2))
    fund(chain, a.people)
    for place in (a, b):
        place.follow()
    a.close(roaming())
    b.close(roaming()[:3])
    a.drive()
    b.drive()
    chain.mine(6)
    outcomes = []
    for place in (a, b):
        for _ in range(20):
            driven = place.drive()
            if driven.is_settled or driven.halt is not None:
                break
            chain.mine()
        outcomes.append(driven)
        place.check()
    assert len(chain.state.settled) == 1
    halted = [driven for driven in outcomes if driven.halt is not None]
    assert len(halted) == 1
    assert halted[0].halt is not None
    assert halted[0].halt.alarm is Alarm.SETTLED_OTHERWISE
    loser = (a, b)[outcomes.index(halted[0])]
    assert loser.refused() == "halted"
    assert loser.held(collateral(operator(0))) == 0
    assert loser.balance(collateral(operator(0))) == 100_000


def test_a_nonce_taken_by_something_else_is_another_attempt_with_the_same_content() -> None:
    chain, place = single()
    closed = place.close(roaming())
    assert closed.attempt is not None
    chain.do(lambda state: setattr(state, "nonce", state.nonce + 1) or [])
    chain.mine(4)
    driven = place.settle()
    assert driven.cycle is not None
    assert (driven.cycle.state, driven.cycle.attempt) == (CycleState.FINAL, 2)
    assert list(chain.state.settled.values()) == [closed.attempt.order.settlement_id]
    place.assert_agrees()
