"""Every page in every look: nothing wrong, cut off or from elsewhere; pictures kept."""

from __future__ import annotations

import pytest
from tests.browser.look import WIDTHS, looked, unmarked

pytestmark = pytest.mark.peer

PAGES = {
    "network": "/",
    "chain": "/chain",
    "contract": "/chain/contract/ClearingHouse",
    "words": "/words",
    "api": "/docs",
    "operation": "/docs/get_v1_network_cells",
    "problems": "/problems",
    "absent": "/absent",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_made(browser, console, name):
    """In every look and walked by keyboard, from the way past the navigation; without script too.

    Whatever has the focus is seen and marked.
    """
    for device in WIDTHS:
        with looked(browser, device) as look:
            look.open(console.url + PAGES[name])
            assert not look.judge_schemes(name)
            steps = look.walk(12)
            assert steps[0]["name"] == "Skip to the page"
            assert not unmarked(steps)
    with looked(browser, "phone", java_script_enabled=False) as look:
        look.page.goto(console.url + PAGES[name])
        assert look.page.locator("h1").inner_text()
        assert not look.complaints


def test_a_page_is_mirrored_by_direction_alone(browser, console):
    """Right to left nothing sticks out: the look knows no left and right."""
    with looked(browser, "phone") as look:
        look.open(console.url + "/")
        look.page.evaluate("() => { document.documentElement.dir = 'rtl' }")
        look.shot("network-phone-mirrored")
        assert not look.cut_off()


def test_light_and_dark_are_chosen_and_kept(browser, console):
    with looked(browser, "desktop", "light") as look:
        look.open(console.url + "/")
        ground = "() => getComputedStyle(document.body).backgroundColor"
        light = look.page.evaluate(ground)
        look.page.click("#theme")
        dark = look.page.evaluate(ground)
        assert light != dark
        look.open(console.url + "/words")
        assert look.page.evaluate(ground) == dark


def test_a_word_says_what_it_means(browser, console):
    """By keyboard: Enter opens the explanation, Escape closes it."""
    with looked(browser, "desktop") as look:
        look.open(console.url + "/")
        word = look.page.locator("button.term").first
        said = look.page.locator("#" + (word.get_attribute("popovertarget") or ""))
        assert not said.is_visible()
        word.focus()
        look.page.keyboard.press("Enter")
        assert said.is_visible()
        look.shot("network-word")
        assert not look.axe()
        look.page.keyboard.press("Escape")
        assert not said.is_visible()
