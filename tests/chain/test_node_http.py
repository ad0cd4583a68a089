"""JSON-RPC over HTTP: who may ask, how much, and batches."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

from opencarrier.chain.client import connect
from opencarrier.chain.model import SINGLE_OPERATOR
from opencarrier.chain.node import EmbeddedNode
from opencarrier.chain.node.http import (
    BATCH_MAX,
    BODY_OCTETS_MAX,
    BRACKETS_MAX,
    ForReading,
    answer_body,
    rpc_app,
    rpc_route,
)

ASK = {"jsonrpc": "2.0", "id": 7, "method": "eth_chainId", "params": []}


@pytest.fixture
def http(node: EmbeddedNode) -> Iterator[TestClient]:
    with TestClient(rpc_app(node), base_url="http://127.0.0.1:8545") as client:
        yield client


def test_the_client_over_the_wire(node: EmbeddedNode, account: Any) -> None:
    config = uvicorn.Config(rpc_app(node), host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        client = connect(f"http://127.0.0.1:{port}", finality=SINGLE_OPERATOR, chain_id=31337)
        receipt = account.send(client, account.address)
        assert receipt.succeeded
        assert connect("embedded:", node=node).receipt(receipt.tx_hash) == receipt
        assert client.block() == connect("embedded:", node=node).block()
    finally:
        server.should_exit = True
        thread.join()


def test_a_request(http: TestClient) -> None:
    answer = http.post("/", json=ASK)
    assert answer.status_code == 200
    assert answer.json() == {"jsonrpc": "2.0", "id": 7, "result": "0x7a69"}


def test_a_batch_keeps_order_and_ids(http: TestClient) -> None:
    asked = [{**ASK, "id": "a"}, {"no": "method"}, {**ASK, "method": "x", "id": 3}]
    answers = http.post("/", json=asked).json()
    assert [a["id"] for a in answers] == ["a", None, 3]
    assert [a.get("error", {}).get("code") for a in answers] == [None, -32600, -32601]


def test_notifications_are_not_answered(http: TestClient) -> None:
    quiet = {k: v for k, v in ASK.items() if k != "id"}
    assert http.post("/", json=quiet).status_code == 204
    assert http.post("/", json=[quiet, quiet]).status_code == 204
    assert len(http.post("/", json=[quiet, ASK]).json()) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b'{"method": 5, "id": 1}', -32600),
        (b'{"method": "eth_chainId", "id": {}}', -32600),
        (b'{"method": "eth_chainId", "id": 1, "params": {}}', -32602),
        (b'{"method": "eth_chainId", "id": 1, "params": [1]}', -32602),
        (b"[" * (BRACKETS_MAX + 1), -32600),
        (json.dumps([ASK] * (BATCH_MAX + 1)).encode(), -32600),
    ],
)
def test_bad_bodies(node: EmbeddedNode, body: bytes, code: int) -> None:
    assert answer_body(node, body)["error"]["code"] == code


def test_the_largest_batch_is_answered(node: EmbeddedNode) -> None:
    assert len(answer_body(node, json.dumps([ASK] * BATCH_MAX).encode())) == BATCH_MAX


def test_a_body_has_a_limit(http: TestClient) -> None:
    headers = {"content-type": "application/json"}
    assert http.post("/", content=b" " * BODY_OCTETS_MAX, headers=headers).status_code == 200
    too_much = http.post("/", content=b" " * (BODY_OCTETS_MAX + 1), headers=headers)
    assert too_much.status_code == 413


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8545", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8545", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8545", 403),
        ("", 403),
    ],
)
def test_a_rebound_name_gets_nothing(http: TestClient, host: str, status: int) -> None:
    assert http.post("/", json=ASK, headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_pages_of_others_get_nothing(
    http: TestClient, headers: dict[str, str], status: int
) -> None:
    answer = http.post(
        "/", content=json.dumps(ASK), headers={"content-type": "application/json"} | headers
    )
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


def test_a_browser_that_asks_first_is_not_answered(http: TestClient) -> None:
    assert http.options("/", headers={"origin": "https://evil.example"}).status_code == 405
    assert http.get("/").status_code == 405


def test_it_is_a_route_of_a_larger_app(node: EmbeddedNode) -> None:
    app = Starlette(routes=[rpc_route(node, hosts=frozenset({"carrier.example"}))])
    with TestClient(app, base_url="http://carrier.example") as http:
        assert http.post("/rpc", json=ASK).json()["result"] == "0x7a69"


def test_a_named_origin_is_served(node: EmbeddedNode) -> None:
    app: Any = rpc_app(node, origins=frozenset({"https://wallet.example"}))
    with TestClient(app, base_url="http://localhost") as http:
        headers = {"origin": "https://wallet.example"}
        answer = http.post("/", json=ASK, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://wallet.example"
        asked = http.options("/", headers=headers)
        assert (asked.status_code, asked.content) == (204, b"")
        assert asked.headers["access-control-allow-headers"] == "content-type"
        other = http.options("/", headers={"origin": "https://evil.example"})
        assert other.status_code == 403
        assert "access-control-allow-origin" not in other.headers


def test_a_page_of_this_very_place_is_served(http: TestClient) -> None:
    own = http.post("/", json=ASK, headers={"origin": "http://127.0.0.1:8545"})
    assert own.status_code == 200
    assert http.post("/", json=ASK, headers={"origin": "http://127.0.0.1:8546"}).status_code == 403


def test_a_chain_for_reading_takes_no_transaction(node: EmbeddedNode) -> None:
    reading = ForReading(node)
    assert reading.request("eth_chainId", [])["result"] == "0x7a69"
    for method in ("eth_sendRawTransaction", "evm_mine", "evm_increaseTime", "admin_peers"):
        assert reading.request(method, ["0x00"])["error"]["code"] == -32601
