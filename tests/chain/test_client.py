"""The client over real HTTP: what time-outs, refusals and nonsense leave open."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.seen import Seen

from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.errors import (
    ChainMismatchError,
    ChainRefusedError,
    ChainUnavailableError,
    RevertedError,
)
from opencarrier.chain.model import Call, Finality
from opencarrier.kernel.signatures import Address
from opencarrier.spine.spans import Kind, Within

DEPTH_3 = Finality.parse("depth:3")
SOMEBODY = Address("0x" + "22" * 20)


class Endpoint(BaseHTTPRequestHandler):
    """Answers by a script: a JSON value, raw octets, a status, or silence."""

    script: dict[str, Any]
    released: threading.Event

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.script["traceparent"] = self.headers.get("traceparent")
        answer = self.script.get(body["method"], {"error": {"code": -32601, "message": "no"}})
        if answer == "silence":
            self.released.wait(20)
            return
        status, payload = answer if isinstance(answer, tuple) else (200, answer)
        octets = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def script() -> dict[str, Any]:
    return {"eth_chainId": {"jsonrpc": "2.0", "id": 0, "result": "0x7"}}


@pytest.fixture
def url(script: dict[str, Any]) -> Iterator[str]:
    handler = type("Scripted", (Endpoint,), {"script": script, "released": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    handler.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def remote(url: str) -> ChainClient:
    return connect(url, finality=DEPTH_3, chain_id=7, timeout_s=1)


def result(value: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 0, "result": value}


@pytest.mark.parametrize(
    ("answer", "unknown"),
    [
        ("silence", True),
        ((500, b"oops"), True),
        ((502, b""), True),
        ((429, b"slow down"), False),
        ((413, b"too long"), False),
        ((200, b"<html>"), True),
        ((200, b"[]"), True),
        ((200, b"{}"), True),
        ((200, b'{"result": "0x12"}'), True),
    ],
)
def test_what_a_failed_send_leaves_open(
    remote: ChainClient, script: dict[str, Any], answer: Any, unknown: bool
) -> None:
    script["eth_sendRawTransaction"] = answer
    with pytest.raises(ChainUnavailableError) as caught:
        remote.send_raw(b"\x02")
    assert caught.value.outcome_unknown is unknown


@pytest.mark.parametrize("answer", ["silence", (500, b""), (200, b"{}"), result("twelve")])
def test_a_failed_read_leaves_nothing_open(
    remote: ChainClient, script: dict[str, Any], answer: Any
) -> None:
    script["eth_blockNumber"] = answer
    with pytest.raises(ChainUnavailableError) as caught:
        remote.block_number()
    assert caught.value.outcome_unknown is False


def test_a_request_is_a_span_and_the_node_is_told_the_trace(
    remote: ChainClient, script: dict[str, Any]
) -> None:
    assert script["traceparent"] is None, "nothing is recorded"
    script["eth_blockNumber"] = result("0x1")
    with Within(Seen("around", Kind.INNER)) as around:
        assert remote.block_number() == 1
    assert script["traceparent"] == around.traceparent
    (asked,) = around.below
    assert (asked.name, asked.kind, asked.ended) == ("chain eth_blockNumber", Kind.CLIENT, "")
    assert asked.noted == {"rpc.system": "jsonrpc", "rpc.method": "eth_blockNumber"}


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ChainUnavailableError):
            connect(f"http://127.0.0.1:{port}", finality=DEPTH_3)


def test_a_send_to_a_gone_endpoint_is_known_not_to_arrive(url: str, remote: ChainClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        provider: Any = remote.web3.provider
        provider.endpoint_uri = f"http://127.0.0.1:{port}"
        with pytest.raises(ChainUnavailableError) as caught:
            remote.send_raw(b"\x02")
    assert caught.value.outcome_unknown is False


def test_a_json_error_is_a_refusal(remote: ChainClient, script: dict[str, Any]) -> None:
    script["eth_sendRawTransaction"] = {"error": {"code": -32000, "message": "nonce too low"}}
    with pytest.raises(ChainRefusedError, match="nonce too low") as caught:
        remote.send_raw(b"\x02")
    assert caught.value.code == -32000


@pytest.mark.parametrize(
    ("error", "data"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}, b"\xde\xad\xbe\xef"),
        ({"code": -32000, "message": "execution reverted"}, b""),
        ({"code": 3, "message": "execution reverted", "data": "zz"}, b""),
    ],
)
def test_a_revert_is_a_revert(
    remote: ChainClient, script: dict[str, Any], error: dict[str, Any], data: bytes
) -> None:
    script["eth_call"] = {"error": error}
    with pytest.raises(RevertedError) as caught:
        remote.call(Call(to=SOMEBODY))
    assert caught.value.data == data


def test_another_chain_is_refused(url: str) -> None:
    with pytest.raises(ChainMismatchError):
        connect(url, finality=DEPTH_3, chain_id=8, timeout_s=1)


def test_final_by_depth(remote: ChainClient, script: dict[str, Any]) -> None:
    for head, final in ((0, None), (1, None), (2, 0), (9, 7)):
        script["eth_blockNumber"] = result(hex(head))
        assert remote.final_block_number() == final


def test_final_by_tag(url: str, script: dict[str, Any]) -> None:
    client = connect(url, finality=Finality.parse("finalized"), timeout_s=1)
    script["eth_getBlockByNumber"] = result(None)
    assert client.final_block_number() is None
    block = {"number": "0x5", "hash": "0x" + "11" * 32, "parentHash": "0x" + "22" * 32}
    script["eth_getBlockByNumber"] = result({**block, "timestamp": "0x1"})
    assert client.final_block_number() == 5


def test_urls() -> None:
    with pytest.raises(ValueError, match="opened it"):
        connect("embedded:")
    with pytest.raises(ValueError, match="finality"):
        connect("http://127.0.0.1:1")
    with pytest.raises(ValueError, match="not 'ftp"):
        connect("ftp://x")


def test_importing_the_room_loads_nothing_heavy() -> None:
    """Nor does a client of a node in this process: web3 is for whoever asks for one."""
    program = (
        "import sys\n"
        "import opencarrier.chain.client, opencarrier.chain.transactions, opencarrier.chain.logs\n"
        "import opencarrier.chain.node, opencarrier.chain.keys\n"
        "class Node:\n"
        "    def request(self, method, params):\n"
        "        return {'result': '0x1'}\n"
        "assert opencarrier.chain.client.connect('embedded:', node=Node()).block_number() == 1\n"
        "heavy = {'web3', 'eth', 'eth_account', 'eth_abi', 'requests', 'aiohttp', 'rlp', 'vyper'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"
