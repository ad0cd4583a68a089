"""An operator's pages in a browser: each look, by keyboard, without script, settling by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.app.serving import served
from tests.browser.look import LOOKS, Look, looked
from tests.browser.test_people_pages import Console
from tests.console.people import Installation, installation
from tests.console.trading import Trade

from opencarrier.kernel.ids import to_hex
from opencarrier.rating.model import Agreement

pytestmark = pytest.mark.peer

PATHS = {
    "now": "",
    "cycles": "/cycles",
    "cycle": "/cycles/2",
    "settle": "/settle",
    "agreements": "/agreements",
    "agreement": "/agreements/{agreement}",
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
    return path.format(agreement=to_hex(found.hash))


def opened(console: Console, look: Look, path: str) -> str:
    console.sign_in(look.page, "operator")
    return f"{console.url}/operator/{console.home.made.home.party_id}{told(console, path)}"


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
@pytest.mark.parametrize("name", PATHS)
def test_a_page_is_well_made(console, browser, name, device, scheme):
    with looked(browser, device, scheme) as look:
        look.open(opened(console, look, PATHS[name]))
        look.shot(f"operator-{name}-{device}-{scheme}")
        assert [one for one in look.judge() if "asked elsewhere: http://localhost" not in one] == []
