"""Dead at any point between keep, send, mined and credit: no unit lost, none doubled.

The process is not really killed here (`tests/crash` does that); an exception leaves each unit of
work as a kill would: rolled back as a whole.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.paywall.shop import AMOUNT, PAYER, Shop

from opencarrier.chain import logs, transactions
from opencarrier.kernel.clock import SECOND_US
from opencarrier.paywall import books, service

ROOMS = (books, logs, service, transactions)


class KilledError(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def points() -> list[str]:
    found: set[str] = set()
    for path in (Path(room.__file__) for room in ROOMS):
        found |= set(re.findall(r'crashpoint\("([^"]+)"\)', path.read_text()))
    return sorted(found)


def test_there_are_points_between_every_two_steps():
    assert {point.split(".")[0] for point in points()} == {"chain", "paywall"}
    assert len(points()) >= 9


@pytest.fixture
def dying(monkeypatch):
    """Die at a named point at its N-th pass; return whether it was reached."""
    passed: list[str] = []

    def arm(point: str, number: int) -> list[str]:
        def crashpoint(name: str) -> None:
            if name == point:
                passed.append(name)
                if len(passed) == number:
                    raise KilledError(name)

        for room in ROOMS:
            monkeypatch.setattr(room, "crashpoint", crashpoint)
        return passed

    return arm


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("point", points())
def test_killed_anywhere_a_payment_counts_once(till: Shop, dying, point, number):
    """Whoever paid sends the same again and gets it; if nobody does, it is credited anyhow."""
    before, purse = till.prepaid, till.held(PAYER.address)
    payment = till.sign(till.ask("POST", till.top_up_url))
    passed = dying(point, number)
    try:
        till.buy_top_up(payment)
    except KilledError:
        kept = point != "paywall.before_keep"
        till.made.errands.recover()
        assert till.prepaid == before + AMOUNT * kept
    assert till.pay("POST", till.top_up_url, payment).status_code == 200
    assert till.prepaid == before + AMOUNT
    assert till.held(PAYER.address) == purse - AMOUNT
    assert passed, "the point is on the way"
    till.made.clock.set(till.made.clock.now_us() + SECOND_US)
