"""People as JSON: what pages do, done by programs; the same rights, the same log."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.app.scene import taken
from tests.console.people import ORIGIN, TOKEN, installation, routes

from opencarrier.app.console.guard import csrf_of
from opencarrier.app.console.reading import BODY_OCTETS_MAX

AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("people-api")) as found:
        yield found


def listed(browser, path: str, limit: int) -> list[dict]:
    """All items of a list, page by page."""
    found, cursor = [], ""
    while True:
        page = browser.ask(f"{path}?limit={limit}&cursor={cursor}").json()
        assert len(page["items"]) <= limit
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def audited(home) -> list[str]:
    return [line["what"] for line in listed(home.browser("owner"), "/v1/audit", 100)]


def test_somebody_is_invited_changed_and_removed(home):
    owner, host = home.browser("owner"), home.host.party_id
    invited = owner.script("/v1/people", {"name": " Amina ", "role": "host", "party": host})
    assert invited.status_code == 201
    account, url = invited.json()["account"], invited.json()["url"]
    assert url.startswith(f"{ORIGIN}/welcome/")
    path = f"/v1/people/{account}"
    again = owner.script(f"{path}/link", {})
    assert again.json()["account"] == account
    assert again.json()["url"] != url
    assert owner.script(f"{path}/give", {"role": "auditor"}).status_code == 204
    (amina,) = [one for one in listed(owner, "/v1/people", 3) if one["name"] == "Amina"]
    assert {(grant["role"], grant["party"]) for grant in amina["grants"]} == {
        ("host", host),
        ("auditor", ""),
    }
    assert (amina["may_link"], amina["may_remove"]) == (True, True)
    assert owner.script(f"{path}/take", {"role": "auditor"}).status_code == 204
    assert owner.script(f"{path}/remove", {}).status_code == 204
    assert owner.script(f"{path}/remove", {}).status_code == 404
    done = ["account_removed", "grant_taken", "grant_given", "link_made", "invited"]
    assert audited(home)[:5] == done


def test_lists_are_whole_page_by_page(home):
    owner = home.browser("owner")
    for path in ("/v1/people", "/v1/audit"):
        assert listed(owner, path, 2) == listed(owner, path, 100), path
    assert [one["name"] for one in listed(owner, "/v1/people", 2)] == sorted(home.who)
    assert {one["name"] for one in listed(home.browser("operator"), "/v1/people", 1)} == {
        "operator",
        "onlooker",
    }


def test_what_is_offered_is_what_may_be_done(home):
    """Each button that the API says may be used works, each other answers as if nothing were
    there; the page shows the former only.
    """
    operator = home.browser("operator")
    people = {one["name"]: one for one in listed(operator, "/v1/people", 100)}
    given = {(one["role"], one["party"]) for one in operator.ask("/v1/people/roles").json()}
    mine = home.made.home.party_id
    assert given == {("operator", mine), ("auditor", mine)}
    assert all(grant["may_take"] for one in people.values() for grant in one["grants"])
    assert not any(one["may_link"] or one["may_remove"] for one in people.values())
    page = operator.get("/people").text
    assert "/take" in page
    assert "/remove" not in page
    assert "/link" not in page
    answer = operator.script(f"/v1/people/{people['onlooker']['account']}/link", {})
    assert answer.status_code == 404


def test_many_parties_are_offered_from_a_name_on(home, monkeypatch):
    """Twenty of a kind and no more: an installation has many thousand hosts."""
    monkeypatch.setattr("opencarrier.app.console.views.people.PARTIES_OFFERED", 1)
    owner = home.browser("owner")

    def offered(named: str) -> list[tuple[str, str]]:
        told = owner.client.get("/v1/people/roles", params={"named": named}).json()
        return [(one["role"], one["name"]) for one in told if one["party"]]

    first = offered("")
    operator, host = first[0][1], first[1][1]
    assert first == [(role, name) for role, name in (("operator", operator), ("host", host))] + [
        ("auditor", operator),
        ("auditor", host),
    ]
    later = offered(operator + " ")
    assert [one for one in later if one[0] == "operator"] != [("operator", operator)]
    assert ("operator", operator) in offered(operator[:3])
    assert offered("\U0010ffff") == []
    assert 'value="Ho"' in owner.client.get("/people", params={"named": "Ho"}).text


def test_who_approves_settlements_is_not_offered_a_second_one(home, monkeypatch):
    monkeypatch.setattr(home.base, "settings", replace(home.base.settings, approval_people=2))
    operator = home.browser("operator")
    found = {one["name"]: one["grants"] for one in listed(operator, "/v1/people", 100)}
    assert [grant["may_take"] for grant in found["operator"]] == [False]
    assert [grant["may_take"] for grant in found["onlooker"]] == [True]
    assert operator.get("/people").text.count("/take") == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/people", {}, 422),
        ("/v1/people", {"name": "x", "role": "king", "party": ""}, 422),
        ("/v1/people", {"name": 7, "role": "owner"}, 422),
        ("/v1/people", {"name": "", "role": "owner"}, 409),
        ("/v1/people", [], 400),
        ("/v1/people/acct_0/give", {"role": "owner"}, 404),
        ("/v1/me/name", {"name": "owner"}, 204),
        ("/v1/me/name", {"name": "a\u202eb"}, 409),
        ("/v1/me/name", {"title": "x"}, 422),
        ("/v1/me/keys/key_0/name", {"name": "x"}, 404),
        ("/v1/me/sessions/sess_0/end", {}, 404),
        (f"/v1/approvals/0x{'cd' * 32}/yes", {}, 404),
        ("/v1/approvals/x/yes", {}, 404),
    ],
)
def test_each_refusal_is_a_problem(home, path, body, status):
    answer = home.browser("owner").script(path, body)
    assert answer.status_code == status, answer.text
    if status != 204:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].startswith("/problems/")


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\u0000"', '{"\\u0000": 1}', '"\\\\\\u0000"'])
@pytest.mark.parametrize("path", ["/v1/nodes/join", "/sign-in/wallet/message", "/sign-in/wallet"])
def test_a_text_that_no_database_takes_is_no_json_of_ours(home, path, text):
    """Half a character or a zero, wherever it stands, from whoever knocks."""
    body = f'{{"token": {text}, "kid": {text}, "signature": "0x11"}}'
    headers = {"Content-Type": "application/json", "Origin": ORIGIN}
    assert home.browser().client.post(path, content=body, headers=headers).status_code == 400
    said = body.replace(text, json.dumps("\\u0000 \\ud800 \U0001f600"))
    answer = home.browser().client.post(path, content=said, headers=headers)
    assert answer.status_code in (403, 409, 422), "what only looks like one is a text"


def test_a_body_has_a_limit(home):
    owner, meant = home.browser("owner"), {"Content-Type": "application/json"}
    fits = json.dumps({"name": "x" * (BODY_OCTETS_MAX - 12)})
    assert len(fits) == BODY_OCTETS_MAX
    for text, status in ((fits, 409), (fits + " ", 413)):
        answer = owner.client.post(
            "/v1/me/name", content=text, headers={**meant, **headers_of(owner)}
        )
        assert answer.status_code == status


def test_a_body_has_a_limit_for_whoever_is_nobody(home):
    """What the framework reads itself is read to its end, before anybody asked who it is from."""
    assert not [name for name, route in routes(home.app).items() if getattr(route, "body_field", 0)]
    long = json.dumps({"url": "x" * BODY_OCTETS_MAX})
    for path in ("/v1/webhooks", "/v1/webhooks/hook_0/replay"):
        answers = [
            browser.client.post(path, content=long, headers=headers_of(browser))
            for browser in (home.browser(), home.browser("owner"))
        ]
        assert [answer.status_code for answer in answers] == [401, 413]


def headers_of(browser) -> dict[str, str]:
    return {"Origin": ORIGIN, "X-CSRF-Token": csrf_of(browser.token)}


def test_ones_own_keys_and_sessions(home):
    guest = home.browser("guest")
    first, second = guest.ask("/v1/me").json()["keys"]
    path = f"/v1/me/keys/{first['key']}"
    assert guest.script(f"{path}/name", {"name": "Spare"}).status_code == 204
    assert guest.ask("/v1/me").json()["keys"][0]["name"] == "Spare"
    assert guest.script(f"{path}/remove", {}).status_code == 204
    guest = home.browser("guest")
    last = guest.script(f"/v1/me/keys/{second['key']}/remove", {})
    assert (last.status_code, last.json()["type"]) == (409, "/problems/last_key")
    other = home.browser("guest")
    ended = guest.script(f"/v1/me/sessions/{other.session.session}/end", {})
    assert ended.status_code == 204
    assert other.ask("/v1/me").status_code == 401


def test_a_yes_is_a_persons(home):
    with home.base.store.write() as unit:
        asked = home.accounts.approvals.ask(
            unit, kind="settlement", subject=b"s" * 32, detail="7", needed=1, ttl_s=60
        )
    path = f"/v1/approvals/0x{asked.approval.hex()}/yes"
    assert home.browser().client.post(path, headers=AUTH).status_code == 404
    assert home.browser("operator").script(path, {}).status_code == 204
    with home.base.store.read() as unit:
        found = taken(home.accounts.approvals.about(unit, "settlement", b"s" * 32))
    assert found.by == (home.who["operator"],)


def test_another_site_sends_nothing(home):
    owner = home.browser("owner")
    for headers in ({"Origin": "https://evil.example"}, {"X-CSRF-Token": "guessed"}):
        refused = owner.script("/v1/people", {"name": "x", "role": "owner"}, **headers)
        assert refused.status_code == 403
