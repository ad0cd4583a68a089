"""Adding a node: the command a page shows, pasted, enters an agent with a key of its own. Once."""

from __future__ import annotations

import html
import re
import stat
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from starlette.testclient import TestClient
from tests.app.scene import START_US, taken
from tests.app.serving import served
from tests.console.people import Installation, installation

from opencarrier.app import node_joining
from opencarrier.app.console.nodes import JOIN_PATH
from opencarrier.app.node_folder import NodeFolder
from opencarrier.app.node_joining import ask_over_http, join, read_link
from opencarrier.app.output import CommandError
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.identity.node_enrolment import OPEN_MAX, TTL_S
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.signatures import KeySigner
from opencarrier.spine.nodes import join_digest

COMMAND = re.compile(
    r"printf %s &#39;([^&]+)&#39; \| opencarrier node join --data opencarrier-node"
)
KEY = KeySigner(b"\x07" * 32)


@pytest.fixture
def home(tmp_path):
    with installation(tmp_path / "home") as found:
        found.add("cafe", Grant(Role.HOST, found.made.node.host))
        yield found


def offered(home: Installation, node_id: str, **more: str):
    """Fill the form as the café does."""
    fields = {"node_id": node_id, "operator": home.made.visited.party_id, "place": "", **more}
    return home.browser("cafe").form(f"/host/{home.made.node.host}/add-node", **fields)


def link_of(answer) -> str:
    found = COMMAND.search(answer.text)
    assert found is not None, answer.text
    return html.unescape(found[1])


def knock(client: TestClient, link: str, key: KeySigner = KEY, signer: KeySigner = KEY):
    token = link.partition("#")[2]
    signature = to_hex(signer.sign(join_digest(token, key.address)).octets)
    told = {"token": token, "kid": key.address, "signature": signature}
    return client.post(JOIN_PATH, json=told)


def test_the_pasted_command_enters_an_agent(home, tmp_path):
    """The link of the page through the agent's own code: node, place, key and secret are there."""
    with served(home.app) as url:
        link = link_of(offered(home, "cafe-2", place="43.7,7.27"))
        port = url.rpartition(":")[2]
        read = read_link(link.replace("localhost:8400", f"127.0.0.1:{port}"))
        folder = NodeFolder(tmp_path / "agent")
        told = join(folder, read, SeededEntropy(3), ask_over_http)
        with pytest.raises(CommandError, match="written already"):
            join(folder, read, SeededEntropy(3), ask_over_http)
        again = NodeFolder(tmp_path / "again")
        with pytest.raises(CommandError, match="does not work"):
            join(again, read, SeededEntropy(4), ask_over_http)
        home.web.events.close()
    identity = home.base.identity
    with home.base.store.read() as unit:
        node = identity.directory.node_by_id(unit, "cafe-2")
        place = identity.places.of(unit, ["cafe-2"])["cafe-2"]
        client = identity.directory.client(unit, "127.0.0.1")
    assert (node.host, node.operator) == (home.made.node.host, home.made.visited.party_id)
    assert (place.latitude_udeg, place.attester) == (43_700_000, home.made.visited.party_id)
    settings = folder.load()
    assert told["kid"] == folder.signer().address
    assert settings.hub.secret == client.secret
    assert client.operator == node.operator
    assert (settings.hub.host, settings.hub.port) == ("127.0.0.1", home.base.settings.radius_port)
    assert settings.points[0].nas_identifier == "cafe-2"
    assert stat.S_IMODE((folder.root / "hub.secret").stat().st_mode) == 0o600
    entries = home.browser("owner").ask("/v1/audit").json()["items"]
    assert "node_link_made" in {one["what"] for one in entries}


def test_where_the_answer_is_lost_the_agent_is_told_once_more(home, tmp_path, monkeypatch):
    """The link is used up, and the node entered: the same answer comes again, secret and all."""
    asked = []

    def losing(request, **more):
        answer = urlopen(request, **more)
        asked.append(request)
        if len(asked) == 1:
            answer.close()
            raise URLError("the line broke")
        return answer

    monkeypatch.setattr(node_joining, "urlopen", losing)
    with served(home.app) as url:
        link = link_of(offered(home, "cafe-2"))
        read = read_link(link.replace("localhost:8400", f"127.0.0.1:{url.rpartition(':')[2]}"))
        folder = NodeFolder(tmp_path / "agent")
        join(folder, read, SeededEntropy(3), ask_over_http)
        home.web.events.close()
    with home.base.store.read() as unit:
        client = home.base.identity.directory.client(unit, "127.0.0.1")
    assert folder.load().hub.secret == client.secret
    assert len(asked) == 2


def test_a_link_is_used_once_by_the_key_that_signs_and_is_over_in_an_hour(home):
    client = TestClient(home.app, base_url="http://localhost:8400", client=("192.0.2.7", 5))
    link = link_of(offered(home, "one"))
    assert knock(client, link, signer=KeySigner(b"\x08" * 32)).json()["title"] == "signature"
    told = knock(client, link)
    assert (told.status_code, knock(client, link).json()) == (200, told.json())
    other = KeySigner(b"\x08" * 32)
    assert knock(client, link, key=other, signer=other).json()["title"] == "unknown_token"
    assert knock(client, link, signer=other).json()["title"] == "signature"
    elsewhere = TestClient(home.app, base_url="http://localhost:8400", client=("192.0.2.8", 5))
    assert knock(elsewhere, link).json()["title"] == "unknown_token"
    late = link_of(offered(home, "two"))
    home.made.clock.set(START_US + TTL_S * 1_000_000)
    assert knock(client, late).json()["title"] == "unknown_token"
    assert knock(client, link).json()["title"] == "unknown_token", "it is over for its own key, too"
    assert knock(client, "#guess").json()["title"] == "unknown_token"
    for body in ({"token": "x", "kid": "y", "signature": "0xzz"}, {}):
        assert client.post(JOIN_PATH, json=body).status_code in (409, 422)


def test_what_stands_in_the_way_leaves_the_link_as_it_was(home):
    """Another client's address: refused, nothing is entered, and from elsewhere it still works."""
    with home.base.store.write() as unit:
        taken(
            home.base.identity.clients.add(
                unit, prefix="192.0.2.9", operator=home.made.home.party_id, secret=b"x" * 16
            )
        )
    link = link_of(offered(home, "one"))
    clients = [
        TestClient(home.app, base_url="http://localhost:8400", client=(f"192.0.2.{end}", 5))
        for end in (9, 10)
    ]
    refused = knock(clients[0], link)
    assert (refused.status_code, refused.json()["title"]) == (409, "address_taken")
    with home.base.store.read() as unit:
        assert home.base.identity.directory.node_by_id(unit, "one") is None
    assert knock(clients[1], link).status_code == 200


def test_a_key_enters_one_node_and_no_other(home):
    """An agent that was entered already is told so, and the link still enters another one."""
    first, second = (
        TestClient(home.app, base_url="http://localhost:8400", client=(f"192.0.2.{end}", 5))
        for end in (7, 8)
    )
    assert knock(first, link_of(offered(home, "one"))).status_code == 200
    link = link_of(offered(home, "two"))
    refused = knock(second, link)
    assert (refused.status_code, refused.json()["title"]) == (409, "key_taken")
    fresh = KeySigner(b"\x09" * 32)
    assert knock(second, link, fresh, fresh).status_code == 200


def test_links_are_bounded_and_names_are_judged(home):
    for number in range(OPEN_MAX):
        link_of(offered(home, f"node/{number}"))
    assert "Eight links are open" in offered(home, "more").text
    assert "has this name already" in offered(home, "node-1").text
    for wrong in ("x" * 64, "two words", "café", ""):
        text = offered(home, wrong).text
        assert "1 to 63 letters" in text
    assert "such as 48.86,2.34" in offered(home, "y", place="here").text


def test_a_host_chooses_among_whom_it_serves_an_owner_among_all(home):
    """Another operator is as none; another host's page is not there; a new host is told how."""
    party = home.made.node.host
    other = home.made.home.party_id
    assert offered(home, "one", operator=other).status_code == 404
    owner = home.browser("owner")
    path = f"/host/{party}/add-node"
    assert link_of(owner.form(path, node_id="one", operator=other, place=""))
    assert home.browser("host").form(path, node_id="n", operator=other).status_code == 404
    fresh = home.browser("host").get(f"/host/{home.host.party_id}/add-node").text
    assert "added by whoever owns this installation" in fresh
    told = home.browser("cafe").script(
        f"/v1/hosts/{party}/enrolments",
        {"node_id": "two", "operator": home.made.visited.party_id, "place": ""},
    )
    assert told.status_code == 200
    assert told.json()["link"] in told.json()["command"]


@pytest.mark.parametrize(("link", "says"), [
    ("http://hub.example/v1/nodes/join#token", "not https"),
    ("https://hub.example/v1/nodes/join", "no link"),
    ("ftp://localhost/#token", "no link"),
    ("", "no link"),
])  # fmt: skip
def test_a_token_goes_over_tls_or_to_this_machine(link, says):
    with pytest.raises(CommandError, match=says):
        read_link(link)


def test_the_command_reads_the_link_from_standard_input(tmp_path):
    """As the shell runs it: no secret is in the arguments of any process."""
    command = "printf %s 'http://hub.example/#t' | opencarrier node join --data agent"
    bin_path = Path(sys.executable).parent
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=tmp_path,
        env={"PATH": f"{bin_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "not https" in done.stderr) == (1, True), done.stderr
