"""Looking at a demo as somebody: open where a demo says so, and nowhere else."""

from __future__ import annotations

import pytest
from tests.console.people import COOKIE, PAGE, installation

from opencarrier.app.console.guests import GUEST_S, Guest, GuestBook
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.refusals import Refusal

ASKS = "/sign-in/as"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("guests")) as found:
        yield found


@pytest.fixture
def guests(home):
    """What a demo puts into its own process."""
    grant = Grant(Role.HOST, home.host.party_id)
    home.web.guests.cast["host"] = Guest(name="Camille", grant=grant, party="Elsewhere")
    yield
    home.web.guests.cast.clear()


def test_elsewhere_nobody_is_a_guest(home):
    """An installation that is no demo offers nobody, and answers as what is not there."""
    browser = home.browser()
    assert ASKS not in browser.get("/sign-in").text
    refused = browser.form(ASKS, role="host")
    assert (refused.status_code, "set-cookie" in refused.headers) == (404, False)
    assert browser.client.get("/v1/me").status_code == 401


def test_each_guest_is_signed_in_without_a_key_and_is_nobody_else(home, guests, monkeypatch):
    """Two have one name and role, and neither sees, ends or renames what is the other's."""
    monkeypatch.setattr("opencarrier.app.console.guests.GUESTS_MAX", 3)
    one, other = home.browser(), home.browser()
    assert "Camille" in one.get("/sign-in").text
    for browser in (one, other):
        assert browser.form(ASKS, role="host").status_code == 303
        browser.token = browser.client.cookies[COOKIE]
    told = [browser.client.get("/v1/me").json() for browser in (one, other)]
    assert [(me["name"], len(me["sessions"])) for me in told] == [("Camille", 1)] * 2
    assert [grant["role"] for grant in told[0]["grants"]] == ["host"]
    assert one.get("/audit").status_code == 404
    theirs = told[1]["sessions"][0]["session"]
    assert one.form(f"/me/sessions/{theirs}/end").status_code == 404
    assert one.form("/me/name", name="Mallory").status_code == 303
    assert other.client.get("/v1/me").json()["name"] == "Camille"
    with home.base.store.read() as unit:
        before = len(home.accounts.book.page(unit, limit=100))
    for _ in range(2):
        assert home.browser().form(ASKS, role="host").status_code == 303
    with home.base.store.read() as unit:
        assert len(home.accounts.book.page(unit, limit=100)) == before + 1
    assert [browser.client.get("/v1/me").status_code for browser in (one, other)] == [401, 200]


def test_no_visitor_takes_from_all_the_others_what_is_shown(home, guests):
    """Said on a page and as a problem; an owner does it all the same."""
    party = home.made.subscriber.party_id
    grant = Grant(Role.SUBSCRIBER, party)
    home.web.guests.cast["subscriber"] = Guest(name="Ada", grant=grant, party="Elsewhere")
    ada, maud = home.browser(), home.browser()
    for browser, role in ((ada, "subscriber"), (maud, "host")):
        browser.form(ASKS, role=role)
        browser.token = browser.client.cookies[COOKIE]
    assert "Many people look at this demo" in ada.get(f"/subscriber/{party}/safety").text
    asked = [
        (ada, f"/subscriber/{party}/erase"), (ada, f"/subscriber/{party}/lost"),
        (maud, "/people"), (maud, f"/people/{home.who['host']}/take"),
    ]  # fmt: skip
    for browser, path in asked:
        refused = browser.form(path, word="ERASE", sure="yes", name="x", grant="host x")
        assert refused.status_code == 403, path
        assert "Try it in an installation of your own" in refused.text
        told = browser.script(f"/v1{path.replace('/subscriber/', '/subscribers/')}", {})
        assert (told.status_code, told.json()["type"]) == (403, "/problems/shared_by_visitors")
    assert ada.get(f"/subscriber/{party}").status_code == 200
    kept = home.browser("subscriber").form(f"/subscriber/{party}/erase", word="no")
    assert kept.status_code == 409, "who is no guest is asked to be sure"


def test_a_visitor_is_gone_after_a_day_and_after_a_restart(home, guests, monkeypatch):
    """With its key, so it comes back by none."""
    late, early = home.browser(), home.browser()
    assert early.form(ASKS, role="host").status_code == 303
    now_us = home.base.real.clock.now_us()
    monkeypatch.setattr(home.web.guests, "_clock", FixedClock(now_us + GUEST_S * 1_000_000))
    assert early.client.get("/v1/me").status_code == 401
    assert late.form(ASKS, role="host").status_code == 303
    with home.base.store.read() as unit:
        (left,) = home.accounts.book.guests(unit)
    assert home.web.guests.has(left)
    GuestBook(home.base)
    with home.base.store.read() as unit:
        assert home.accounts.book.guests(unit) == []
        assert isinstance(home.accounts.book.find(unit, left), Refusal)
    assert late.client.get("/v1/me").status_code == 401
    home.web.guests._came.clear()


@pytest.mark.parametrize("role", ["owner", "operator", "", "host "])
def test_who_is_no_guest_is_not_let_in(home, guests, role):
    assert home.browser().form(ASKS, role=role).status_code == 404


def test_another_site_looks_as_nobody(home, guests):
    sent = home.browser().client.post(
        ASKS, data={"role": "host"}, headers={"Origin": "https://elsewhere.example", **PAGE}
    )
    assert (sent.status_code, "set-cookie" in sent.headers) == (403, False)
