"""A dispute's course: deadlines from both sides, who pays, any order and copies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.clearing.disputes import wire
from opencarrier.clearing.disputes.rules import (
    ANSWER_US,
    DECIDE_US,
    Case,
    Move,
    MoveKind,
    Outcome,
    Stage,
    corrections,
    judge,
)
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import KeySigner

CREDITOR, DEBTOR = KeySigner(b"\x01" * 32), KeySigner(b"\x02" * 32)
CASE = Case(
    exchange_id=derive("e", 1),
    usage_id=derive("u", 1),
    creditor=CREDITOR.address,
    debtor=DEBTOR.address,
    disputed_minor=1_001,
)
OPENED = 1_000_000


def move(kind: MoveKind, who: KeySigner, at_us: int = OPENED, amount_minor: int = 0) -> Move:
    return Move(at_us=at_us, kind=kind, party=who.address, amount_minor=amount_minor)


OPEN = move(MoveKind.OPEN, CREDITOR)


def paid(outcome: Outcome) -> dict[str, int]:
    return {entry.debtor: entry.amount_minor for entry in corrections(CASE, outcome)}


def test_silence_accepts_at_the_deadline_and_not_before() -> None:
    before = judge(CASE, [OPEN], now_us=OPENED + ANSWER_US - 1)
    assert (before.stage, before.until_us) == (Stage.OPEN, OPENED + ANSWER_US)
    assert corrections(CASE, before) == ()
    after = judge(CASE, [OPEN], now_us=OPENED + ANSWER_US)
    assert after.stage is Stage.SETTLED
    assert paid(after) == {DEBTOR.address: 1_001}
    late = move(MoveKind.CONTEST, DEBTOR, OPENED + ANSWER_US)
    assert judge(CASE, [OPEN, late], now_us=OPENED + 2 * ANSWER_US) == after


def test_a_contested_claim_that_nobody_decides_costs_the_opener_its_bond() -> None:
    """A twentieth of 1,001 is 50.05, rounded up."""
    contest = move(MoveKind.CONTEST, DEBTOR, OPENED + ANSWER_US - 1)
    end = contest.at_us + DECIDE_US
    assert judge(CASE, [OPEN, contest], now_us=end - 1).stage is Stage.CONTESTED
    settled = judge(CASE, [OPEN, contest], now_us=end)
    assert (settled.award_minor, settled.settled_us) == (0, end)
    assert paid(settled) == {CREDITOR.address: 51}


def test_what_both_sign_settles_and_costs_nobody_a_bond() -> None:
    contest = move(MoveKind.CONTEST, DEBTOR, OPENED + 1)
    one = move(MoveKind.AGREE, CREDITOR, OPENED + 2, 700)
    other = move(MoveKind.AGREE, DEBTOR, OPENED + 3, 600)
    assert judge(CASE, [OPEN, contest, one, other], now_us=OPENED + 9).stage is Stage.CONTESTED
    both = move(MoveKind.AGREE, DEBTOR, OPENED + 4, 700)
    settled = judge(CASE, [OPEN, contest, one, other, both], now_us=OPENED + 9)
    assert (settled.settled_us, settled.award_minor, settled.forfeit_minor) == (OPENED + 4, 700, 0)
    assert paid(settled) == {DEBTOR.address: 700}


def test_who_accepts_pays_at_once_and_only_who_owes_can_answer() -> None:
    accepted = judge(CASE, [OPEN, move(MoveKind.ACCEPT, DEBTOR, OPENED + 5)], now_us=OPENED + 5)
    assert (accepted.stage, accepted.settled_us) == (Stage.SETTLED, OPENED + 5)
    own = move(MoveKind.ACCEPT, CREDITOR, OPENED + 5)
    assert judge(CASE, [OPEN, own], now_us=OPENED + 5).stage is Stage.OPEN
    stranger = move(MoveKind.OPEN, DEBTOR)
    assert judge(CASE, [stranger], now_us=OPENED).stage is Stage.UNOPENED


@st.composite
def _moves(draw: st.DrawFn) -> Move:
    return move(
        draw(st.sampled_from(MoveKind)),
        draw(st.sampled_from([CREDITOR, DEBTOR])),
        draw(st.sampled_from([0, OPENED, OPENED + 1, OPENED + ANSWER_US, OPENED + DECIDE_US])),
        draw(st.sampled_from([0, 1, 1_001, 1_002])),
    )


@given(st.lists(_moves(), max_size=9), st.integers(0, 3), st.randoms(use_true_random=False))
@settings(max_examples=120)
def test_any_order_and_copies_come_to_the_same_and_conserve(
    moves: list[Move], later: int, random: Any
) -> None:
    now_us = OPENED + later * ANSWER_US
    again = [*moves, *moves[:3]]
    random.shuffle(again)
    outcome = judge(CASE, moves, now_us=now_us)
    assert judge(CASE, again, now_us=now_us) == outcome
    assert 0 <= outcome.award_minor <= CASE.disputed_minor
    assert outcome.forfeit_minor in (0, CASE.bond_minor)
    if outcome.settled_us is not None:
        assert outcome.settled_us <= now_us
        for more in (1, DECIDE_US, 10 * DECIDE_US):
            assert judge(CASE, moves, now_us=now_us + more) == outcome


def test_a_move_is_its_signers_alone() -> None:
    octets = wire.seal(CASE.exchange_id, CASE.usage_id, OPEN, CREDITOR.sign)
    assert wire.unseal(octets) == (CASE.exchange_id, CASE.usage_id, OPEN)
    with pytest.raises(PeerError, match="wrong_key"):
        wire.unseal(wire.seal(CASE.exchange_id, CASE.usage_id, OPEN, DEBTOR.sign))
    with pytest.raises(PeerError, match="too_long"):
        wire.unseal(bytes(wire.OCTETS_MAX + 1))
    for wrong in (b"", octets[:-1], octets + b"\x00"):
        with pytest.raises(PeerError):
            wire.unseal(wrong)
