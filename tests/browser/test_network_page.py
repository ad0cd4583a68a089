"""The network page lives: what happens appears by itself; its map goes where one wants it."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from tests.browser.look import looked, number, queries_of

pytestmark = pytest.mark.peer

CELLS = "/v1/network/cells"


def box(query: str) -> dict[str, int]:
    return {name: int(values[0]) for name, values in parse_qs(query).items()}


def test_what_happens_appears_by_itself(browser, console):
    """Somebody gets on: sentence, figure and story follow; the page is not loaded anew."""
    with looked(browser, "desktop") as look:
        look.open(console.url + "/")
        look.page.evaluate("() => { window.kept = true }")
        figure = look.page.locator(".map .figure dd").first
        before = number(figure.inner_text())
        console.begin("appears")
        look.page.wait_for_function(
            "n => document.querySelector('.map .figure dd').textContent.trim() === String(n)",
            arg=before + 1,
        )
        assert f"{before + 1} sessions going on now" in look.page.locator("h1").inner_text()
        assert "Somebody got on at" in look.page.locator(".story li").first.inner_text()
        assert look.page.evaluate("() => window.kept")
        assert not look.judge()


def test_the_map_shows_every_node_and_goes_closer_by_keyboard(browser, console):
    """Keys move and zoom; only what is in view is asked for, finer the closer one is."""
    with looked(browser, "desktop") as look:
        look.open(console.url + "/")
        assert look.page.get_attribute("#map", "data-nodes") == "5"
        whole = box(queries_of(look.asked, CELLS)[-1])
        look.page.focus("#map canvas")
        for key in ("+", "+", "+", "+", "ArrowLeft", "ArrowUp"):
            look.page.keyboard.press(key)
        with look.page.expect_response(lambda answer: CELLS in answer.url) as answered:
            look.page.keyboard.press("+")
        near = box(answered.value.url.partition("?")[2])
        assert near["level"] > whole["level"]
        assert near["east"] - near["west"] < whole["east"] - whole["west"]
        look.page.wait_for_function(
            "() => Number(document.getElementById('map').dataset.nodes) < 5"
        )
        look.shot("network-map-near")
        look.page.keyboard.press("0")
        look.page.wait_for_function("() => document.getElementById('map').dataset.nodes === '5'")
        assert not look.complaints


def test_the_map_is_dragged_and_the_page_scrolls_past_it(browser, console):
    """A wheel over the map scrolls the page until the map was meant; then it zooms."""
    with looked(browser, "desktop") as look:
        look.open(console.url + "/")
        canvas = look.page.locator("#map canvas").bounding_box()
        assert canvas is not None
        x, y = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2
        look.page.mouse.move(x, y)
        look.page.mouse.wheel(0, 200)
        look.page.wait_for_function("() => scrollY > 0")
        look.page.evaluate("() => scrollTo(0, 0)")
        look.page.mouse.click(x, y)
        look.page.mouse.wheel(0, -600)
        look.page.wait_for_selector("#map canvas.near")
        asked = len(look.asked)
        look.page.mouse.move(x, y)
        look.page.mouse.down()
        look.page.mouse.move(x - 300, y - 40, steps=6)
        look.page.mouse.up()
        look.page.wait_for_timeout(600)
        assert look.page.evaluate("() => scrollY") == 0
        assert queries_of(look.asked[asked:], CELLS)
        assert not look.complaints


def test_charts_have_their_tables(browser, console):
    with looked(browser, "desktop") as look:
        look.open(console.url + "/")
        assert look.page.locator("#chart canvas").is_visible()
        rows = look.page.locator("#flows tbody tr")
        assert not rows.first.is_visible()
        look.page.click("summary:has-text('Throughput')")
        assert rows.count() == 48
        assert rows.first.is_visible()
        console.begin("while open")
        look.page.wait_for_timeout(2500)
        assert rows.first.is_visible(), "what is drawn anew leaves a disclosure as it was"
