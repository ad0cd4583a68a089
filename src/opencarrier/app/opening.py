"""Open a page in a person's browser without its address showing in the list of processes."""

from __future__ import annotations

import os
import webbrowser
from html import escape
from pathlib import Path

from opencarrier.app.folder import Folder


def open_page(folder: Folder, url: str) -> bool:
    """Open an address that carries a secret; False where there is no browser.

    A browser is told a file of ours, which only this user reads and which leads on.
    """
    page = folder.root / "open.html"
    _write(page, f'<meta http-equiv="refresh" content="0; url={escape(url)}">')
    return webbrowser.open(page.as_uri())


def _write(page: Path, text: str) -> None:
    page.unlink(missing_ok=True)
    descriptor = os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"<!doctype html>{text}\n")
