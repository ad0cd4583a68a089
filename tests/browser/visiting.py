"""A visit to our pages by Debian's chromium: whatever goes wrong on the way is told at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Route

AXE = Path(__file__).parents[2] / ".peers" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
SERIOUS = ("serious", "critical")
LOOPBACK = ("127.0.0.1", "localhost")
SCHEMES = ("light", "dark")

Rules = dict[str, Any]
ALL: Rules = {}
COLOURS: Rules = {"runOnly": ["color-contrast"]}
SHAPES: Rules = {"rules": {"color-contrast": {"enabled": False}}}
"""What axe-core is asked; a scheme changes colours alone, a language all but these."""


@contextmanager
def visiting(browser: Browser, **settings: Any) -> Iterator[Page]:
    """Open a page of a visitor of its own; no error, and no request of it, may leave unseen."""
    context = browser.new_context(**{"viewport": DESK, **settings})
    page, trouble = context.new_page(), []

    def passed(route: Route) -> None:
        if urlsplit(route.request.url).hostname in LOOPBACK:
            route.continue_()
        else:
            trouble.append(f"asks elsewhere: {route.request.url}")
            route.abort()

    context.route("**/*", passed)
    page.on("pageerror", lambda error: trouble.append(f"script: {error}"))
    page.on("console", lambda told: trouble.append(told.text) if _is_trouble(told) else None)
    page.on(
        "response",
        lambda answer: (
            trouble.append(f"{answer.status} {answer.url}")
            if answer.status >= 400 and answer.request.resource_type != "document"
            else None
        ),
    )
    try:
        yield page
        assert not trouble, trouble
    finally:
        context.close()


def _is_trouble(told: ConsoleMessage) -> bool:
    """Say whether a browser complains; of answers we judge ourselves."""
    is_answer = told.text.startswith("Failed to load resource")
    return told.type in ("error", "warning") and not is_answer


def barriers(page: Page, rules: Rules = ALL) -> list[str]:
    """What keeps people out, serious or worse, as axe-core finds it; told is what fails alone."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())  # the policy lets no script of others into the page itself
    found = page.evaluate("rules => axe.run(rules)", {**rules, "resultTypes": ["violations"]})
    return [
        f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]


def barriers_in_both_schemes(page: Page) -> list[str]:
    """The same of a page that turns from light to dark."""
    page.emulate_media(color_scheme="light")
    found = barriers(page)
    page.emulate_media(color_scheme="dark")
    return found + barriers(page, COLOURS)


def is_within(page: Page) -> bool:
    """Say whether nothing sticks out to the side."""
    return bool(
        page.evaluate("() => document.documentElement.scrollWidth <= document.body.clientWidth + 1")
    )
