"""Prepaid money that is asked back: set aside at once, then paid out or kept, never twice."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.app.scene import IMSI, scene

from opencarrier.app import asking, refunding
from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import Settings
from opencarrier.app.errands import ErrandRefusal, top_up
from opencarrier.app.folder import Folder
from opencarrier.app.refunding import (
    ASKED_MAX,
    ASKED_S,
    RefundRefusal,
    ask_back,
    keep,
    pay_back,
)
from opencarrier.identity.accounts.model import AccountId
from opencarrier.kernel.clock import SECOND_US
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

STEPS = st.lists(
    st.tuples(st.sampled_from([ask_back, pay_back, keep]), st.integers(0, 60_000_000)), max_size=8
)


def test_one_reference_is_one_request_and_a_day_has_so_many(tmp_path):
    """Another amount under a reference is refused; the limit counts no retry and is of a day."""
    with scene(tmp_path) as made:
        base, asset = made.place.base, made.place.manifest.asset

        def ask(name: str, amount: int = 1):
            with base.store.write() as unit:
                at_us = made.clock.now_us()
                return ask_back(unit, asset, made.subscriber, amount, reference=name, at_us=at_us)

        assert [ask(str(number)) for number in range(ASKED_MAX)] == [None] * ASKED_MAX
        assert ask("more").reason is RefundRefusal.TOO_OFTEN
        assert ask("0") is None
        assert ask("0", 2).code == "exists_with_different_amount_minor"
        made.clock.set(made.clock.now_us() + ASKED_S * SECOND_US - 1)
        assert ask("more").reason is RefundRefusal.TOO_OFTEN
        made.clock.set(made.clock.now_us() + 1)
        assert ask("more") is None
        with base.store.read() as unit:
            name = chart.refunds(made.subscriber.party_id)
            assert ledger.balance(unit, asset, name).posted_minor == ASKED_MAX + 1


def test_a_reference_tops_up_and_deposits_one_amount(tmp_path):
    with scene(tmp_path) as made:
        base, asset, party = made.place.base, made.place.manifest.asset, made.subscriber.party_id

        def pay(amount: int):
            with base.store.write() as unit:
                return top_up(
                    unit,
                    asset,
                    subscriber=party,
                    home=made.home.party_id,
                    amount_minor=amount,
                    reference="r",
                    at_us=made.clock.now_us(),
                    announcer=base.webhooks,
                )

        assert [pay(5), pay(5)] == [None, None]
        assert pay(6).code == "exists_with_different_amount_minor"
        first = made.errands.deposit(made.home, 1_000, reference="r")
        assert made.errands.deposit(made.home, 1_000, reference="r") == first
        refused = made.errands.deposit(made.home, 2_000, reference="r")
        assert refused.reason is ErrandRefusal.REFERENCE_OF_ANOTHER


def test_no_unit_is_given_twice(tmp_path, monkeypatch):
    """Whatever is asked, paid and kept: nothing is below zero, and the sum is what came in."""
    with scene(tmp_path) as made:
        base, asset = made.place.base, made.place.manifest.asset
        party, home = made.subscriber.party_id, made.subscriber.home
        names = (chart.prepaid(party), chart.refunds(party), chart.funding(home))

        def stands(unit):
            return [ledger.balance(unit, asset, name).posted_minor for name in names]

        monkeypatch.setattr(refunding, "ASKED_MAX", 1_000)

        @settings(max_examples=15, deadline=None)
        @given(STEPS)
        def played(steps):
            with base.store.write() as unit:
                prepaid, asked, funding = before = stands(unit)
                for number, (move, amount) in enumerate(steps):
                    covers = prepaid if move is ask_back else asked
                    more = {
                        "reference": f"{sum(before)} {number} {steps}",
                        "at_us": made.clock.now_us(),
                    }
                    if move is not ask_back:
                        more["announcer"] = base.webhooks
                    done = [move(unit, asset, made.subscriber, amount, **more) for _ in range(2)]
                    assert done[0] == done[1], "the same again is the same"
                    assert (done[0] is None) == (0 < amount <= covers)
                    if done[0] is None:
                        prepaid += {ask_back: -amount, keep: amount}.get(move, 0)
                        asked += amount if move is ask_back else -amount
                        funding += amount if move is pay_back else 0
                    assert stands(unit) == [prepaid, asked, funding]
                assert sum(stands(unit)) == sum(before)
                unit.rollback()

        played()


def test_a_command_asks_the_people_that_the_page_asks_and_is_none_of_them(
    tmp_path, run, monkeypatch
):
    """Refused until two said yes, with what to run then; kept money needs nobody."""
    with scene(tmp_path / "data") as made:
        base, asset, at_us = made.place.base, made.place.manifest.asset, made.clock.now_us()
        with base.store.write() as unit:
            assert ask_back(unit, asset, made.subscriber, 7, reference="a", at_us=at_us) is None
    monkeypatch.setenv("OPENCARRIER_APPROVAL_PEOPLE", "2")
    words = ("subscriber", "refund", IMSI, "--data", str(tmp_path / "data"))
    told = run(*words, "--paid", "5", "--reference", "bank-17", code=1)
    assert "error: not_approved: 0 of 2 people said yes" in told
    assert "hint: approve it on the page Approvals, then the same again with --reference b" in told
    base = open_installation(Folder(tmp_path / "data"), Settings(approval_people=2))
    with base.store.write() as unit:
        (asked,) = base.accounts.approvals.waiting(unit)
        assert (asked.kind, asked.by, asked.detail.split()[0]) == (asking.REFUND, (), "5")
        for who in (AccountId("one"), AccountId("two")):
            base.accounts.approvals.say_yes(unit, asked.approval, who)
    base.close()
    assert "not_approved" in run(*words, "--paid", "4", "--reference", "bank-17", code=1)
    for _ in range(2):
        told = run(*words, "--paid", "5", "--reference", "bank-17", "--json")
        assert json.loads(told)["asked_back_minor"] == 2
    assert json.loads(run(*words, "--kept", "2", "--json"))["asked_back_minor"] == 0
