"""The till pays operators out of what payments brought, once for each reference."""

from __future__ import annotations

import json

from opencarrier.app.chain_status import chain_status
from opencarrier.app.errands import Errands
from opencarrier.app.till import TillDesk, till_status
from opencarrier.chain.contracts import StableToken
from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

from .scene import Scene, scene, taken

GIFT, PAID = 700, 9_000


def told(made: Scene) -> dict:
    with made.place.base.store.read() as unit:
        assert ledger.check(unit).findings == ()
        status = till_status(made.place, unit)
        assert chain_status(made.place, unit)["till"] == status
    assert status["held_minor"] == status["booked_minor"]
    return status


def fill(made: Scene, amount_minor: int, name: str) -> None:
    """Tokens reach the till; nobody says for what."""
    till = made.place.paywall.till
    token = StableToken(till.token)
    made.place.work.do(derive("test", name), token.mint(till.address, amount_minor))
    Errands(made.place).see_payments_through()


def test_an_operator_is_paid_once_for_each_reference(tmp_path):
    """What is no payment's stays; the books follow, whoever sent the tokens out."""
    with scene(tmp_path) as made:
        place, desk = made.place, TillDesk(made.place)
        receiver, till = made.home.address, made.place.paywall.till
        fill(made, GIFT, "gift")
        assert told(made)["unclaimed_minor"] == GIFT
        assert desk.pay_out(receiver, GIFT, reference="a").code == "short"
        fill(made, PAID, "paid")
        with place.base.store.write() as unit:
            _credit(made, unit, PAID)
        assert told(made)["unclaimed_minor"] == GIFT
        first = taken(desk.pay_out(receiver, PAID - 1, reference="a"))
        assert taken(desk.pay_out(receiver, PAID - 1, reference="a")) == first
        assert desk.pay_out(receiver, 2, reference="b").code == "short"
        assert desk.pay_out(receiver, 0, reference="b").code == "bad_amount"
        token = StableToken(till.token)
        assert token.balance_of(receiver).ask(place.client) == PAID - 1
        assert told(made)["held_minor"] == GIFT + 1
        with place.base.store.read() as unit:
            funding = chart.funding(made.home.party_id)
            assert ledger.balance(unit, till.asset, funding).posted_minor == -(
                PAID - 1 + 50_000_000
            )


def _credit(made: Scene, unit, amount_minor: int) -> None:
    """Book what came as somebody's payment."""
    from opencarrier.ledger.model import Transfer

    asset = made.place.manifest.asset
    revenue = chart.revenue(made.place.base.hub.party_id)
    ledger.ensure(unit, asset, [chart.UNCLAIMED, revenue])
    transfer = Transfer(
        transfer_id=derive("test", "credit"),
        asset=asset,
        debit=chart.UNCLAIMED,
        credit=revenue,
        amount_minor=amount_minor,
        code="test",
    )
    assert ledger.apply(unit, [transfer], made.clock.now_us()) == [None]


def test_the_commands(run, tmp_path):
    data = ("--data", str(tmp_path))
    with scene(tmp_path) as made:
        fill(made, PAID, "paid")
        with made.place.base.store.write() as unit:
            _credit(made, unit, PAID)
    pay = ("chain", "till", "pay-out", "Home")
    done = json.loads(run(*pay, "4000", "--reference", "one", *data, "--json"))
    assert json.loads(run(*pay, "4000", "--reference", "one", *data, "--json")) == done
    shown = json.loads(run("chain", "till", "status", *data, "--json"))
    assert (shown["held_minor"], shown["unclaimed_minor"]) == (PAID - 4_000, 0)
    assert json.loads(run("status", *data, "--json"))["till"] == shown
    assert "hint: see: opencarrier chain till status" in run(*pay, "5001", *data, code=1)
    assert "agrees_with_contracts" in run("ledger", "check", *data)
