"""Our client pays once, whatever the server, the wire and the machine do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.app.paying import FileRecords
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import KeySigner
from opencarrier.paywall import rules
from opencarrier.paywall.client import (
    Answer,
    Bought,
    PaymentClient,
    Request,
    UnknownOutcomeError,
)
from opencarrier.paywall.model import Offer, Payment, Required, Settled
from opencarrier.paywall.rules import Limits
from opencarrier.paywall.wire.exchange import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    read_payment,
    write_required,
    write_settled,
)

START_S = 1_800_000_000
PAYER = KeySigner(b"\x11" * 32)
OFFER = Offer(
    scheme="exact",
    network="eip155:31337",
    token="0x" + "aa" * 20,
    receiver="0x" + "bb" * 20,
    amount_minor=1_000,
    timeout_s=300,
    name="Demo Dollar",
    version="1",
)
LIMITS = Limits(amount_minor_max=1_000, assets=frozenset({OFFER.asset}))
REQUEST = Request(method="GET", url="https://hub.example/v1/quote")


class Server:
    """Sells for OFFER and keeps count; `faults` are what happens to the answers, in order."""

    def __init__(self, *faults: str) -> None:
        self.faults = list(faults)
        self.taken: dict[bytes, Payment] = {}
        self.shown: list[Payment] = []

    def send(self, request, headers) -> Answer:
        header = headers.get(PAYMENT_SIGNATURE)
        if header is None:
            required = Required(url=request.url, description="", offers=(OFFER,))
            return Answer(
                status=402, headers={PAYMENT_REQUIRED: write_required(required)}, body=b""
            )
        payment = read_payment(header)
        self.shown.append(payment)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "lost request":
            raise OSError("lost")
        if fault == "refused":
            return self._outcome(402, payment, "no")
        self.taken[payment.authorization.nonce] = payment
        if fault == "lost answer":
            raise OSError("lost")
        if fault == "broken":
            return Answer(status=500, headers={}, body=b"")
        return self._outcome(200, payment, "")

    def _outcome(self, status: int, payment: Payment, error: str) -> Answer:
        settled = Settled(
            success=not error,
            network=OFFER.network,
            payer=payment.authorization.sender,
            amount_minor=payment.authorization.amount_minor,
            tx_hash=b"" if error else b"\x07" * 32,
            error=error,
        )
        headers = {PAYMENT_RESPONSE: write_settled(settled)}
        return Answer(status=status, headers=headers, body=b'{"weather": "fair"}')


class Nonces:
    """What a chain says of payments: the server's books, once their time is over."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def used(self, payment: Payment) -> bool:
        return payment.authorization.nonce in self.server.taken


class Buyer:
    """A client with a folder, started anew for every attempt as a command is."""

    def __init__(self, server: Server, folder, *, limits: Limits = LIMITS, asks=True) -> None:
        self.server, self.folder, self.limits, self.asks = server, folder, limits, asks
        self.clock, self.entropy = FixedClock(START_S * SECOND_US), SeededEntropy(1)

    def buy(self, request: Request = REQUEST):
        client = PaymentClient(
            self.server,
            PAYER,
            self.limits,
            FileRecords(self.folder),
            clock=self.clock,
            entropy=self.entropy,
            nonces=Nonces(self.server) if self.asks else None,
        )
        try:
            return client.buy(request)
        except UnknownOutcomeError as error:
            return error

    def later(self, seconds: int) -> None:
        self.clock.set(self.clock.now_us() + seconds * SECOND_US)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "payments"


def test_it_pays_what_is_asked_and_returns_what_it_bought(folder):
    server = Server()
    bought = Buyer(server, folder).buy()
    assert json.loads(bought.answer.body) == {"weather": "fair"}
    assert bought.settled.tx_hash == b"\x07" * 32
    (payment,) = server.taken.values()
    assert rules.judge(OFFER, payment, now_us=START_S * SECOND_US) is None


def test_a_url_that_asks_for_nothing_is_given_without_paying(folder):
    class Free:
        def send(self, request, headers):
            return Answer(status=200, headers={}, body=b"free")

    bought = Buyer(Free(), folder).buy()
    assert (bought.answer.body, bought.payment) == (b"free", None)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("fault", ["lost request", "lost answer", "broken"])
def test_an_unknown_outcome_is_asked_again_with_the_same_payment(folder, fault):
    server = Server(fault, fault)
    buyer = Buyer(server, folder)
    assert isinstance(buyer.buy(), UnknownOutcomeError)
    assert isinstance(buyer.buy(), UnknownOutcomeError)
    assert isinstance(buyer.buy(), Bought)
    assert len({payment.authorization.nonce for payment in server.shown}) == 1
    assert len(server.taken) == 1


def test_a_refused_payment_is_kept_for_it_can_still_be_used(folder):
    server = Server("refused")
    buyer = Buyer(server, folder)
    refused = buyer.buy()
    assert refused.code == "refused"
    assert "no; the payment is kept" in refused.detail
    assert isinstance(buyer.buy(), Bought)
    assert len({payment.authorization.nonce for payment in server.shown}) == 1


def test_a_payment_over_and_unused_is_forgotten_and_another_made(folder):
    """Only a chain can say so; without one the same is sent for ever, which pays nothing twice."""
    server = Server("refused", "refused", "refused")
    blind = Buyer(server, folder, asks=False)
    blind.buy()
    blind.later(301)
    assert blind.buy().code == "refused"
    seeing = Buyer(server, folder)
    seeing.entropy = SeededEntropy(2)
    seeing.later(299)
    assert seeing.buy().code == "refused"
    seeing.later(2)
    assert isinstance(seeing.buy(), Bought)
    assert len({payment.authorization.nonce for payment in server.shown}) == 2
    assert len(server.taken) == 1


def test_a_payment_over_and_used_is_never_replaced(folder):
    """The answer was lost and the time is over: the same is shown until the server answers."""
    server = Server("lost answer", "refused")
    buyer = Buyer(server, folder)
    assert isinstance(buyer.buy(), UnknownOutcomeError)
    buyer.later(10_000)
    assert buyer.buy().code == "refused"
    assert isinstance(buyer.buy(), Bought)
    assert len(server.taken) == 1


def test_a_purchase_with_a_name_is_made_once_and_one_without_each_time(folder):
    server = Server()
    buyer, named = Buyer(server, folder), replace(REQUEST, reference="one")
    first = buyer.buy(named)
    assert buyer.buy(named) == first
    assert len(server.shown) == 1
    buyer.buy()
    buyer.buy()
    assert len(server.taken) == 3


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (replace(LIMITS, amount_minor_max=999), "above_limit"),
        (replace(LIMITS, assets=frozenset()), "asset_not_allowed"),
        (replace(LIMITS, receivers=frozenset({"0x" + "cc" * 20})), "receiver_not_allowed"),
    ],
)
def test_beyond_its_limits_nothing_is_signed(folder, limits, reason):
    server = Server()
    refused = Buyer(server, folder, limits=limits).buy()
    assert isinstance(refused, Refusal)
    assert refused.code == reason
    assert server.shown == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["http://hub.example/", "ftp://hub.example/", "http://127.0.0.1.evil.example/", "x"]
)
def test_a_payment_is_not_shown_on_the_way(folder, url):
    with pytest.raises(ValueError, match="https"):
        Buyer(Server(), folder).buy(Request(method="GET", url=url))


def test_this_machine_needs_no_https(folder):
    assert isinstance(
        Buyer(Server(), folder).buy(Request(method="GET", url="http://[::1]:1/")), Bought
    )


def test_a_402_without_offers_is_the_servers_mistake(folder):
    class Silent:
        def send(self, request, headers):
            return Answer(status=402, headers={}, body=b"")

    with pytest.raises(PeerError, match="header_missing"):
        Buyer(Silent(), folder).buy()


def test_a_damaged_record_stops_the_purchase(folder):
    """Better nothing than a second payment beside one that cannot be read."""
    server = Server("lost answer")
    buyer = Buyer(server, folder)
    buyer.buy()
    (path,) = folder.iterdir()
    path.write_text(path.read_text()[:-20])
    with pytest.raises(PeerError, match="damaged"):
        buyer.buy()
    assert len(server.shown) == 1


def test_killed_between_keeping_and_sending_it_sends_what_it_kept(folder, monkeypatch):
    """And killed before it kept, it has shown nothing to anybody."""
    server = Server()
    buyer = Buyer(server, folder)
    send = server.send

    def die(request, headers):
        if PAYMENT_SIGNATURE in headers:
            raise KeyboardInterrupt
        return send(request, headers)

    monkeypatch.setattr(server, "send", die)
    with pytest.raises(KeyboardInterrupt):
        buyer.buy()
    (path,) = folder.iterdir()
    kept = read_payment(json.loads(path.read_text())["header"])
    monkeypatch.setattr(server, "send", send)
    assert buyer.buy().payment == kept
    assert list(server.taken) == [kept.authorization.nonce]


FAULTS = st.sampled_from(["", "lost request", "lost answer", "broken", "refused"])


@settings(max_examples=30, deadline=None)
@given(
    faults=st.lists(FAULTS, max_size=6),
    pauses=st.lists(st.integers(0, 400), max_size=8),
    data=st.data(),
)
def test_one_purchase_is_never_paid_twice(tmp_path_factory, faults, pauses, data):
    """Whatever happens and however often it is tried, with a chain to ask or without."""
    server = Server(*faults)
    buyer = Buyer(server, tmp_path_factory.mktemp("purchase"), asks=data.draw(st.booleans()))
    request = replace(REQUEST, reference="one")
    for pause in [*pauses, 0]:
        buyer.later(pause)
        outcome = buyer.buy(request)
        assert isinstance(outcome, Bought | Refusal | UnknownOutcomeError)
        assert len(server.taken) <= 1
        if isinstance(outcome, Bought):
            assert outcome.payment.authorization.nonce in server.taken
