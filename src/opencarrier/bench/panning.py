"""How evenly the map moves in a browser, with as many nodes as `bench console` loads.

A view is moved by keys for some frames, rests until its cells came and were drawn, and moves on:
there and back, at several zooms, on a desk's screen and on a phone's. Times are milliseconds
between frames, and of drawing one; the floor is an empty page in the same browser.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.daemon import serving
from opencarrier.app.folder import Folder
from opencarrier.bench.console import NODES, load
from opencarrier.kernel.entropy import SeededEntropy

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENS: Final = {"desk": (1280, 900), "phone": (390, 844)}
ZOOMS: Final = {"a continent": 1, "a country": 3, "a city": 5}
"""How often the map is zoomed in twofold."""

EUROPE: Final = (0.49, 0.2)
"""Where on the map that is, as shares of its width and height."""

MOVES: Final = 6
"""There and back: so often."""

DRAWN_MS: Final = """
window.drawnMs = [];
const wanted = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (act) => wanted((at) => {
  const began = performance.now();
  act(at);
  window.drawnMs.push(performance.now() - began);
});
window.frame = () => new Promise(wanted);
"""

MOVE: Final = """async ([key, frames, rest]) => {
  const canvas = document.querySelector("#map canvas");
  const between = [];
  window.drawnMs = [];
  let before = await window.frame();
  for (let number = 0; number < frames + rest; number += 1) {
    if (canvas && number < frames) canvas.dispatchEvent(new KeyboardEvent("keydown", { key }));
    const at = await window.frame();
    between.push(at - before);
    before = at;
  }
  return [between, window.drawnMs];
}"""
FRAMES: Final = 45
REST: Final = 30
"""Frames of half a second: the map asks anew once it stood still for 140 ms."""


def run(nodes: int = NODES) -> dict[str, Any]:
    """Load, serve, look; needs chromium and Playwright."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {"chromium": "not installed"}
    with TemporaryDirectory(prefix="panning") as name:
        settings = Settings(radius_port=0, acct_port=0, http_port=0)
        base = open_installation(Folder(Path(name) / "data"), settings, entropy=SeededEntropy(1))
        try:
            with onchain(base) as place:
                load(place, nodes)
                frames = asyncio.run(_served(place, chromium))
        finally:
            base.close()
    return {"cores": os.cpu_count() or 1, "nodes": nodes, "ms": frames}


async def _served(place: Onchain, chromium: str) -> dict[str, Any]:
    async with serving(place) as served:
        return await asyncio.to_thread(_looked, served.running.http, chromium)


def _looked(url: str, chromium: str) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium)
        told: dict[str, Any] = {}
        for name, (width, height) in SCREENS.items():
            told[name] = _on_screen(browser, url, width, height)
        browser.close()
    return told


def _on_screen(browser: Browser, url: str, width: int, height: int) -> dict[str, Any]:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.add_init_script(DRAWN_MS)
    page.goto("about:blank")
    told = {"an empty page": _moved(page)}
    page.goto(url)
    page.wait_for_selector("[data-drawn][data-nodes]")
    box = page.locator("#map canvas").bounding_box()
    assert box is not None
    at = (box["x"] + box["width"] * EUROPE[0], box["y"] + box["height"] * EUROPE[1])
    zoomed = 0
    for name, times in ZOOMS.items():
        while zoomed < times:
            page.mouse.dblclick(*at)
            zoomed += 1
        page.wait_for_timeout(2_000)
        told[name] = _moved(page)
    page.close()
    return told


def _moved(page: Page) -> dict[str, float]:
    between: list[float] = []
    drawn: list[float] = []
    for number in range(MOVES):
        key = ("ArrowRight", "ArrowLeft")[number % 2]
        frames, spent = page.evaluate(MOVE, [key, FRAMES, REST])
        between += frames
        drawn += spent
    return {"frames": len(between), **_spread("between", between), **_spread("drawing", drawn)}


def _spread(name: str, measured: Sequence[float]) -> Mapping[str, float]:
    """Return the middle, the 99th of a hundred and the longest."""
    if not measured:
        return {}
    ranked = sorted(measured)
    last = len(ranked) - 1
    at = {"median": last // 2, "p99": last * 99 // 100, "max": last}
    return {f"{name}_{word}": round(ranked[place], 1) for word, place in at.items()}
