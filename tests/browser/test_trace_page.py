"""A use followed from its node into the chain, page by page, in every look."""

from __future__ import annotations

import pytest
from tests.browser.look import LOOKS, looked
from tests.browser.test_receipt_page import issued, sign_in

from opencarrier.identity.accounts.model import Grant, Role

pytestmark = pytest.mark.peer


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_a_use_leads_from_search_to_its_transaction(browser, console, device, scheme):
    """By keyboard into the search, from a timeline to the settlement and what it moved."""
    usage = next(iter(issued(console.made.place))).partition(" ")[0]
    with looked(browser, device, scheme) as look:
        sign_in(console.made.place, look, console.url, Grant(Role.OWNER))
        look.open(f"{console.url}/trace")
        look.shot(f"trace-{device}-{scheme}")
        assert not look.judge()
        look.page.focus("#sought")
        look.page.keyboard.type(usage)
        look.page.keyboard.press("Enter")
        look.page.wait_for_url(f"**/trace/{usage}")
        assert "Settled" in look.page.inner_text("h1")
        settled = look.page.locator(".steps li").filter(has_text="no longer be undone")
        settled.locator("summary").click()
        look.shot(f"trace-use-{device}-{scheme}")
        assert not look.judge()
        settled.locator('a[href^="/chain/tx/"]').click()
        look.page.wait_for_url("**/chain/tx/*")
        look.page.wait_for_selector('#line[data-state="live"]')
        look.shot(f"chain-tx-{device}-{scheme}")
        assert "Settled" in look.page.inner_text("main")
        assert not look.judge()
