"""Looking at a demo as somebody: open where a demo says so, and nowhere else."""

from __future__ import annotations

import pytest
from tests.console.people import COOKIE, PAGE, installation

from opencarrier.app.console.guests import Guest
from opencarrier.identity.accounts.model import Grant, Role

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


@pytest.mark.parametrize("role", ["owner", "operator", "", "host "])
def test_who_is_no_guest_is_not_let_in(home, guests, role):
    assert home.browser().form(ASKS, role=role).status_code == 404


def test_another_site_looks_as_nobody(home, guests):
    sent = home.browser().client.post(
        ASKS, data={"role": "host"}, headers={"Origin": "https://elsewhere.example", **PAGE}
    )
    assert (sent.status_code, "set-cookie" in sent.headers) == (403, False)
