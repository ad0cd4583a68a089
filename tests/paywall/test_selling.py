"""The hub sells for signed payments: each counts once, for one resource, whatever goes wrong."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook
from tests.paywall.shop import AMOUNT, OTHER, PAYER, STRANGER, Shop, body

from opencarrier.app.selling import PAYMENTS_BURST, WAITING_MAX
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.events import AuthorizationUsed
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import cancel_digest
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner, Signature, verify
from opencarrier.ledger import chart
from opencarrier.paywall import rules
from opencarrier.paywall.model import Payment
from opencarrier.paywall.service import PAYER_OPEN_MAX, PURPOSE, RESOURCE_CHARACTERS_MAX
from opencarrier.paywall.wire.exchange import (
    PAYMENT_SIGNATURE,
    read_required,
    read_settled,
    write_payment,
)
from opencarrier.paywall.wire.fields import HEADER_CHARACTERS_MAX
from opencarrier.webhooks.model import INSTALLATION, Outcome
from opencarrier.webhooks.rules import signature


def error_of(answer) -> str:
    return read_required(answer.headers["PAYMENT-REQUIRED"]).error.partition(":")[0]


def test_a_top_up_is_credited_with_what_was_paid(till):
    before, held = till.prepaid, till.held(till.place.paywall.till.address)
    answer = till.pay("POST", till.top_up_url, till.sign(till.ask("POST", till.top_up_url)))
    assert answer.status_code == 200
    assert body(answer)["amount_minor"] == AMOUNT
    assert till.prepaid == before + AMOUNT
    assert till.held(till.place.paywall.till.address) == held + AMOUNT
    settled = read_settled(answer.headers["PAYMENT-RESPONSE"])
    assert settled.success
    assert till.place.client.receipt(settled.tx_hash).succeeded


def test_a_payment_is_heard_by_whose_it_is_and_a_sale_by_the_installation(till):
    """A top-up is its subscriber's alone; each is signed for who hears it, and told once."""
    hooks, store, heard = till.place.base.webhooks, till.place.base.store, []
    with store.write() as unit:
        shown = [
            hooks.add(unit, party, "https://a.example", ["payment.received"], plain=False)
            for party in (till.made.subscriber.party_id, INSTALLATION)
        ]
    for method, url in (("POST", till.top_up_url), ("GET", till.quote_url)):
        payment = till.sign(till.ask(method, url))
        assert [till.pay(method, url, payment).status_code for _ in "ab"] == [200, 200]
    till.place.paywall.look(store.write, now_us=till.place.base.clock.now_us())
    for one in shown:
        with store.write() as unit:
            attempt = hooks.next(unit, one.endpoint.endpoint)
            hooks.tried(unit, attempt, Outcome(status=204))
            assert hooks.next(unit, one.endpoint.endpoint) is None
            hooks.remove(unit, one.endpoint)
        sent, at_s = attempt.message, int(datetime.now(UTC).timestamp())
        headers = {
            "webhook-id": sent.message,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signature(attempt.secrets, sent.message, at_s, sent.body),
        }
        heard.append(Webhook(one.secret).verify(sent.body, headers)["data"])
    assert [one["party"] for one in heard] == [till.made.subscriber.party_id, None]
    assert len({one["payment_id"] for one in heard}) == 2
    assert till.made.subscriber.party_id not in str(heard[1])


def test_a_quote_is_the_price_of_that_use_signed_by_the_hub(till):
    """9,766 begun steps of 1,024 octets at 5,200 nano are 50,783; 20 % tax on top are 10,157."""
    answer = till.pay("GET", till.quote_url, till.sign(till.ask("GET", till.quote_url)))
    assert answer.status_code == 200
    told = body(answer)
    assert (told["amount_minor"], told["tax_minor"]) == (60_940, 10_157)
    signature = Signature(told.pop("signed_by"), bytes.fromhex(told.pop("signature")[2:]))
    assert signature.kid == till.place.base.hub.address
    assert verify(derive("retail-quote", told), signature)


def test_a_402_says_how_to_pay_in_header_and_body(till):
    answer = till.client.post(till.top_up_url)
    assert answer.status_code == 402
    assert answer.headers["cache-control"] == "no-store"
    assert body(answer)["accepts"][0]["amount"] == str(AMOUNT)
    (offer,) = read_required(answer.headers["PAYMENT-REQUIRED"]).offers
    assert offer.token == till.token.address
    domain = till.token.signing_domain().ask(till.place.client)
    assert rules.domain_of(offer) == domain


def test_a_lost_answer_is_given_again_and_nothing_is_taken_twice(till):
    """Also when the time of the payment is over, and when the price has changed since."""
    payment = till.sign(till.ask("GET", till.quote_url))
    first = till.pay("GET", till.quote_url, payment)
    held = till.held(PAYER.address)
    till.made.clock.set(till.made.clock.now_us() + 3_600 * SECOND_US)
    again = till.pay("GET", till.quote_url, payment)
    assert first.status_code == again.status_code == 200
    assert again.text == first.text
    assert again.headers["PAYMENT-RESPONSE"] == first.headers["PAYMENT-RESPONSE"]
    assert till.held(PAYER.address) == held


def test_a_payment_is_for_the_resource_it_was_first_given_for(till):
    offer = till.ask("POST", till.top_up_url)
    payment = till.sign(offer)
    assert till.pay("POST", till.top_up_url, payment).status_code == 200
    before = till.prepaid
    other = till.pay("POST", till.top_up_url + "&more=1", payment)
    assert other.status_code == 402
    assert error_of(other) == "reused"
    assert till.prepaid == before


def test_another_payment_with_a_used_nonce_is_refused(till):
    """The nonce names the payment: signed anew for the same resource it is not the same."""
    first = till.sign(till.ask("POST", till.top_up_url))
    assert till.pay("POST", till.top_up_url, first).status_code == 200
    again = till.sign(first.offer, nonce=first.authorization.nonce, valid_after_s=1)
    assert error_of(till.pay("POST", till.top_up_url, again)) == "reused"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda shop, offer: shop.sign(replace(offer, network="eip155:1", source="")),
            "other_network",
        ),
        (
            lambda shop, offer: shop.sign(replace(offer, token="0x" + "ab" * 20, source="")),
            "other_asset",
        ),
        (lambda shop, offer: shop.sign(offer, receiver=OTHER.address), "other_receiver"),
        (lambda shop, offer: shop.sign(offer, amount_minor=AMOUNT - 1), "other_amount"),
        (lambda shop, offer: shop.sign(offer, valid_before_s=shop.now_s), "expired"),
        (lambda shop, offer: shop.sign(offer, valid_after_s=shop.now_s), "not_yet_valid"),
        (lambda shop, offer: shop.sign(replace(offer, name="Other")), "bad_signature"),
        (lambda shop, offer: shop.sign(offer, signer=KeySigner(b"\x55" * 32)), "short_of_tokens"),
    ],
)
def test_a_payment_that_does_not_pay_is_told_why(till, change, reason):
    """It gets 402 with the offer again, and nothing of it is kept or sent."""
    before = till.place.client.nonce(till.place.manager.sender)
    payment = change(till, till.ask("POST", till.top_up_url))
    answer = till.pay("POST", till.top_up_url, payment)
    assert answer.status_code == 402
    assert error_of(answer) == reason
    told = read_settled(answer.headers["PAYMENT-RESPONSE"])
    assert (told.success, told.error, told.tx_hash) == (False, reason, b"")
    assert till.place.client.nonce(till.place.manager.sender) == before


def test_a_payer_without_enough_is_refused_before_any_gas_is_spent(till):
    poor = KeySigner(b"\x66" * 32)
    till.send(till.token.mint(poor.address, AMOUNT - 1), "poor")
    payment = till.sign(till.ask("POST", till.top_up_url), signer=poor)
    assert error_of(till.pay("POST", till.top_up_url, payment)) == "short_of_tokens"


@pytest.mark.parametrize("stop", ["pause", "freeze"])
def test_a_token_that_will_not_move_is_found_out_before_any_gas_is_spent(till, stop):
    token = till.token
    on, off = {
        "pause": (token.set_paused(paused=True), token.set_paused(paused=False)),
        "freeze": (token.freeze(PAYER.address), token.unfreeze(PAYER.address)),
    }[stop]
    offer = till.ask("POST", till.top_up_url)
    payment = till.sign(offer)
    till.send(on, f"{stop} on")
    refused = till.pay("POST", till.top_up_url, payment)
    till.send(off, f"{stop} off")
    assert error_of(refused) == "would_revert"
    assert till.pay("POST", till.top_up_url, payment).status_code == 200


def test_a_payment_somebody_else_submits_counts_all_the_same(till):
    """Anybody may submit an authorisation: what counts is the transfer, not who sent it."""
    before = till.prepaid
    payment = till.sign(till.ask("POST", till.top_up_url))
    assert till.pay_held_back("POST", till.top_up_url, payment).status_code == 503
    till.stranger_submits(submission(till, payment))
    answer = till.pay("POST", till.top_up_url, payment)
    assert answer.status_code == 200
    assert till.prepaid == before + AMOUNT
    settled = read_settled(answer.headers["PAYMENT-RESPONSE"])
    assert till.place.client.receipt(settled.tx_hash).sender == STRANGER.address


def submission(till: Shop, payment: Payment) -> Call:
    return till.token.transfer_with_authorization(payment.authorization, payment.signature)


def test_a_payment_submitted_before_it_is_shown_buys_nothing_and_is_not_lost(till):
    """Its money is in the till and nobody's until a person looks: it names no resource."""
    before, unclaimed = till.prepaid, till.balance(chart.UNCLAIMED)
    payment = till.sign(till.ask("POST", till.top_up_url))
    till.stranger_submits(submission(till, payment))
    assert error_of(till.pay("POST", till.top_up_url, payment)) == "nonce_used"
    till.made.errands.see_payments_through()
    assert till.prepaid == before
    assert till.balance(chart.UNCLAIMED) == unclaimed + AMOUNT


def test_a_gift_to_the_till_is_nobodys(till):
    unclaimed = till.balance(chart.UNCLAIMED)
    till.send(till.token.mint(till.place.paywall.till.address, 17), "gift")
    till.made.errands.see_payments_through()
    assert till.balance(chart.UNCLAIMED) == unclaimed + 17


def test_what_is_not_through_yet_is_told_so_and_goes_on(till):
    """503: the outcome is not known, the same request is safe; in the end it is given once."""
    before = till.prepaid
    payment = till.sign(till.ask("POST", till.top_up_url))
    waiting = till.pay_held_back("POST", till.top_up_url, payment)
    assert waiting.status_code == 503
    assert waiting.headers["content-type"] == "application/problem+json"
    assert body(waiting)["title"] == "payment_under_way"
    assert waiting.headers["retry-after"]
    assert till.prepaid == before
    till.made.errands.see_payments_through()
    assert till.prepaid == before + AMOUNT
    assert till.pay("POST", till.top_up_url, payment).status_code == 200
    assert till.prepaid == before + AMOUNT


def test_a_payment_that_was_cancelled_is_dead_and_pays_nothing(till):
    before = till.prepaid
    payment = till.sign(till.ask("POST", till.top_up_url))
    assert till.pay_held_back("POST", till.top_up_url, payment).status_code == 503
    given = payment.authorization
    domain = rules.domain_of(payment.offer)
    digest = cancel_digest(domain, authorizer=given.sender, nonce=given.nonce)
    cancel = till.token.cancel_authorization(given.sender, given.nonce, PAYER.sign(digest).octets)
    till.stranger_submits(cancel)
    for _ in range(2):
        refused = till.pay("POST", till.top_up_url, payment)
        assert error_of(refused) == "dead"
    assert till.prepaid == before


def test_a_payment_that_went_elsewhere_under_its_nonce_is_dead(till):
    """The payer uses the nonce for a transfer to itself: the log is there, our transfer is not."""
    before = till.prepaid
    payment = till.sign(till.ask("POST", till.top_up_url))
    assert till.pay_held_back("POST", till.top_up_url, payment).status_code == 503
    away = till.sign(payment.offer, nonce=payment.authorization.nonce, receiver=OTHER.address)
    till.stranger_submits(submission(till, away))
    assert error_of(till.pay("POST", till.top_up_url, payment)) == "dead"
    assert till.prepaid == before


def test_a_payment_whose_time_ran_out_unmined_is_dead(till):
    payment = till.sign(till.ask("POST", till.top_up_url))
    assert till.pay_held_back("POST", till.top_up_url, payment).status_code == 503
    till.later(400)
    assert error_of(till.pay_held_back("POST", till.top_up_url, payment)) == "dead"


def test_a_payer_who_empties_its_purse_in_between_pays_nothing(till):
    """Our transaction reverts; the payment stays open until its time is over, then it is dead."""
    poor = KeySigner(b"\x77" * 32)
    till.send(till.token.mint(poor.address, AMOUNT), "purse")
    before = till.prepaid
    payment = till.sign(till.ask("POST", till.top_up_url), signer=poor)
    assert till.pay_held_back("POST", till.top_up_url, payment).status_code == 503
    away = till.sign(payment.offer, signer=poor, receiver=OTHER.address)
    till.stranger_submits(submission(till, away))
    assert till.pay("POST", till.top_up_url, payment).status_code == 503
    till.later(400)
    assert error_of(till.pay("POST", till.top_up_url, payment)) == "dead"
    assert till.prepaid == before


def test_an_endpoint_that_hid_a_transfer_costs_the_payer_nothing(till):
    """Dead on a chain that did not show its logs, a payment revives when it comes again."""
    before, unclaimed = till.prepaid, till.balance(chart.UNCLAIMED)
    payment = till.sign(till.ask("POST", till.top_up_url))
    client, used = till.place.client, till.token.topics(AuthorizationUsed)[0]
    logs = client.logs
    client.logs = lambda wanted: [log for log in logs(wanted) if log.topics[0] != used]
    try:
        assert till.pay("POST", till.top_up_url, payment).status_code == 503
        till.later(400)
        assert error_of(till.pay("POST", till.top_up_url, payment)) == "dead"
    finally:
        client.logs = logs
    assert (till.prepaid, till.balance(chart.UNCLAIMED)) == (before, unclaimed + AMOUNT)
    assert till.pay("POST", till.top_up_url, payment).status_code == 200
    assert (till.prepaid, till.balance(chart.UNCLAIMED)) == (before + AMOUNT, unclaimed)


def test_a_payer_has_few_payments_open_at_once(till):
    offer = till.ask("POST", till.top_up_url)
    for _ in range(PAYER_OPEN_MAX):
        assert till.pay_held_back("POST", till.top_up_url, till.sign(offer)).status_code == 503
    refused = till.pay_held_back("POST", till.top_up_url, till.sign(offer))
    assert refused.status_code == 429
    assert body(refused)["title"] == "too_many_open"
    till.made.errands.see_payments_through()
    assert till.pay("POST", till.top_up_url, till.sign(offer)).status_code == 200


def test_the_same_payment_at_once_is_taken_once(till):
    """Two requests with one payment: one transfer, one credit, the same answer to both."""
    before, purse = till.prepaid, till.held(PAYER.address)
    payment = till.sign(till.ask("POST", till.top_up_url))
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(till.pay("POST", till.top_up_url, payment)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.text for answer in answers}) == 1
    assert till.prepaid == before + AMOUNT
    assert till.held(PAYER.address) == purse - AMOUNT


def test_payments_are_looked_at_at_a_bounded_rate(till):
    payment = till.sign(till.ask("POST", till.top_up_url), valid_before_s=1)
    statuses = [
        till.pay("POST", till.top_up_url, payment).status_code for _ in range(PAYMENTS_BURST + 1)
    ]
    assert statuses[-1] == 429
    assert set(statuses[:-1]) == {402}
    till.made.clock.set(till.made.clock.now_us() + SECOND_US)
    assert till.pay("POST", till.top_up_url, payment).status_code == 402


def test_what_is_out_of_form_is_a_problem(till):
    """Neither a payment nor a sale: problem+json with the status that fits."""
    url, payment = till.top_up_url, till.sign(till.ask("POST", till.top_up_url))
    header = write_payment(payment, url=url)
    subscriber = till.made.subscriber.party_id
    answers = {
        400: till.client.post(url, headers={PAYMENT_SIGNATURE: "nonsense"}),
        431: till.client.post(url, headers={PAYMENT_SIGNATURE: "A" * (HEADER_CHARACTERS_MAX + 1)}),
        404: till.client.post(f"/v1/topup/sub_{'0' * 32}?amount={AMOUNT}"),
        422: till.client.post(f"/v1/topup/{subscriber}?amount=1"),
        414: till.client.get(till.quote_url + "&x=" + "a" * RESOURCE_CHARACTERS_MAX),
    }
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert body(answer)["status"] == status
    twice = till.client.post(url, headers=[(PAYMENT_SIGNATURE, header)] * 2)
    assert twice.status_code == 400
    for amount in ("", "-5", "1e9", "٣", "9" * 16, str(10**10)):
        assert till.client.post(f"/v1/topup/{subscriber}?amount={amount}").status_code == 422
    assert till.client.get("/v1/quote?home=Nobody&plan=prepaid").status_code == 404
    assert till.client.get("/v1/quote?home=Home&plan=none").status_code == 422
    assert till.client.get("/v1/quote?home=Home&plan=prepaid&seconds=x").status_code == 422


def test_a_chain_that_is_away_takes_nothing(till):
    """Asked while the chain does not answer, the hub says so; the payment is good afterwards."""
    payment = till.sign(till.ask("POST", till.top_up_url))
    before, call = till.prepaid, till.place.client.call

    def away(*_: object) -> bytes:
        raise ChainUnavailableError("away", outcome_unknown=False)

    till.place.client.call = away
    try:
        answer = till.pay("POST", till.top_up_url, payment)
    finally:
        till.place.client.call = call
    assert answer.status_code == 503
    assert till.prepaid == before
    assert till.pay("POST", till.top_up_url, payment).status_code == 200
    assert till.prepaid == before + AMOUNT


def test_a_hub_without_gas_says_so_and_takes_nothing(till):
    payment = till.sign(till.ask("POST", till.top_up_url))
    balance = till.place.client.balance
    till.place.client.balance = lambda *_: 0
    try:
        answer = till.pay("POST", till.top_up_url, payment)
    finally:
        till.place.client.balance = balance
    assert answer.status_code == 503
    assert body(answer)["title"] == "cannot_settle"
    assert till.pay("POST", till.top_up_url, payment).status_code == 200


def test_the_gas_of_payments_has_a_cap_of_its_own(till, monkeypatch):
    """Strangers cause it: what they may use up in a day is not what settling needs."""
    manager = till.place.manager
    capped = replace(manager._policy, purposes_day_max_wei={PURPOSE: 1})
    monkeypatch.setattr(manager, "_policy", capped)
    payment = till.sign(till.ask("POST", till.top_up_url))
    refused = till.pay("POST", till.top_up_url, payment)
    assert refused.status_code == 503
    assert "above_purpose_cap" in body(refused)["detail"]
    till.send(till.token.mint(OTHER.address, 1), "an errand goes on")
    monkeypatch.undo()
    assert till.pay("POST", till.top_up_url, payment).status_code == 200


def test_those_who_wait_are_bounded(till):
    """Beyond so many waiting requests one more is answered at once, its payment kept."""
    desk = till.desk
    for _ in range(WAITING_MAX):
        assert desk._waiting.acquire(blocking=False)
    payment = till.sign(till.ask("POST", till.top_up_url))
    subscriber = till.made.subscriber.party_id

    def sell(unit, resource):
        return desk.top_up(unit, resource, subscriber=subscriber, amount_minor=AMOUNT)

    kept = desk.buy("POST /here", payment, sell)
    assert not isinstance(kept, Refusal)


def test_what_is_not_sold_is_not_there(till, monkeypatch):
    settings = replace(till.place.base.settings, topup_max_minor=0, quote_price_minor=0)
    monkeypatch.setattr(till.place.base, "settings", settings)
    assert till.client.post(till.top_up_url).status_code == 404
    assert till.client.get(till.quote_url).status_code == 404
