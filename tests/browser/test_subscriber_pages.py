"""A subscriber in a real browser, the phone first: every page in every look, and what it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.app.scene import SECOND_US, Scene, scene, taken
from tests.app.serving import served
from tests.browser.look import WIDTHS, Look, looked, unmarked
from tests.console.people import Installation

from opencarrier.access.orders.model import Attach
from opencarrier.identity.pki.folder import Order, PkiFolder
from opencarrier.identity.pki.model import Algorithm, Wanted
from opencarrier.identity.pki.model import Role as PkiRole
from opencarrier.rating.caps import SpendCap
from opencarrier.spine.access import Grant
from opencarrier.spine.usage import Status

pytestmark = pytest.mark.peer

SERVER = "aaa.home.example"
DAY_US = 86_400 * SECOND_US


class Account:
    """A subscriber's account, served; the browser is signed in as the subscriber."""

    def __init__(self, home: Installation, url: str, grant: Grant) -> None:
        self.home, self.party = home, home.made.subscriber.party_id
        self.grant = grant
        self.url = url.replace("127.0.0.1", "localhost")

    def open(self, look: Look, rest: str = "") -> None:
        port = self.url.rpartition(":")[2]
        token = self.home.browser("subscriber").token
        cookie = {"name": f"opencarrier-{port}", "value": token, "url": self.url}
        look.page.context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])
        look.open(f"{self.url}/subscriber/{self.party}{rest}")


@pytest.fixture(scope="module")
def account(browser, tmp_path_factory) -> Iterator[Account]:
    """Sessions of two months and one that goes on, a cap nearly used up, profiles to be had."""
    chosen = {"enrol_url": "http://localhost", "enrol_servers": SERVER}
    with scene(tmp_path_factory.mktemp("account"), one_sided_window_s=0, **chosen) as made:
        base = made.place.base
        with base.store.write() as unit:
            home = made.home.party_id
            taken(base.identity.register.add_realm(unit, home, realm="home.example", plmn=None))
        pki = PkiFolder(base.folder.root / "pki", clock=base.clock, entropy=base.entropy)
        pki.begin(Algorithm.EC)
        wanted = Wanted(role=PkiRole.SERVER, common_name=SERVER, dns_names=(SERVER,))
        assert isinstance(pki.issue(Order(name="profiles", wanted=wanted)), dict)
        for name, octets, pause_days in (("first", 31_000_000, 30), ("second", 96_000_000, 2)):
            made.use(name, octets=octets, grant=made.authorise())
            made.settle()
            made.clock.set(made.clock.now_us() + pause_days * DAY_US)
        made.use("third", octets=140_000_000, seconds=2_900, grant=made.authorise())
        made.settle()
        made.authorise()
        grant = _begin(made, "now")
        installed = Installation(made)
        with base.store.write() as unit:
            cap = SpendCap(
                subscriber=made.subscriber.party_id,
                home=home,
                asset=made.place.manifest.asset,
                cap_minor=1_900_000,
                changed_us=base.clock.now_us(),
            )
            assert base.subscribers.put_cap(unit, cap) is None
        installed.web.watch.look()
        with served(installed.app) as url:
            yield Account(installed, url, grant)
            installed.web.events.close()


def _begin(made: Scene, name: str, octets: int = 4_000_000) -> Grant:
    grant = made.authorise()
    attach = Attach(
        authorisation_id=grant.authorisation_id,
        client_id="c",
        transport="udp",
        host="127.0.0.1",
        nas_identifier=made.node.nas_identifier,
        acct_session_id=name,
        cui="",
        expires_us=grant.expires_us,
    )
    with made.place.base.store.write() as unit:
        made.place.base.orders.attached(unit, [attach])
    made.use(name, octets=octets, seconds=240, grant=grant, status=Status.INTERIM)
    return grant


PAGES = {
    "home": "",
    "connect": "/connect",
    "sessions": "/sessions",
    "bill": "/bill",
    "receipts": "/receipts",
    "money": "/money",
    "safety": "/safety",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_made(browser: Browser, account: Account, name):
    """In every look, walked by keyboard, and without script."""
    for device in WIDTHS:
        with looked(browser, device) as look:
            account.open(look, PAGES[name])
            assert not look.judge_schemes(f"subscriber-{name}")
            assert not unmarked(look.walk(14))
    with looked(browser, "phone", java_script_enabled=False) as look:
        look.page.context.add_cookies(
            [
                {
                    "name": f"opencarrier-{account.url.rpartition(':')[2]}",
                    "value": account.home.browser("subscriber").token,
                    "url": account.url,
                }
            ]
        )
        look.page.goto(f"{account.url}/subscriber/{account.party}{PAGES[name]}")
        assert look.page.locator("h1").inner_text()


def test_a_session_is_opened_from_the_first_page(browser, account):
    with looked(browser, "phone") as look:
        account.open(look)
        look.page.locator("a.stay").nth(2).click()
        look.page.wait_for_url("**/sessions/*")
        assert "it cost" in look.page.inner_text("h1")
        look.shot("subscriber-session-phone-light")
        assert not look.judge()


def test_the_meter_moves_as_the_access_point_reports(browser, account):
    with looked(browser, "phone") as look:
        account.open(look)
        meter = look.page.locator("section.meter")
        assert "4.4 MB" in meter.inner_text()
        made = account.home.made
        made.use("now", octets=9_000_000, seconds=300, grant=account.grant, status=Status.INTERIM)
        account.home.web.watch.look()
        meter.get_by_text("9.9 MB").wait_for()


def test_a_link_is_shown_once_as_a_code(browser, account):
    agent = "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Mobile"
    for device, scheme in (("phone", "light"), ("desktop", "dark")):
        with looked(browser, device, scheme, user_agent=agent) as look:
            account.open(look, "/connect")
            look.page.get_by_role("button", name="Make a link").click()
            look.page.locator(".qr svg").wait_for()
            assert "an Android phone" in look.page.inner_text("main")
            look.shot(f"subscriber-link-{device}-{scheme}")
            assert not look.judge()
            look.page.reload()
            assert look.page.locator(".qr svg").count() <= 1


def test_a_cap_is_set_by_hand(browser, account):
    with looked(browser, "phone") as look:
        account.open(look, "/money")
        look.page.get_by_label("At most each calendar month").fill("25.00")
        look.page.get_by_role("button", name="Set the cap").click()
        look.page.locator("#cap").get_by_text("25.00").wait_for()


def test_a_lost_phone_wants_a_tick_first(browser, account):
    with looked(browser, "phone") as look:
        account.open(look, "/safety")
        look.page.get_by_role("button", name="Block my phone").click()
        assert look.page.url.endswith("/safety"), "the browser asks for the tick"
        look.page.get_by_label("Yes, block everything").check()
        look.page.get_by_role("button", name="Block my phone").click()
        look.page.wait_for_selector("h1:has-text('Done')")
        look.shot("subscriber-lost-phone-light")
        assert not look.judge()
