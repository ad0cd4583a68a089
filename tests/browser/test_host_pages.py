"""A host's pages in a real browser: in every look, by keyboard, and with a wallet of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser
from tests.app.serving import served
from tests.browser.look import WIDTHS, Look, looked, unmarked
from tests.console.people import installation
from tests.console.test_host import Cafe

from opencarrier.identity.places.rules import read_place
from opencarrier.rewards import earnings
from opencarrier.rewards.earnings import DAY_US, Earned, Reason

pytestmark = pytest.mark.peer

WALLET = "0x" + "9a" * 20
SENT = "0x" + "5e" * 32


class Console:
    """A café whose nodes have earned for a month, and browsers signed in at it."""

    def __init__(self, cafe: Cafe, url: str) -> None:
        self.cafe, self.url = cafe, url.replace("127.0.0.1", "localhost")
        self.home = f"/host/{cafe.party}"

    def sign_in(self, look: Look, name: str = "cafe") -> None:
        token, port = self.cafe.home.browser(name).token, self.url.rpartition(":")[2]
        cookie = {"name": f"opencarrier-{port}", "value": token, "url": self.url}
        look.page.context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])

    @contextmanager
    def visit(self, browser: Browser, device: str, scheme: str = "light", **more) -> Iterator[Look]:
        with looked(browser, device, scheme, **more) as look:
            self.sign_in(look)
            yield look


@pytest.fixture(scope="module")
def console(browser, tmp_path_factory) -> Iterator[Console]:
    with installation(tmp_path_factory.mktemp("hosts")) as home:
        cafe = Cafe(home)
        home.made.clock.set(home.made.clock.now_us() + 7_200_000_000)
        cafe.me = home.browser("cafe")
        _furnish(cafe)
        home.web.watch.look()
        with served(home.app) as url:
            yield Console(cafe, url)
            home.web.events.close()


def _furnish(cafe: Cafe) -> None:
    """Say where nodes are, let somebody in, and fill a month of sums for the eye."""
    made, identity = cafe.made, cafe.base.identity
    today = made.clock.now_us() // DAY_US
    parts = ((Reason.GUESTS, 1_700_000), (Reason.OWN, 600_000))
    with cafe.base.store.write() as unit:
        for node_id, text in (("node-1", "48.86,2.35"), ("node-2", "14.67,-17.44")):
            identity.places.put(unit, node_id, read_place(text, made.visited.party_id))
        for ago in range(3, 30):
            swing = 3 + (ago * 7) % 5 + (4 if (today - ago) % 7 in (2, 3) else 0)
            earnings.add(unit, [_sum(cafe, today - ago, *one, swing) for one in parts])
        earnings.add(unit, [_sum(cafe, today - 9, Reason.CORRECTION, -900_000, 1)])
        earnings.add(unit, [_sum(cafe, today - 6, Reason.DEAL, 2_000_000, 1)])
    made.use("now", octets=4_000_000, grant=made.authorise())
    made.use("still", octets=0, seconds=0, grant=made.authorise(), status=1)


def _sum(cafe: Cafe, day: int, reason: Reason, amount_minor: int, times: int) -> Earned:
    return Earned(
        host=cafe.party,
        node_id="node-1",
        asset=cafe.made.place.manifest.asset,
        day=day,
        reason=reason,
        amount_minor=amount_minor * times,
        uses=times,
        octets=times * 410_000_000 if amount_minor > 0 else 0,
    )


PAGES = {
    "host": "",
    "host-node": "/nodes/node-1",
    "host-withdraw": "/withdraw",
    "host-add-node": "/add-node",
    "host-payout": "/payout",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_made(browser, console, name):
    """In every look, walked by keyboard, with all that opens open, and without script."""
    for device in WIDTHS:
        with console.visit(browser, device) as look:
            look.open(console.url + console.home + PAGES[name])
            look.shot(f"{name}-{device}-light")
            assert not look.cut_off()
            assert not unmarked(look.walk(16))
            for summary in look.page.locator("summary").all():
                summary.click()
            assert not look.judge_schemes(f"{name}-open")
    with console.visit(browser, "phone", java_script_enabled=False) as look:
        look.page.goto(console.url + console.home + PAGES[name])
        assert look.page.locator("h1").inner_text()


def test_the_owner_chooses_whose(browser, console):
    with looked(browser, "desktop") as look:
        console.sign_in(look, "owner")
        look.open(console.url + "/host")
        look.shot("host-choice-desktop-light")
        assert not look.axe()
        look.page.get_by_role("link", name="Host", exact=True).last.click()
        look.page.wait_for_url(f"**{console.home}")


def test_a_wallet_sends_the_very_transaction(browser, console):
    """What the wallet is asked to sign is what the API tells: chain, contract, data."""
    asked: list[dict] = []
    with console.visit(browser, "desktop") as look:
        look.page.expose_function("told", lambda text: asked.append(json.loads(text)))
        look.page.add_init_script(
            """window.ethereum = { request: async (asked) => {
              await window.told(JSON.stringify(asked));
              return { eth_requestAccounts: ["WALLET"], eth_sendTransaction: "SENT" }[asked.method];
            } };""".replace("WALLET", WALLET).replace("SENT", SENT)
        )
        look.open(f"{console.url}{console.home}/withdraw")
        assert not look.page.get_by_text("opencarrier host withdraw").is_visible()
        look.page.get_by_role("button", name="Send from my wallet").click()
        look.page.wait_for_selector(f"text={SENT}")
    claim = console.cafe.told("/claim")
    sent = {"from": WALLET, "to": claim["to"], "data": claim["data"]}
    chain = [{"chainId": hex(claim["chain_id"])}]
    assert [(one["method"], one.get("params")) for one in asked] == [
        ("eth_requestAccounts", None),
        ("wallet_switchEthereumChain", chain),
        ("eth_sendTransaction", [sent]),
    ]


def test_a_host_takes_its_money_out(browser, console):
    with console.visit(browser, "phone") as look:
        look.open(console.url + console.home)
        look.page.get_by_role("link", name="Withdraw").click()
        look.page.get_by_role("button", name="Yes, pay it out").click()
        look.page.wait_for_selector("h1:has-text('was paid out')")
        look.shot("host-paid-phone-light")
        assert not look.axe() + look.cut_off()


def test_a_node_is_added_by_a_command_and_a_code(browser, console):
    """Filled in by keyboard; what is shown holds one link, and the code is of that size."""
    for device in ("desktop", "phone"):
        with console.visit(browser, device) as look:
            look.open(f"{console.url}{console.home}/add-node")
            look.page.get_by_label("Name").fill(f"terrace-{device}")
            look.page.keyboard.press("Enter")
            look.page.wait_for_selector("h1:has-text('Paste this')")
            assert "/v1/nodes/join#" in look.page.locator("code.copy").first.inner_text()
            assert look.page.locator(".qr svg path").count()
            look.shot(f"host-added-{device}-light")
            assert not look.axe() + look.cut_off()
