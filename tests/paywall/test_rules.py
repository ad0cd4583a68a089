"""What makes a payment good, what shows that it was paid, what a client may take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain.events import Approval, AuthorizationUsed, Transfer
from opencarrier.chain.typed_data import Authorization, transfer_digest
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import KeySigner
from opencarrier.paywall import rules
from opencarrier.paywall.model import (
    Kept,
    Offer,
    Payment,
    PaymentState,
    Place,
    Profile,
    Required,
    Sale,
)
from opencarrier.paywall.rules import Bucket, Limits

NOW_S = 1_800_000_000
NOW_US = NOW_S * SECOND_US
PAYER = KeySigner(b"\x11" * 32)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
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
GIVEN = Authorization(
    sender=PAYER.address,
    receiver=OFFER.receiver,
    amount_minor=OFFER.amount_minor,
    valid_after_s=0,
    valid_before_s=NOW_S + 300,
    nonce=b"\x01" * 32,
)


def signed(given: Authorization = GIVEN, *, offer: Offer = OFFER, domain: Offer = OFFER) -> Payment:
    signature = PAYER.sign(transfer_digest(rules.domain_of(domain), given))
    return Payment(offer=offer, authorization=given, signature=signature.octets)


def code(payment: Payment, offer: Offer = OFFER) -> str:
    refusal = rules.judge(offer, payment, now_us=NOW_US)
    return "" if refusal is None else refusal.code


def test_a_payment_that_meets_its_offer_is_good():
    assert code(signed()) == ""


@pytest.mark.parametrize(
    ("payment", "reason"),
    [
        (signed(offer=replace(OFFER, scheme="upto")), "other_scheme"),
        (signed(offer=replace(OFFER, network="eip155:1")), "other_network"),
        (signed(offer=replace(OFFER, token="0x" + "ab" * 20)), "other_asset"),
        (signed(offer=replace(OFFER, receiver="0x" + "bc" * 20)), "other_receiver"),
        (signed(replace(GIVEN, receiver="0x" + "bc" * 20)), "other_receiver"),
        (signed(offer=replace(OFFER, amount_minor=999)), "other_amount"),
        (signed(replace(GIVEN, amount_minor=999)), "other_amount"),
        (signed(replace(GIVEN, amount_minor=1_001)), "other_amount"),
        (signed(replace(GIVEN, valid_after_s=NOW_S)), "not_yet_valid"),
        (signed(replace(GIVEN, valid_before_s=NOW_S)), "expired"),
        (signed(replace(GIVEN, valid_before_s=NOW_S + rules.MARGIN_S)), "expired"),
        (signed(replace(GIVEN, valid_before_s=NOW_S + 300 + rules.SKEW_S + 1)), "valid_too_long"),
        (signed(domain=replace(OFFER, network="eip155:1")), "bad_signature"),
        (signed(domain=replace(OFFER, token="0x" + "ab" * 20)), "bad_signature"),
        (signed(domain=replace(OFFER, name="Demo dollar")), "bad_signature"),
        (signed(domain=replace(OFFER, version="2")), "bad_signature"),
        (replace(signed(), signature=bytes(65)), "bad_signature"),
        (replace(signed(), authorization=replace(GIVEN, nonce=bytes(32))), "bad_signature"),
    ],
)
def test_each_fault_has_its_reason(payment, reason):
    assert code(payment) == reason


def test_the_edges_of_the_window_are_good():
    assert code(signed(replace(GIVEN, valid_after_s=NOW_S - 1))) == ""
    assert code(signed(replace(GIVEN, valid_before_s=NOW_S + rules.MARGIN_S + 1))) == ""
    assert code(signed(replace(GIVEN, valid_before_s=NOW_S + 300 + rules.SKEW_S))) == ""


def test_the_mirror_of_a_signature_is_none():
    """A high s is the same signature to ECDSA and another to everybody who compares."""
    octets = signed().signature
    high = (ORDER - int.from_bytes(octets[32:64], "big")).to_bytes(32, "big")
    mirrored = octets[:32] + high + bytes((55 - octets[64],))
    assert code(replace(signed(), signature=mirrored)) == "bad_signature"


def test_of_several_faults_the_first_is_given():
    payment = signed(
        replace(GIVEN, amount_minor=1, valid_before_s=0), offer=replace(OFFER, scheme="upto")
    )
    assert code(payment) == "other_scheme"


@settings(max_examples=60)
@given(
    st.sampled_from(
        ["sender", "receiver", "amount_minor", "valid_after_s", "valid_before_s", "nonce"]
    ),
    st.integers(1, 255),
)
def test_nothing_in_a_payment_can_be_changed(field, by):
    """Whatever is changed after signing, the payment is no longer good."""
    value = getattr(GIVEN, field)
    if isinstance(value, int):
        changed = value + by
    elif isinstance(value, bytes):
        changed = bytes((value[0] ^ by,)) + value[1:]
    else:
        changed = f"0x{int(value, 16) ^ by:040x}"
    payment = replace(signed(), authorization=replace(GIVEN, **{field: changed}))
    assert code(payment) != ""


def test_a_payment_is_named_by_payer_and_nonce_in_its_asset():
    asset, other = OFFER.asset, AssetId("eip155:1/erc20:0x" + "aa" * 20)
    first = rules.payment_id(asset, GIVEN)
    assert first == rules.payment_id(asset, replace(GIVEN, amount_minor=5))
    assert first != rules.payment_id(other, GIVEN)
    assert first != rules.payment_id(asset, replace(GIVEN, nonce=bytes(32)))
    assert first != rules.payment_id(asset, replace(GIVEN, sender="0x" + "01" * 20))


USED = AuthorizationUsed(authorizer=GIVEN.sender, nonce=GIVEN.nonce)
MOVED = Transfer(sender=GIVEN.sender, receiver=GIVEN.receiver, value=GIVEN.amount_minor)
OTHER_USED = replace(USED, nonce=b"\x02" * 32)


def test_a_payment_is_its_use_and_the_transfer_right_after():
    assert rules.transfer_index({7: USED, 8: MOVED}, GIVEN) == 8


@pytest.mark.parametrize(
    "events",
    [
        {},
        {7: USED},
        {7: MOVED},
        {7: USED, 9: MOVED},
        {7: MOVED, 8: USED},
        {7: USED, 8: replace(MOVED, value=999)},
        {7: USED, 8: replace(MOVED, receiver="0x" + "bc" * 20)},
        {7: USED, 8: replace(MOVED, sender="0x" + "bc" * 20)},
        {7: OTHER_USED, 8: MOVED},
        {7: USED, 8: OTHER_USED, 9: MOVED},
        {7: USED, 8: Approval(owner=GIVEN.sender, spender=GIVEN.receiver, value=1_000)},
    ],
)
def test_nothing_else_is_that_payment(events):
    """A token that says "used" and moves nothing, or another's transfer, pays for nothing."""
    assert rules.transfer_index(events, GIVEN) is None


def test_two_payments_of_one_transaction_have_a_transfer_each():
    other = replace(GIVEN, nonce=b"\x02" * 32)
    events = {3: USED, 4: MOVED, 5: OTHER_USED, 6: MOVED}
    assert (rules.transfer_index(events, GIVEN), rules.transfer_index(events, other)) == (4, 6)


def kept(state: PaymentState, profile: Profile = Profile.FINAL) -> Kept:
    place = Place(tx_hash=bytes(32), block_number=1, block_hash=bytes(32), log_index=0)
    return Kept(
        payment_id=rules.payment_id(OFFER.asset, GIVEN),
        authorization=GIVEN,
        signature=bytes(65),
        sale=Sale(
            resource="GET /a?",
            description="",
            amount_minor=1_000,
            account="prepaid/x",
            code="x",
            profile=profile,
            answer="{}",
        ),
        kept_us=0,
        from_block=0,
        state=state,
        place=place if state in (PaymentState.MINED, PaymentState.BOOKED) else None,
    )


def test_what_is_sold_at_final_is_given_at_final():
    answered = {
        (state, profile): rules.is_answered(kept(state, profile))
        for state in PaymentState
        for profile in Profile
    }
    assert {key for key, value in answered.items() if value} == {
        (PaymentState.BOOKED, Profile.FINAL),
        (PaymentState.BOOKED, Profile.MINED),
        (PaymentState.MINED, Profile.MINED),
    }


def test_a_payment_is_dead_only_by_proof():
    held = kept(PaymentState.KEPT)
    before, at = GIVEN.valid_before_s - 1, GIVEN.valid_before_s
    assert rules.dead_reason(held, elsewhere=False, timestamp_s=before) is None
    assert "time" in rules.dead_reason(held, elsewhere=False, timestamp_s=at)
    assert "else" in rules.dead_reason(held, elsewhere=True, timestamp_s=before)


def test_the_same_purchase_is_the_same_payment_for_the_same_resource():
    held = kept(PaymentState.KEPT)
    assert rules.same_purchase(held, signed(), "GET /a?")
    assert not rules.same_purchase(held, signed(), "GET /b?")
    assert not rules.same_purchase(held, signed(replace(GIVEN, amount_minor=5)), "GET /a?")


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3 * SECOND_US), max_size=60))
def test_a_bucket_lets_through_its_burst_and_its_rate(gaps_us):
    bucket = Bucket.full(rate_per_s=5, burst=8, at_us=0)
    now_us = passed = 0
    for gap_us in gaps_us:
        now_us += gap_us
        bucket, admitted = bucket.take(now_us)
        passed += admitted
        assert passed * SECOND_US <= 8 * SECOND_US + now_us * 5


def test_a_bucket_is_not_filled_by_a_clock_that_goes_back():
    bucket = Bucket.full(rate_per_s=1, burst=1, at_us=10 * SECOND_US)
    bucket, first = bucket.take(10 * SECOND_US)
    for now_us in (0, 10 * SECOND_US, 0, 10 * SECOND_US):
        bucket, again = bucket.take(now_us)
        assert not again
    assert first
    assert bucket.take(11 * SECOND_US)[1]


LIMITS = Limits(amount_minor_max=1_000, assets=frozenset({OFFER.asset}))


def offered(*offers: Offer) -> Required:
    return Required(url="https://a.example/", description="", offers=offers)


def test_a_client_takes_the_cheapest_offer_it_may():
    dear = replace(OFFER, amount_minor=1_001)
    free_elsewhere = replace(OFFER, amount_minor=1, token="0x" + "ab" * 20)
    assert rules.choose(offered(dear, free_elsewhere, OFFER), LIMITS) == OFFER


@pytest.mark.parametrize(
    ("offers", "limits", "reason"),
    [
        ((), LIMITS, "nothing_known"),
        ((replace(OFFER, token="0x" + "ab" * 20),), LIMITS, "asset_not_allowed"),
        ((replace(OFFER, network="eip155:1"),), LIMITS, "asset_not_allowed"),
        (
            (OFFER,),
            replace(LIMITS, receivers=frozenset({"0x" + "cc" * 20})),
            "receiver_not_allowed",
        ),
        ((OFFER,), replace(LIMITS, amount_minor_max=999), "above_limit"),
        ((replace(OFFER, amount_minor=0),), LIMITS, "above_limit"),
        ((OFFER,), replace(LIMITS, assets=frozenset()), "asset_not_allowed"),
    ],
)
def test_a_client_says_why_it_takes_no_offer(offers, limits, reason):
    assert rules.choose(offered(*offers), limits).code == reason


def test_a_client_may_name_its_receivers():
    limits = replace(LIMITS, receivers=frozenset({OFFER.receiver}))
    assert rules.choose(offered(OFFER), limits) == OFFER
