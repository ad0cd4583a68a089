"""The server dies under an open page: the page says since when, and comes back by itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress

import pytest
from tests.browser.look import looked

pytestmark = pytest.mark.peer

WITHIN_MS = 3_000
START_S = 60


@contextmanager
def running(data, port: int):
    command = [sys.executable, "-m", "opencarrier", "up", "--data", str(data)]
    command += ["--http-port", str(port), "--radius-port", "0", "--acct-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + START_S
        while time.monotonic() < until and process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                break
            time.sleep(0.2)
        assert process.poll() is None, process.stderr.read().decode()
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return tmp_path_factory.mktemp("line") / "data", port


def test_a_killed_server_is_noticed_and_its_return_too(browser, place):
    data, port = place
    with looked(browser, "desktop") as look:
        page = look.page
        with running(data, port) as process:
            look.open(f"http://127.0.0.1:{port}/")
            assert page.locator("#lost").is_hidden()
            process.kill()
            process.wait()
            page.wait_for_selector("#lost:visible", timeout=WITHIN_MS)
        assert page.locator("#lost time").inner_text()
        assert page.locator("html.stale").count() == 1
        dimmed = "() => getComputedStyle(document.querySelector('main [data-live]')).filter"
        assert "grayscale" in page.evaluate(dimmed)
        line = "() => getComputedStyle(document.querySelector('#line')).filter"
        assert page.evaluate(line) == "none", "what says it is lost is not dimmed"
        look.shot("network-lost")
        with running(data, port):
            page.wait_for_selector('#line[data-state="live"]', timeout=20_000)
            page.wait_for_selector("#lost", state="hidden")
            assert page.locator("html.stale").count() == 0
            assert page.evaluate(dimmed) == "none"


def test_a_server_that_hangs_is_as_good_as_gone(browser, place):
    """No connection breaks, nothing is heard: that is noticed as soon."""
    data, port = place
    with looked(browser, "phone") as look, running(data, port) as process:
        look.open(f"http://127.0.0.1:{port}/")
        os.kill(process.pid, signal.SIGSTOP)
        look.page.wait_for_selector("#lost:visible", timeout=WITHIN_MS + 500)
        look.shot("network-lost-phone")
        os.kill(process.pid, signal.SIGCONT)
        look.page.wait_for_selector("#lost", state="hidden", timeout=10_000)
        assert look.page.get_attribute("#line", "data-state") == "live"
