"""A use followed from its node into the chain, page by page, in every look."""

from __future__ import annotations

import pytest
from tests.browser.look import WIDTHS, looked
from tests.browser.test_receipt_page import issued, sign_in

from opencarrier.identity.accounts.model import Grant, Role

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("device", WIDTHS)
def test_a_use_leads_from_search_to_its_transaction(browser, console, device):
    """By keyboard into the search, from a timeline to the settlement and what it moved."""
    usage = next(iter(issued(console.made.place))).partition(" ")[0]
    with looked(browser, device) as look:
        sign_in(console.made.place, look, console.url, Grant(Role.OWNER))
        look.open(f"{console.url}/trace")
        assert not look.judge_schemes("trace")
        look.page.focus("#sought")
        look.page.keyboard.type(usage)
        look.page.keyboard.press("Enter")
        look.page.wait_for_url(f"**/trace/{usage}")
        assert "Settled" in look.page.inner_text("h1")
        settled = look.page.locator(".steps li").filter(has_text="no longer be undone")
        settled.locator("summary").click()
        assert not look.judge_schemes("trace-use")
        settled.locator('a[href^="/chain/tx/"]').click()
        look.page.wait_for_url("**/chain/tx/*")
        look.page.wait_for_selector('#line[data-state="live"]')
        assert "Settled" in look.page.inner_text("main")
        assert not look.judge_schemes("chain-tx")
