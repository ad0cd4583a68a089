"""Every page as those see it who read French, Swahili or Arabic, or a language made up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.app.serving import served
from tests.browser.look import looked
from tests.browser.test_operator_pages import trade
from tests.browser.test_pages import PAGES as OPEN
from tests.browser.test_people_pages import Console
from tests.browser.visiting import SHAPES
from tests.console import pseudo
from tests.console.people import installation

from opencarrier.app.console.catalogue import LOCALES, SOURCE
from opencarrier.app.console.locales import words
from opencarrier.kernel.ids import to_hex

pytestmark = pytest.mark.peer

LANGUAGES = [name for name in LOCALES if name != SOURCE]
UNLIKE = ["fr", "ar"]
"""Those whose texts are longest and whose pages are mirrored: where one breaks, it breaks here."""

SIGNED_IN = {
    "sign-in": ("", "/sign-in"),
    "me": ("owner", "/me"),
    "people": ("owner", "/people"),
    "audit": ("auditor", "/audit"),
    "approvals": ("owner", "/approvals"),
}


OF_PARTIES = {
    "operator": "/operator/{operator}",
    "operator-cycles": "/operator/{operator}/cycles",
    "operator-cycle": "/operator/{operator}/cycles/1",
    "operator-settle": "/operator/{operator}/settle",
    "host": "/host/{host}",
    "host-node": "/host/{host}/nodes/node-1",
    "host-withdraw": "/host/{host}/withdraw",
    "receipt": "/receipt/{usage}",
    "subscriber": "/subscriber/{subscriber}",
    "subscriber-bill": "/subscriber/{subscriber}/bill",
    "subscriber-money": "/subscriber/{subscriber}/money",
    "subscriber-connect": "/subscriber/{subscriber}/connect",
    "chain": "/chain",
    "trace": "/trace/{usage}",
}


@pytest.fixture(scope="module")
def door(browser, tmp_path_factory) -> Iterator[Console]:
    with installation(tmp_path_factory.mktemp("languages")) as home:
        trade(home)
        home.web.watch.look()
        with served(home.app) as url:
            yield Console(home, url)
            home.web.events.close()


def addressed(door: Console, path: str) -> str:
    """Put into an address the ids of what there is."""
    made = door.home.made
    with made.place.base.store.read() as unit:
        used = next(iter(made.place.clearing.usages(unit, made.closed.cycle.cycle_id)))
    return door.url + path.format(
        operator=made.home.party_id,
        host=made.node.host,
        subscriber=made.subscriber.party_id,
        usage=to_hex(used),
    )


HOVERED = """() => {
  const canvas = document.querySelector("#map canvas");
  const tip = document.querySelector("#map .tip");
  const { left, top, width, height } = canvas.getBoundingClientRect();
  for (let x = 0; x < width; x += 6) {
    for (let y = 0; y < height; y += 6) {
      const at = { clientX: left + x, clientY: top + y, bubbles: true };
      canvas.dispatchEvent(new PointerEvent("pointermove", at));
      if (!tip.hidden) return true;
    }
  }
  return false;
}"""
"""Goes over the map until it tells of a place."""


def direction(look) -> str:
    return str(look.page.evaluate("() => getComputedStyle(document.body).direction"))


@pytest.mark.parametrize("language", UNLIKE)
@pytest.mark.parametrize("name", OPEN)
def test_a_page_is_whole_on_a_phone(browser, console, name, language):
    with looked(browser, "phone", locale=language) as look:
        look.open(console.url + OPEN[name])
        look.shot(f"{name}-phone-{language}")
        assert direction(look) == words(language).direction
        assert look.page.locator("html").get_attribute("lang") == language
        assert not look.judge(SHAPES)


@pytest.mark.parametrize("language", UNLIKE)
@pytest.mark.parametrize("name", SIGNED_IN)
def test_a_page_of_people_is_whole_on_a_phone(browser, door, name, language):
    who, path = SIGNED_IN[name]
    with looked(browser, "phone", locale=language) as look:
        if who:
            door.sign_in(look.page, who)
        look.page.goto(door.url + path)
        look.shot(f"{name}-phone-{language}")
        assert direction(look) == words(language).direction
        assert not look.judge(SHAPES)


@pytest.mark.parametrize("language", UNLIKE)
@pytest.mark.parametrize("name", OF_PARTIES)
def test_a_page_of_a_party_is_whole_on_a_phone(browser, door, name, language):
    with looked(browser, "phone", locale=language) as look:
        door.sign_in(look.page, "owner")
        look.open(addressed(door, OF_PARTIES[name]))
        look.shot(f"{name}-phone-{language}")
        for summary in look.page.locator("summary").all():
            summary.click()
        assert direction(look) == words(language).direction
        assert not look.judge(SHAPES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wide_page_is_whole(browser, console, language):
    with looked(browser, "desktop", "dark", locale=language) as look:
        look.open(console.url + "/")
        look.shot(f"network-desktop-{language}")
        assert not look.judge(SHAPES)


@pytest.mark.parametrize("language", LOCALES)
def test_the_owners_navigation_has_room_in_one_line(browser, door, language):
    """It has the most entries; what is behind *More* opens by keyboard, and without script."""
    with looked(browser, "desktop", locale=language, java_script_enabled=False) as look:
        door.sign_in(look.page, "owner")
        look.page.goto(door.url + "/people")
        ways = look.page.locator("nav > :is(a, button)")
        heights = {way.bounding_box()["y"] for way in ways.all()}
        assert len(heights) == 1
        current = look.page.locator("nav .more [aria-current]")
        assert not current.is_visible()
        ways.last.press("Enter")
        assert current.is_visible()
        look.shot(f"navigation-desktop-{language}")
        look.page.keyboard.press("Escape")
        assert not current.is_visible()


def test_no_text_of_a_script_is_bare(browser, console):
    """The line's state, the countdown, what the map says of a place: all pass the catalogues."""
    with pseudo.spoken(console.web.shell), looked(browser, "desktop") as look:
        look.open(console.url + "/")
        look.page.evaluate("() => dispatchEvent(new Event('offline'))")
        assert look.page.evaluate(HOVERED), "somewhere on the map there is a node"
        assert look.page.locator("#map .tip").inner_text()
        assert not pseudo.bare(look.page.content())


def test_a_language_is_chosen_by_hand_and_kept(browser, console):
    with looked(browser, "desktop", locale="en") as look:
        look.open(console.url + "/words")
        look.page.get_by_role("button", name="العربية").click()
        look.page.wait_for_selector('html[lang="ar"]')
        assert look.page.url == console.url + "/words"
        look.open(console.url + "/")
        assert direction(look) == "rtl"
        assert not look.complaints
