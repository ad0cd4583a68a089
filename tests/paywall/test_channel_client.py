"""Our client through a channel: one deposit, a voucher a purchase, and nothing paid twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest
from tests.paywall.channel_shop import PAYER, ChannelShop, channel_shop, later

from opencarrier.app.errands import Errands
from opencarrier.app.paying import FilePurses, FileRecords
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.paywall.channel_client import ChannelBuyer
from opencarrier.paywall.client import (
    Answer,
    Bought,
    PaymentClient,
    Request,
    UnknownOutcomeError,
)
from opencarrier.paywall.model import Way
from opencarrier.paywall.purse import ChannelPayer, Purse
from opencarrier.paywall.rules import Limits
from opencarrier.paywall.wire.exchange import PAYMENT_SIGNATURE
from opencarrier.paywall.wire.vouchers import read_any_payment

BASE = "http://127.0.0.1"
DEPOSIT_MAX = 300_000


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> Iterator[ChannelShop]:
    with channel_shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def shop(opened: ChannelShop) -> Iterator[ChannelShop]:
    later(opened)
    yield opened
    opened.agrees()


class Wire:
    """Carries requests to the shop; loses the answers it is told to, and remembers payments."""

    def __init__(self, shop: ChannelShop) -> None:
        self.shop = shop
        self.lost = 0
        self.payments: list = []

    def send(self, request: Request, headers: Mapping[str, str]) -> Answer:
        answer = self.shop.client.request(request.method, request.url, headers=dict(headers))
        if PAYMENT_SIGNATURE in headers:
            self.payments.append(read_any_payment(headers[PAYMENT_SIGNATURE]))
            if self.lost:
                self.lost -= 1
                raise OSError("the line is dead")
        told = {name.upper(): value for name, value in answer.headers.items()}
        return Answer(status=answer.status_code, headers=told, body=answer.content)


class Buyer:
    """A client of ours with its folder."""

    def __init__(self, shop: ChannelShop, folder, *, seed: int, deposit: int = DEPOSIT_MAX) -> None:
        self.shop, self.wire = shop, Wire(shop)
        self.records, self.purses = FileRecords(folder), FilePurses(folder)
        clock, entropy = shop.made.clock, SeededEntropy(seed)
        limits = Limits(
            amount_minor_max=5_000_000,
            assets=frozenset({shop.place.manifest.asset}),
            deposit_minor_max=deposit,
        )
        payer = ChannelPayer(PAYER, limits, self.purses, clock=clock, entropy=entropy)
        self.channels = ChannelBuyer(self.wire, self.records, payer, clock=clock)
        self.client = PaymentClient(
            self.wire,
            PAYER,
            limits,
            self.records,
            clock=clock,
            entropy=entropy,
            channels=self.channels,
        )

    def request(self, reference: str = "") -> Request:
        return Request(method="GET", url=BASE + self.shop.quote_url, reference=reference)

    def buy(self, reference: str = "") -> Bought:
        bought = self.client.buy(self.request(reference))
        assert isinstance(bought, Bought), bought
        assert bought.answer.status == 200
        return bought

    @property
    def due_minor(self) -> int:
        return self.shop.channel(self.wire.payments[-1].config).due_minor


def test_one_deposit_then_a_voucher_a_purchase_then_the_rest_comes_back(shop, tmp_path):
    buyer, purse = Buyer(shop, tmp_path, seed=1), shop.held(PAYER.address)
    bought = [buyer.buy() for _ in range(3)]
    assert [payment.way for payment in buyer.wire.payments] == [
        Way.DEPOSIT,
        Way.VOUCHER,
        Way.VOUCHER,
    ]
    price = bought[0].payment.offer.amount_minor
    assert buyer.due_minor == 3 * price
    assert all(one.settled.charged_minor == price for one in bought)
    ended = buyer.channels.refund(buyer.request())
    assert isinstance(ended, Bought)
    for _ in range(4):
        Errands(shop.place).tend_channels()
    assert shop.held(PAYER.address) == purse - 3 * price
    assert buyer.channels.refund(buyer.request()).code == "nothing_left"
    buyer.buy()
    first, last = buyer.wire.payments[0], buyer.wire.payments[-1]
    assert last.way is Way.DEPOSIT
    assert last.config.salt != first.config.salt, "an old voucher must not count in a new channel"


def test_a_lost_answer_is_fetched_and_not_paid_again(shop, tmp_path):
    """The same payment goes out again; a purchase with a name is then answered from its record."""
    buyer = Buyer(shop, tmp_path, seed=2)
    buyer.wire.lost = 2
    for _ in range(2):
        with pytest.raises(UnknownOutcomeError):
            buyer.client.buy(buyer.request("a"))
    other = buyer.client.buy(buyer.request("b"))
    assert other.code == "unfinished", "one purchase of a channel at a time"
    first = buyer.buy("a")
    assert len({repr(payment) for payment in buyer.wire.payments}) == 1
    assert buyer.due_minor == first.payment.offer.amount_minor
    sent = len(buyer.wire.payments)
    assert buyer.buy("a") == first
    assert len(buyer.wire.payments) == sent
    buyer.buy("b")
    assert buyer.due_minor == 2 * first.payment.offer.amount_minor


def test_a_deposit_keeps_to_its_limit(shop, tmp_path):
    """Less than a server would like is put in; a purchase that needs more is not begun."""
    buyer = Buyer(shop, tmp_path, seed=3, deposit=100_000)
    top_up = Request(method="POST", url=BASE + shop.top_up_url)
    refused = buyer.client.buy(top_up)
    assert refused.code == "above_limit"
    assert list(tmp_path.glob("*.json")) == []
    buyer.buy()
    assert buyer.wire.payments[0].deposit.amount_minor == 100_000


def test_without_a_deposit_allowed_it_pays_exactly(shop, tmp_path):
    buyer = Buyer(shop, tmp_path, seed=4, deposit=0)
    bought = buyer.client.buy(buyer.request())
    assert isinstance(bought, Bought)
    assert bought.payment.offer.channel is None
    shop.made.errands.see_payments_through()


def test_a_purse_that_is_behind_is_put_right(shop, tmp_path):
    """Restored from a copy, it signs too little; the shop shows its own voucher, it goes on."""
    buyer = Buyer(shop, tmp_path, seed=5)
    buyer.buy()
    key = buyer.channels._payer.key(buyer.wire.payments[0].offer)
    copy = buyer.purses.find(key)
    for _ in range(2):
        buyer.buy()
    buyer.purses.keep(key, copy)
    refused = buyer.client.buy(buyer.request("late"))
    assert refused.code == "taken", "its voucher was given for an earlier purchase"
    price = buyer.wire.payments[0].offer.amount_minor
    assert buyer.purses.find(key).spent_minor == 3 * price
    buyer.buy("late")
    assert buyer.due_minor == 4 * price


class KilledError(BaseException):
    """Nothing catches it, as nothing catches a kill."""


STEPS = ("records.keep", "records.paid", "purses.keep", "purses.after")


@pytest.mark.parametrize("step", STEPS)
def test_killed_between_any_two_writes_a_purchase_is_paid_once(shop, tmp_path, monkeypatch, step):
    buyer = Buyer(shop, tmp_path, seed=10 + STEPS.index(step))
    price = buyer.buy().payment.offer.amount_minor
    kept = {"records": buyer.records.keep, "purses": buyer.purses.keep}
    calls = {"records": 0, "purses": 0}
    place, moment = step.split(".")
    wanted = 1 if moment == "keep" else 2

    def keep(where: str):
        def dying(*arguments) -> None:
            calls[where] += 1
            if where == place and calls[where] == wanted:
                raise KilledError(step)
            kept[where](*arguments)

        return dying

    with monkeypatch.context() as patch:
        patch.setattr(buyer.records, "keep", keep("records"))
        patch.setattr(buyer.purses, "keep", keep("purses"))
        with pytest.raises(KilledError):
            buyer.client.buy(buyer.request("once"))
    buyer.buy("once")
    assert buyer.due_minor == 2 * price
    buyer.buy("next")
    assert buyer.due_minor == 3 * price


def test_a_damaged_purse_is_named(tmp_path):
    purses, key = FilePurses(tmp_path), derive("test", "purse")
    purses.keep(key, Purse(salt=bytes(32), deposited_minor=5, open=key))
    assert purses.find(key) == Purse(salt=bytes(32), deposited_minor=5, open=key)
    (path,) = tmp_path.glob("*.purse")
    path.write_text(json.dumps({"salt": "0x12"}))
    with pytest.raises(PeerError, match="is damaged"):
        purses.find(key)
    purses.drop(key)
    assert purses.find(key) is None
