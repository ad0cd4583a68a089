"""Who sees which receipt, what a page may ask, and the chain served alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.console import pseudo
from tests.console.people import Installation, installation

from opencarrier.app.config import ConfigError
from opencarrier.app.console.receipt import STEPS
from opencarrier.app.console.views.receipt import checking, named_nodes
from opencarrier.app.folder import FolderError
from opencarrier.app.output import CommandError
from opencarrier.app.serving_chain import own_origins, read_origins, serve_chain
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.ids import to_hex

PARTS = {
    "owner": {"usage", "wholesale", "retail"},
    "operator": {"usage", "wholesale", "retail"},
    "visited": {"usage", "wholesale"},
    "its host": {"usage", "wholesale"},
    "subscriber": {"usage", "retail"},
}
"""What each sees of a use of the home's subscriber at the visited operator's node."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("receipt")) as found:
        made = found.made
        found.add("its host", Grant(Role.HOST, made.node.host))
        made.use("one", octets=5_000_000, grant=made.authorise())
        made.settle()
        made.use("two", octets=7_000_000, grant=made.authorise())
        yield found


@pytest.fixture(scope="module")
def settled(home: Installation):
    place = home.made.place
    with place.base.store.read() as unit:
        (cycle, _) = place.settlement.cycles(unit)[0]
        (usage_id,) = place.clearing.usages(unit, cycle.cycle_id)
    return to_hex(usage_id)


def test_each_party_reads_its_own_parts_and_nobody_elses(home, settled):
    """A part that is not one's own is sealed, whatever audience is asked for."""
    for who, parts in PARTS.items():
        browser = home.browser(who)
        document = browser.ask(f"/v1/receipts/{settled}?audience=all").json()
        shown = {name for name in ("usage", "wholesale", "retail") if "content" in document[name]}
        assert shown == parts, who
        page = browser.get(f"/receipt/{settled}")
        assert page.status_code == 200
        assert ("What the subscriber paid:" in page.text) == ("retail" in parts)
        assert ("What passed between operators:" in page.text) == ("wholesale" in parts)
        assert "Ada" not in page.text
        less = browser.ask(f"/v1/receipts/{settled}?audience=host").json()
        assert "content" not in less["retail"]


def test_no_text_of_it_passes_a_catalogue_by(home, settled):
    with pseudo.spoken(home.web.shell):
        assert not pseudo.bare(home.browser("owner").get(f"/receipt/{settled}").text)


def test_anothers_receipt_is_as_absent_as_none(home, settled):
    for who in ("host", "auditor", "onlooker", "guest"):
        browser = home.browser(who)
        for path in ("/receipt/{}", "/v1/receipts/{}"):
            theirs, none = (browser.get(path.format(i)) for i in (settled, "0x" + "ab" * 32))
            assert (theirs.status_code, none.status_code) == (404, 404)
            assert theirs.text == none.text
    assert home.browser("owner").get("/receipt/nonsense").status_code == 404
    assert home.browser("owner").ask("/v1/receipts/nonsense").status_code == 422
    assert home.browser("owner").ask(f"/v1/receipts/{settled}?audience=x").status_code == 422


def test_a_page_asks_its_server_loopback_and_named_nodes_only(home, settled, monkeypatch):
    policy = home.browser().get("/receipt").headers["content-security-policy"]
    assert "connect-src 'self' http://127.0.0.1:* http://localhost:*;" in policy
    assert "script-src 'self';" in policy
    elsewhere = home.browser().get("/words").headers["content-security-policy"]
    assert "connect-src 'self';" in elsewhere
    page = home.browser().get("/receipt").text
    assert all(f'data-step="{step}"' in page for step in STEPS)
    named = replace(home.base.settings, console_rpc="https://rpc.example/v1 http://10.0.0.7:8545")
    monkeypatch.setattr(home.base, "settings", named)
    found = checking(home.made.place)
    assert found.rpc == "https://rpc.example/v1"
    assert list(found.asks)[:2] == ["https://rpc.example", "http://10.0.0.7:8545"]


@pytest.mark.parametrize(
    "setting",
    [
        "rpc.example",
        "ftp://rpc.example",
        "https://",
        "https://rpc.example;script-src",
        "https://*.example",
        "https://user:word@rpc.example",
        " ".join(["https://rpc.example"] * 17),
    ],
)
def test_a_setting_that_is_no_node_is_refused(setting):
    with pytest.raises(ConfigError):
        named_nodes(setting)


def test_a_receipt_comes_with_the_settlement(home):
    """Before, its page says so to whom it will be shown, and is absent to others."""
    home.made.clock.set(home.made.clock.now_us() + 3_600_000_000)
    closed = home.made.errands.close(home.made.clock.now_us())
    with home.base.store.read() as unit:
        (usage,) = home.base.usage.usages(unit, closed.cycle.cycle_id)
    waiting = to_hex(usage.usage_id)
    for who in PARTS:
        page = home.browser(who).get(f"/receipt/{waiting}")
        assert page.status_code == 200
        assert "Not settled yet" in page.text
        assert home.browser(who).ask(f"/v1/receipts/{waiting}").status_code == 409
    assert home.browser("host").get(f"/receipt/{waiting}").status_code == 404


def test_a_page_may_ask_the_chain_of_its_own_server(home):
    ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    client = home.browser().client
    for origin, status in (("http://localhost:8400", 200), ("http://localhost:8401", 403)):
        answer = client.post("/rpc", json=ask, headers={"Origin": origin})
        assert answer.status_code == status


def test_a_chain_is_served_alone_where_it_is_here_and_free(home, tmp_path):
    """Another process has it, there is none, the port is taken, an origin is none."""
    base = home.base
    with pytest.raises(FolderError, match="another process"):
        serve_chain(base, port=0, origins=["http://127.0.0.1:1"], ready=print)
    assert own_origins(base) == ["http://127.0.0.1:8400", "http://localhost:8400"]
    for odd in ("http://a/", "a", "https://a.example/path", "null"):
        with pytest.raises(CommandError):
            read_origins([odd])
    with pytest.raises(CommandError, match="17 origins"):
        read_origins(["http://127.0.0.1:1"] * 17)
