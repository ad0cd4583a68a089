"""The chain's pages over a node elsewhere: Foundry's anvil, then slow, wrong and gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.request import Request, urlopen

import pytest
from tests.app.scene import START_US, furnish
from tests.console.people import Installation
from tests.peers.test_app_anvil import rpc, url

from opencarrier.app import quick_chain
from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]

__all__ = ["url"]

PATHS = ("/chain", "/chain/block/1", "/chain/tx/0x" + "ab" * 32, "/chain/contract/ClearingHouse")


@dataclass
class Between:
    """Stands between us and a node; `says` is what it answers instead, `late` that it waits."""

    node: str
    url: str = ""
    says: bytes | None = None
    late: bool = False
    go: Event = field(default_factory=Event)

    def answer(self, body: bytes) -> bytes:
        if self.late:
            self.go.wait(60)
        if self.says is not None:
            return self.says
        asked = Request(self.node, data=body, headers={"Content-Type": "application/json"})
        with urlopen(asked, timeout=30) as found:
            return bytes(found.read())


@pytest.fixture
def between(url) -> Iterator[Between]:
    made = Between(url)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            octets = made.answer(self.rfile.read(int(self.headers["content-length"])))
            try:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)
            except OSError:
                pass  # a page that did not wait longer is gone

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.go.set()
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def home(between, tmp_path, monkeypatch) -> Iterator[Installation]:
    monkeypatch.setattr(quick_chain, "TIMEOUT_S", 1)
    clock = FixedClock(START_US)
    settings = Settings(cycle_s=0, one_sided_window_s=0, chain=between.url, finality="depth:1")
    base = open_installation(
        Folder(tmp_path / "data"), settings, clock=clock, entropy=SeededEntropy(1)
    )
    rpc(between.node, "anvil_setBalance", base.hub.address, hex(10**21))
    try:
        with onchain(base) as place:
            made = furnish(place, clock)
            made.use("one", octets=5_000_000, grant=made.authorise())
            made.settle()
            yield Installation(made)
    finally:
        base.close()


def test_blocks_transactions_events_and_roles_are_the_nodes(home, between):
    """Against what the node itself says, asked without us."""
    browser = home.browser()
    head = int(rpc(between.node, "eth_blockNumber"), 16)
    blocks = browser.ask("/v1/chain/blocks?limit=25").json()["items"]
    assert blocks[0]["number"] == head
    for block in blocks[:5]:
        raw = rpc(between.node, "eth_getBlockByNumber", hex(block["number"]), False)
        assert (block["hash"], block["parent_hash"]) == (raw["hash"], raw["parentHash"])
        assert [line["hash"] for line in block["transactions"]] == raw["transactions"]
    steps = home.browser("owner").ask("/v1/trace/cycle:1").json()["items"][0]["steps"]
    settled = steps[-1]["tx_hash"]
    told = browser.ask(f"/v1/chain/transactions/{settled}").json()
    receipt = rpc(between.node, "eth_getTransactionReceipt", settled)
    assert told["block_number"] == int(receipt["blockNumber"], 16)
    assert int(told["fee_wei"]) == int(receipt["gasUsed"], 16) * int(
        receipt["effectiveGasPrice"], 16
    )
    assert len(told["events"]) == len(receipt["logs"])
    assert told["call"]["name"] == "settle"
    event = next(one for one in told["events"] if one["name"] == "Settled")
    nets = {one["name_of"]: int(one["value"]) for one in event["arguments"] if one["kind"] == "net"}
    assert nets["Home"] < 0 < nets["Visited"]
    house = browser.ask("/v1/chain/contracts/ClearingHouse").json()
    holders = {line["role"]: line["holder"] for line in house["roles"]}
    assert holders["settler"]["address"] == home.base.hub.address
    for path in (*PATHS, f"/chain/tx/{settled}", f"/chain/block/{head}"):
        assert browser.get(path).status_code == (404 if path.endswith("ab" * 32) else 200), path


WRONG = (
    b"", b"<html>", b"[]", b"null", b'{"jsonrpc": "2.0", "id": 1}', b"\xff",
    json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0xzz"}).encode(),
    json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x01"}).encode(),
    json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"number": "0x1"}}).encode(),
    json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "no"}}).encode(),
)  # fmt: skip


def test_a_node_that_answers_wrong_is_as_good_as_none(home, between):
    for says in WRONG:
        between.says = says
        silent(home)
    between.says = None
    assert home.browser().get("/chain").status_code == 200


def test_a_slow_node_and_one_that_is_gone_are_said_to_be_silent(home, between):
    """A page ends although the node never answers, and comes back with it."""
    assert home.browser().get("/chain").status_code == 200
    between.late = True
    silent(home)
    between.go.set()
    between.late = False
    assert home.browser().get("/chain").status_code == 200


def silent(home: Installation) -> None:
    browser = home.browser()
    for path in PATHS:
        page = browser.get(path)
        assert page.status_code == 503, path
        assert "does not answer" in page.text
    assert browser.ask("/v1/chain/blocks").status_code == 503
