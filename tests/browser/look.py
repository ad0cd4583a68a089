"""A page as somebody looks at it: complaints kept, axe asked, pictures taken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page
from tests.browser.visiting import ALL, COLOURS, LOOPBACK, SCHEMES, Rules, barriers

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / ".shots"
SHOT_PX_MAX = 4_000

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
"""How every page is looked at: loaded at each width, in both schemes there."""

FOCUSED = """() => {
  const element = document.activeElement;
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  return {
    name: (element.getAttribute("aria-label") || element.textContent || "").trim().slice(0, 60),
    tag: element.tagName,
    seen: box.width > 0 && box.height > 0 && style.visibility !== "hidden",
    marked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
  };
}"""


CUT_WORDS = """() => [...document.querySelectorAll("svg:not(#map svg) text")].filter((text) => {
  const [inner, outer] = [text, text.ownerSVGElement].map((one) => one.getBoundingClientRect());
  return inner.width && (inner.left < outer.left - 1 || inner.right > outer.right + 1);
}).map((text) => text.textContent)"""
"""What stands over the edge of a picture; the map cuts what is beyond it."""

BEYOND_CARDS = """() => [...document.querySelectorAll(".card data")].filter((amount) => {
  const box = amount.closest("li, dd, td, .card").getBoundingClientRect();
  const own = amount.getBoundingClientRect();
  return own.width && (own.left < box.left - 1 || own.right > box.right + 1);
}).map((amount) => amount.textContent)"""
"""Amounts that stand out of what holds them: they are never broken in two."""


@dataclass
class Look:
    """One page in one window; `complaints` is empty where nothing is wrong."""

    page: Page
    device: str = "desktop"
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", lambda request: self._asks(request.url))

    def open(self, url: str) -> None:
        """Go to a page and wait until it lives and its pictures are drawn."""
        self.page.goto(url)
        self.page.wait_for_selector('#line[data-state="live"]')
        if self.page.query_selector("#map"):
            self.page.wait_for_selector('#map[data-drawn="yes"][data-nodes]')

    def judge(self, rules: Rules = ALL) -> list[str]:
        """Return all that is wrong: complaints, what axe finds serious, what is cut off."""
        return [*self.complaints, *self.axe(rules), *self.cut_off()]

    def judge_schemes(self, name: str) -> list[str]:
        """Return what is wrong in light and in dark, as where a device changes by itself at dusk.

        A picture of each is kept. A scheme changes colours alone, so axe looks at these in dark.
        """
        wrong = []
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            self.shot(f"{name}-{self.device}-{scheme}")
            found = self.judge() if scheme == "light" else self.axe(COLOURS)
            wrong += [f"{self.device}, {scheme}: {one}" for one in found]
        self.page.emulate_media(color_scheme="light")
        return wrong

    def axe(self, rules: Rules = ALL) -> list[str]:
        """Return what axe-core finds serious."""
        return [f"axe: {found}" for found in barriers(self.page, rules)]

    def cut_off(self) -> list[str]:
        """Return whether the page is wider than its window, and what words a picture cuts."""
        cut = [f"a picture cuts {words!r}" for words in self.page.evaluate(CUT_WORDS)]
        cut += [f"{amount!r} has no room" for amount in self.page.evaluate(BEYOND_CARDS)]
        wide, window = self.page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        return cut + ([f"the page is {wide} px wide, the window {window}"] if wide > window else [])

    def walk(self, steps: int) -> list[dict[str, Any]]:
        """Go on by the Tab key; return what had the focus at each step."""
        found = []
        for _ in range(steps):
            self.page.keyboard.press("Tab")
            found.append(self.page.evaluate(FOCUSED))
        return found

    def shot(self, name: str) -> None:
        """Keep a picture of the page in .shots, for people to look at; of a long one the beginning.

        To draw all of a long one takes a processor many seconds.
        """
        SHOTS.mkdir(exist_ok=True)
        width, height = self.page.evaluate(
            "() => [document.documentElement.clientWidth, document.documentElement.scrollHeight]"
        )
        shown = {"x": 0, "y": 0, "width": width, "height": min(height, SHOT_PX_MAX)}
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True, clip=shown)

    def _said(self, message: Any) -> None:
        expected = "404 (Not Found)" in message.text and "/absent" in message.location["url"]
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(f"console: {message.text}")

    def _asks(self, url: str) -> None:
        self.asked.append(url)
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname not in LOOPBACK:
            self.complaints.append(f"asked elsewhere: {url}")


@contextmanager
def looked(browser: Browser, device: str, scheme: str = "light", **more: Any) -> Iterator[Look]:
    """Open a window of a device's width in light or dark."""
    width, height = WIDTHS[device]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=device == "phone",
        **more,
    )
    context.set_default_timeout(60_000)
    try:
        yield Look(context.new_page(), device)
    finally:
        context.close()


def unmarked(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the steps of a walk at which one did not see where the focus is."""
    within = (step for step in steps if step["tag"] != "BODY")
    return [step for step in within if not (step["seen"] and step["marked"])]


def queries_of(urls: list[str], path: str) -> list[str]:
    """Return the queries with which a path was asked for, in their order."""
    return [urlsplit(url).query for url in urls if urlsplit(url).path == path]


def number(text: str) -> int:
    """Read the first whole number of a text."""
    found = re.search(r"[0-9][0-9,]*", text)
    assert found is not None, text
    return int(found[0].replace(",", ""))
