"""A node's agent is killed while it enters itself: run again with its link it is ready, once."""

from __future__ import annotations

import os
import signal

import pytest
from tests.app.serving import served
from tests.console.people import installation
from tests.console.test_nodes import link_of, offered
from tests.forking import ran

from opencarrier.app.node_folder import NodeFolder
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.crash import VARIABLE

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

POINTS = ("node.join.told", "node.join.secret")


def node_join(folder: NodeFolder, link: str, crash_at: str = "") -> int:
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if crash_at:
        environment[VARIABLE] = crash_at
    words = ["node", "join", "--data", str(folder.root)]
    return ran(words, environment, stdin=link).returncode


@pytest.mark.parametrize("point", POINTS)
def test_an_agent_that_was_killed_asks_again_by_its_link(tmp_path, point):
    """Its secret is the hub's, the node stands once, and nobody else gets in by the link."""
    with installation(tmp_path / "home") as home:
        home.add("cafe", Grant(Role.HOST, home.made.node.host))
        folder, other = NodeFolder(tmp_path / "agent"), NodeFolder(tmp_path / "other")
        with served(home.app) as url:
            port = url.rpartition(":")[2]
            link = link_of(offered(home, "cafe-2")).replace("localhost:8400", f"127.0.0.1:{port}")
            assert node_join(folder, link, crash_at=point) == -signal.SIGKILL
            assert node_join(other, link) == 1
            assert node_join(folder, link) == 0
            home.web.events.close()
        with home.base.store.read() as unit:
            client = home.base.identity.directory.client(unit, "127.0.0.1")
            node = home.base.identity.directory.node_by_id(unit, "cafe-2")
    assert (folder.load().hub.secret, client.operator) == (client.secret, node.operator)
