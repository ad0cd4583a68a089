"""Webhooks in a real browser: every look of the pages, and what somebody does there."""

from __future__ import annotations

import pytest
from tests.app.serving import served
from tests.browser.look import WIDTHS, looked, unmarked
from tests.browser.visiting import SHAPES
from tests.console.people import installation

from opencarrier.webhooks.model import Obstacle, Outcome

pytestmark = pytest.mark.peer

URL = "https://books.example/opencarrier/in"
FAILED = Outcome.failed(Obstacle.EXPIRED, "certificate has expired")


class Console:
    """A served installation, whose operator has an endpoint that did not answer."""

    def __init__(self, home, url: str) -> None:
        self.home, self.url = home, url
        base, party = home.base, home.made.home.party_id
        with base.store.write() as unit:
            made = base.webhooks.add(unit, party, URL, ["cycle.settled"], plain=False)
            self.hook = made.endpoint.endpoint
            for outcome in (Outcome(status=204), Outcome(status=302), FAILED):
                home.made.clock.set(home.made.clock.now_us() + 1_000_000)
                base.webhooks.ping(unit, made.endpoint)
                attempt = base.webhooks.next(unit, self.hook)
                base.webhooks.tried(unit, attempt, outcome)
                if not outcome.heard:
                    home.made.clock.set(home.made.clock.now_us() + 4_000_000)

    def sign_in(self, page, name: str, locale: str = "en") -> None:
        port = self.url.rpartition(":")[2]
        token = self.home.browser(name).token
        for cookie, value in ((f"opencarrier-{port}", token), ("locale", locale)):
            page.context.add_cookies([{"name": cookie, "value": value, "url": self.url}])


@pytest.fixture(scope="module")
def console(browser, tmp_path_factory):
    with installation(tmp_path_factory.mktemp("webhooks")) as home, served(home.app) as url:
        yield Console(home, url)
        home.web.events.close()


PAGES = {"webhooks": ("owner", "/webhooks"), "webhooks-own": ("subscriber", "/webhooks")}
PAGES["webhook"] = ("operator", "/webhooks/HOOK")


@pytest.mark.parametrize("device", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_made(browser, console, name, device):
    """In English in every look and walked by keyboard; in other languages nothing is cut off."""
    who, path = PAGES[name]
    with looked(browser, device) as look:
        for locale in ("ar", "fr", "en"):
            console.sign_in(look.page, who, locale)
            look.open(console.url + path.replace("HOOK", console.hook))
            if locale != "en":
                look.shot(f"{name}-{device}-light-{locale}")
                assert not look.judge(SHAPES)
        assert not look.judge_schemes(name)
        assert not unmarked(look.walk(10))


def test_somebody_registers_a_server_tries_it_and_sees_what_came_of_it(browser, console):
    """The secret is there once; the part that lives shows the delivery without being asked."""
    with looked(browser, "desktop") as look:
        console.sign_in(look.page, "subscriber")
        look.open(f"{console.url}/webhooks")
        look.page.get_by_label("Address of the server").fill(URL)
        look.page.get_by_label("80 or 100 percent").check()
        look.page.get_by_role("button", name="Register it").click()
        assert look.page.locator("code.copy").inner_text().startswith("whsec_")
        look.page.get_by_role("link", name="Send a test event").click()
        look.page.get_by_role("button", name="Send a test event").click()
        row = look.page.locator("tbody tr")
        assert "waiting" in row.inner_text()
        name = look.page.url.rpartition("/")[2]
        with console.home.base.store.write() as unit:
            hooks = console.home.base.webhooks
            hooks.tried(unit, hooks.next(unit, name), Outcome(status=204))
        look.page.wait_for_selector("tbody .state.good")
        look.page.get_by_role("button", name="Send again").click()
        assert "waiting" in row.inner_text()
        look.page.get_by_role("button", name="Remove it").click()
        assert "None of your servers" in look.page.locator("h1").inner_text()
        assert not look.complaints
