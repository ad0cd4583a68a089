"""Bans in a real browser: how a node stands in every look, and an appeal by one's own wallet."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.app.serving import served
from tests.browser.look import WIDTHS, looked
from tests.console.people import installation
from tests.console.test_bans import Court

from opencarrier.bans.model import words_hash
from opencarrier.kernel.ids import to_hex

pytestmark = pytest.mark.peer

WALLET = "0x" + "9a" * 20
SENT = "0x" + "5e" * 32
SAID = "The node stood in the yard all the time; the clock of the meter was wrong."


class Console:
    """A court whose node is banned, and browsers signed in at it."""

    def __init__(self, court: Court, url: str) -> None:
        self.court, self.url = court, url.replace("127.0.0.1", "localhost")
        query = f"?node={court.node_id}"
        self.pages = {
            "ban-node": ("cafe", f"/host/{court.party}/nodes/{court.node_id}"),
            "ban-host": ("cafe", f"/host/{court.party}"),
            "ban-appeal": ("cafe", f"/host/{court.party}/appeal{query}"),
            "ban-ban": ("owner", f"/host/{court.party}/ban{query}"),
        }

    def sign_in(self, look, name: str) -> None:
        token, port = self.court.home.browser(name).token, self.url.rpartition(":")[2]
        cookie = {"name": f"opencarrier-{port}", "value": token, "url": self.url}
        look.page.context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])


@pytest.fixture(scope="module")
def console(browser, tmp_path_factory) -> Iterator[Console]:
    with installation(tmp_path_factory.mktemp("bans")) as home:
        court = Court(home)
        told = court.ban(evidence="Ten sessions a minute, and nobody was there.")
        assert told.status_code == 200, told.text
        with served(home.app) as url:
            yield Console(court, url)
            home.web.events.close()


@pytest.mark.parametrize("name", ["ban-node", "ban-host", "ban-appeal", "ban-ban"])
def test_a_page_is_well_made(browser, console, name):
    who, path = console.pages[name]
    for device in WIDTHS:
        with looked(browser, device) as look:
            console.sign_in(look, who)
            look.open(console.url + path)
            for summary in look.page.locator("summary").all():
                summary.click()
            assert not look.judge_schemes(name)


def test_an_appeal_is_sent_from_the_hosts_wallet_with_the_same_call_data(browser, console):
    """Nothing is sent before the owner of the wallet said yes; the words' hash is in the call."""
    court = console.court
    (ban,) = court.told()["bans"]
    contract = court.home.made.place.bans.follower.contract
    expected = contract.appeal(bytes.fromhex(ban["ban_id"][2:]), words_hash(SAID))
    with looked(browser, "phone", "light") as look:
        console.sign_in(look, "cafe")
        look.page.add_init_script(
            f"""window.asked = [];
            window.ethereum = {{ request: async (one) => {{
              window.asked.push(one);
              return one.method === "eth_requestAccounts" ? [{json.dumps(WALLET)}]
                : one.method === "eth_sendTransaction" ? {json.dumps(SENT)} : null;
            }} }};"""
        )
        look.open(console.url + console.pages["ban-appeal"][1])
        look.page.fill("textarea", SAID)
        look.page.click("form .button.start")
        look.page.wait_for_selector("[data-send]:visible")
        look.shot("ban-appeal-sure-phone-light")
        assert look.page.evaluate("window.asked") == []
        look.page.click("[data-send]")
        look.page.wait_for_selector("[data-sent]:visible")
        sent = look.page.evaluate("window.asked").pop()
        assert sent["method"] == "eth_sendTransaction"
        assert sent["params"][0] == {
            "from": WALLET,
            "to": contract.address,
            "data": to_hex(expected.data),
        }
    assert court.told()["bans"][0]["stage"] == "open", "the wallet was a pretended one"


def test_an_owner_decides_by_keyboard(browser, console):
    court = console.court
    assert court.ask(court.me, "appeals", {"grounds": SAID}).status_code == 200
    path = f"/host/{court.party}/decide?node={court.node_id}"
    with looked(browser, "desktop", "dark") as look:
        console.sign_in(look, "owner")
        look.open(console.url + path)
        look.shot("ban-decide-desktop-dark")
        assert not look.axe() + look.cut_off()
        look.page.focus("button[name=lifted][value=yes]")
        look.page.keyboard.press("Enter")
        look.page.wait_for_selector("button[name=sure]")
        look.shot("ban-decide-sure-desktop-dark")
        look.page.focus("button[name=sure]")
        look.page.keyboard.press("Enter")
        look.page.wait_for_selector("text=The ban is lifted")
    assert court.told()["standing"] == "good"
