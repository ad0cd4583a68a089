"""Every limit of the embedded node, each hit, and what must hold of its file and its history."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from opencarrier.chain.client import ChainClient
from opencarrier.chain.errors import ChainRefusedError
from opencarrier.chain.model import Call
from opencarrier.chain.node import EmbeddedNode
from opencarrier.chain.node import rpc as rpc_module
from opencarrier.chain.node.http import (
    BATCH_COSTLY_MAX,
    WAITING_MAX,
    answer_body,
    rpc_app,
)
from opencarrier.chain.node.metering import (
    STEPS_MAX,
    Budget,
    StepsExhaustedError,
    precompile_steps,
)
from opencarrier.chain.node.parse import ADDRESSES_MAX, CALL_DATA_OCTETS_MAX, TOPIC_VALUES_MAX
from opencarrier.chain.node.rpc import _DEV_METHODS, _METHODS, RAW_OCTETS_MAX
from opencarrier.kernel.signatures import Address

ENDLESS = bytes.fromhex("5b5f56")
STORER = bytes.fromhex("6000355f5500")
LOADER = bytes.fromhex("5f545f5260205ff3")
FAT_LOGGER = bytes.fromhex("621000005fa000")
ONE_LOG_OCTETS = 0x100000
BALANCE_OF_CALLER = bytes.fromhex("33315f5260205ff3")
LIMITED = -32005
BAD = -32602
FAILED = -32000


def code_of(node: EmbeddedNode, method: str, *params: Any) -> int:
    answer = node.request(method, list(params))
    assert "error" in answer, answer
    return int(answer["error"]["code"])


@pytest.mark.parametrize("method", sorted({**_METHODS, **_DEV_METHODS}))
def test_every_method_counts_its_params(node: EmbeddedNode, method: str) -> None:
    """More or other than what a method takes is refused before anything is looked up."""
    most = {**_METHODS, **_DEV_METHODS}[method][2]
    assert code_of(node, method, *["0x0"] * (most + 1)) == BAD
    assert node.request(method, {"0": "0x0"})["error"]["code"] == BAD  # type: ignore[arg-type]


def test_no_method_debugs_or_signs() -> None:
    assert {name.partition("_")[0] for name in _METHODS} == {"eth", "net", "web3"}
    assert {name.partition("_")[0] for name in _DEV_METHODS} == {"evm"}


LONG = "0x" + "00" * (CALL_DATA_OCTETS_MAX + 1)
WORD = "0x" + "11" * 32


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_call", [{"data": LONG}], BAD),
        ("eth_estimateGas", [{"data": LONG}], BAD),
        ("eth_call", [{"to": "0x" + "11" * 21}], BAD),
        ("eth_call", [{"value": hex(1 << 256)}], BAD),
        ("eth_getBalance", ["0x" + "11" * 19], BAD),
        ("eth_getStorageAt", ["0x" + "11" * 20, hex(1 << 256)], BAD),
        ("eth_getBlockByNumber", [hex(1 << 63), False], BAD),
        ("eth_getBlockByHash", ["0x11", False], BAD),
        ("eth_getTransactionReceipt", [WORD + "11"], BAD),
        ("eth_feeHistory", [hex(1 << 256), "latest", []], BAD),
        ("eth_feeHistory", ["0x1", "latest", [1] * 101], BAD),
        ("eth_sendRawTransaction", ["0x" + "11" * (RAW_OCTETS_MAX + 1)], FAILED),
        ("eth_getLogs", [{"address": ["0x" + "22" * 20] * (ADDRESSES_MAX + 1)}], BAD),
        ("eth_getLogs", [{"topics": [[WORD] * (TOPIC_VALUES_MAX + 1)]}], BAD),
        ("eth_getLogs", [{"topics": [None] * 5}], BAD),
        ("evm_mine", [{"blocks": 1_025}], BAD),
        ("evm_increaseTime", [1 << 40], BAD),
    ],
)
def test_params_have_a_size(node: EmbeddedNode, method: str, params: list[Any], code: int) -> None:
    assert code_of(node, method, *params) == code


def test_the_widest_filter_is_answered(node: EmbeddedNode) -> None:
    """As many addresses and topics as are allowed fit into one query of the index."""
    wanted = {
        "address": ["0x" + "22" * 20] * ADDRESSES_MAX,
        "topics": [[WORD] * TOPIC_VALUES_MAX] * 4,
    }
    assert node.request("eth_getLogs", [wanted])["result"] == []


def test_fee_history_ends(
    node: EmbeddedNode, monkeypatch: pytest.MonkeyPatch, client: ChainClient, account: Any
) -> None:
    for _ in range(3):
        account.send(client, account.address)
    monkeypatch.setattr(rpc_module, "FEE_HISTORY_BLOCKS_MAX", 2)
    told = node.request("eth_feeHistory", ["0x4", "latest", []])["result"]
    assert len(told["gasUsedRatio"]) == 2


def test_a_call_is_bounded_in_steps_not_only_in_gas(
    node: EmbeddedNode, client: ChainClient, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endless code ends for calls, estimates and transactions alike, and the node goes on."""
    endless = account.deploy(client, ENDLESS)
    monkeypatch.setattr(Budget.__init__, "__defaults__", (10_000,))
    for method in ("eth_call", "eth_estimateGas"):
        assert code_of(node, method, {"to": endless, "gas": hex(30_000_000)}) == LIMITED
    before = client.block_number()
    with pytest.raises(ChainRefusedError, match="steps"):
        account.send(client, endless, gas_limit=16_000_000)
    assert client.block_number() == before
    assert client.nonce(account.address) == account.nonce
    with pytest.raises(ChainRefusedError, match="out of gas"):
        client.call(Call(to=endless, gas_limit=30_000))


def test_an_estimate_shares_its_steps(
    node: EmbeddedNode, client: ChainClient, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs of one search count together: one run fits, the search does not."""
    storer = account.deploy(client, STORER)
    call = {"to": storer, "data": WORD, "from": account.address}
    monkeypatch.setattr(Budget.__init__, "__defaults__", (6,))
    assert node.request("eth_call", [call])["result"] == "0x"
    assert code_of(node, "eth_estimateGas", call) == LIMITED


@pytest.mark.parametrize(
    ("number", "data"),
    [(7, bytes(96)), (8, bytes(192)), (9, b"\xff" * 213), (14, bytes(288)), (17, bytes(128))],
)
def test_a_precompiled_contract_counts_what_it_takes(
    node: EmbeddedNode, number: int, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gas sells too cheap is refused before it is computed."""
    steps = precompile_steps(number, data)
    assert steps > precompile_steps(4, data)
    address = "0x" + number.to_bytes(20, "big").hex()
    call = {"to": address, "data": "0x" + data.hex(), "gas": hex(30_000_000)}
    monkeypatch.setattr(Budget.__init__, "__defaults__", (steps - 1,))
    assert code_of(node, "eth_call", call) == LIMITED


def test_pairings_end_with_the_budget() -> None:
    """A call may pair tens of points, not the hundreds that 30 million gas buys."""
    budget = Budget()
    budget.take(precompile_steps(8, bytes(192 * 20)))
    with pytest.raises(StepsExhaustedError):
        budget.take(precompile_steps(8, bytes(192 * 20)))
    assert budget.left < STEPS_MAX


def test_logs_end_by_octets_too(
    node: EmbeddedNode, client: ChainClient, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few fat logs are as much as ten thousand thin ones."""
    logger = account.deploy(client, FAT_LOGGER)
    for _ in range(2):
        assert account.send(client, logger, gas_limit=16_000_000).succeeded
    whole = {"fromBlock": "earliest", "toBlock": "latest"}
    monkeypatch.setattr(rpc_module, "LOG_DATA_OCTETS_MAX", 2 * ONE_LOG_OCTETS)
    assert len(node.request("eth_getLogs", [whole])["result"]) == 2
    monkeypatch.setattr(rpc_module, "LOG_DATA_OCTETS_MAX", 2 * ONE_LOG_OCTETS - 1)
    assert code_of(node, "eth_getLogs", whole) == LIMITED


def test_a_batch_holds_few_costly_requests(node: EmbeddedNode) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{}]}
    full = [call] * BATCH_COSTLY_MAX
    assert len(answer_body(node, json.dumps(full).encode())) == BATCH_COSTLY_MAX
    over = answer_body(node, json.dumps([*full, call]).encode())
    assert over["error"]["code"] == -32600


class _Gate:
    """A node that answers only once it is let."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def request(self, method: str, params: list[Any]) -> dict[str, Any]:
        assert self.open.wait(30)
        return {"jsonrpc": "2.0", "id": 0, "result": method}


async def test_only_so_many_wait() -> None:
    """One more than may wait is told to come again, and is served once there is room."""
    gate = _Gate()
    transport = httpx.ASGITransport(app=rpc_app(gate))
    ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        waiting = [asyncio.create_task(http.post("/", json=ask)) for _ in range(WAITING_MAX)]
        try:
            while True:
                await asyncio.sleep(0)
                if (await http.post("/", json=ask, timeout=1)).status_code == 503:
                    break
        finally:
            gate.open.set()
        assert {(await one).status_code for one in waiting} == {200}
        assert (await http.post("/", json=ask)).status_code == 200


def test_history_answers_as_of_its_block(client: ChainClient, account: Any) -> None:
    """Balance, nonce, code, storage and calls at an old block see that block's state."""
    first = client.block_number()
    storer, loader = account.deploy(client, STORER), account.deploy(client, LOADER)
    delegate = account.deploy(client, BALANCE_OF_CALLER)
    placed = client.block_number()
    held = client.balance(account.address)
    account.send(client, storer, data=bytes.fromhex(WORD[2:]), value_wei=9)
    last = client.block_number()
    assert client.code(storer, first) == b""
    assert client.code(storer, placed) == STORER
    assert client.storage(storer, 0, placed) == bytes(32)
    assert client.storage(storer, 0, last) == bytes.fromhex(WORD[2:])
    assert client.balance(storer, placed) == 0
    assert client.balance(storer, last) == 9
    assert client.nonce(account.address, first) == 0
    assert client.balance(account.address, placed) == held
    seen = client.call(Call(to=delegate, sender=account.address), placed)
    assert int.from_bytes(seen, "big") == held
    assert client.call(Call(to=loader), placed) == bytes(32)
    before, hash_of = client.call(Call(to=delegate), first), client.block(placed)
    assert before == b""
    assert hash_of is not None
    by_hash = client.request(
        "eth_getStorageAt", [storer, "0x0", {"blockHash": "0x" + hash_of.hash.hex()}]
    )
    assert by_hash == "0x" + "00" * 32


def test_a_future_block_is_unknown(node: EmbeddedNode) -> None:
    address = Address("0x" + "11" * 20)
    for method, params in (
        ("eth_getBalance", [address, "0x7"]),
        ("eth_call", [{"to": address}, "0x7"]),
        ("eth_getStorageAt", [address, "0x0", "0x7"]),
    ):
        assert code_of(node, method, *params) == FAILED


def test_every_commit_is_synced(node: EmbeddedNode) -> None:
    """WAL with FULL: an acknowledged block is on the disk when it is acknowledged."""
    connection = node.database._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


SECOND_OPENER = """
import sys
from opencarrier.chain.errors import NodeLockedError
from opencarrier.chain.node.database import NodeDatabase
from pathlib import Path
try:
    NodeDatabase(Path(sys.argv[1]))
except NodeLockedError:
    sys.exit(7)
"""


def test_another_process_is_kept_out(
    open_node: Callable[..., EmbeddedNode], tmp_path: Path
) -> None:
    """One writer, across processes; the file is free once its process has closed it."""
    node = open_node()
    command = [sys.executable, "-c", SECOND_OPENER, str(tmp_path / "chain.sqlite")]
    assert subprocess.run(command, check=False, timeout=60).returncode == 7
    node.close()
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
