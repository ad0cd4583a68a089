"""Takes the picture of the network page while a demo runs: python tools/picture.py URL.

It needs chromium and the environment of the tests. Look at what it wrote before you commit it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "network.png"
SIZE = ViewportSize(width=1100, height=820)
SETTLED_MS = 4_000
"""Until the map is drawn and somebody came or went."""


def main(url: str) -> None:
    """Open the page as a visitor sees it first, and keep what it shows."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.goto(url)
        page.wait_for_timeout(SETTLED_MS)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
