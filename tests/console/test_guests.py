"""Looking at a demo as somebody: open where a demo says so, and nowhere else."""

from __future__ import annotations

import pytest
from tests.console.people import PAGE, installation

from opencarrier.app.console.guests import Guest
from opencarrier.identity.accounts.model import SESSIONS_MAX, Role

ASKS = "/sign-in/as"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("guests")) as found:
        yield found


@pytest.fixture
def guests(home):
    """What a demo puts into its own process."""
    home.web.guests["host"] = Guest(
        account=home.who["host"], name="Camille", role=Role.HOST, party="Elsewhere"
    )
    yield
    home.web.guests.clear()


def test_elsewhere_nobody_is_a_guest(home):
    """An installation that is no demo offers nobody, and answers as what is not there."""
    browser = home.browser()
    assert ASKS not in browser.get("/sign-in").text
    refused = browser.form(ASKS, role="host")
    assert (refused.status_code, "set-cookie" in refused.headers) == (404, False)
    assert browser.client.get("/v1/me").status_code == 401


def test_a_guest_is_signed_in_without_a_key_as_often_as_asked(home, guests):
    browser = home.browser()
    assert "Camille" in browser.get("/sign-in").text
    for _ in range(SESSIONS_MAX + 1):
        entered = home.browser().form(ASKS, role="host")
        assert entered.status_code == 303
    assert browser.form(ASKS, role="host").status_code == 303
    me = browser.client.get("/v1/me").json()
    assert me["name"] == "host"
    assert [grant["role"] for grant in me["grants"]] == ["host"]
    assert browser.get("/audit").status_code == 404


@pytest.mark.parametrize("role", ["owner", "operator", "", "host "])
def test_who_is_no_guest_is_not_let_in(home, guests, role):
    assert home.browser().form(ASKS, role=role).status_code == 404


def test_another_site_looks_as_nobody(home, guests):
    sent = home.browser().client.post(
        ASKS, data={"role": "host"}, headers={"Origin": "https://elsewhere.example", **PAGE}
    )
    assert (sent.status_code, "set-cookie" in sent.headers) == (403, False)
