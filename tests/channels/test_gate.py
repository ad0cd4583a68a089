"""The node's gate: a garden, then one paid slice at a time, then the free tier, then nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.channels.rules import Gate, Offer, Phase, closed_gate, paid, unpaid, used

from .worlds import KIB, SETTINGS

FREE = SETTINGS.free_octets


def offered(octets: int, duration_s: int = 60) -> Offer:
    return Offer(voucher_minor=1, octets=octets, duration_s=duration_s, paid=True)


def test_before_any_payment_nothing_but_the_voucher_endpoint_is_reached() -> None:
    gate = closed_gate(SETTINGS)
    assert used(gate, octets=KIB, duration_s=1) == (gate, 0)
    assert unpaid(gate) == gate


def test_a_slice_ends_by_its_octets_or_by_its_time() -> None:
    gate = paid(closed_gate(SETTINGS), offered(100))
    gate, passed = used(gate, octets=99, duration_s=1)
    assert (gate.phase, passed) == (Phase.SERVING, 99)
    assert used(gate, octets=1, duration_s=1)[0].phase is Phase.FREE
    assert used(gate, octets=0, duration_s=59)[0].phase is Phase.FREE


def test_after_the_slice_the_free_tier_and_then_off_and_on_again() -> None:
    gate = paid(closed_gate(SETTINGS), offered(100))
    gate, passed = used(gate, octets=100 + FREE + 50, duration_s=1)
    assert (gate.phase, passed, gate.octets) == (Phase.OFF, 100 + FREE, 100)
    assert used(gate, octets=1, duration_s=1) == (gate, 0)
    gate, passed = used(paid(gate, offered(250)), octets=1_000, duration_s=1)
    assert (gate.phase, passed, gate.octets) == (Phase.OFF, 150, 250)


def test_the_free_tier_ends_by_its_seconds_too() -> None:
    """What a slice did not take of the time counts; a paid slice opens again, free use does not."""
    free_s = SETTINGS.free_s
    gate = paid(closed_gate(SETTINGS), offered(100, duration_s=60))
    gate, _ = used(gate, octets=0, duration_s=60 + free_s - 1)
    assert (gate.phase, gate.duration_s, gate.free_s) == (Phase.FREE, 60, 1)
    assert used(gate, octets=FREE, duration_s=0)[1] == FREE
    gate, passed = used(gate, octets=1, duration_s=1)
    assert (gate.phase, passed) == (Phase.OFF, 1)
    gate, passed = used(paid(gate, offered(200, 120)), octets=201, duration_s=1)
    assert (gate.phase, passed) == (Phase.OFF, 200)


@pytest.mark.parametrize("none", [{"free_octets": 0}, {"free_s": 0}])
def test_without_a_free_tier_a_slice_is_followed_by_nothing(none: dict[str, int]) -> None:
    gate = paid(closed_gate(replace(SETTINGS, **none)), offered(100))
    gate, passed = used(gate, octets=101, duration_s=1)
    assert (gate.phase, passed) == (Phase.OFF, 100)


def test_an_unpaid_offer_opens_nothing() -> None:
    with pytest.raises(AssertionError, match="against the voucher"):
        paid(closed_gate(SETTINGS), replace(offered(1), paid=False))


@given(
    st.lists(
        st.one_of(
            st.integers(0, 5 * KIB).map(lambda octets: ("use", octets)),
            st.just(("pay", KIB)),
        ),
        max_size=30,
    )
)
def test_never_more_than_the_paid_slice_and_the_free_tier(steps: list[tuple[str, int]]) -> None:
    """Exposure: what passed is within what was paid for, and the free tier once."""
    gate: Gate = closed_gate(SETTINGS)
    total, acked = 0, 0
    for step, octets in steps:
        if step == "pay":
            acked = gate.octets
            gate = paid(gate, offered(acked + KIB, gate.duration_s + 60))
        else:
            gate, passed = used(gate, octets=octets, duration_s=1)
            total += passed
        assert gate.octets - acked <= KIB
        assert total == gate.octets + FREE - gate.free_octets <= gate.octets_limit + FREE
