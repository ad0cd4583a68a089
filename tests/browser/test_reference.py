"""The pages of the API in a browser: the list narrows, and what only reads is tried in place."""

from __future__ import annotations

import pytest
from tests.browser.look import looked

pytestmark = pytest.mark.peer


@pytest.mark.parametrize(("path", "sought"), [("/docs", "cells"), ("/problems", "last_key")])
def test_the_list_narrows_as_one_types(browser, console, path, sought):
    with looked(browser, "phone") as look:
        look.open(console.url + path)
        look.page.fill("#search", sought)
        shown = look.page.locator(".operations li:visible")
        assert shown.count() == 1
        assert sought in shown.first.inner_text()
        assert not look.page.locator("#none").is_visible()
        look.page.fill("#search", "zzz")
        assert look.page.locator("#none").is_visible()
        assert not look.judge()


def test_an_operation_is_tried_as_whoever_looks(browser, console):
    """The answer is shown as it came; where nobody answers, the page says so."""
    with looked(browser, "desktop", "dark") as look:
        look.open(console.url + "/docs/get_v1_network_cells")
        for name, value in zip(
            ("west", "south", "east", "north", "level"), (0, 0, 10**7, 10**7, 3), strict=True
        ):
            look.page.fill(f"#p-{name}", str(value))
        look.page.click("#attempt button")
        look.page.wait_for_selector("#answered:visible")
        assert look.page.inner_text("#asked").startswith("200 /v1/network/cells?west=")
        assert '"cells"' in look.page.inner_text("#answer")
        look.shot("operation-tried")
        assert not look.judge()
        look.page.route("**/v1/network/cells**", lambda route: route.abort())
        look.page.click("#attempt button")
        look.page.wait_for_function("document.querySelector('#answer').textContent === ''")
        assert look.page.inner_text("#asked") == "connection lost"
