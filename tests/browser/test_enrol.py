"""The enrolment page in a browser: the profile of the device at hand, once, and fit to read."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.browser.visiting import DESK, PHONE, barriers_in_both_schemes, is_within, visiting
from tests.peers.test_app_access import Place
from tests.peers.test_app_enrol import PUBLIC, place

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

__all__ = ["place"]

AGENTS = {
    "iPhone, iPad, Mac": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)",
    "Android": "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Mobile",
    "Windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36",
    "Linux (wpa_supplicant)": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)",
}
FILES = {
    "iPhone, iPad, Mac": ("certificate", ".mobileconfig", b"com.apple.wifi.managed"),
    "Android": ("certificate", ".conf", b64encode(b"Content-Type: multipart/mixed")[:36]),
    "Windows": ("password", ".xml", b"CarrierProvisioning"),
    "Linux (wpa_supplicant)": ("certificate", ".wpa_supplicant.conf", b"cred={"),
}
"""By device: a kind it is offered, and how its file ends and what is in it."""


@pytest.fixture(scope="module")
def site(place: Place) -> Iterator[Place]:
    """The place of the protocol tests, reached where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = place.data / "config.toml"
    config.write_text(config.read_text().replace(PUBLIC, f"http://127.0.0.1:{port}"))
    with place.up("--http-port", str(port)):
        yield place


def link(site: Place, uses: int) -> str:
    made = site.json("subscriber", "enrol", "Ada", "--uses", str(uses))
    return str(made["link"])


@pytest.mark.parametrize("device", AGENTS)
def test_a_device_is_offered_its_own_profile_first_and_gets_it_once(
    site: Place, browser: Browser, device: str
) -> None:
    address = link(site, 1)
    phone = device != "Windows"
    with visiting(browser, user_agent=AGENTS[device], viewport=PHONE if phone else DESK) as page:
        page.goto(address)
        first = page.locator("section.card").first
        assert first.get_by_role("heading").inner_text() == f"{device} (this device)"
        kind, ending, words = FILES[device]
        with page.expect_download() as coming:
            first.get_by_role("link", name=kind).click()
        assert coming.value.suggested_filename.endswith(ending)
        assert words in coming.value.path().read_bytes()
        again = page.goto(address)
        assert again is not None
        assert again.status == 404


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_reads_and_fits_everywhere(
    site: Place, browser: Browser, viewport: dict[str, int]
) -> None:
    address = link(site, 2)
    with visiting(browser, viewport=viewport) as page:
        page.goto(address)
        assert re.match("Lumen: .*", page.get_by_role("heading", level=1).inner_text())
        assert "2 more" in page.locator("p.lead").inner_text()
        code = page.locator(".qr svg").bounding_box()
        assert code is not None
        assert 100 < code["width"] <= viewport["width"]
        assert code["width"] == pytest.approx(code["height"])
        assert is_within(page)
        assert barriers_in_both_schemes(page) == []
        for one in page.get_by_role("link", name="with a").all():
            size = one.bounding_box()
            assert size is not None
            assert size["height"] >= 24, "WCAG 2.2, 2.5.8"


def test_without_script_it_is_the_same_page(site: Place, browser: Browser) -> None:
    with visiting(browser, java_script_enabled=False, viewport=PHONE) as page:
        page.goto(link(site, 1))
        assert page.get_by_role("link", name="with a").count() >= 9
        assert page.locator(".qr svg").is_visible()


def test_a_made_up_link_shows_nothing(site: Place, browser: Browser) -> None:
    address = link(site, 1)
    with visiting(browser) as page:
        answer = page.goto(address[:-4] + "AAAA")
        assert answer is not None
        assert answer.status == 404
        assert page.locator(".qr, a[href*='/enrol/']").count() == 0
