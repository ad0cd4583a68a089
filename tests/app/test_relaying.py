"""Sponsored actions over HTTP: any holder of signed calls, no token, once, within limits."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient
from tests.app.scene import scene

from opencarrier.access.model import Metrics
from opencarrier.app.daemon import Scheduler
from opencarrier.app.errands import Errands
from opencarrier.app.http import Web, make_app
from opencarrier.app.relaying import BODY_OCTETS_MAX, read_calls
from opencarrier.app.sponsoring import SPONSORED
from opencarrier.chain.contracts import StableToken
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.typed_data import Authorization, transfer_digest
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.settlement import store
from opencarrier.settlement.model import Alarm, Halt

PHONE = KeySigner(b"\x0a" * 32)
SHOP = Address("0x" + "55" * 20)
JSON = {"content-type": "application/json"}
MONEY = 10_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("relay")) as found:
        token = StableToken(found.place.manifest.token)
        found.place.work.do(derive("test", "mint"), token.mint(PHONE.address, MONEY))
        yield found


@pytest.fixture(scope="module")
def client(made):
    web = Web(made.place, lambda: Metrics(), token="t")
    return TestClient(make_app(web), base_url="http://127.0.0.1")


@pytest.fixture
def pay(made):
    """Sign a payment, as a request's body."""
    token = StableToken(made.place.manifest.token)
    domain = token.signing_domain().ask(made.place.client)

    def payment(amount: int, nonce: int) -> dict:
        given = Authorization(
            sender=PHONE.address,
            receiver=SHOP,
            amount_minor=amount,
            valid_after_s=0,
            valid_before_s=1 << 40,
            nonce=nonce.to_bytes(32, "big"),
        )
        signature = PHONE.sign(transfer_digest(domain, given)).octets
        call = token.transfer_with_authorization(given, signature)
        return {"calls": [{"to": call.to, "data": "0x" + call.data.hex()}]}

    return payment


def post(client, body, key="key"):
    return client.post("/v1/relay", json=body, headers={"Idempotency-Key": key})


def held(made) -> int:
    token = StableToken(made.place.manifest.token)
    return token.balance_of(SHOP).ask(made.place.client)


def test_signed_calls_are_sent_once_at_the_hubs_expense(client, made, pay):
    """Accepted with an id; asked again the same; driven, it is done and the money moved once."""
    before, body = held(made), pay(7, nonce=1)
    answer = post(client, body, key="a")
    assert answer.status_code == 202
    told = answer.json()
    assert (told["payer"], told["state"]) == (PHONE.address, "queued")
    assert post(client, body, key="a").json()["relay_id"] == told["relay_id"]
    assert post(client, body, key="b").json()["relay_id"] == told["relay_id"]
    for _ in range(3):
        Errands(made.place).relay_on()
    found = client.get(answer.headers["location"])
    assert found.json() == {**told, "state": "done"}
    assert held(made) == before + 7
    assert made.place.client.balance(PHONE.address) == 0


def test_refusals_are_problems(client, pay):
    body = pay(1, nonce=2)
    assert post(client, body, key="c").status_code == 202
    other = post(client, pay(1, nonce=3), key="c")
    assert (other.status_code, other.json()["title"]) == (422, "key_of_another")
    assert other.headers["content-type"] == "application/problem+json"
    poor = post(client, pay(MONEY * 2, nonce=4), key="d")
    assert (poor.status_code, poor.json()["title"]) == (422, "would_revert")
    foreign = {"calls": [{**body["calls"][0], "to": SHOP}]}
    refused = post(client, foreign, key="e")
    assert (refused.status_code, refused.json()["title"]) == (422, "not_sponsored")
    nameless = client.post("/v1/relay", json=body)
    assert (nameless.status_code, nameless.json()["title"]) == (400, "malformed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"calls": {}}',
        b'{"calls": [1]}',
        b'{"calls": [{"to": "0x"}]}',
        b'{"calls": [{"to": "0x11", "data": "0x"}]}',
        b'{"calls": [{"to": "0x%s", "data": "11"}]}' % (b"11" * 20),
        b'{"calls": [], "more": 1}',
        b'{"calls": [{}, {}, {}, {}]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_another_form_is_refused(client, body):
    with pytest.raises(PeerError):
        read_calls(body)
    answer = client.post("/v1/relay", content=body, headers={**JSON, "Idempotency-Key": "f"})
    assert answer.status_code == 400


def test_a_body_has_a_size_and_a_type(client, pay):
    headers = {**JSON, "Idempotency-Key": "g"}
    fits = client.post("/v1/relay", content=b" " * BODY_OCTETS_MAX, headers=headers)
    assert fits.status_code == 400
    too_much = client.post("/v1/relay", content=b" " * (BODY_OCTETS_MAX + 1), headers=headers)
    assert too_much.status_code == 413
    text = json.dumps(pay(1, nonce=9))
    plain = client.post("/v1/relay", content=text, headers={"content-type": "text/plain"})
    assert plain.status_code == 415


def test_an_unknown_action_is_not_found(client):
    assert client.get("/v1/relay/0x" + "11" * 32).status_code == 404
    assert client.get("/v1/relay/0x11").status_code in (404, 422)


def test_a_chain_that_is_away_is_said(client, made, pay, monkeypatch):
    def away(*_args, **_words):
        raise ChainUnavailableError("away", outcome_unknown=False)

    monkeypatch.setattr(made.place.manager, "quote", away)
    answer = post(client, pay(1, nonce=10), key="h")
    assert (answer.status_code, answer.json()["title"]) == (503, "the chain does not answer")


def test_while_settling_is_halted_nothing_is_sent(client, made, pay):
    """Whatever halts the venue stops sponsored calls too; they wait."""
    place, before = made.place, made.place.client.block_number()
    with place.base.store.write() as unit:
        halt = Halt(alarm=Alarm.ENDPOINTS_DIFFER, detail="x", at_us=1)
        store.put_halt(unit, place.settlement.venue, halt)
    assert post(client, pay(1, nonce=11), key="i").json()["state"] == "queued"
    assert place.client.block_number() == before
    with place.base.store.write() as unit:
        place.settlement.resume(unit)
    Errands(place).relay_on()
    assert place.client.block_number() > before


def test_the_scheduler_sees_actions_through(client, made, pay, caplog):
    """What was submitted is final after a few ticks, and no tick goes wrong."""
    where = post(client, pay(1, nonce=12), key="j").headers["location"]
    scheduler = Scheduler(made.place)
    for _ in range(3):
        scheduler.tick()
    assert client.get(where).json()["state"] == "done"
    assert [record for record in caplog.records if record.exc_info] == []


def test_what_is_sponsored_exists_and_names_its_payer():
    """Each right is a function of its contract with an address at the named argument."""
    for kind, function, payer in SPONSORED:
        inputs = kind.artefact().functions[function]["inputs"]
        for name in payer:
            (found,) = [item for item in inputs if item["name"] == name]
            inputs = found.get("components", [])
        assert found["type"] == "address"
