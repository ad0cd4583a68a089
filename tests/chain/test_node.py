"""The embedded node by itself: what it answers, refuses, keeps and survives."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.errors import (
    ChainMismatchError,
    ChainRefusedError,
    NodeCorruptError,
    NodeLockedError,
    RevertedError,
)
from opencarrier.chain.model import Call, LogFilter
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.node import rpc as rpc_module
from opencarrier.chain.node.rpc import _METHODS
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.signatures import Address

OTHER = Address("0x" + "22" * 20)
TOPIC = b"\x11" * 32
LOGGER = bytes.fromhex("602a600052" + "7f" + TOPIC.hex() + "60206000a100")
STORER = bytes.fromhex("6000355f5500")
TIME = bytes.fromhex("425f5260205ff3")
NUMBER = bytes.fromhex("435f5260205ff3")
PARENT_HASH = bytes.fromhex("60014303405f5260205ff3")
REVERTER = bytes.fromhex("63deadbeef60e01b60005260046000fd")
INVALID = b"\xfe"
RECURSE = bytes.fromhex("5f5f5f5f5f305af100")
ENDLESS = bytes.fromhex("5b5f56")
REFUNDER = bytes.fromhex("60015f555f5f5500")


def root(node: EmbeddedNode) -> str:
    return str(node.request("eth_getBlockByNumber", ["latest", False])["result"]["stateRoot"])


def error(node: EmbeddedNode, method: str, *params: Any) -> tuple[int, str]:
    answer = node.request(method, list(params))
    assert "result" not in answer
    return answer["error"]["code"], answer["error"]["message"]


def test_a_transaction_is_a_block(client: ChainClient, account: Any, node: EmbeddedNode) -> None:
    before = client.balance(account.address)
    receipt = account.send(client, OTHER, value_wei=5, gas_limit=21_000)
    assert (receipt.block_number, receipt.gas_used, receipt.succeeded) == (1, 21_000, True)
    assert client.block_number() == 1
    assert client.balance(OTHER) == 5
    spent = 5 + 21_000 * receipt.effective_gas_price_wei
    assert client.balance(account.address) == before - spent
    assert client.nonce(account.address) == client.nonce(account.address, "pending") == 1
    assert client.balance(OTHER, 0) == 0
    assert client.nonce(account.address, "earliest") == 0


def test_all_tags_of_the_head_are_one_block(client: ChainClient, account: Any) -> None:
    account.send(client, OTHER)
    blocks = {client.block(tag) for tag in ("latest", "safe", "finalized", 1)}
    assert len(blocks) == 1
    (block,) = blocks
    assert block is not None
    assert client.block(block.hash) == block
    assert client.final_block_number() == 1
    assert client.block(2) is None
    assert client.block(b"\1" * 32) is None


def test_contracts_run_revert_and_log(client: ChainClient, account: Any) -> None:
    logger = account.deploy(client, LOGGER)
    assert client.code(logger) == LOGGER
    receipt = account.send(client, logger)
    (log,) = receipt.logs
    assert (log.address, log.topics, log.data) == (logger, (TOPIC,), (42).to_bytes(32, "big"))
    reverter = account.deploy(client, REVERTER)
    with pytest.raises(RevertedError) as caught:
        client.call(Call(to=reverter))
    assert caught.value.data == bytes.fromhex("deadbeef")
    with pytest.raises(RevertedError):
        client.estimate_gas(Call(to=reverter, sender=account.address))
    failed = account.send(client, reverter)
    assert not failed.succeeded
    assert failed.logs == ()
    storer = account.deploy(client, STORER)
    account.send(client, storer, data=TOPIC)
    assert client.storage(storer, 0) == TOPIC
    assert client.storage(storer, 0, client.block_number() - 1) == bytes(32)


def test_a_call_changes_nothing(client: ChainClient, account: Any, node: EmbeddedNode) -> None:
    storer = account.deploy(client, STORER)
    before = root(node)
    client.call(Call(to=storer, data=TOPIC))
    client.estimate_gas(Call(to=storer, data=TOPIC, sender=account.address))
    assert client.storage(storer, 0) == bytes(32)
    assert root(node) == before
    account.send(client, storer, data=TOPIC)
    assert client.storage(storer, 0) == TOPIC


def calling(other: str) -> bytes:
    """Code that gives another contract all its gas and reverts where that fails."""
    return bytes.fromhex(f"5f5f5f5f5f73{other.removeprefix('0x')}5af16022575f5ffd5b00")


def test_an_estimate_is_enough_and_not_much_more(client: ChainClient, account: Any) -> None:
    storer = account.deploy(client, STORER)
    refunder = account.deploy(client, REFUNDER)
    near = far = account.deploy(client, calling(storer))
    for _ in range(5):  # each keeps a 64th part back
        far = account.deploy(client, calling(far))
    for call in (
        Call(to=OTHER, value_wei=1, sender=account.address),
        Call(to=storer, data=TOPIC, sender=account.address),
        Call(to=OTHER, data=b"\xff" * 900, sender=account.address),
        Call(to=refunder, sender=account.address),
        Call(to=near, sender=account.address),
        Call(to=far, sender=account.address),
    ):
        gas = client.estimate_gas(call)
        receipt = account.send(
            client, call.to, data=call.data, value_wei=call.value_wei, gas_limit=gas
        )
        assert receipt.succeeded
        assert receipt.gas_used <= gas
        assert gas * 10 <= receipt.gas_used * 14


def test_time_is_the_clocks_and_never_goes_back(
    open_node: Callable[..., EmbeddedNode], account: Any, clock: FixedClock
) -> None:
    node = open_node()
    client = connect("embedded:", node=node)
    start_s = clock.now_us() // 1_000_000
    times = account.deploy(client, TIME)
    assert int.from_bytes(client.call(Call(to=times)), "big") == start_s
    clock.set(clock.now_us() + 90_000_000)
    assert int.from_bytes(client.call(Call(to=times)), "big") == start_s + 90
    assert int.from_bytes(client.call(Call(to=times), 1), "big") == start_s
    assert node.request("evm_increaseTime", [10])["result"] == 10
    node.request("evm_mine", [])
    block = client.block()
    assert block is not None
    assert block.timestamp_s == start_s + 100
    node.request("evm_setNextBlockTimestamp", [start_s + 500])
    node.request("evm_mine", [])
    node.close()
    reopened = connect("embedded:", node=open_node())
    assert int.from_bytes(reopened.call(Call(to=times)), "big") == start_s + 500
    clock.set(clock.now_us() + 7_000_000)
    assert int.from_bytes(reopened.call(Call(to=times)), "big") == start_s + 507
    code, _ = error(node=open_node(name="other"), method="evm_setNextBlockTimestamp")
    assert code == -32602


def test_a_call_sees_number_and_parent_of_its_block(client: ChainClient, account: Any) -> None:
    number = account.deploy(client, NUMBER)
    parent = account.deploy(client, PARENT_HASH)
    assert int.from_bytes(client.call(Call(to=number)), "big") == 2
    assert int.from_bytes(client.call(Call(to=number), "pending"), "big") == 3
    first, second = client.block(1), client.block(2)
    assert first is not None
    assert second is not None
    assert client.call(Call(to=parent)) == first.hash
    assert client.call(Call(to=parent), "pending") == second.hash


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nonce": 5}, "nonce too high"),
        ({"chain_id": 5}, "invalid chain id"),
        ({"value_wei": 10**30}, "insufficient funds"),
        ({"gas_limit": 20_999}, "intrinsic gas too low"),
        ({"gas_limit": 60_000, "data": b"\xff" * 1000}, "intrinsic gas too low: want 61000"),
        ({"gas_limit": 30_000_001}, "exceeds block gas limit"),
        ({"max_fee_per_gas_wei": 1, "max_priority_fee_per_gas_wei": 1}, "max fee per gas less"),
        ({"max_fee_per_gas_wei": 2 * 10**9, "max_priority_fee_per_gas_wei": 3 * 10**9}, "higher"),
    ],
)
def test_what_no_block_may_hold(
    node: EmbeddedNode, account: Any, changes: dict[str, Any], words: str
) -> None:
    before = root(node)
    raw = account.sign(OTHER, **changes).raw
    code, message = error(node, "eth_sendRawTransaction", "0x" + raw.hex())
    assert code == -32000
    assert words in message
    assert root(node) == before
    assert node.head.number == 0


def test_a_transaction_counts_once(client: ChainClient, account: Any, node: EmbeddedNode) -> None:
    signed = account.sign(OTHER)
    client.send_raw(signed.raw)
    with pytest.raises(ChainRefusedError, match="already known"):
        client.send_raw(signed.raw)
    with pytest.raises(ChainRefusedError, match="nonce too low"):
        client.send_raw(account.sign(OTHER, value_wei=1).raw)
    assert client.block_number() == 1


def test_oversized_code_is_refused(node: EmbeddedNode, account: Any) -> None:
    raw = account.sign(None, data=b"\0" * 49_153, gas_limit=10_000_000).raw
    assert "initcode" in error(node, "eth_sendRawTransaction", "0x" + raw.hex())[1]
    raw = account.sign(OTHER, data=b"\0" * 262_145, gas_limit=30_000_000).raw
    assert error(node, "eth_sendRawTransaction", "0x" + raw.hex())[1] == "oversized data"


def test_endless_code_and_deep_recursion_end(
    node: EmbeddedNode, client: ChainClient, account: Any
) -> None:
    endless = account.deploy(client, ENDLESS)
    with pytest.raises(ChainRefusedError, match="out of gas"):
        client.call(Call(to=endless, gas_limit=200_000))
    invalid = account.deploy(client, INVALID)
    with pytest.raises(ChainRefusedError, match="invalid"):
        client.call(Call(to=invalid))
    recursive = account.deploy(client, RECURSE)
    answers: list[Any] = []
    call = {"to": recursive, "gas": hex(30_000_000)}
    thread = threading.Thread(target=lambda: answers.append(node.request("eth_call", [call])))
    thread.start()
    thread.join()
    assert answers[0]["result"] == "0x"


def test_our_own_failure_is_answered_and_counted(
    node: EmbeddedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_block: Any) -> Any:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(node, "header", fail)
    assert error(node, "eth_gasPrice") == (-32603, "internal error (RuntimeError)")
    assert node.failures == 1


def test_only_the_table_is_served_and_keys_are_not(
    open_node: Callable[..., EmbeddedNode],
) -> None:
    node = open_node(dev=False)
    for method in ("eth_sendTransaction", "eth_sign", "personal_unlockAccount", "evm_mine", "x"):
        assert error(node, method)[0] == -32601
    assert node.request("eth_accounts", [])["result"] == []
    assert node.request("net_version", [])["result"] == "31337"
    assert "opencarrier" in node.request("web3_clientVersion", [])["result"]
    assert node.request("eth_syncing", [])["result"] is False


class TestLogs:
    @pytest.fixture
    def loggers(self, client: ChainClient, account: Any) -> tuple[Address, Address]:
        first, second = account.deploy(client, LOGGER), account.deploy(client, LOGGER)
        for address in (first, second, first):
            account.send(client, address)
        return first, second

    def test_filters(self, client: ChainClient, loggers: tuple[Address, Address]) -> None:
        first, second = loggers

        def blocks(**wanted: Any) -> list[int]:
            found = client.logs(LogFilter(**{"from_block": 0, "to_block": 9, **wanted}))
            return [log.block_number for log in found]

        assert blocks() == [3, 4, 5]
        assert blocks(addresses=(first,)) == [3, 5]
        assert blocks(addresses=(first, second)) == [3, 4, 5]
        assert blocks(topics=((TOPIC,),)) == [3, 4, 5]
        assert blocks(topics=(None,)) == [3, 4, 5]
        assert blocks(topics=((bytes(32), TOPIC),), from_block=4) == [4, 5]
        assert blocks(topics=((bytes(32),),)) == []
        assert blocks(topics=((TOPIC,), (TOPIC,))) == []
        assert blocks(from_block=4, to_block=4) == [4]

    def test_by_block_hash(
        self, node: EmbeddedNode, client: ChainClient, loggers: tuple[Address, Address]
    ) -> None:
        block = client.block(4)
        assert block is not None
        found = node.request("eth_getLogs", [{"blockHash": "0x" + block.hash.hex()}])["result"]
        assert [log["blockNumber"] for log in found] == ["0x4"]
        assert error(node, "eth_getLogs", {"blockHash": "0x" + "00" * 32})[1] == "unknown block"

    def test_bounds(
        self,
        node: EmbeddedNode,
        loggers: tuple[Address, Address],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(rpc_module, "LOG_RESULTS_MAX", 2)
        whole = {"fromBlock": "earliest", "toBlock": "latest"}
        assert error(node, "eth_getLogs", whole)[0] == -32005
        monkeypatch.setattr(rpc_module, "LOG_RANGE_BLOCKS_MAX", 3)
        assert error(node, "eth_getLogs", whole)[0] == -32005
        assert len(node.request("eth_getLogs", [{"fromBlock": "0x3", "toBlock": "0x4"}])["result"])
        many = ["0x" + "22" * 20] * 1_001
        assert error(node, "eth_getLogs", {"address": many})[0] == -32602


def test_fee_history(node: EmbeddedNode, client: ChainClient, account: Any) -> None:
    for _ in range(3):
        account.send(client, OTHER)
    history = node.request("eth_feeHistory", ["0x2", "latest", [50]])["result"]
    assert history["oldestBlock"] == "0x2"
    assert len(history["baseFeePerGas"]) == 3
    assert history["reward"] == [["0x3b9aca00"], ["0x3b9aca00"]]
    assert node.request("eth_feeHistory", ["0x0", "latest", []])["result"]["gasUsedRatio"] == []
    fees = client.fees()
    assert fees.base_fee_per_gas_wei == int(history["baseFeePerGas"][-2], 16)
    price = int(node.request("eth_gasPrice", [])["result"], 16)
    assert price == int(history["baseFeePerGas"][-1], 16) + fees.priority_fee_per_gas_wei


def test_web3_reads_blocks_and_transactions(client: ChainClient, account: Any) -> None:
    receipt = account.send(client, OTHER, value_wei=7)
    block = client.web3.eth.get_block("latest", full_transactions=True)
    (transaction,) = block["transactions"]
    assert transaction["value"] == 7
    assert transaction["blockHash"] == block["hash"] == receipt.block_hash
    assert client.web3.eth.get_transaction(receipt.tx_hash)["nonce"] == 0


def test_it_reopens_on_the_same_state(open_node: Callable[..., EmbeddedNode], account: Any) -> None:
    node = open_node()
    client = connect("embedded:", node=node)
    account.send(client, OTHER, value_wei=5)
    before, head = root(node), node.head
    node.close()
    node = open_node()
    client = connect("embedded:", node=node)
    assert (root(node), node.head) == (before, head)
    account.send(client, OTHER, value_wei=5)
    assert client.balance(OTHER) == 10


def test_one_writer(open_node: Callable[..., EmbeddedNode]) -> None:
    node = open_node()
    with pytest.raises(NodeLockedError, match="open in another process"):
        open_node()
    node.close()
    open_node()


def test_another_chain_id_is_refused(open_node: Callable[..., EmbeddedNode]) -> None:
    open_node().close()
    with pytest.raises(ChainMismatchError):
        open_node(chain_id=5)
    open_node()


def test_a_file_that_is_no_chain_is_refused(
    open_node: Callable[..., EmbeddedNode], tmp_path: Path
) -> None:
    (tmp_path / "chain.sqlite").write_bytes(b"not a database, and long enough to be read" * 100)
    with pytest.raises(NodeCorruptError):
        open_node()


def test_a_missing_state_root_is_found_at_opening(
    open_node: Callable[..., EmbeddedNode], tmp_path: Path
) -> None:
    node = open_node()
    missing = bytes.fromhex(root(node)[2:])
    node.close()
    with sqlite3.connect(tmp_path / "chain.sqlite") as connection:
        connection.execute("DELETE FROM node WHERE hash = ?", (missing,))
    connection.close()
    with pytest.raises(NodeCorruptError, match="state of block 0"):
        open_node()


def test_genesis_places_code_and_balances(tmp_path: Path, clock: FixedClock) -> None:
    where = Address("0x" + "99" * 20)
    chain_settings = NodeSettings(chain_id=9, genesis={OTHER: 3}, code={where: TIME})
    node = EmbeddedNode.open(tmp_path / "genesis.sqlite", chain_settings, clock)
    client = connect("embedded:", node=node, chain_id=9)
    assert client.balance(OTHER) == 3
    assert client.code(where) == TIME
    assert int.from_bytes(client.call(Call(to=where)), "big") == clock.now_us() // 1_000_000
    with pytest.raises(ChainMismatchError):
        connect("embedded:", node=node, chain_id=10)
    node.close()


words = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(["latest", "pending", "0x", "0x0", "0x1", "0x" + "22" * 20, "0x" + "11" * 32]),
    st.text(max_size=8),
)
parameters = st.lists(
    words
    | st.lists(words, max_size=3)
    | st.dictionaries(
        st.sampled_from(["to", "from", "data", "value", "gas", "address", "topics", "fromBlock"]),
        words | st.lists(words, max_size=5),
        max_size=4,
    ),
    max_size=4,
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(method=st.sampled_from(sorted(_METHODS)), params=parameters)
def test_no_request_is_an_internal_error(
    node: EmbeddedNode, method: str, params: list[Any]
) -> None:
    answer = node.request(method, params)
    assert ("result" in answer) != ("error" in answer)
    if "error" in answer:
        assert answer["error"]["code"] in (3, -32000, -32005, -32602), answer
