"""Disputes in the live cycle: opened by a person, contested and acted on by the daemons."""

from __future__ import annotations

import pytest
from tests.app.test_agreed import OCTETS, SESSION_MINOR, books_agree, paid, waits
from tests.app.test_exchanger import closed, same
from tests.app.two_installations import ASSET, HOUR_US, START_US, two_installations

from opencarrier.app import disputing
from opencarrier.app.dispute_rounds import PAUSE_US, DisputeRounds
from opencarrier.app.exchanging import PeerUnavailableError
from opencarrier.clearing.disputes.rules import ANSWER_US, DECIDE_US, MoveKind
from opencarrier.clearing.exchange.statement import Standing
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.spine.usage import Status

CLAIM_MINOR = 4 * SESSION_MINOR
BOND_MINOR = CLAIM_MINOR // 20


class Court:
    """A disputed session of two installations, and their rounds over a line that may be cut."""

    def __init__(self, two) -> None:
        self.two, self.is_cut = two, False
        two.meter("s", OCTETS)
        two.meter("lie", OCTETS, borea=5 * OCTETS, status=Status.INTERIM)
        closed(two, 1)
        (difference,) = same(two).disputed
        self.place = (two.borea.newest().terms.exchange_id, difference.usage_id)
        self.now_us = two.lumen.clock.now_us()
        self.rounds = [DisputeRounds(side.base, self.send) for side in two.both()]

    def send(self, url: str, octets: bytes) -> bytes:
        if self.is_cut:
            raise PeerUnavailableError("cut")
        refusal = disputing.take(self.two.line.sides[url].base, octets)
        if refusal is not None:
            raise PeerUnavailableError(str(refusal))
        return b""

    def after(self, us: int) -> None:
        """Let time pass, then both daemons look through their disputes twice."""
        for _ in range(2):
            self.now_us += us
            us = PAUSE_US
            for side, rounds in zip(self.two.both(), self.rounds, strict=True):
                side.clock.set(self.now_us)
                rounds.tick()

    def move(self, side, kind: MoveKind, amount_minor: int = 0):
        return disputing.make(side.base, *self.place, kind, amount_minor=amount_minor)

    def stages(self) -> list[str]:
        return [disputing.show(side.base, *self.place)["stage"] for side in self.two.both()]


@pytest.fixture
def court(tmp_path):
    with two_installations(tmp_path) as two:
        for side in two.both():
            fund(side)
        yield Court(two)


def fund(side) -> None:
    party = side.own.party_id
    with side.base.store.write() as unit:
        names = (chart.CUSTODY, chart.collateral(party))
        ledger.ensure(unit, ASSET, names)
        deposit = Transfer(
            transfer_id=derive("test/deposit", party),
            asset=ASSET,
            debit=names[0],
            credit=names[1],
            amount_minor=10**9,
            code="deposit",
        )
        assert ledger.apply(unit, [deposit], 1) == [None]


def free(side) -> int:
    with side.base.store.read() as unit:
        return ledger.balance(unit, ASSET, chart.collateral(side.own.party_id)).free_minor


def test_what_both_sign_in_a_dispute_is_due_in_the_next_cycle(court):
    """Bond and difference are held meanwhile; the debtor's daemon contests without being told."""
    lumen, borea = court.two.both()
    assert not isinstance(court.move(borea, MoveKind.OPEN), Refusal)
    court.is_cut = True
    court.after(PAUSE_US)
    assert court.stages() == ["unopened", "open"]
    court.is_cut = False
    court.after(PAUSE_US)
    assert court.stages() == ["contested", "contested"]
    assert [free(side) for side in (lumen, borea)] == [10**9 - CLAIM_MINOR, 10**9 - BOND_MINOR]
    for side in (lumen, borea):
        court.move(side, MoveKind.AGREE, 150_000)
    court.after(PAUSE_US)
    assert court.stages() == ["settled", "settled"]
    owed = -(2 * SESSION_MINOR + 150_000)
    for side in (lumen, borea):
        assert free(side) == 10**9
        books_agree(side)
        assert waits(side, 1) == []
        assert paid(side, 1)[lumen.own.party_id] == owed
    closed(court.two, 2)
    assert same(court.two).differences == ()


def test_a_claim_that_nobody_signs_loses_its_bond_to_the_debtor(court):
    lumen, borea = court.two.both()
    court.move(borea, MoveKind.OPEN)
    court.after(PAUSE_US)
    court.after(ANSWER_US + DECIDE_US)
    assert court.stages() == ["settled", "settled"]
    for side in (lumen, borea):
        books_agree(side)
        owed = paid(side, 600)[lumen.own.party_id]
        assert owed == -(2 * SESSION_MINOR - BOND_MINOR)


def test_what_was_agreed_since_is_disputed_no_more(court):
    """The debtor's report came a cycle later: both agree on the whole, on either side."""
    lumen, borea = court.two.both()
    lumen.meter("lie", 5 * OCTETS, at_s=120, home=lumen.own, visited=borea.own)
    closed(court.two, 2)
    assert [d.standing for d in same(court.two).differences] == [Standing.WITHIN_TOLERANCE]
    refused = court.move(borea, MoveKind.OPEN)
    assert refused.code == "agreed_since"
    for side in (lumen, borea):
        assert paid(side, 2)[lumen.own.party_id] == -6 * SESSION_MINOR


def test_a_difference_under_dispute_is_not_told_beside_it(court):
    borea = court.two.borea
    closed(court.two, 2)
    assert [d.standing for d in same(court.two).differences] == [Standing.ONE_SIDED]
    assert not isinstance(court.move(borea, MoveKind.OPEN), Refusal)
    closed(court.two, 3)
    assert same(court.two).differences == ()
    assert borea.clock.now_us() >= START_US + 3 * HOUR_US
