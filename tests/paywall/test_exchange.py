"""The three headers: what we write we read, what others write too, nothing out of form."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.refusals import PeerError
from opencarrier.paywall.model import Offer, Payment, Required, Settled
from opencarrier.paywall.wire.exchange import (
    OFFERS_MAX,
    read_payment,
    read_required,
    read_settled,
    write_payment,
    write_required,
    write_settled,
)
from opencarrier.paywall.wire.fields import BRACKETS_MAX, HEADER_CHARACTERS_MAX

ADDRESS = st.binary(min_size=20, max_size=20).map(lambda octets: "0x" + octets.hex())
AMOUNT = st.integers(0, (1 << 256) - 1)
WORDS = st.text(max_size=40)
NETWORK = st.integers(1, 10**19).map(lambda number: f"eip155:{number}")

OFFERS = st.builds(
    Offer,
    scheme=st.just("exact"),
    network=NETWORK,
    token=ADDRESS,
    receiver=ADDRESS,
    amount_minor=AMOUNT,
    timeout_s=st.integers(1, 86_400),
    name=WORDS,
    version=WORDS,
)
PAYMENTS = st.builds(
    Payment,
    offer=OFFERS,
    authorization=st.builds(
        Authorization,
        sender=ADDRESS,
        receiver=ADDRESS,
        amount_minor=AMOUNT,
        valid_after_s=AMOUNT,
        valid_before_s=AMOUNT,
        nonce=st.binary(min_size=32, max_size=32),
    ),
    signature=st.binary(min_size=65, max_size=65),
)

GIVEN = {
    "x402Version": 2,
    "accepted": {
        "scheme": "exact",
        "network": "eip155:31337",
        "asset": "0x" + "aa" * 20,
        "amount": "1000",
        "payTo": "0x" + "bb" * 20,
        "maxTimeoutSeconds": 300,
        "extra": {"name": "Demo Dollar", "version": "1"},
    },
    "payload": {
        "signature": "0x" + "01" * 65,
        "authorization": {
            "from": "0x" + "Cc" * 20,
            "to": "0x" + "bb" * 20,
            "value": "1000",
            "validAfter": "0",
            "validBefore": "1800000000",
            "nonce": "0x" + "02" * 32,
        },
    },
}


def encoded(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


def changed(path: str, value: object) -> dict:
    """Return the given payment with one place changed."""
    made = json.loads(json.dumps(GIVEN))
    *way, last = path.split(".")
    place = made
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return made


@settings(max_examples=60)
@given(PAYMENTS)
def test_a_payment_is_read_as_it_was_written(payment):
    assert read_payment(write_payment(payment, url="https://hub.example/")) == payment


@settings(max_examples=60)
@given(st.lists(OFFERS, max_size=3), WORDS, WORDS)
def test_an_offer_is_read_as_it_was_written(offers, words, error):
    required = Required(
        url="https://hub.example/", description=words, offers=tuple(offers), error=error or "why"
    )
    assert read_required(write_required(required)) == required


@settings(max_examples=60)
@given(st.booleans(), ADDRESS, AMOUNT, st.binary(min_size=32, max_size=32))
def test_an_outcome_is_read_as_it_was_written(success, payer, amount, tx_hash):
    settled = Settled(
        success=success,
        network="eip155:1",
        payer=payer,
        amount_minor=amount,
        tx_hash=tx_hash,
        error="" if success else "expired",
    )
    assert read_settled(write_settled(settled)).success is success
    assert read_settled(write_settled(settled)).tx_hash == tx_hash


def test_an_outcome_may_leave_things_out():
    """A server says what it knows: a failure has no transaction."""
    told = read_settled(encoded({"success": False, "transaction": "", "network": "eip155:1"}))
    assert (told.success, told.tx_hash, told.payer) == (False, b"", "")


def test_addresses_are_read_in_any_case():
    payment = read_payment(encoded(GIVEN))
    assert payment.authorization.sender == "0x" + "cc" * 20
    assert payment.authorization.amount_minor == 1000


def test_an_offer_is_given_back_as_the_server_wrote_it():
    """Servers compare it whole, so what we do not know in it stays."""
    accepted = {
        **GIVEN["accepted"],
        "extra": {"name": "A", "version": "1", "more": [1, {"x": "y"}]},
    }
    (offer,) = read_required(encoded({"x402Version": 2, "accepts": [accepted]})).offers
    payment = Payment(
        offer=offer, authorization=read_payment(encoded(GIVEN)).authorization, signature=bytes(65)
    )
    written = json.loads(base64.b64decode(write_payment(payment, url="https://a.example/")))
    assert written["accepted"] == accepted


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("x402Version", 1),
        ("accepted", None),
        ("accepted", []),
        ("accepted.extra", None),
        ("accepted.asset", "0x" + "aa" * 19),
        ("accepted.amount", 1000),
        ("accepted.amount", "01000"),
        ("accepted.amount", "-1"),
        ("accepted.amount", "1e3"),
        ("accepted.maxTimeoutSeconds", "300"),
        ("accepted.maxTimeoutSeconds", True),
        ("accepted.maxTimeoutSeconds", 0),
        ("accepted.maxTimeoutSeconds", 86_401),
        ("accepted.scheme", "e" * 401),
        ("payload", None),
        ("payload.signature", None),
        ("payload.signature", "0x" + "01" * 64),
        ("payload.signature", "0x" + "zz" * 65),
        ("payload.authorization", "none"),
        ("payload.authorization.from", "aa" * 20),
        ("payload.authorization.value", str(1 << 256)),
        ("payload.authorization.value", "١"),
        ("payload.authorization.validBefore", 1800000000),
        ("payload.authorization.nonce", "0x" + "02" * 31),
    ],
)
def test_what_is_out_of_form_is_the_peers_mistake(path, value):
    with pytest.raises(PeerError, match="header_form"):
        read_payment(encoded(changed(path, value)))


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        "é",
        encoded("not json"),
        encoded("[]"),
        encoded("7"),
        encoded('{"x402Version": 2, "x402Version": 2}'),
        encoded('{"x402Version": 2.0}'),
        encoded('{"x402Version": NaN}'),
        base64.b64encode(b'{"a": "\xff"}').decode(),
        encoded('{"a":' + "9" * 5_000 + "}"),
    ],
)
def test_what_is_no_header_at_all_is_refused(text):
    for read in (read_payment, read_required, read_settled):
        with pytest.raises(PeerError, match="header_form"):
            read(text)


def test_every_bound_is_held_and_hit():
    """Length, nesting and the number of offers: at the bound it is read, beyond it is not."""
    with pytest.raises(PeerError, match="header_too_long"):
        read_payment("A" * (HEADER_CHARACTERS_MAX + 1))
    with pytest.raises(PeerError, match="header_form"):
        read_payment("A" * HEADER_CHARACTERS_MAX)
    deep = '{"accepts":' + "[" * BRACKETS_MAX + "]" * BRACKETS_MAX + "}"
    with pytest.raises(PeerError, match="brackets"):
        read_required(encoded(deep))
    offers = [{"scheme": "other"}] * OFFERS_MAX
    assert read_required(encoded({"accepts": offers})).offers == ()
    with pytest.raises(PeerError, match="offers"):
        read_required(encoded({"accepts": [*offers, {"scheme": "other"}]}))


@pytest.mark.parametrize(
    "change",
    [
        {"scheme": "upto"},
        {"network": "solana:mainnet"},
        {"extra": {"name": "A"}},
        {"extra": {"name": "A", "version": "1", "assetTransferMethod": "permit2"}},
    ],
)
def test_ways_to_pay_that_are_not_ours_are_left_out(change):
    other = {**GIVEN["accepted"], **change}
    read = read_required(encoded({"accepts": [other, GIVEN["accepted"]]}))
    assert [offer.name for offer in read.offers] == ["Demo Dollar"]


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_no_octets_do_more_than_be_refused(octets):
    for text in (octets.decode("latin-1"), base64.b64encode(octets).decode()):
        with pytest.raises(PeerError):
            read_payment(text)
