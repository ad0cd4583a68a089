"""Vouchers for single requests: what is served, what is refused, what a crash leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.paywall.channel_shop import (
    DEPOSIT_MINOR,
    OTHER,
    PAYER,
    ChannelShop,
    channel_shop,
    later,
)

from opencarrier.app.errands import Errands
from opencarrier.chain.contracts import X402_SETTLEMENT_ADDRESS, BatchChannels
from opencarrier.chain.model import Call
from opencarrier.channels import store
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.paywall import by_channel
from opencarrier.paywall.by_channel import Bought
from opencarrier.paywall.model import Way
from opencarrier.paywall.wire.exchange import read_required, read_settled

X402 = "invalid_batch_settlement_evm_"


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> Iterator[ChannelShop]:
    with channel_shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def shop(opened: ChannelShop) -> Iterator[ChannelShop]:
    later(opened)
    yield opened
    opened.agrees()


def revenue(shop: ChannelShop) -> int:
    return shop.balance(chart.revenue(shop.place.base.hub.party_id))


def test_a_voucher_buys_once_and_shown_again_gives_the_same(shop):
    before = revenue(shop)
    offer, config = shop.opened(salt=10)
    second = shop.voucher(offer, config, 2 * offer.amount_minor)
    answers = [shop.show("GET", shop.quote_url, second) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.text for answer in answers}) == 1
    assert revenue(shop) == before + 2 * offer.amount_minor
    told = read_settled(answers[0].headers["PAYMENT-RESPONSE"])
    assert (told.success, told.charged_minor) == (True, offer.amount_minor)
    elsewhere = shop.show("POST", shop.top_up_url, second)
    assert elsewhere.status_code == 402
    assert revenue(shop) == before + 2 * offer.amount_minor


def test_an_older_voucher_buys_nothing_and_its_payer_is_told_where_it_stands(shop):
    offer, config = shop.opened(salt=20)
    first = shop.voucher(offer, config, offer.amount_minor)
    for number in (2, 3):
        paid = shop.voucher(offer, config, number * offer.amount_minor)
        assert shop.show("GET", shop.quote_url, paid).status_code == 200
    answer = shop.show("GET", shop.quote_url, first)
    assert shop.why(answer) == X402 + "cumulative_amount_mismatch"
    _, told = read_required(answer.headers["PAYMENT-REQUIRED"]).offers
    standing = told.channel.standing
    assert standing.due_minor == standing.voucher_minor == 3 * offer.amount_minor
    assert standing.voucher_signature == paid.signature
    skipping = shop.voucher(offer, config, 5 * offer.amount_minor)
    assert shop.why(shop.show("GET", shop.quote_url, skipping)).endswith("mismatch")
    assert shop.channel(config).due_minor == 3 * offer.amount_minor


def test_what_is_no_payment_here_is_refused(shop):
    """Unknown, foreign or forged: nothing is served, kept or told of anybody's channel."""
    offer, config = shop.opened(salt=30)
    two = 2 * offer.amount_minor
    good = shop.voucher(offer, config, two)
    unknown = shop.voucher(offer, replace(config, salt=b"\x99" * 32), offer.amount_minor)
    cases = {
        X402 + "channel_not_found": unknown,
        X402 + "voucher_signature": shop.voucher(offer, config, two, signer=OTHER),
        X402 + "channel_id_mismatch": replace(good, channel_id=unknown.channel_id),
        "other_receiver": replace(good, config=replace(config, receiver=OTHER.address)),
        "other_asset": replace(good, config=replace(config, token=OTHER.address)),
        "other_amount": replace(good, offer=replace(offer, amount_minor=1, source="")),
    }
    for wanted, payment in cases.items():
        answer = shop.show("GET", shop.quote_url, payment)
        assert wanted in shop.why(answer)
        _, told = read_required(answer.headers["PAYMENT-REQUIRED"]).offers
        assert told.channel.standing is None
    assert shop.channel(config).due_minor == offer.amount_minor


def test_no_more_is_bought_than_was_deposited(shop):
    offer, config = shop.opened(salt=40)
    top_up = shop.offer("POST", shop.top_up_url)
    over = shop.voucher(top_up, config, offer.amount_minor + top_up.amount_minor)
    assert top_up.amount_minor > DEPOSIT_MINOR
    before = shop.prepaid
    refused = shop.show("POST", shop.top_up_url, over)
    assert shop.why(refused) == X402 + "cumulative_exceeds_balance"
    assert shop.prepaid == before


def test_a_deposit_that_would_not_come_opens_nothing(shop):
    """Forged, unfunded, out of bounds, valid for too long: refused before anything is kept."""
    offer = shop.offer("GET", shop.quote_url)
    config = shop.config(offer, salt=50)
    poor = shop.config(offer, signer=OTHER, salt=51)
    deposits = {
        "would_revert": (config, shop.deposit(config, signer=OTHER)),
        "deposit_simulation_failed": (poor, shop.deposit(poor, signer=OTHER, amount_minor=10**12)),
        "valid_too_long": (config, shop.deposit(config, valid_s=5_000)),
        "expired": (config, shop.deposit(config, valid_s=5)),
        "deposit_out_of_bounds": (config, shop.deposit(config, amount_minor=10)),
    }
    for wanted, (whose, deposit) in deposits.items():
        signer = OTHER if whose is poor else PAYER
        payment = shop.voucher(
            offer, whose, offer.amount_minor, way=Way.DEPOSIT, signer=signer, deposit=deposit
        )
        said = shop.why(shop.show("GET", shop.quote_url, payment))
        assert wanted in said or said == X402 + "deposit_simulation_failed"
    assert shop.why(shop.show("GET", shop.quote_url, shop.voucher(offer, config, 1_000))) == (
        X402 + "channel_not_found"
    )


def test_a_channel_for_use_buys_nothing(shop):
    """The same contract, the same book: but what pays for a session is no purse for requests."""
    offer, config = shop.opened(salt=60)
    place = shop.place
    with place.base.store.write() as unit:
        item = store.channel(unit, shop.voucher(offer, config, 1).channel_id)
        store.put_channel(unit, replace(item, subscriber=shop.made.subscriber.party_id))
    paid = shop.voucher(offer, config, 2 * offer.amount_minor)
    assert "foreign_channel" in shop.why(shop.show("GET", shop.quote_url, paid))


def test_nothing_is_taken_once_a_withdrawal_has_begun_and_what_is_due_is_claimed(shop):
    offer, config = shop.opened(salt=70)
    contract, client = BatchChannels(X402_SETTLEMENT_ADDRESS), shop.place.client
    shop.send(Call(to=PAYER.address, value_wei=10**17), "gas")
    leave = contract.initiate_withdraw(config, DEPOSIT_MINOR - offer.amount_minor)
    shop.place.work_of(PAYER).do(b"\x70" * 32, leave)
    assert shop.channel(config).claimed_minor == 0
    Errands(shop.place).tend_channels()
    assert shop.channel(config).withdrawing
    late = shop.voucher(offer, config, 2 * offer.amount_minor)
    assert "channel_ended" in shop.why(shop.show("GET", shop.quote_url, late))
    for _ in range(3):
        Errands(shop.place).tend_channels()
    assert shop.channel(config).claimed_minor == offer.amount_minor
    assert contract.channel(late.channel_id).ask(client).total_claimed_minor == offer.amount_minor


def test_of_two_requests_on_one_channel_one_wins(shop):
    """Both name the same voucher for different things: one is served, one told to sign anew."""
    offer, config = shop.opened(salt=80)
    urls = [shop.quote_url, shop.quote_url.replace("seconds=60", "seconds=61")]
    paid = shop.voucher(offer, config, 2 * offer.amount_minor)
    before, answers = revenue(shop), []

    def ask(url: str) -> None:
        answers.append(shop.show("GET", url, paid))

    threads = [threading.Thread(target=ask, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 402]
    assert revenue(shop) == before + offer.amount_minor
    assert shop.channel(config).due_minor == 2 * offer.amount_minor


def test_a_refund_is_the_payers_to_ask_and_ends_the_channel(shop):
    offer, config = shop.opened(salt=90)
    held = shop.held(PAYER.address)
    forged = shop.voucher(offer, config, offer.amount_minor, way=Way.REFUND, signer=OTHER)
    assert shop.why(shop.show("GET", shop.quote_url, forged)) == X402 + "voucher_signature"
    wrong = shop.voucher(offer, config, 2 * offer.amount_minor, way=Way.REFUND)
    assert shop.why(shop.show("GET", shop.quote_url, wrong)).endswith("mismatch")
    ask = shop.voucher(offer, config, offer.amount_minor, way=Way.REFUND)
    for _ in range(2):
        answer = shop.show("GET", shop.quote_url, ask)
        assert answer.status_code == 200, answer.text
        assert read_settled(answer.headers["PAYMENT-RESPONSE"]).success
    for _ in range(4):
        Errands(shop.place).tend_channels()
    assert shop.held(PAYER.address) == held + DEPOSIT_MINOR - offer.amount_minor
    after = shop.voucher(offer, config, 2 * offer.amount_minor)
    assert "channel_ended" in shop.why(shop.show("GET", shop.quote_url, after))


class KilledError(BaseException):
    """Nothing catches it, as nothing catches a kill."""


POINTS = ("before_voucher", "in_voucher", "after_voucher")


@pytest.mark.parametrize("point", POINTS)
def test_killed_between_voucher_and_answer_both_are_kept_or_neither(shop, monkeypatch, point):
    """After it the same voucher gets its answer, paid once; before it nothing was taken."""
    salt = 100 + POINTS.index(point) * 10
    offer, config = shop.opened(salt=salt, signer=OTHER)
    before = revenue(shop)
    paid = shop.voucher(offer, config, 2 * offer.amount_minor, signer=OTHER)

    def crashpoint(name: str) -> None:
        if name == f"purchase.{point}":
            raise KilledError(name)

    with monkeypatch.context() as patch:
        patch.setattr(by_channel, "crashpoint", crashpoint)
        with pytest.raises(KilledError):
            shop.buy_quote(paid)
    kept = point == "after_voucher"
    assert shop.channel(config).due_minor == (2 if kept else 1) * offer.amount_minor
    assert revenue(shop) == before + kept * offer.amount_minor
    bought = shop.buy_quote(paid)
    assert isinstance(bought, Bought), bought
    assert json.loads(bought.sale.answer)["plan"] == "prepaid"
    assert revenue(shop) == before + offer.amount_minor
    assert shop.buy_quote(paid) == bought


def test_a_part_is_not_given_back(shop):
    offer, config = shop.opened(salt=140)
    ask = shop.voucher(offer, config, offer.amount_minor, way=Way.REFUND)
    refused = shop.place.channel_sales.close(
        shop.place.base.store.write, replace(ask, refund_minor=5)
    )
    assert isinstance(refused, Refusal)
    assert refused.code == "refund_in_part"
