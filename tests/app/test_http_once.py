"""Idempotency-Key over HTTP: the same request has one answer, whoever asks and wherever."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient
from tests.app.scene import scene

from opencarrier.access.model import Metrics
from opencarrier.app import answers
from opencarrier.app.console.rights import RIGHTS
from opencarrier.app.http import Web, make_app
from opencarrier.app.http_once import BODY_OCTETS_MAX, KEY_MAX, read_key

TOKEN = "the token"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


class Triggers:
    """A world where a trigger counts how often it was pulled, and commits that."""

    def __init__(self, web: Web) -> None:
        self.pulled = 0
        self.go, self.came = Event(), Event()
        self.fail: Exception | None = None
        self.pulls(web)

    def pulls(self, web: Web) -> None:
        self.web = web
        web.triggers = {"pull": self.pull, "nothing": self.nothing, "wait": self.wait}

    async def pull(self):
        self.pulled += 1
        with self.web.place.base.store.write():
            pass
        if self.fail is not None:
            raise self.fail
        return {"pulled": self.pulled, "secret": "shown once"}

    async def nothing(self):
        self.pulled += 1
        if self.fail is not None:
            raise self.fail
        return {}

    async def wait(self):
        self.pulled += 1
        self.came.set()
        await run_in_threadpool(self.go.wait, 20)
        return {}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("once")) as found:
        yield found


@pytest.fixture(scope="module")
def web(made):
    return Web(made.place, Metrics, token=TOKEN)


@pytest.fixture(scope="module")
def app(web):
    """One for all tests: it is dear to make, and keeps nothing but what runs."""
    return make_app(web)


@pytest.fixture
def triggers(made, web):
    with made.place.base.store.write() as unit:
        unit.execute(answers.answers.delete())
    assert not web.answers._running
    return Triggers(web)


@pytest.fixture
def client(app):
    return client_of(app)


def client_of(app) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


def post(client, name, key="k", body=b"", **headers):
    told = {**AUTH, "Idempotency-Key": key, **headers}
    return client.post(f"/v1/triggers/{name}", headers=told, content=body)


def test_a_request_sent_again_is_answered_again_and_done_once(client, triggers):
    one, two = post(client, "pull"), post(client, "pull")
    assert one.status_code == two.status_code == 200
    assert one.content == two.content
    assert one.headers["content-type"] == two.headers["content-type"]
    assert "idempotency-replayed" not in one.headers
    assert two.headers["idempotency-replayed"] == "true"
    assert two.headers["content-security-policy"] == one.headers["content-security-policy"]
    assert triggers.pulled == 1
    triggers.pulls(Web(triggers.web.place, Metrics, token=TOKEN))
    after = post(client_of(make_app(triggers.web)), "pull")
    assert (after.content, triggers.pulled) == (one.content, 1)


def test_who_means_something_else_by_a_key_is_told(client, triggers):
    first = post(client, "pull", body=b'{"a": 1}')
    assert post(client, "pull", body=b'{"a": 2}').status_code == 422
    assert post(client, "nothing", body=b'{"a": 1}').status_code == 422, "the same route"
    told = client.post("/v1/triggers/pull?a=1", headers={**AUTH, "Idempotency-Key": "k"})
    assert told.status_code == 422
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json()["title"] == "key_of_another"
    assert post(client, "pull", body=b'{"a": 1}').content == first.content
    assert post(client, "pull", key='"k"', body=b'{"a": 1}').content == first.content
    close = {**AUTH, "Idempotency-Key": "k"}
    assert client.post("/v1/cycles/close", headers=close).status_code != 422, "another route's key"


def test_of_two_at_once_one_is_done_and_the_other_told_to_come_again(client, triggers):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, client, "wait")
        assert triggers.came.wait(20)
        second = post(client, "wait")
        assert (second.status_code, second.headers["retry-after"]) == (409, "1")
        assert second.json()["title"] == "still_running"
        assert post(client, "nothing").status_code == 422, "another target, while the first runs"
        triggers.go.set()
        first = running.result(20)
    assert post(client, "wait").content == first.content
    assert triggers.pulled == 1


def test_what_failed_before_it_did_anything_may_be_asked_again(client, triggers):
    triggers.fail = RuntimeError("no luck")
    assert post(client, "nothing").status_code == 500
    triggers.fail = None
    assert post(client, "nothing").status_code == 200
    assert triggers.pulled == 2


def test_what_failed_after_it_did_something_is_not_done_again(client, triggers):
    triggers.fail = RuntimeError("no luck")
    assert post(client, "pull").status_code == 500
    triggers.fail = None
    told = post(client, "pull")
    assert (told.status_code, told.json()["title"]) == (409, "outcome_unknown")
    assert triggers.pulled == 1
    assert post(client, "pull", key="another").status_code == 200


def test_a_refusal_of_the_route_is_an_answer_and_one_of_the_door_is_none(client, triggers):
    unknown, again = post(client, "no-such"), post(client, "no-such")
    assert (unknown.status_code, again.status_code) == (404, 404)
    assert again.headers["idempotency-replayed"] == "true"
    wrong = post(client, "pull", key="d", Authorization="Bearer wrong")
    assert wrong.status_code == 401
    assert post(client, "pull", key="d").status_code == 200


def test_whoever_is_asked_to_come_again_may_under_the_same_key(client, triggers, made):
    """402 is such an answer: who pays then shows another proof, and that has its own answer."""
    path = f"/v1/topup/{made.subscriber.party_id}?amount=3000000"
    key = {"Idempotency-Key": "k"}
    for _ in range(2):
        asked = client.post(path, headers=key)
        assert asked.status_code == 402
        assert "idempotency-replayed" not in asked.headers


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("k", "k"),
        ('"k"', "k"),
        (r'"a\"b\\c"', r'a"b\c'),
        (r'"a\b"', r'"a\b"'),
        ("", None),
        ('""', None),
        ("k" * KEY_MAX, "k" * KEY_MAX),
        ("k" * (KEY_MAX + 1), None),
        ('"' + "k" * KEY_MAX + '"', "k" * KEY_MAX),
        ("é", None),
        ("a\tb", None),
    ],
)
def test_a_key_is_a_string_with_quotes_or_without(text, key):
    assert read_key(text) == key


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_any_string_is_read_as_it_was_meant(key):
    written = key.replace("\\", "\\\\").replace('"', '\\"')
    assert read_key(f'"{written}"') == (key if len(key) <= KEY_MAX else None)


@pytest.mark.parametrize("over", [0, 1])
def test_a_body_under_a_key_has_its_limit(client, triggers, over):
    told = post(client, "pull", body=b" " * (BODY_OCTETS_MAX + over))
    assert told.status_code == (413 if over else 200)
    assert triggers.pulled == 1 - over


def test_a_body_is_read_by_its_route_as_if_nobody_had(client, triggers):
    """The route that reads a stream gets each octet once."""
    body = json.dumps({"calls": [{"to": "0x"}]}).encode()
    key = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    bare = client.post("/v1/relay", content=body, headers={"Content-Type": "application/json"})
    pieces = (body[n : n + 1] for n in range(len(body)))
    assert client.post("/v1/relay", content=pieces, headers=key).json() == bare.json()


def test_a_long_answer_is_kept_whole_or_not_at_all(client, triggers, monkeypatch):
    monkeypatch.setattr(answers, "ANSWER_OCTETS_MAX", 10)
    assert post(client, "pull").status_code == 200
    told = post(client, "pull")
    assert (told.status_code, told.json()["title"]) == (409, "answer_not_kept")
    assert triggers.pulled == 1


def test_every_post_of_the_api_is_under_the_one_mechanism(client, triggers):
    """Each that the installation's token may ask for: what is no key is refused at its door."""
    api = {name[5:]: right for name, right in RIGHTS.items() if name.startswith("POST /v1/")}
    posts = [path for path, right in api.items() if not right.people]
    assert len(posts) >= 12
    for path in posts:
        told = client.post(path, headers={**AUTH, "Idempotency-Key": "k" * (KEY_MAX + 1)})
        assert (told.status_code, told.json()["title"]) == (400, "no key"), path


def test_strangers_have_so_many_keys_where_they_come_from(app, triggers, monkeypatch):
    """Whatever each shows as its proof; whoever comes from elsewhere has its own."""
    monkeypatch.setattr(answers, "KEYS_MAX", 2)

    def knock(source: str, number: int) -> str:
        client = TestClient(app, "http://127.0.0.1", client=(source, 5))
        headers = {"Idempotency-Key": f"k{number}", "Authorization": f"Bearer {number}"}
        told = {"token": "x", "kid": "y", "signature": "0x00"}
        return client.post("/v1/nodes/join", headers=headers, json=told).json()["title"]

    titles = [knock("192.0.2.7", number) for number in range(3)]
    assert titles[2] == "too_many_keys"
    assert "too_many_keys" not in titles[:2]
    assert knock("198.51.100.7", 3) != "too_many_keys"
