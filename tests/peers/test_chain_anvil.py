"""Foundry's anvil beside the embedded node: same answers, and a manager it cannot confuse."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from tests.chain.lying_node import LyingNode, changed, lagging, saying

from opencarrier.chain import store
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.errors import ChainError, ChainUnavailableError, RevertedError
from opencarrier.chain.keys import DynamicFeeTransaction, LocalSigner, create_address
from opencarrier.chain.logs import Followed, LogFollower, handler
from opencarrier.chain.model import Call, Finality, Log, LogFilter, Receipt
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.quorum import QuorumClient
from opencarrier.chain.rules import (
    Policy,
    Transaction,
    TransactionRefusal,
    TransactionState,
)
from opencarrier.chain.transactions import TransactionManager
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address

pytestmark = pytest.mark.peer

CHAIN_ID = 31337
START_S = 1_800_000_000
SIGNER = LocalSigner(
    bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
)
FUNDS_WEI = 10_000 * 10**18
OTHER = Address("0x" + "22" * 20)
TOPIC = b"\x11" * 32
SECOND_US = 1_000_000
POLICY = Policy(resend_after_s=10, bump_after_s=30)

LOGGER = bytes.fromhex("602a600052" + "7f" + TOPIC.hex() + "60206000a100")
STORER = bytes.fromhex("6000355f5500")
COUNTER = bytes.fromhex("5f546001015f5500")
REVERTER = bytes.fromhex("63deadbeef60e01b60005260046000fd")
EMPTY_REVERTER = bytes.fromhex("5f5ffd")
REFUNDER = bytes.fromhex("60015f555f5f5500")
HASHER = bytes.fromhex("60205f205f5260205ff3")
RECURSIVE = bytes.fromhex("5f5f5f5f5f305af100")


def find_anvil() -> str | None:
    """Return anvil: by OPENCARRIER_ANVIL, on the PATH, or where `./dev peers` puts it."""
    local = Path(__file__).parents[2] / ".peers" / "node_modules" / ".bin" / "anvil"
    for candidate in (os.environ.get("OPENCARRIER_ANVIL"), shutil.which("anvil"), str(local)):
        if candidate and Path(candidate).exists():
            return candidate
    return None


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    program = find_anvil()
    if program is None:
        pytest.skip("anvil is missing (npm @foundry-rs/anvil)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--chain-id", str(CHAIN_ID), "--silent"]
    command += ["--hardfork", "prague", "--timestamp", str(START_S), "--gas-limit", "30000000"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield wait_for(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)


def wait_for(url: str) -> str:
    for _ in range(200):
        try:
            connect(url, finality=Finality.parse("depth:1"))
        except ChainUnavailableError:
            time.sleep(0.05)
        else:
            return url
    raise AssertionError("anvil does not answer")


@pytest.fixture
def anvil(url: str) -> Iterator[ChainClient]:
    """A client of a fresh anvil: the chain is snapshot before and taken back after."""
    client = connect(url, finality=Finality.parse("depth:3"), chain_id=CHAIN_ID)
    snapshot = client.request("evm_snapshot", [])
    yield client
    client.request("evm_setAutomine", [True])
    assert client.request("evm_revert", [snapshot])


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[ChainClient]:
    settings = NodeSettings(chain_id=CHAIN_ID, genesis={SIGNER.address: FUNDS_WEI}, dev=True)
    clock = FixedClock(START_S * SECOND_US)
    node = EmbeddedNode.open(tmp_path / "chain.sqlite", settings, clock)
    yield connect("embedded:", node=node)
    node.close()


class Script:
    """Runs one scenario on one chain and writes down what must be the same on the other."""

    def __init__(self, client: ChainClient) -> None:
        self.client = client
        self.nonce = client.nonce(SIGNER.address)
        self.first_block = client.block_number()
        self.said: list[Any] = []
        self.estimates: list[int] = []
        self.receipts: list[bytes] = []

    def send(
        self, to: Address | None, data: bytes = b"", value_wei: int = 0, gas_limit: int = 900_000
    ) -> None:
        signed = SIGNER.sign_transaction(
            DynamicFeeTransaction(
                chain_id=CHAIN_ID,
                nonce=self.nonce,
                max_priority_fee_per_gas_wei=10**9,
                max_fee_per_gas_wei=4 * 10**9,
                gas_limit=gas_limit,
                to=to,
                value_wei=value_wei,
                data=data,
            )
        )
        self.client.send_raw(signed.raw)
        self.nonce += 1
        receipt = self.mined(signed.tx_hash)
        self.receipts.append(signed.tx_hash)
        self.said.append(
            {
                "hash": receipt.tx_hash,
                "block": receipt.block_number - self.first_block,
                "succeeded": receipt.succeeded,
                "gas": receipt.gas_used,
                "created": receipt.contract_address,
                "parties": (receipt.sender, receipt.to),
                "logs": [self.plain(log) for log in receipt.logs],
            }
        )

    def mined(self, tx_hash: bytes) -> Receipt:
        """Wait for a receipt: anvil mines by itself, but a moment later."""
        for _ in range(500):
            receipt = self.client.receipt(tx_hash)
            if receipt is not None:
                return receipt
            time.sleep(0.01)
        raise AssertionError("not mined")

    def plain(self, log: Log) -> tuple[Any, ...]:
        return (
            log.address,
            log.topics,
            log.data,
            log.block_number - self.first_block,
            log.tx_hash,
            log.log_index,
        )

    def deploy(self, runtime: bytes) -> Address:
        size = len(runtime).to_bytes(2, "big").hex()
        self.send(None, bytes.fromhex(f"61{size}600e60003961{size}6000f3") + runtime)
        where = create_address(SIGNER.address, self.nonce - 1)
        self.said.append(self.client.code(where))
        return where

    def estimate(self, call: Call) -> None:
        """Estimates are searched for, each node in its own steps: near, not equal."""
        try:
            self.estimates.append(self.client.estimate_gas(call))
        except RevertedError as error:
            self.said.append(("reverted", error.data, error.reason))

    def ask(self, question: Callable[[], Any]) -> None:
        try:
            self.said.append(question())
        except RevertedError as error:
            self.said.append(("reverted", error.data, error.reason))
        except ChainError as error:
            self.said.append(type(error).__name__)


def scenario(client: ChainClient) -> Script:
    script = Script(client)
    me = SIGNER.address
    script.send(OTHER, value_wei=5, gas_limit=21_000)
    for runtime in (LOGGER, STORER, REVERTER, EMPTY_REVERTER, REFUNDER, HASHER, RECURSIVE):
        where = script.deploy(runtime)
        data = b"" if runtime is HASHER else TOPIC
        script.ask(lambda to=where, data=data: client.call(Call(to=to, data=data)))
        if runtime is not RECURSIVE:  # it succeeds with any gas, so no estimate is the right one
            script.estimate(Call(to=where, data=data, sender=me))
        script.send(where, data)
        script.send(where, bytes(64))
        script.ask(lambda to=where: client.storage(to, 0))
        script.ask(lambda to=where: client.storage(to, 0, client.block_number() - 1))
    logger = create_address(me, script.nonce - 21)
    script.send(OTHER, b"\xff" * 500)
    script.send(OTHER, bytes(500))
    script.send(None, b"\xfe")
    script.send(None, bytes.fromhex("5f5ffd"))
    script.send(OTHER, gas_limit=21_000)
    script.estimate(Call(to=OTHER, value_wei=1, sender=me))
    script.estimate(Call(to=OTHER, data=b"\xff" * 500, sender=me))
    for question in (
        lambda: client.balance(OTHER),
        lambda: client.nonce(me) - script.nonce,
        lambda: client.nonce(me, "pending") - script.nonce,
        lambda: client.call(Call(to=OTHER, value_wei=10**30, sender=me)),
        lambda: client.call(Call(to=OTHER), 10**6),
        lambda: client.block(10**6),
        lambda: client.receipt(bytes(32)),
        lambda: client.send_raw(b"\x12\x34"),
        lambda: client.request("eth_no_such_method", []),
        lambda: client.request("eth_getBalance", ["0x12", "latest"]),
    ):
        script.ask(question)
    wanted = LogFilter(from_block=script.first_block, to_block=client.block_number())
    script.said.append([script.plain(log) for log in client.logs(wanted)])
    assert script.said[-1]
    assert logger == script.said[-1][0][0]
    return script


def test_the_same_answers(anvil: ChainClient, embedded: ChainClient) -> None:
    ours, theirs = scenario(embedded), scenario(anvil)
    assert len(ours.said) == len(theirs.said) > 60
    for position, (one, other) in enumerate(zip(ours.said, theirs.said, strict=True)):
        assert one == other, f"answer {position}"
    assert len(ours.estimates) == len(theirs.estimates) == 6
    for near, far in zip(ours.estimates, theirs.estimates, strict=True):
        assert abs(near - far) * 20 <= near, (ours.estimates, theirs.estimates)


HEX_WORD = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)")
QUANTITIES = frozenset(
    {"number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "size", "blockNumber", "nonce"}
    | {"transactionIndex", "gas", "value", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"}
    | {"chainId", "type", "r", "s", "v", "yParity", "status", "cumulativeGasUsed", "logIndex"}
    | {"effectiveGasPrice", "difficulty", "blobGasUsed", "excessBlobGas", "blockTimestamp"}
)
FIXED = ("input", "to", "from", "value", "nonce", "r", "s", "v", "yParity", "type", "chainId")


def check_shape(ours: Any, theirs: Any, path: str) -> None:
    """Each of our keys is one of theirs, with a value of the same kind and length."""
    assert type(ours) is type(theirs), path
    if isinstance(ours, dict):
        unknown = set(ours) - set(theirs) - {"totalDifficulty"}
        assert not unknown, (path, unknown)
        missing = set(theirs) - set(ours) - {"blobGasPrice", "blockTimestamp"}
        assert not missing, (path, missing)
        for key in set(ours) & set(theirs):
            check_shape(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(ours, list) and ours and theirs:
        check_shape(ours[0], theirs[0], f"{path}[0]")
    elif isinstance(ours, str) and ours.startswith("0x"):
        name = path.rpartition(".")[2]
        if (name in QUANTITIES and path != "block.nonce") or path.startswith("history"):
            assert HEX_WORD.fullmatch(ours), path
            assert HEX_WORD.fullmatch(theirs), path
        else:
            assert len(ours) == len(theirs), path


def test_the_same_shapes(anvil: ChainClient, embedded: ChainClient) -> None:
    scripts = [scenario(client) for client in (embedded, anvil)]
    wires = [script.client.request for script in scripts]

    def both(method: str, *params: Any) -> tuple[Any, Any]:
        ours, theirs = (ask(method, list(params)) for ask in wires)
        return ours, theirs

    for position, tx_hash in enumerate(scripts[0].receipts):
        name = "0x" + tx_hash.hex()
        assert scripts[1].receipts[position] == tx_hash
        check_shape(*both("eth_getTransactionReceipt", name), "receipt")
        ours, theirs = both("eth_getTransactionByHash", name)
        check_shape(ours, theirs, "transaction")
        assert {key: ours[key] for key in FIXED} == {key: theirs[key] for key in FIXED}
    for full in (False, True):
        check_shape(*both("eth_getBlockByNumber", "latest", full), "block")
    history = both("eth_feeHistory", "0x4", "latest", [25, 75])
    check_shape(*history, "history")
    assert [len(h["baseFeePerGas"]) for h in history] == [5, 5]
    assert [len(h["reward"][0]) for h in history] == [2, 2]
    for method in ("eth_chainId", "net_version", "eth_maxPriorityFeePerGas"):
        ours, theirs = both(method)
        assert ours == theirs


def test_the_same_reverts(anvil: ChainClient, embedded: ChainClient) -> None:
    def error_of(client: ChainClient) -> list[Any]:
        script = Script(client)
        out = []
        reason = b"short of collateral"
        text = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big")
        text += len(reason).to_bytes(32, "big") + reason.ljust(32, b"\0")
        echo = script.deploy(bytes.fromhex("365f5f37365ffd"))
        for data in (text, b"", b"\xde\xad\xbe\xef"):
            call = {"to": echo, "data": "0x" + data.hex()}
            provider: Any = client.web3.provider
            answer = json.loads(json.dumps(dict(provider.make_request("eth_call", [call]))))
            answer["error"]["message"] = answer["error"]["message"].partition(": custom")[0]
            out.append(answer["error"])
        return out

    ours, theirs = error_of(embedded), error_of(anvil)
    assert ours == theirs
    assert ours[0]["message"] == "execution reverted: short of collateral"


class Daemon:
    """A manager with a database of its own."""

    def __init__(self, client: ChainClient, policy: Policy = POLICY) -> None:
        self.client = client
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        store.metadata.create_all(self.engine)
        self.manager = TransactionManager(client, SIGNER, policy)

    def prepare(self, name: str, call: Call, now_us: int = 0) -> Transaction:
        quote = self.manager.quote(call)
        with self.engine.begin() as connection:
            record = self.manager.prepare(connection, intent(name), quote, now_us=now_us)
        assert isinstance(record, Transaction)
        return record

    def drive(self, seconds: int = 0) -> None:
        report = self.manager.drive(self.engine.begin, now_us=seconds * SECOND_US)
        assert report.alarms == ()

    def state(self, name: str) -> TransactionState:
        return self.find(name).state

    def find(self, name: str) -> Transaction:
        with self.engine.begin() as connection:
            record = self.manager.find(connection, intent(name))
        assert record is not None
        return record


def intent(name: str) -> bytes:
    return sha256(name.encode()).digest()


def mine(client: ChainClient, blocks: int = 1) -> None:
    for _ in range(blocks):
        client.request("evm_mine", [])


def counted(client: ChainClient, where: Address) -> int:
    return int.from_bytes(client.storage(where, 0), "big")


@pytest.fixture
def counter(anvil: ChainClient) -> Address:
    """A counter that is final, on a chain that mines when told."""
    where = Script(anvil).deploy(COUNTER)
    anvil.request("evm_setAutomine", [False])
    mine(anvil, 8)
    return where


def test_the_manager_waits_for_depth(anvil: ChainClient, counter: Address) -> None:
    daemon = Daemon(anvil)
    daemon.prepare("a", Call(to=counter))
    daemon.drive()
    for _ in range(2):
        mine(anvil)
        daemon.drive()
        assert daemon.state("a") is TransactionState.MINED
    mine(anvil)
    daemon.drive()
    assert daemon.state("a") is TransactionState.FINAL
    assert counted(anvil, counter) == 1


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_reorg_is_survived(anvil: ChainClient, counter: Address, depth: int) -> None:
    """The newest `depth` blocks are replaced by empty ones; the effect comes once all the same."""
    anvil.finality = Finality.parse(f"depth:{depth + 1}")
    daemon = Daemon(anvil)
    before = daemon.prepare("a", Call(to=counter))
    daemon.drive()
    mine(anvil, depth)
    daemon.drive()
    assert daemon.state("a") is TransactionState.MINED
    anvil.request("anvil_reorg", [depth, []])
    anvil.request("anvil_dropTransaction", ["0x" + before.tx_hash.hex()])
    assert anvil.receipt(before.tx_hash) is None
    assert counted(anvil, counter) == 0
    daemon.drive()
    assert daemon.state("a") is TransactionState.SENT
    mine(anvil, depth + 1)
    daemon.drive()
    after = daemon.find("a")
    assert after.state is TransactionState.FINAL
    assert (after.nonce, after.tx_hash) == (before.nonce, before.tx_hash)
    assert counted(anvil, counter) == 1


def test_a_dropped_transaction_is_sent_again(anvil: ChainClient, counter: Address) -> None:
    daemon = Daemon(anvil)
    record = daemon.prepare("a", Call(to=counter))
    daemon.drive()
    anvil.request("anvil_dropTransaction", ["0x" + record.tx_hash.hex()])
    mine(anvil)
    daemon.drive(seconds=9)
    assert daemon.find("a").newest.sent_count == 1
    daemon.drive(seconds=10)
    assert daemon.find("a").newest.sent_count == 2
    mine(anvil, 3)
    daemon.drive(seconds=11)
    assert daemon.state("a") is TransactionState.FINAL
    assert counted(anvil, counter) == 1


def test_sending_twice_is_sending_once(anvil: ChainClient, counter: Address) -> None:
    daemon = Daemon(anvil)
    daemon.prepare("a", Call(to=counter))
    for seconds in (0, 10, 20):
        daemon.drive(seconds=seconds)
    assert daemon.find("a").newest.sent_count == 3
    mine(anvil, 3)
    daemon.drive(seconds=21)
    assert daemon.state("a") is TransactionState.FINAL
    assert counted(anvil, counter) == 1


def test_a_bump_replaces_and_the_dearer_is_mined(anvil: ChainClient, counter: Address) -> None:
    daemon = Daemon(anvil)
    daemon.prepare("a", Call(to=counter))
    daemon.drive()
    daemon.drive(seconds=30)
    assert len(daemon.find("a").variants) == 2
    assert daemon.find("a").last_error == ""
    mine(anvil, 3)
    daemon.drive(seconds=31)
    found = daemon.find("a")
    assert found.state is TransactionState.FINAL
    assert found.tx_hash == found.variants[1].tx_hash
    assert counted(anvil, counter) == 1


def spike(client: ChainClient, base_fee_wei: int) -> None:
    """Make the head's base fee what it is told; the next one follows from it."""
    client.request("anvil_setNextBlockBaseFeePerGas", [hex(base_fee_wei)])
    mine(client)


def test_a_gas_spike_is_waited_out(anvil: ChainClient, counter: Address) -> None:
    """Refused while gas costs more than the owner pays; the same intent goes when it is over."""
    daemon = Daemon(anvil, Policy(fee_cap_per_gas_wei=10 * 10**9))
    nonce = anvil.nonce(SIGNER.address)
    spike(anvil, 50 * 10**9)
    quote = daemon.manager.quote(Call(to=counter))
    with daemon.engine.begin() as connection:
        refused = daemon.manager.prepare(connection, intent("a"), quote, now_us=0)
    assert isinstance(refused, Refusal)
    assert refused.reason is TransactionRefusal.FEE_ABOVE_CAP
    spike(anvil, 10**9)
    assert daemon.prepare("a", Call(to=counter)).nonce == nonce
    daemon.drive()
    mine(anvil, 3)
    daemon.drive()
    assert daemon.state("a") is TransactionState.FINAL
    assert counted(anvil, counter) == 1


def test_a_spike_over_an_open_transaction(anvil: ChainClient, counter: Address) -> None:
    """It lies while blocks cost more than its cap allows, and is mined once they do not."""
    cap_wei = 8 * 10**9
    policy = Policy(resend_after_s=10, bump_after_s=30, fee_cap_per_gas_wei=cap_wei)
    daemon = Daemon(anvil, policy)
    spike(anvil, 10**9)
    daemon.prepare("a", Call(to=counter))
    daemon.drive()
    for minute in range(1, 8):
        anvil.request("anvil_setNextBlockBaseFeePerGas", [hex(30 * 10**9)])
        mine(anvil)
        daemon.drive(seconds=60 * minute)
    record = daemon.find("a")
    assert record.state is TransactionState.SENT
    assert record.newest.sent_count > 1
    assert record.newest.max_fee_per_gas_wei <= cap_wei
    spike(anvil, 10**9)
    daemon.drive(seconds=600)
    mine(anvil, 3)
    daemon.drive(seconds=601)
    assert daemon.state("a") is TransactionState.FINAL
    assert counted(anvil, counter) == 1


def test_a_stuck_nonce_is_freed_in_order(anvil: ChainClient, counter: Address) -> None:
    """The first of three is dropped for good by the pool: the others wait for it, none is lost."""
    daemon = Daemon(anvil)
    for name in "abc":
        daemon.prepare(name, Call(to=counter, data=name.encode()))
    daemon.drive()
    first = daemon.find("a")
    anvil.request("anvil_dropTransaction", ["0x" + first.tx_hash.hex()])
    mine(anvil, 2)
    daemon.drive(seconds=1)
    assert counted(anvil, counter) == 0
    daemon.drive(seconds=30)
    mine(anvil, 4)
    daemon.drive(seconds=31)
    assert {daemon.state(name) for name in "abc"} == {TransactionState.FINAL}
    assert counted(anvil, counter) == 3


def test_two_daemons_with_one_key(anvil: ChainClient, counter: Address) -> None:
    first, second = Daemon(anvil), Daemon(anvil)
    assert (
        first.prepare("a", Call(to=counter)).nonce
        == second.prepare("a", Call(to=counter, data=b"x")).nonce
    )
    first.drive()
    second.drive()
    for seconds in range(1, 6):
        mine(anvil)
        first.drive(seconds)
        second.drive(seconds)
    states = {first.state("a"), second.state("a")}
    assert states == {TransactionState.FINAL, TransactionState.REPLACED}
    assert counted(anvil, counter) == 1


def test_a_reverting_transaction_ends_reverted(anvil: ChainClient) -> None:
    where = Script(anvil).deploy(REVERTER)
    anvil.request("evm_setAutomine", [False])
    daemon = Daemon(anvil)
    with pytest.raises(RevertedError):
        daemon.manager.quote(Call(to=where))
    quote = daemon.manager.quote(Call(to=where), gas_limit=100_000)
    with daemon.engine.begin() as connection:
        daemon.manager.prepare(connection, intent("a"), quote, now_us=0)
    daemon.drive()
    mine(anvil, 3)
    daemon.drive()
    assert daemon.state("a") is TransactionState.REVERTED


def test_the_follower_over_a_reorg(anvil: ChainClient) -> None:
    script = Script(anvil)
    logger = script.deploy(LOGGER)
    seen: list[Log] = []

    def rewind(_connection: Any, to_block: int) -> None:
        seen[:] = [log for log in seen if log.block_number <= to_block]

    daemon = Daemon(anvil)
    followed = Followed(name="l", from_block=script.first_block, addresses=(logger,))
    follower = LogFollower(
        anvil, followed, handler(lambda _connection, logs: seen.extend(logs), rewind)
    )
    for _ in range(3):
        script.send(logger)
        follower.poll(daemon.engine.begin)
    assert len(seen) == 3
    anvil.request("anvil_reorg", [2, []])
    assert follower.poll(daemon.engine.begin).rewound
    wanted = LogFilter(from_block=0, to_block=anvil.block_number(), addresses=(logger,))
    assert seen == anvil.logs(wanted)


@pytest.mark.parametrize("liar", ["first", "second"])
@pytest.mark.parametrize(
    ("method", "lie"),
    [
        ("eth_getTransactionReceipt", changed(status="0x0")),
        ("eth_getTransactionReceipt", saying(None)),
        ("eth_getBlockByNumber", changed(hash="0x" + "ab" * 32)),
    ],
)
def test_a_lying_endpoint_of_two_stops_the_manager(
    anvil: ChainClient, counter: Address, liar: str, method: str, lie: Any
) -> None:
    """Nothing becomes final by one endpoint's word; it does once both tell the truth."""
    provider: Any = anvil.web3.provider
    ends = {name: LyingNode(provider.make_request) for name in ("first", "second")}

    def both() -> QuorumClient:
        return QuorumClient(
            *(connect("embedded:", node=end, finality=anvil.finality) for end in ends.values())
        )

    daemon = Daemon(both())
    daemon.prepare("a", Call(to=counter))
    daemon.drive()
    mine(anvil, 3)
    ends[liar].lies[method] = lie
    (alarm,) = daemon.manager.drive(daemon.engine.begin, now_us=0).alarms
    assert alarm.startswith("quorum: ")
    assert daemon.state("a") is TransactionState.SENT
    ends[liar].lies.clear()
    daemon.manager = TransactionManager(both(), SIGNER, POLICY)
    daemon.drive()
    assert daemon.state("a") is TransactionState.FINAL
    assert counted(anvil, counter) == 1


def test_a_lagging_endpoint_of_two_only_delays(anvil: ChainClient, counter: Address) -> None:
    provider: Any = anvil.web3.provider
    late = LyingNode(provider.make_request)
    late.lies["eth_blockNumber"] = lagging(2)
    second = connect("embedded:", node=late, finality=anvil.finality)
    daemon = Daemon(QuorumClient(anvil, second))
    daemon.prepare("a", Call(to=counter))
    daemon.drive()
    mine(anvil, 4)
    daemon.drive()
    assert daemon.state("a") is TransactionState.MINED
    mine(anvil)
    daemon.drive()
    assert daemon.state("a") is TransactionState.FINAL
