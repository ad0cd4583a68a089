"""An owner's list of subscribers and refunds that wait in a browser, and one booked by hand."""

from __future__ import annotations

import pytest
from tests.app.serving import served
from tests.browser.look import WIDTHS, looked
from tests.console.test_subscribers import home  # noqa: F401 - a fixture

pytestmark = pytest.mark.peer

PAGES = {"list": "/subscribers", "refunds": "/subscribers/refunds"}


@pytest.fixture(scope="module")
def url(browser, home):  # noqa: F811
    with served(home.app) as found:
        yield found.replace("127.0.0.1", "localhost")
        home.web.events.close()


def signed_in(look, home, url):  # noqa: F811
    token, port = home.browser("owner").token, url.rpartition(":")[2]
    cookie = {"name": f"opencarrier-{port}", "value": token, "url": url}
    look.page.context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_made(browser, home, url, name):  # noqa: F811
    for device in WIDTHS:
        with looked(browser, device) as look:
            signed_in(look, home, url)
            look.open(url + PAGES[name])
            assert not look.judge_schemes(f"subscribers-{name}")


def test_a_refund_is_looked_at_once_more_and_booked(browser, home, url):  # noqa: F811
    with looked(browser, "phone", "light") as look:
        signed_in(look, home, url)
        look.open(url + "/subscribers/refunds")
        look.page.get_by_role("link", name="Eve").click()
        look.page.get_by_label("Amount").fill("1")
        look.page.get_by_label("Your reference").fill("bank-9")
        look.shot("subscribers-refund-phone-light")
        look.page.get_by_role("button", name="It was paid back").click()
        look.page.wait_for_selector("h1:has-text('Did you pay Eve')")
        look.shot("subscribers-refund-sure-phone-light")
        assert not look.axe() + look.cut_off()
        look.page.get_by_role("button", name="Yes, book it").click()
        look.page.wait_for_selector("h1:has-text('booked as paid back')")
        assert "still waits" in look.page.inner_text("main")
