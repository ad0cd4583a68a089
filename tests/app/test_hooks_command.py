"""Webhooks from the command line, against a folder that nobody serves."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from standardwebhooks import Webhook
from tests.app.scene import scene

from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.webhooks.model import EVENTS, Obstacle, Outcome

URL = "https://books.example/in"


@pytest.fixture
def told(run, tmp_path):
    def ask(*words: str):
        return json.loads(run("hooks", *words, "--data", str(tmp_path), "--json"))

    return ask


def test_an_endpoint_from_its_first_to_its_last_day(run, tmp_path, told):
    with scene(tmp_path) as made:
        operator = made.home.party_id
    made = told("add", URL, "--kind", "cycle.settled", "--party", operator)
    name = made["endpoint"]
    assert (made["party"], made["name"], made["kinds"]) == (operator, "Home", ["cycle.settled"])
    assert Webhook(made["secret"])
    listed = told("list")
    assert [one["endpoint"] for one in listed["items"]] == [name]
    assert "secret" not in listed["items"][0]
    sent = told("test", name)
    assert (sent["kind"], sent["state"]) == ("ping", "waiting")
    opened = closing(open_installation(Folder(tmp_path), Settings()))
    with opened as base, base.store.write() as unit:
        failed = Outcome.failed(Obstacle.UNTRUSTED, "self-signed certificate")
        base.webhooks.tried(unit, base.webhooks.next(unit, name), failed)
    (row,) = told("deliveries", name)["items"]
    assert (row["reason"], row["answer"]) == ("certificate_not_trusted", "self-signed certificate")
    data = ("--data", str(tmp_path))
    assert "certificate_not_trusted" in run("hooks", "deliveries", name, *data)
    assert "does not answer" in run("hooks", "list", *data)
    assert told("replay", name, "--message", row["message"])["messages"] == 1
    assert told("off", name)["off"] == "asked"
    assert told("on", name)["off"] == ""
    assert told("rotate", name)["secret"] != made["secret"]
    assert told("remove", name) == {"removed": name}
    assert "unknown_endpoint" in run("hooks", "remove", name, *data, code=1)
    assert told("list") == {"items": [], "next": None}


def test_what_is_asked_wrongly_is_refused(run, tmp_path):
    with scene(tmp_path):
        pass
    data = ("--data", str(tmp_path))
    assert "not_https" in run("hooks", "add", "http://a.example", *data, code=1)
    assert "unknown_kind" in run("hooks", "add", URL, "--kind", "receipt.ready", *data, code=1)
    run("hooks", "add", URL, "--party", "Home", *data, code=2)
    run("hooks", "replay", "hook_0", *data, code=2)
    run("hooks", "list", "--cursor", "x", *data, code=2)
    assert set(EVENTS) == set(json.loads(run("hooks", "events", "--json")))
