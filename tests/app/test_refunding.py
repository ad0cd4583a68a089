"""Prepaid money that is asked back: set aside at once, then paid out or kept, never twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.app.scene import scene

from opencarrier.app.refunding import ask_back, keep, pay_back
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

STEPS = st.lists(
    st.tuples(st.sampled_from([ask_back, pay_back, keep]), st.integers(0, 60_000_000)), max_size=8
)


def test_no_unit_is_given_twice(tmp_path):
    """Whatever is asked, paid and kept: nothing is below zero, and the sum is what came in."""
    with scene(tmp_path) as made:
        base, asset = made.place.base, made.place.manifest.asset
        party, home = made.subscriber.party_id, made.subscriber.home
        names = (chart.prepaid(party), chart.refunds(party), chart.funding(home))

        def stands(unit):
            return [ledger.balance(unit, asset, name).posted_minor for name in names]

        @settings(max_examples=15, deadline=None)
        @given(STEPS)
        def played(steps):
            with base.store.write() as unit:
                prepaid, asked, funding = before = stands(unit)
                for number, (move, amount) in enumerate(steps):
                    covers = prepaid if move is ask_back else asked
                    at_us, reference = made.clock.now_us(), f"{sum(before)} {number} {steps}"
                    done = [
                        move(unit, asset, made.subscriber, amount, reference=reference, at_us=at_us)
                        for _ in range(2)
                    ]
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
