"""Who may ask for what: every route has a line, and every role gets exactly what is said here."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from tests.app.scene import taken
from tests.console.people import ORIGIN, PAGE, TOKEN, installation, routes

from opencarrier.app import http
from opencarrier.app.api import INT64_MAX
from opencarrier.app.console.guard import Guard, TurnedAwayError
from opencarrier.app.console.origins import Origins
from opencarrier.app.console.people_api import LOG, PEOPLE
from opencarrier.app.console.rights import RIGHTS
from opencarrier.app.http import make_app
from opencarrier.identity.accounts.model import Grant, Role

OUTSIDE = {"POST /rpc"}
OUTSIDE |= {f"{method} /static/{{digest}}/{{name:path}}" for method in ("GET", "HEAD")}
"""Not of the framework's kind: open to everybody, or judging by themselves."""

THROUGH = 220
ROLES = ["owner", "operator", "visited", "host", "subscriber", "auditor", "onlooker", "guest"]
ALL = {*ROLES, "nobody", "token"}
SIGNED_IN = set(ROLES)
LOOKING_ON = {"owner", "token", "operator", "visited", "auditor", "onlooker"}
HOLDERS = {"operator", "visited", "host", "subscriber"}
HOOKING = {"owner", "token", *HOLDERS}

HOSTS_LOOKS = [
    "GET /host", "GET /host/{party}", "GET /host/{party}/now",
    "GET /host/{party}/nodes/{node_id:path}", "GET /v1/hosts", "GET /v1/hosts/{party}",
    "GET /v1/hosts/{party}/nodes", "GET /v1/hosts/{party}/nodes/{node_id:path}",
    "GET /v1/hosts/{party}/earnings", "GET /v1/hosts/{party}/bans",
]  # fmt: skip
HOSTS_ACTS = [
    "GET /host/{party}/withdraw", "POST /host/{party}/withdraw", "GET /v1/hosts/{party}/claim",
    "POST /v1/hosts/{party}/withdrawals", "POST /v1/hosts/{party}/enrolments",
    "GET /host/{party}/add-node", "POST /host/{party}/add-node",
    "GET /host/{party}/appeal", "POST /host/{party}/appeal", "POST /host/{party}/close-ban",
    "GET /v1/hosts/{party}/appeal", "POST /v1/hosts/{party}/appeals",
    "POST /v1/hosts/{party}/closings",
    "GET /host/{party}/payout", "POST /host/{party}/payout", "GET /v1/hosts/{party}/payout",
    "GET /v1/hosts/{party}/payout/call", "POST /v1/hosts/{party}/payout",
    "POST /v1/hosts/{party}/payout/cancel", "POST /v1/hosts/{party}/payout/apply",
]  # fmt: skip

BANNING = [
    "GET /host/{party}/ban", "POST /host/{party}/ban", "POST /host/{party}/ban/draft",
    "GET /bans", "GET /v1/bans",
    "GET /host/{party}/decide", "POST /host/{party}/decide", "POST /v1/hosts/{party}/bans",
    "POST /v1/hosts/{party}/bans/signatures", "POST /v1/hosts/{party}/bans/send",
    "GET /v1/hosts/{party}/decision", "POST /v1/hosts/{party}/decisions",
]  # fmt: skip

MAY: dict[str, set[str]] = {
    "GET /v1/status": {"owner", "token", "auditor"},
    "GET /v1/radsec": {"owner", "token", "auditor"},
    "GET /v1/receipts/{usage_id}": {"owner", "token", *HOLDERS},
    "GET /receipt/{usage_id}": {"owner", "token", *HOLDERS},
    "GET /v1/trace/{identifier}": {"owner", "token", *HOLDERS},
    "GET /trace": {"owner", "token", *HOLDERS},
    "GET /trace/{identifier}": {"owner", "token", *HOLDERS},
    "POST /v1/cycles/close": {"owner", "token", "operator", "visited"},
    "POST /v1/triggers/{name}": {"owner", "token"},
    "POST /v1/owner-link": {"token"},
    "GET /v1/webhooks": HOOKING,
    "POST /v1/webhooks": HOOKING,
    "GET /v1/webhooks/{endpoint}/deliveries": HOOKING,
    "POST /v1/webhooks/{endpoint}/ping": HOOKING,
    "POST /v1/webhooks/{endpoint}/remove": HOOKING,
    "POST /v1/webhooks/{endpoint}/replay": HOOKING,
    "POST /v1/webhooks/{endpoint}/resume": HOOKING,
    "POST /v1/webhooks/{endpoint}/rotate": HOOKING,
    "GET /v1/webhooks/events": HOOKING,
    "GET /v1/webhooks/{endpoint}": HOOKING,
    "POST /v1/webhooks/{endpoint}/pause": HOOKING,
    "GET /webhooks": HOOKING,
    "GET /webhooks/{endpoint}": HOOKING,
    "GET /webhooks/{endpoint}/now": HOOKING,
    "POST /webhooks": HOOKING,
    "POST /webhooks/{endpoint}/pause": HOOKING,
    "POST /webhooks/{endpoint}/ping": HOOKING,
    "POST /webhooks/{endpoint}/remove": HOOKING,
    "POST /webhooks/{endpoint}/replay": HOOKING,
    "POST /webhooks/{endpoint}/resume": HOOKING,
    "POST /webhooks/{endpoint}/rotate": HOOKING,
    "POST /sign-out": SIGNED_IN,
    "GET /me": SIGNED_IN,
    "GET /v1/me": SIGNED_IN,
    "POST /v1/me/name": SIGNED_IN,
    "POST /v1/me/keys/passkey/options": SIGNED_IN,
    "POST /v1/me/keys/passkey": SIGNED_IN,
    "POST /v1/me/keys/wallet/message": SIGNED_IN,
    "POST /v1/me/keys/wallet": SIGNED_IN,
    "POST /v1/me/keys/{key}/name": SIGNED_IN,
    "POST /v1/me/keys/{key}/remove": SIGNED_IN,
    "POST /v1/me/sessions/{session}/end": SIGNED_IN,
    "POST /me/name": SIGNED_IN,
    "POST /me/keys/passkey/options": SIGNED_IN,
    "POST /me/keys/passkey": SIGNED_IN,
    "POST /me/keys/wallet/message": SIGNED_IN,
    "POST /me/keys/wallet": SIGNED_IN,
    "POST /me/keys/{key}/name": SIGNED_IN,
    "POST /me/keys/{key}/remove": SIGNED_IN,
    "POST /me/sessions/{session}/end": SIGNED_IN,
    "GET /operator": LOOKING_ON,
    "GET /operator/{party}": LOOKING_ON,
    "GET /operator/{party}/now": LOOKING_ON,
    "GET /operator/{party}/cycles": LOOKING_ON,
    "GET /operator/{party}/cycles/{sequence}": LOOKING_ON,
    "GET /operator/{party}/cycles/{sequence}/now": LOOKING_ON,
    "GET /operator/{party}/agreements": LOOKING_ON,
    "GET /operator/{party}/agreements/{agreement}": LOOKING_ON,
    "GET /operator/{party}/agreements/{agreement}/what-if": LOOKING_ON,
    "GET /v1/operators/{party}/agreements": LOOKING_ON,
    "GET /v1/operators/{party}/agreements/{agreement}": LOOKING_ON,
    "GET /v1/operators/{party}/agreements/{agreement}/what-if": LOOKING_ON,
    "GET /operator/{party}/disputes": LOOKING_ON,
    "GET /operator/{party}/disputes/{exchange}/{usage}": LOOKING_ON,
    "POST /operator/{party}/disputes/{exchange}/{usage}": {"owner", "token", "operator", "visited"},
    "GET /v1/operators/{party}/disputes": LOOKING_ON,
    "GET /v1/operators/{party}/disputes/{exchange}/{usage}": LOOKING_ON,
    "POST /v1/operators/{party}/disputes/{exchange}/{usage}/moves": {
        *("owner", "token", "operator", "visited"),
    },
    "GET /v1/operators": LOOKING_ON,
    "GET /v1/operators/{party}": LOOKING_ON,
    "GET /v1/operators/{party}/cycles": LOOKING_ON,
    "GET /v1/operators/{party}/cycles/{sequence}": LOOKING_ON,
    "GET /v1/operators/{party}/cycles/{sequence}/statement.csv": LOOKING_ON,
    "GET /v1/operators/{party}/cycles/{sequence}/statement.json": LOOKING_ON,
    "GET /operator/{party}/settle": {"owner", "token", "operator", "visited"},
    "POST /operator/{party}/settle": {"owner", "token", "operator", "visited"},
    **{key: {"owner", "token", "auditor", "onlooker", "host"} for key in HOSTS_LOOKS},
    **{key: {"owner", "token", "host"} for key in HOSTS_ACTS},
    **{key: {"owner", "token"} for key in BANNING},
    "GET /people": {"owner", "token", "operator", "visited", "host"},
    "GET /v1/people": {"owner", "token", "operator", "visited", "host"},
    "GET /v1/people/roles": {"owner", "token", "operator", "visited", "host"},
    "POST /v1/people": {"owner", "token", "operator", "visited", "host"},
    "POST /v1/people/{account}/link": {"owner", "token", "operator", "visited", "host"},
    "POST /v1/people/{account}/give": {"owner", "token", "operator", "visited", "host"},
    "POST /v1/people/{account}/take": {"owner", "token", "operator", "visited", "host"},
    "POST /v1/people/{account}/remove": {"owner", "token"},
    "POST /people": {"owner", "token", "operator", "visited", "host"},
    "POST /people/{account}/link": {"owner", "token", "operator", "visited", "host"},
    "POST /people/{account}/give": {"owner", "token", "operator", "visited", "host"},
    "POST /people/{account}/take": {"owner", "token", "operator", "visited", "host"},
    "POST /people/{account}/remove": {"owner", "token"},
    "GET /audit": {"owner", "token", "auditor"},
    "GET /v1/audit": {"owner", "token", "auditor"},
    "GET /approvals": {"owner", "token", "operator", "visited"},
    "GET /v1/approvals": {"owner", "token", "operator", "visited"},
    "POST /v1/approvals/{approval}/yes": {"owner", "token", "operator", "visited"},
    "POST /approvals/{approval}/yes": {"owner", "token", "operator", "visited"},
    "GET /subscribers": {"owner", "token"},
    "GET /subscribers/refunds": {"owner", "token"},
    "GET /subscribers/refund": {"owner", "token"},
    "POST /subscribers/refund": {"owner", "token"},
    "GET /v1/subscribers": {"owner", "token"},
    "GET /v1/refunds": {"owner", "token"},
    "POST /v1/subscribers/{party}/refunds/settle": {"owner", "token"},
    "GET /subscriber/{party}": {"owner", "token", "subscriber"},
    "GET /subscriber/{party}/now": {"owner", "token", "subscriber"},
    "GET /subscriber/{party}/sessions": {"owner", "token", "subscriber"},
    "GET /subscriber/{party}/sessions/{session}": {"owner", "token", "subscriber"},
    "GET /subscriber/{party}/receipts": {"owner", "token", "subscriber"},
    "GET /subscriber/{party}/bill": {"owner", "token", "subscriber"},
    "GET /subscriber/{party}/connect": {"owner", "token", "subscriber"},
    "GET /subscriber/{party}/money": {"owner", "token", "subscriber"},
    "GET /subscriber/{party}/safety": {"owner", "token", "subscriber"},
    "GET /subscriber": {"owner", "token", "subscriber"},
    "POST /subscriber/{party}/cap": {"owner", "token", "subscriber"},
    "POST /subscriber/{party}/refund": {"owner", "token", "subscriber"},
    "POST /subscriber/{party}/connect": {"owner", "token", "subscriber"},
    "POST /subscriber/{party}/lost": {"owner", "token", "subscriber"},
    "POST /subscriber/{party}/export": {"owner", "token", "subscriber"},
    "POST /subscriber/{party}/erase": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}/money": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}/price": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}/devices": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}/sessions": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}/sessions/{session}": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}/receipts": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}/receipts.zip": {"owner", "token", "subscriber"},
    "GET /v1/subscribers/{party}/bill": {"owner", "token", "subscriber"},
    "POST /v1/subscribers/{party}/cap": {"owner", "token", "subscriber"},
    "POST /v1/subscribers/{party}/refunds": {"owner", "token", "subscriber"},
    "POST /v1/subscribers/{party}/links": {"owner", "token", "subscriber"},
    "POST /v1/subscribers/{party}/lost": {"owner", "token", "subscriber"},
    "POST /v1/subscribers/{party}/export": {"owner", "token", "subscriber"},
    "POST /v1/subscribers/{party}/erase": {"owner", "token", "subscriber"},
}
"""Who may, written out once more by hand; whatever is not here is everybody's."""

OPEN = {
    "GET /chain", "GET /chain/block/{number}", "GET /chain/tx/{tx_hash}",
    "GET /chain/contract/{name}", "GET /v1/chain/blocks", "GET /v1/chain/blocks/{number}",
    "GET /v1/chain/transactions/{tx_hash}", "GET /v1/chain/contracts/{name}",
    "GET /", "GET /network/now", "GET /v1/network", "GET /v1/network/cells", "GET /v1/network/live",
    "GET /words", "GET /receipt", "POST /language", "GET /v1/events", "GET /healthz", "GET /readyz",
    "GET /metrics", "GET /openapi.json", "GET /v1/manifest", "GET /sign-in",
    "GET /docs", "GET /docs/{key}", "GET /problems", "GET /problems/{code}",
    "POST /sign-in/passkey/options", "POST /sign-in/passkey", "POST /sign-in/wallet/message",
    "POST /sign-in/wallet", "POST /sign-in/as",
    "GET /welcome/{token}", "POST /welcome/{token}", "POST /v1/adverts",
    "GET /v1/adverts/{place}", "POST /v1/exchange", "POST /v1/disputes", "POST /v1/relay",
    "GET /v1/relay/{relay_id}", "GET /v1/quote", "POST /v1/topup/{subscriber}",
    "POST /v1/channels/open", "POST /v1/channels/session", "POST /v1/channels/payment",
    "POST /v1/channels/end", "POST /v1/channels/close", "GET /v1/channels/terms",
    "GET /v1/channels/session/{session_id}",
    "POST /nchf-convergedcharging/v3/chargingdata",
    "POST /nchf-convergedcharging/v3/chargingdata/{reference}/update",
    "POST /nchf-convergedcharging/v3/chargingdata/{reference}/release",
    "POST /v1/nodes/join",
    "GET /enrol/{token}", "GET /enrol/{token}/{platform}/{kind}",
    "POST /enrol/{token}/certificate",
}  # fmt: skip


class Through(Guard):
    """Ends every request that was let through, before its route does anything."""

    async def __call__(self, request: Request):
        await super().__call__(request)
        raise TurnedAwayError(Response(status_code=THROUGH))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("rights")) as found:
        yield found


@pytest.fixture(scope="module")
def at_the_door(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "Guard", Through)
        app = make_app(home.web)
    people = {name: home.browser(name, app) for name in ROLES}
    return {**people, "nobody": home.browser("", app), "token": home.browser("", app)}


@pytest.fixture(scope="module")
def at_no_route(at_the_door):
    """What each is answered where there is nothing."""
    told = {who: browser.client.get("/v1/no/such/thing") for who, browser in at_the_door.items()}
    assert {answer.status_code for answer in told.values()} == {404}
    return {who: answer.json() for who, answer in told.items()}


def test_every_route_has_a_line_and_no_line_is_of_nothing(home):
    found = routes(home.app)
    enrol = {name for name in RIGHTS if " /enrol/" in name}
    assert set(found) - OUTSIDE == set(RIGHTS) - enrol
    for name, route in found.items():
        assert (name in OUTSIDE) != isinstance(route, APIRoute), name


def test_a_route_without_a_line_is_nobodys(home, monkeypatch):
    app = make_app(home.web)

    @app.get("/forgotten")
    def forgotten() -> str:
        raise AssertionError("nobody gets here")

    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert TestClient(app, base_url=ORIGIN).get("/forgotten", headers=headers).status_code == 404


def test_what_is_open_is_named_here():
    assert set(RIGHTS) == OPEN | set(MAY)
    assert not OPEN & set(MAY)


@pytest.mark.parametrize("name", sorted(set(MAY) | {n for n in OPEN if " /enrol/" not in n}))
def test_each_role_gets_through_to_exactly_what_is_its(at_the_door, at_no_route, name):
    """Who may not: nobody is asked to sign in, everybody else finds nothing, as at no route."""
    method, path = name.split()
    path = re.sub(r"{[\w:]+}", "0x" + "ab" * 32, path)
    for who, browser in at_the_door.items():
        headers = {"Authorization": f"Bearer {TOKEN}"} if who == "token" else {}
        if method == "GET":
            answer = browser.client.get(path, headers=headers)
        else:
            answer = browser.script(path, {}, **headers)
        expected = THROUGH if who in MAY.get(name, ALL) else 401 if who == "nobody" else 404
        assert answer.status_code == expected, (who, name, answer.text)
        if expected == 404:
            assert answer.json() == at_no_route[who]


def test_a_page_asks_nobody_to_sign_in_and_leads_back(at_the_door):
    answer = at_the_door["nobody"].get("/people?cursor=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/people")
    told = at_the_door["nobody"].client.get("/v1/me")
    assert told.headers["content-type"] == "application/problem+json"
    assert told.headers["www-authenticate"] == "Bearer"


def test_a_page_one_may_not_see_is_as_one_that_is_not_there(at_the_door):
    guest = at_the_door["guest"]
    assert guest.get("/people").text == guest.get("/no/such/page").text


def test_the_navigation_has_what_one_may_see(home):
    owner, guest = home.browser("owner"), home.browser("guest")
    assert 'href="/audit"' in owner.get("/").text
    assert 'href="/people"' in home.browser("host").get("/").text
    page = guest.get("/").text
    assert not re.search(r'href="/(audit|people|approvals)"', page)
    assert 'href="/me"' in page
    assert 'href="/sign-in"' in home.browser().get("/").text


# of whose things


def people(browser) -> dict[str, list]:
    return {one["name"]: one["grants"] for one in browser.ask("/v1/people").json()["items"]}


def test_each_sees_people_at_its_own_parties_only(home):
    assert set(people(home.browser("owner"))) == set(home.who)
    assert set(people(home.browser("operator"))) == {"operator", "onlooker"}
    assert set(people(home.browser("host"))) == {"host"}
    page = home.browser("host").get("/people").text
    assert "onlooker" not in page
    assert home.made.home.party_id not in page


def test_others_accounts_keys_sessions_and_questions_are_as_if_absent(home):
    """The same status and the same octets, whatever is asked of another's id or of none."""
    with home.base.store.write() as unit:
        other = home.accounts.book.keys(unit, home.who["owner"])[0].key
    their = home.browser("owner").session.session
    host, me = home.browser("host"), "/me"
    grant = f"host {home.host.party_id}"
    pairs = [
        (f"{me}/keys/{other}/name", f"{me}/keys/key_0/name", {"name": "x"}),
        (f"{me}/keys/{other}/remove", f"{me}/keys/key_0/remove", {}),
        (f"{me}/sessions/{their}/end", f"{me}/sessions/sess_0/end", {}),
        *(
            (f"/people/{home.who[name]}/{what}", f"/people/acct_0/{what}", {"grant": grant})
            for name in ("operator", "subscriber", "guest", "owner")
            for what in ("link", "give", "take", "remove")
        ),
    ]
    for theirs, absent, fields in pairs:
        one, none = host.form(theirs, **fields), host.form(absent, **fields)
        assert (one.status_code, one.text) == (none.status_code, none.text) == (404, none.text)
    owner = home.browser("owner")
    for path in (f"/people/{home.who['host']}/link", "/people/acct_0/link"):
        assert owner.form(path).status_code == 404, "nobody gets a link to an account in use"


def test_who_looks_on_sees_what_was_done_and_no_person(home):
    home.browser("host").form("/me/name", name="host")
    with home.base.store.write() as unit:
        home.accounts.audit.write(
            unit, "signed_in", who=home.who["host"], came_from="198.51.100.0/24"
        )
    for path in ("/audit", "/v1/audit"):
        whole, told = (home.browser(who).get(path).text for who in ("owner", "auditor"))
        assert "198.51.100.0/24" in whole
        assert "198.51.100.0/24" not in told
        assert home.who["host"][:13] in told
    assert home.browser("owner").ask("/v1/audit").json()["items"][0]["name"] == "host"
    assert home.browser("auditor").ask("/v1/audit").json()["items"][0]["name"] == ""


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        ("owner", f"/audit?before={2**63 - 1}", 200),
        ("owner", f"/audit?before={2**63}", 422),
        ("owner", "/audit?before=0", 422),
        ("owner", f"/v1/audit?cursor={LOG.write((INT64_MAX,))}", 200),
        ("owner", f"/v1/audit?cursor={LOG.write((0,))}", 422),
        ("owner", f"/v1/people?cursor={PEOPLE.write(('x' * 64, 'y'))}", 200),
        ("owner", f"/v1/people?cursor={LOG.write((1,))}", 422),
        ("owner", "/people?cursor=x", 422),
        ("owner", "/v1/people?cursor=%00", 400),
        ("", "/?hosts=%00", 400),
        ("", "/?hosts=a%2500", 200),
        ("", "/v1/adverts/a%00b", 400),
    ],
)
def test_what_no_database_takes_is_not_asked_of_one(home, who, path, status):
    assert home.browser(who).ask(path).status_code == status


def test_a_role_is_at_an_id_of_a_party(home):
    owner, account = home.browser("owner"), home.who["guest"]
    for party in ("op_" + "0" * 31, "op_\x00", "host_" + "x" * 60, home.host.party_id + "0"):
        role = party.partition("_")[0].replace("op", "operator")
        answer = owner.form(f"/people/{account}/give", grant=f"{role} {party}")
        assert answer.status_code == (400 if "\x00" in party else 422), party


def test_who_may_not_give_a_role_finds_nobody_to_give_it_to(home):
    operator = home.browser("operator")
    mine = home.who["onlooker"]
    for grant in ("owner ", f"operator {home.made.visited.party_id}", "auditor "):
        assert operator.form(f"/people/{mine}/give", grant=grant).status_code == 404
        assert operator.form("/people", name="new", grant=grant).status_code == 404
    for grant in ("king ", "owner op_1", "operator ", "host op_1", ""):
        assert operator.form(f"/people/{mine}/give", grant=grant).status_code == 422
    given = f"operator {home.made.home.party_id}"
    assert operator.form(f"/people/{mine}/give", grant=given).status_code == 303
    assert {g["role"] for g in people(operator)["onlooker"]} == {"operator", "auditor"}
    assert operator.form(f"/people/{mine}/take", grant=given).status_code == 303
    assert {g["role"] for g in people(operator)["onlooker"]} == {"auditor"}


def test_the_token_invites_wherever_it_asks(home, monkeypatch):
    """Nobody is made whose link is not shown, where people sign in at another address."""
    named = Origins("https://console.example", chain_id=1, anywhere=False)
    monkeypatch.setattr(home.web, "origins", named)
    client = TestClient(make_app(home.web), base_url=ORIGIN)
    headers = {"Authorization": f"Bearer {TOKEN}", **PAGE}
    form = {"name": "elsewhere", "grant": "auditor "}
    answer = client.post("/people", data=form, headers=headers)
    assert "https://console.example/welcome/" in answer.text
    account = next(
        one["account"]
        for one in client.get("/v1/people", headers=headers).json()["items"]
        if one["name"] == "elsewhere"
    )
    gone = client.post(f"/people/{account}/remove", headers=headers, follow_redirects=False)
    assert gone.status_code == 303


def test_who_approves_makes_up_no_second_person(home, monkeypatch):
    """Where settlements are approved by several, an owner alone lets more of them in."""
    mine, given = home.who["onlooker"], f"operator {home.made.home.party_id}"
    invited = home.add("invited", Grant(Role.OPERATOR, home.made.home.party_id), keys=0)
    asking = replace(home.base.settings, approval_people=2)
    monkeypatch.setattr(home.base, "settings", asking)
    operator, owner = home.browser("operator"), home.browser("owner")
    assert operator.form("/people", name="new", grant=given).status_code == 404
    assert operator.form(f"/people/{mine}/give", grant=given).status_code == 404
    assert operator.form(f"/people/{invited}/link").status_code == 404
    assert f'<option value="{given}"' not in operator.get("/people").text
    assert f'<option value="{given}"' in owner.get("/people").text
    assert owner.form(f"/people/{invited}/link").status_code == 200
    assert owner.form(f"/people/{invited}/remove").status_code == 303
    del home.who["invited"]
    assert owner.form(f"/people/{mine}/give", grant=given).status_code == 303
    assert owner.form(f"/people/{mine}/take", grant=given).status_code == 303


def test_the_token_is_no_person(home):
    """It owns everything and says yes to nothing."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": ORIGIN, **PAGE}
    client = TestClient(make_app(home.web), base_url=ORIGIN)
    with home.base.store.write() as unit:
        asked = home.accounts.approvals.ask(
            unit, kind="settlement", subject=b"q" * 32, detail="7", needed=2, ttl_s=60
        )
    path = f"/approvals/0x{asked.approval.hex()}/yes"
    assert client.post(path, headers=headers).status_code == 404
    assert client.get("/v1/approvals", headers=headers).json()["waiting"][0]["by"] == []
    for name, answer in (("operator", 303), ("operator", 303), ("host", 404)):
        assert home.browser(name).form(path).status_code == answer
    seen = {
        "operator": (["operator"], []),
        "owner": (["operator"], []),
        "visited": ([], ["operator"]),
    }
    for name, (names, roles) in seen.items():
        (one,) = home.browser(name).ask("/v1/approvals").json()["waiting"]
        assert (one["given"], one["by"], one["others"]) == (1, names, roles), name
        page = home.browser(name).get("/approvals").text
        assert [f"<bdi>{who}</bdi></span>" in page for who in ("operator",)] == [bool(names)]
        assert ('<span class="tag">operator</span>' in page) is bool(roles)
    assert home.browser("owner").form(path).status_code == 303
    assert client.get("/v1/approvals", headers=headers).json()["waiting"] == []
    with home.base.store.read() as unit:
        found = home.accounts.approvals.about(unit, "settlement", b"q" * 32)
    assert set(taken(found).by) == {home.who["owner"], home.who["operator"]}
    for path in ("/approvals/0x00/yes", f"/approvals/0x{'cd' * 32}/yes", "/approvals/x/yes"):
        assert home.browser("owner").form(path).status_code == 404
