"""The browser of all browser tests, Debian's chromium, and a network to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.app.scene import Scene, scene
from tests.app.serving import served
from tests.browser.visiting import AXE

from opencarrier.access.model import Metrics
from opencarrier.app.console.watch import Watch
from opencarrier.app.http import Web, make_app
from opencarrier.identity.places.rules import read_place
from opencarrier.spine.usage import Status

CHROMIUM = shutil.which("chromium")
PLACES = ("48.86,2.35", "14.67,-17.44", "60.39,5.32", "-1.29,36.82", "35.68,139.69")


@dataclass
class Console:
    """A served network: where, and what stands behind it."""

    url: str
    made: Scene
    web: Web

    @property
    def watch(self) -> Watch:
        return self.web.watch

    def begin(self, name: str) -> None:
        """Let somebody get on at the node."""
        self.made.use(name, octets=0, seconds=0, grant=self.made.authorise(), status=Status.START)
        self.watch.look()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start it for a file; where it or axe-core is missing the test is skipped and counted.

    As long as its driver lives, a loop runs in this thread, and no test of others may have one.
    """
    if CHROMIUM is None or not AXE.exists():
        pytest.skip("chromium or axe-core is not installed")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture(scope="module")
def console(browser, tmp_path_factory) -> Iterator[Console]:
    """Serve a small network with nodes in several places, a paid cycle and a session going on."""
    with scene(tmp_path_factory.mktemp("console"), one_sided_window_s=0) as made:
        web = Web(made.place, Metrics, token="the token")
        web.ready = web.shell.demo = True
        web.watch.look()
        _furnish(made)
        web.watch.look()
        with served(make_app(web)) as url:
            yield Console(url, made, web)
            web.events.close()


def _furnish(made: Scene) -> None:
    identity = made.place.base.identity
    with made.place.base.store.write() as unit:
        for number, text in enumerate(PLACES):
            node_id = made.node.node_id
            if number:
                node_id = f"more-{number}"
                identity.register.add_node(
                    unit, node_id=node_id, operator=made.visited.party_id, host=made.node.host
                )
            identity.places.put(unit, node_id, read_place(text, made.visited.party_id))
    made.use("first", octets=52_000_000, grant=made.authorise())
    made.settle()
    made.use("second", octets=31_000_000, grant=made.authorise())
    made.settle()
    made.use("now", octets=4_000_000, grant=made.authorise(), status=Status.INTERIM)
