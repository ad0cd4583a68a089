"""Webhooks over the API: whose they are, what is told once, what is refused."""

from __future__ import annotations

import re

import pytest
from tests.console.people import TOKEN, installation

from opencarrier.app.console import webhooks as console_webhooks
from opencarrier.app.console.views.webhooks import SAYS
from opencarrier.app.console.webhooks import REASONS, REFUSED
from opencarrier.spine.notices import NoticeKind
from opencarrier.webhooks.model import (
    EVENTS,
    OWN_ENDPOINTS_MAX,
    URL_CHARACTERS_MAX,
    HookReason,
    Obstacle,
    Outcome,
)

URL = "https://books.example/in"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("webhooks")) as found:
        yield found


@pytest.fixture(autouse=True)
def anew(home):
    yield
    with home.base.store.write() as unit:
        for one in home.base.webhooks.endpoints(unit, None, limit=100):
            home.base.webhooks.remove(unit, one)


def party(home, who: str) -> str:
    return {
        "owner": "",
        "operator": home.made.home.party_id,
        "visited": home.made.visited.party_id,
        "host": home.host.party_id,
        "subscriber": home.made.subscriber.party_id,
    }[who]


def add(home, who="operator", **more):
    asked = {"party": party(home, who), "url": URL, **more}
    return home.browser(who).script("/v1/webhooks", asked)


def names(home, *who: str) -> dict[str, str]:
    return {one: add(home, one).json()["endpoint"]["endpoint"] for one in who}


def test_an_endpoint_is_registered_and_its_secret_told_once(home):
    made = add(home, kinds=["cycle.settled", "cycle.settled"])
    assert made.status_code == 201
    told = made.json()
    assert told["secret"].startswith("whsec_")
    assert told["endpoint"]["kinds"] == ["cycle.settled"]
    listed = home.browser("operator").ask("/v1/webhooks").text
    assert told["endpoint"]["endpoint"] in listed
    assert "whsec" not in listed
    assert home.browser("owner").ask("/v1/audit").json()["items"][0]["what"] == "webhook_added"


def test_a_secret_is_told_again_to_who_asks_again_under_the_same_key(home):
    """The answer is sealed: the database alone does not tell it."""
    operator, asked = home.browser("operator"), {"party": party(home, "operator"), "url": URL}
    one, two = (
        operator.script("/v1/webhooks", asked, **{"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert (one.status_code, one.json()) == (two.status_code, two.json())
    assert len(home.browser("operator").ask("/v1/webhooks").json()["items"]) == 1


def test_the_page_says_how_all_stand_and_not_the_part_that_it_shows(home, monkeypatch):
    monkeypatch.setattr(console_webhooks, "LIMIT", 1)
    owner = home.browser("owner")
    asked = names(home, "operator", "visited", "host")
    assert "3 servers hear what happens" in owner.get("/webhooks").text
    for endpoint in asked.values():
        owner.script(f"/v1/webhooks/{endpoint}/pause", {})
    assert "3 servers are turned off" in owner.get("/webhooks").text
    monkeypatch.setattr("opencarrier.webhooks.service.COUNTED_MAX", 2)
    assert "More servers are registered" in owner.get("/webhooks").text


def test_each_sees_its_own_and_the_owner_all(home):
    made = names(home, "owner", "operator", "host")
    seen = {
        who: {one["endpoint"] for one in home.browser(who).ask("/v1/webhooks").json()["items"]}
        for who in ("owner", "operator", "visited", "host")
    }
    assert seen == {
        "owner": set(made.values()),
        "operator": {made["operator"]},
        "visited": set(),
        "host": {made["host"]},
    }


def test_others_endpoints_are_as_if_absent(home):
    """Of another party, or of none: the same status and the same octets, for each thing to do."""
    theirs = add(home).json()["endpoint"]["endpoint"]
    host = home.browser("host")
    for what, body in (
        ("rotate", {}),
        ("resume", {}),
        ("pause", {}),
        ("remove", {}),
        ("ping", {}),
        ("replay", {"since_us": 0}),
        ("replay", {"message": "msg_1"}),
    ):
        one = host.script(f"/v1/webhooks/{theirs}/{what}", body)
        none = host.script(f"/v1/webhooks/hook_0/{what}", body)
        assert (one.status_code, one.text) == (none.status_code, none.text) == (404, none.text)
    for way in (
        "/v1/webhooks/{}/deliveries",
        "/v1/webhooks/{}",
        "/webhooks/{}",
        "/webhooks/{}/now",
    ):
        one, none = (host.ask(way.format(it)) for it in (theirs, "hook_0"))
        assert (one.status_code, one.text) == (none.status_code, none.text) == (404, none.text)
    for owner in (party(home, "operator"), "", "op_none"):
        answer = host.script("/v1/webhooks", {"party": owner, "url": URL})
        assert answer.status_code == 404
    assert len(home.browser("operator").ask("/v1/webhooks").json()["items"]) == 1


def test_who_looks_on_and_guests_have_none(home):
    for who in ("auditor", "onlooker", "guest"):
        assert home.browser(who).ask("/v1/webhooks").status_code == 404


def test_a_subscriber_hears_of_its_own_alone(home):
    """What is others' it can neither ask for nor get; and it has few endpoints."""
    subscriber = home.browser("subscriber")
    offered = {one["kind"]: one for one in subscriber.ask("/v1/webhooks/events").json()}
    assert set(offered) == {kind for kind, heard_by in EVENTS.items() if "subscriber" in heard_by}
    assert "cycle.settled" not in offered
    assert add(home, "subscriber", kinds=["cycle.settled"]).status_code == 422
    assert add(home, "operator", kinds=["receipt.ready"]).status_code == 422
    for _ in range(OWN_ENDPOINTS_MAX):
        assert add(home, "subscriber").status_code == 201
    assert add(home, "subscriber").status_code == 409
    assert len(subscriber.ask("/v1/webhooks").json()["items"]) == OWN_ENDPOINTS_MAX


@pytest.mark.parametrize(
    "asked",
    [
        {"url": "http://a.example"},
        {"url": "ftp://a.example"},
        {"url": ""},
        {"url": "https://a.example/" + "x" * URL_CHARACTERS_MAX},
        {"url": URL, "kinds": ["no.such"]},
        {"url": URL, "kinds": ["cycle.settled"] * (len(EVENTS) + 1)},
        {"url": URL, "more": 1},
        {},
    ],
)
def test_what_is_no_endpoint_is_refused(home, asked):
    answer = home.browser("owner").script("/v1/webhooks", asked)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_message_is_sent_listed_and_sent_again(home):
    name, operator = add(home).json()["endpoint"]["endpoint"], home.browser("operator")
    path = f"/v1/webhooks/{name}"
    pinged = operator.script(f"{path}/ping", {})
    assert (pinged.status_code, pinged.json()["kind"]) == (202, "ping")
    with home.base.store.write() as unit:
        attempt = home.base.webhooks.next(unit, name)
        home.base.webhooks.tried(unit, attempt, Outcome(status=200, answer="thanks"))
    (row,) = operator.ask(f"{path}/deliveries").json()["items"]
    assert (row["state"], row["status"], row["answer"]) == ("delivered", 200, "thanks")
    again = operator.script(f"{path}/replay", {"message": row["message"]})
    assert (again.status_code, again.json()) == (202, {"messages": 1})
    assert operator.ask(f"{path}/deliveries").json()["items"][0]["state"] == "waiting"
    assert operator.script(f"{path}/replay", {"message": "msg_1"}).status_code == 404
    for asked in ({}, {"message": "m", "since_us": 1}, {"since_us": -1}, {"since_us": 2**63}):
        assert operator.script(f"{path}/replay", asked).status_code == 422


def test_deliveries_and_endpoints_come_by_cursor(home):
    name, operator = add(home).json()["endpoint"]["endpoint"], home.browser("operator")
    for number in range(5):
        home.made.clock.set(home.made.clock.now_us() + 1)
        operator.script(f"/v1/webhooks/{name}/ping", {})
        if number < 2:
            add(home)
    for path, total in ((f"/v1/webhooks/{name}/deliveries", 5), ("/v1/webhooks", 3)):
        seen, cursor = [], ""
        while cursor is not None:
            page = operator.ask(f"{path}?limit=2&cursor={cursor}").json()
            assert len(page["items"]) <= 2
            seen += [str(one) for one in page["items"]]
            cursor = page["next"]
        assert len(seen) == len(set(seen)) == total
        assert operator.ask(f"{path}?cursor=AAAA").status_code == 422


def test_a_secret_is_rotated_and_an_endpoint_removed(home):
    made = add(home).json()
    name, operator = made["endpoint"]["endpoint"], home.browser("operator")
    fresh = operator.script(f"/v1/webhooks/{name}/rotate", {}).json()
    assert fresh["secret"] != made["secret"]
    assert fresh["endpoint"]["former_secret_until_us"] > home.base.clock.now_us()
    assert operator.script(f"/v1/webhooks/{name}/resume", {}).json()["off"] == ""
    assert operator.script(f"/v1/webhooks/{name}/remove", {}).status_code == 204
    assert operator.ask("/v1/webhooks").json()["items"] == []
    with home.base.store.read() as unit:
        assert home.base.identity.secrets.names(unit, "webhook/") == []


def test_the_token_registers_for_the_installation(home):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = home.browser().client.post("/v1/webhooks", json={"url": URL}, headers=headers)
    assert (answer.status_code, answer.json()["endpoint"]["party"]) == (201, "")


# the pages


def test_the_page_does_what_the_api_does(home):
    """A secret is shown once; each form is a change with its line in the log."""
    operator = home.browser("operator")
    assert "None of your servers" in operator.get("/webhooks").text
    fields = {"party": party(home, "operator"), "url": URL, "hear-cycle.settled": "yes"}
    shown = operator.form("/webhooks", **fields).text
    secret = re.search(r"whsec_[A-Za-z0-9+/]+=", shown)
    assert secret is not None
    listed = operator.get("/webhooks").text
    assert secret[0] not in listed
    assert URL in listed
    (line,) = operator.ask("/v1/webhooks").json()["items"]
    assert line["kinds"] == ["cycle.settled"]
    path = f"/webhooks/{line['endpoint']}"
    for act, says in (
        ("ping", "waiting"),
        ("pause", "is turned off"),
        ("resume", "hears what happens"),
    ):
        assert operator.form(f"{path}/{act}").headers["location"] == path
        assert says in operator.get(path).text
        assert says in operator.get(f"{path}/now").text
    assert "whsec_" in operator.form(f"{path}/rotate").text
    assert operator.form(f"{path}/remove").headers["location"] == "/webhooks"
    assert operator.get(path).status_code == 404
    log = [one["what"] for one in home.browser("owner").ask("/v1/audit").json()["items"][:6]]
    assert log == [f"webhook_{what}" for what in (
        "removed", "rotated", "resumed", "paused", "pinged", "added",
    )]  # fmt: skip


def test_the_page_says_what_was_in_the_way_and_sends_again(home):
    operator, name = home.browser("operator"), names(home, "operator")["operator"]
    path, hooks = f"/webhooks/{name}", home.base.webhooks
    operator.form(f"{path}/ping")
    with home.base.store.write() as unit:
        attempt = hooks.next(unit, name)
        hooks.tried(unit, attempt, Outcome.failed(Obstacle.EXPIRED, "certificate has expired"))
    page = operator.get(path).text
    assert "The server’s certificate has expired" in page
    assert "does not answer" in page
    (row,) = operator.ask(f"/v1{path}/deliveries").json()["items"]
    assert (row["reason"], row["answer"]) == ("certificate_expired", "certificate has expired")
    with home.base.store.write() as unit:
        hooks.tried(unit, attempt, Outcome(status=410))
    assert "wants nothing more" in operator.get(path).text
    assert operator.form(f"{path}/replay", message=row["message"]).status_code == 303
    (row,) = operator.ask(f"/v1{path}/deliveries").json()["items"]
    assert (row["state"], row["reason"], row["attempts"]) == ("waiting", "", 0)
    assert operator.form(f"{path}/replay", back="day").status_code == 303
    assert operator.form(f"{path}/replay", message="msg_0").status_code == 409
    assert operator.form(f"{path}/replay").status_code == 422


def test_every_obstacle_and_every_event_has_its_sentence():
    assert set(REASONS) == set(Obstacle)
    assert set(SAYS) == set(EVENTS) == set(NoticeKind)
    assert set(REFUSED) == set(HookReason) - {HookReason.UNKNOWN_ENDPOINT}


@pytest.mark.parametrize("asked", [
    {"url": "gopher://a.example"},
    {"url": "http://a.example"},
    {"url": URL, "hear-receipt.ready": "yes"},
])  # fmt: skip
def test_the_page_says_why_nothing_was_registered(home, asked):
    answer = home.browser("operator").form("/webhooks", party=party(home, "operator"), **asked)
    assert answer.status_code == 409
    assert "Nothing was changed" in answer.text


# what is told, as it happens


def test_a_cycle_that_settles_is_told_to_whose_money_moved(home):
    registered = names(home, "owner", "operator", "visited", "host")
    made = home.made
    made.use("told", octets=5_000_000, grant=made.authorise())
    made.settle()
    kinds = {}
    for who, name in registered.items():
        items = home.browser(who).ask(f"/v1/webhooks/{name}/deliveries").json()["items"]
        kinds[who] = [one["kind"] for one in items]
    assert kinds["owner"] == kinds["operator"] == kinds["visited"] == ["cycle.settled"]
    assert kinds["host"] == [], "it had no part in it"
    with home.base.store.read() as unit:
        body = home.base.webhooks.next(unit, registered["operator"]).message.body.decode()
    assert made.home.party_id in body
    assert "sub_" not in body
