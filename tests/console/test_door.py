"""The door: what signs a browser in, what another site makes it send, how often one may knock."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode

import pytest
from eth_account import Account as Wallet
from eth_account.messages import encode_defunct
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient
from tests.app.scene import taken
from tests.console.people import COOKIE, ORIGIN, PAGE, TOKEN, installation
from tests.identity.accounts.authenticator import Authenticator

from opencarrier.app.config import ConfigError
from opencarrier.app.console.guard import TRIED_MAX, Seen, csrf_of
from opencarrier.app.console.origins import Origins, local_path
from opencarrier.app.console.reading import BODY_OCTETS_MAX
from opencarrier.app.http import make_app
from opencarrier.identity.accounts.attempts import PER_ADDRESS, Attempts
from opencarrier.identity.accounts.model import SEEN_EVERY_S

AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("door")) as found:
        yield found


@pytest.fixture
def link(home):
    """The path of a fresh link of the first owner's."""
    url = home.browser().client.post("/v1/owner-link", headers=AUTH).json()["url"]
    assert url.startswith(f"{ORIGIN}/welcome/")
    return url.removeprefix(ORIGIN)


def is_in(browser) -> bool:
    return browser.client.get("/v1/me").status_code == 200


# links


def test_a_link_signs_in_once_by_its_button(home, link):
    """A preview that fetches it, however often, uses nothing up and is not signed in."""
    preview, person, late = (home.browser() for _ in range(3))
    for _ in range(3):
        page = preview.get(link)
        assert page.status_code == 200
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["cache-control"] == "no-store"
        assert "set-cookie" not in page.headers
    assert not is_in(preview)
    entered = person.form(link)
    assert (entered.status_code, entered.headers["location"]) == (303, "/me")
    assert is_in(person)
    assert late.form(link).status_code == late.get(link).status_code == 404
    assert not is_in(late)
    assert late.get(link).text == late.get("/welcome/" + "A" * 43).text


def test_the_cookie_is_read_by_no_script_and_sent_by_no_other_site(home, link):
    cookie = home.browser().form(link).headers["set-cookie"]
    assert re.match(rf"{COOKIE}=[\w-]{{43}}; HttpOnly; Max-Age=\d+; Path=/; SameSite=lax$", cookie)


def test_a_session_is_fresh_at_every_sign_in(home, link):
    """What an attacker put into the browser before stays worth nothing (session fixation)."""
    browser = home.browser()
    planted = "A" * 43
    browser.client.cookies.set(COOKIE, planted, domain="localhost.local", path="/")
    assert not is_in(browser)
    answer = browser.form(link)
    assert planted not in answer.headers["set-cookie"]
    attacker = home.browser()
    attacker.client.cookies.set(COOKIE, planted)
    assert not is_in(attacker)


def test_who_is_signed_in_already_signs_in_as_somebody_else(home, link):
    """The forms of the door carry the session's token as all others do."""
    browser = home.browser("guest")
    meant = csrf_of(browser.token)
    assert f'name="csrf" value="{meant}"' in browser.get(link).text
    assert f'data-csrf="{meant}"' in browser.get("/sign-in").text
    assert browser.client.post(link, headers={"Origin": ORIGIN, **PAGE}).status_code == 403
    assert browser.form(link).status_code == 303
    assert browser.ask("/v1/me").json()["name"] == "owner"


def test_signing_out_ends_the_session_not_the_cookie_alone(home):
    browser, copy = home.browser("guest"), home.browser()
    copy.client.cookies.set(COOKIE, browser.token)
    assert is_in(copy)
    out = browser.form("/sign-out")
    assert out.headers["location"] == "/sign-in"
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert not is_in(copy)


# another site


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ORIGIN}, 303),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:8401"}, 403),
        ({"Origin": "https://localhost:8400"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"}, 403),
    ],
    ids=str,
)
def test_only_our_own_pages_change_anything(home, headers, status):
    """Even with the right token in the form, which another site cannot have."""
    browser = home.browser("guest")
    form = {"csrf": csrf_of(browser.token), "name": "guest"}
    told = browser.client.post("/me/name", data=form, headers={**headers, **PAGE})
    assert told.status_code == status


def test_a_form_carries_its_sessions_own_token(home):
    browser, other = home.browser("guest"), home.browser("guest")
    headers = {"Origin": ORIGIN, **PAGE}
    for shown in ("", "x", csrf_of(other.token), browser.token):
        form = {"csrf": shown, "name": "guest"}
        assert browser.client.post("/me/name", data=form, headers=headers).status_code == 403
    answer = browser.client.post("/me/keys/passkey/options", json={}, headers=headers)
    assert answer.status_code == 403
    assert browser.script("/me/keys/passkey/options", {}).status_code == 200


def test_another_site_closes_no_cycle_and_the_api_needs_no_origin(home):
    """A route of the API asks a browser for the same, and a program with the token for neither."""
    owner = home.browser("owner")
    key = {"Idempotency-Key": "k"}
    assert owner.client.post("/v1/cycles/close", headers=key).status_code == 403
    evil = {**key, "Origin": "http://evil.example", "X-CSRF-Token": csrf_of(owner.token)}
    assert owner.client.post("/v1/cycles/close", headers=evil).status_code == 403
    home.made.clock.set(home.made.clock.now_us() + 3_600_000_000)
    assert owner.script("/v1/cycles/close", {}, **key).status_code == 200
    assert home.browser().client.post("/v1/cycles/close", headers={**key, **AUTH}).is_success
    with home.base.store.read() as unit:
        by_token, by_owner, *_ = home.accounts.audit.page(unit)
    assert (by_token.what, by_token.who) == ("cycle_closed", ""), "whose key it is, is another key"
    assert (by_owner.what, by_owner.who) == ("cycle_closed", home.who["owner"])


def test_nobody_signs_in_through_a_site_that_passes_requests_on(home):
    """A name that is none of ours gets no origin, so nothing signed for it lets anybody in."""
    app = make_app(home.web)
    client = TestClient(app, base_url="http://evil.example")
    assert client.get("/sign-in").status_code == 400
    local = Origins("", chain_id=1, anywhere=False)
    everywhere = Origins("", chain_id=1, anywhere=True)
    named = Origins("https://console.example", chain_id=1, anywhere=True)
    for host, found in (
        ("localhost:8400", (True, False, False)),
        ("127.0.0.1", (True, False, False)),
        ("[::1]:8400", (True, False, False)),
        ("console.example", (False, False, True)),
        ("console.example:8443", (False, False, False)),
        ("localhost.evil.example", (False, False, False)),
        ("", (False, False, False)),
    ):
        request = _request(host)
        origins = [one.of(request) for one in (local, everywhere, named)]
        assert tuple(origin is not None for origin in origins) == found, host
    assert str(named.of(_request("console.example"))) == "https://console.example"
    for url in ("https://console.example:443/", "https://Console.Example"):
        found = Origins(url, chain_id=1, anywhere=False)
        assert str(found.of(_request("console.example"))) == "https://console.example", url
        assert found.link("", "/x") == "https://console.example/x"
    for url in (
        "http://console.example",
        "console.example",
        "https://x/y",
        "https://",
        "https://x?y",
        "https://a@x",
        "https://x:y",
        "https://[::1]",
    ):
        with pytest.raises(ConfigError):
            Origins(url, chain_id=1, anywhere=False)


def _request(host: str):
    from starlette.requests import Request

    return Request({"type": "http", "headers": [(b"host", host.encode())]})


def test_over_tls_the_cookie_is_bound_to_the_host(home, link):
    origins = Origins("https://console.example", chain_id=1, anywhere=False)
    from starlette.responses import Response

    from opencarrier.app.console.origins import set_session

    answer = Response()
    set_session(answer, taken(origins.of(_request("console.example"))), "t")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-opencarrier=t; HttpOnly; ")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert origins.link("http://127.0.0.1:8400", "/x") == "https://console.example/x"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/people", "/people"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nb", "/"),
        ("/" + "a" * 500, "/"),
        ("", "/"),
    ],
)
def test_after_sign_in_one_is_led_to_a_page_of_ours(home, text, path):
    assert local_path(text) == path
    page = home.browser().client.get("/sign-in", params={"next": text})
    assert f'data-next="{path}"' in page.text


# keys, over HTTP


@pytest.mark.parametrize("base", ["/me/keys", "/v1/me/keys"])
def test_a_passkey_is_added_and_signs_in(home, link, base):
    phone = Authenticator(ORIGIN, "localhost", seed=len(base))
    mine = home.browser()
    mine.form(link)
    mine.token = mine.client.cookies[COOKIE]
    options = mine.script(f"{base}/passkey/options", {}).json()["publicKey"]
    user, challenge = (
        urlsafe_b64decode(text + "==") for text in (options["user"]["id"], options["challenge"])
    )
    body = {"name": "phone", "response": phone.create(challenge, user)}
    assert mine.script(f"{base}/passkey", body).status_code == (204 if "v1" in base else 200)
    assert mine.script(f"{base}/passkey", body).status_code == 409
    assert "phone" in mine.get("/me").text
    fresh = home.browser()
    options = fresh.script("/sign-in/passkey/options", {}).json()["publicKey"]
    answer = phone.get(urlsafe_b64decode(options["challenge"] + "=="))
    assert fresh.script("/sign-in/passkey", answer).json() == {}
    assert is_in(fresh)
    again = home.browser()
    assert again.script("/sign-in/passkey", answer).status_code == 403
    assert not is_in(again)


def test_a_wallet_is_added_and_signs_in_and_a_stranger_is_told_the_same(home):
    wallet, stranger = (Wallet.from_key(bytes([n]) * 32) for n in (7, 8))
    guest = home.browser("guest")

    def signed(browser, path, who, **more):
        text = browser.script(f"{path}/message", {"address": who.address}).json()["message"]
        signature = who.sign_message(encode_defunct(text=text)).signature.hex()
        return browser.script(path, {"message": text, "signature": f"0x{signature}", **more})

    assert signed(guest, "/me/keys/wallet", wallet, name="wallet").status_code == 200
    assert wallet.address.lower()[:8] in guest.get("/me").text
    spare = Wallet.from_key(bytes([9]) * 32)
    assert signed(guest, "/v1/me/keys/wallet", spare, name="spare").status_code == 204
    assert signed(guest, "/v1/me/keys/wallet", spare, name="spare").status_code == 409
    assert spare.address.lower() in {one["shown"] for one in guest.ask("/v1/me").json()["keys"]}
    nobodys = guest.script("/v1/me/keys/wallet/message", {"address": "0x12"})
    assert (nobodys.status_code, nobodys.json()["title"]) == (422, "invalid_address")
    fresh = home.browser()
    assert signed(fresh, "/sign-in/wallet", wallet).json() == {}
    assert is_in(fresh)
    unknown = signed(home.browser(), "/sign-in/wallet", stranger)
    rubbish = home.browser().script("/sign-in/wallet", {"message": "x", "signature": "0xzz"})
    empty = home.browser().script("/sign-in/passkey", {})
    told = {(answer.status_code, answer.text) for answer in (unknown, rubbish, empty)}
    assert len(told) == 1
    assert {status for status, _ in told} == {403}


def test_keys_are_renamed_and_removed_but_the_last(home):
    account = home.add("keyholder", None)
    browser = home.browser("keyholder")
    with home.base.store.read() as unit:
        one, two = (key.key for key in home.accounts.book.keys(unit, account))
    assert browser.form(f"/me/keys/{one}/name", name=" Blue ").status_code == 303
    assert browser.ask("/v1/me").json()["keys"][0]["name"] == "Blue"
    assert browser.form(f"/me/keys/{two}/name", name="").status_code == 409
    assert browser.form(f"/me/keys/{two}/remove").status_code == 303
    assert not is_in(browser), "removing a key ends every session"
    browser = home.browser("keyholder")
    refused = browser.form(f"/me/keys/{one}/remove")
    assert refused.status_code == 409
    assert "only key" in refused.text


def test_people_are_invited_let_do_more_and_removed(home):
    owner = home.browser("owner")
    page = owner.form("/people", name="Grace", grant=f"host {home.host.party_id}").text
    path = re.search(rf"{ORIGIN}(/welcome/[\w-]+)", page).group(1)
    grace = home.browser()
    assert "Grace" in grace.get(path).text
    assert grace.form(path).status_code == 303
    told = grace.ask("/v1/me").json()
    assert [(g["role"], g["name"]) for g in told["grants"]] == [("host", "Elsewhere")]
    assert "cannot come back" in grace.get("/me").text
    assert owner.form("/people", name=" ", grant="auditor ").status_code == 409
    assert owner.form(f"/people/{told['account']}/give", grant="auditor ").status_code == 303
    assert not is_in(grace), "a link's session is of what was granted then"
    again = owner.form(f"/people/{told['account']}/link").text
    assert grace.form(re.search(rf"{ORIGIN}(/welcome/[\w-]+)", again).group(1)).status_code == 303
    assert grace.client.get("/v1/audit").status_code == 200
    assert owner.form(f"/people/{told['account']}/take", grant="auditor ").status_code == 303
    assert grace.client.get("/v1/audit").status_code == 404
    again = owner.form(f"/people/{told['account']}/link").text
    path = re.search(rf"{ORIGIN}(/welcome/[\w-]+)", again).group(1)
    assert owner.form(f"/people/{told['account']}/give", grant="owner ").status_code == 303
    assert home.browser().form(path).status_code == 404, "a link is of what was granted then"
    assert owner.form(f"/people/{told['account']}/remove").status_code == 303
    assert not is_in(grace)
    log = [
        (line["what"], line["name"]) for line in owner.ask("/v1/audit?limit=100").json()["items"]
    ]
    assert log[0] == ("account_removed", "owner")
    assert ("signed_in", "") in log, "who is gone has no name there"


# limits


def test_one_account_acts_so_often_and_holds_up_nobody_else(home, monkeypatch):
    """Each act is a line that is kept: what one account may add in an hour is bounded."""
    monkeypatch.setattr(home.accounts, "acts", Attempts(home.made.clock, allowed=2))
    asks = [home.browser(who) for who in ("guest", "guest", "guest", "host")]
    answers = [one.form("/me/keys/none/remove") for one in asks]
    assert [one.status_code for one in answers] == [404, 404, 429, 404]
    assert answers[2].headers["retry-after"]
    assert asks[0].get("/me").status_code == 200, "looking is no act"


def test_knocking_is_counted_for_each_network_and_for_nothing_else(home):
    home.accounts.addresses._allowed = PER_ADDRESS
    home.accounts.addresses._counted.clear()
    try:
        told = [home.browser().get("/welcome/x") for _ in range(PER_ADDRESS + 2)]
        statuses = [answer.status_code for answer in told]
        assert statuses == [404] * PER_ADDRESS + [429] * 2
        assert int(told[-1].headers["retry-after"]) >= 1
        assert home.browser().script("/sign-in/passkey", {}).status_code == 429
        assert home.browser().get("/sign-in").status_code == 200
        assert is_in(home.browser("guest"))
    finally:
        home.accounts.addresses._allowed = 1_000_000


def test_a_body_has_its_most(home):
    browser = home.browser("guest")
    fits = "x" * (BODY_OCTETS_MAX - len('{"address": ""}') - 1)
    answer = browser.script("/me/keys/wallet/message", {"address": fits})
    assert answer.status_code == 422
    answer = browser.script("/me/keys/wallet/message", {"address": fits + "xxx"})
    assert answer.status_code == 413
    assert browser.form("/me/name", name="x" * BODY_OCTETS_MAX).status_code == 413
    for body in (b"[]", b"{", b"\xff", b"[" * 9_000):
        headers = {"Origin": ORIGIN, "X-CSRF-Token": csrf_of(browser.token)}
        told = browser.client.post("/me/keys/wallet/message", content=body, headers=headers)
        assert told.status_code == 400


def test_pages_carry_nothing_inline_and_escape_names(home):
    account = home.add("<script>alert(1)</script>", None)
    owner = home.browser("owner")
    for path in ("/people", "/audit", "/approvals", "/me", "/sign-in"):
        page = owner.get(path).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)", page), path
    assert "&lt;script&gt;" in owner.get("/people").text
    assert owner.form(f"/people/{account}/remove").status_code == 303


def test_a_session_is_noted_once_a_minute_and_no_page_fails_for_it(home, monkeypatch):
    now_s, tries = [0.0], []
    browser, store = home.browser("guest"), home.base.store
    held = browser.session
    assert home.accounts.sessions.is_stale(held) is False
    home.made.clock.set(home.made.clock.now_us() + SEEN_EVERY_S * 1_000_000)

    def locked(_: object, __: object) -> None:
        tries.append(now_s[0])
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(home.accounts.sessions, "seen", locked)
    seen = Seen(home.accounts, store, monotonic=lambda: now_s[0])
    for at_s in (0.0, 0.1, SEEN_EVERY_S - 0.1, SEEN_EVERY_S):
        now_s[0] = at_s
        seen.note(held)
    assert tries == [0.0, SEEN_EVERY_S]
    assert browser.get("/me").status_code == 200
    assert len(tries) == 3
    monkeypatch.undo()
    now_s[0] = 2 * SEEN_EVERY_S
    seen.note(held)
    with store.read() as unit:
        found = home.accounts.sessions.find(unit, browser.token)
    assert found.seen_us == home.made.clock.now_us()
    for number in range(TRIED_MAX + 5):
        assert seen._is_due(str(number))
    assert len(seen._tried) == TRIED_MAX
