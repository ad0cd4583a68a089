"""An operator's pages in a browser: each look, by keyboard, without script, settling by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.app.serving import served
from tests.browser.look import WIDTHS, Look, looked, unmarked
from tests.browser.test_people_pages import Console
from tests.console.people import Installation, installation
from tests.console.test_disputes import disputed
from tests.console.trading import Trade

from opencarrier.clearing.disputes.rules import MoveKind
from opencarrier.kernel.ids import to_hex
from opencarrier.rating.model import Agreement

pytestmark = pytest.mark.peer

DISPUTE: list[str] = []
PATHS = {
    "now": "",
    "cycles": "/cycles",
    "cycle": "/cycles/2",
    "settle": "/settle",
    "agreements": "/agreements",
    "agreement": "/agreements/{agreement}",
    "disputes": "/disputes",
    "dispute": "{dispute}",
    "what-if": "/agreements/{agreement}/what-if?price-0=1.25&discount=5",
}


def trade(home: Installation) -> None:
    """Let five operators use each other's nodes; one cycle is paid, another is about to be."""
    made = home.made
    traded = Trade(made)
    for name, price_nano in (("Borea", 2_100), ("Lumen Wi-Fi", 1_700), ("Kite", 1_200)):
        traded.partner(name, price_nano=price_nano)
    made.use("first", octets=52_000_000, grant=made.authorise())
    for rounds in range(2):
        traded.use("Home", "Visited", 41_000_000)
        traded.use("Home", "Borea", 233_000_000)
        traded.use("Lumen Wi-Fi", "Home", 402_000_000 + rounds)
        traded.use("Visited", "Home", 210_000_000)
        traded.use("Kite", "Home", 61_000_000)
        traded.use("Home", "Kite", 18_000_000)
        made.settle()


@pytest.fixture(scope="module")
def console(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with installation(tmp_path_factory.mktemp("operator")) as home:
        trade(home)
        begun = disputed(home)
        assert home.browser("operator").form(f"/operator{begun.path()}", kind="open")
        begun.answer(MoveKind.CONTEST)
        DISPUTE.append(begun.path().partition("/disputes")[2])
        with served(home.app) as url:
            yield Console(home, url)
            home.web.events.close()


def told(console: Console, path: str) -> str:
    """Fill in the agreement by which Home pays Borea."""
    base, party = console.home.base, console.home.made.home.party_id
    with base.store.read() as unit:
        found = next(
            one
            for one in base.rating.agreements_at(unit, party, after=None, limit=99)
            if isinstance(one, Agreement)
            and one.home == party
            and base.identity.directory.party(unit, one.visited).name == "Borea"
        )
    return path.format(agreement=to_hex(found.hash), dispute=f"/disputes{DISPUTE[0]}")


def opened(console: Console, look: Look, path: str) -> str:
    console.sign_in(look.page, "operator")
    return f"{console.url}/operator/{console.home.made.home.party_id}{told(console, path)}"


@pytest.mark.parametrize("name", PATHS)
def test_a_page_is_well_made(console, browser, name):
    """In every look and walked by keyboard; without script it says the same sentence."""
    for device in WIDTHS:
        with looked(browser, device) as look:
            look.open(opened(console, look, PATHS[name]))
            assert look.judge_schemes(f"operator-{name}") == []
            assert unmarked(look.walk(14)) == []
            said = look.page.locator("h1").inner_text()
    with looked(browser, "phone", java_script_enabled=False) as look:
        look.page.goto(opened(console, look, PATHS[name]))
        assert look.page.locator("h1").inner_text() == said
        if name in ("now", "cycle"):
            assert look.page.locator("svg.flow-slim").is_visible()
            assert not look.page.locator("svg.flow-wide").is_visible()


def test_settling_by_hand_ends_on_the_cycle(console, browser):
    """Two presses: the button, then the one that means it; the cycle's page says what was paid."""
    made = console.home.made
    made.use("by hand", octets=9_000_000, grant=made.authorise())
    made.clock.set(made.clock.now_us() + 3_600_000_000)
    with looked(browser, "phone") as look:
        look.open(opened(console, look, ""))
        look.page.get_by_role("link", name="Settle now").click()
        look.page.get_by_role("button", name="Settle now").click()
        look.page.wait_for_url("**/cycles/3")
        assert "cycle 3" in look.page.locator("h1").inner_text().lower()
        assert look.judge() == []
