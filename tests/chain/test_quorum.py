"""Two endpoints: what both say is believed; one that lags delays, one that lies stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from tests.chain.fake_network import intent
from tests.chain.lying_node import LyingNode, changed, lagging, saying, without_last

from opencarrier.chain import store
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.errors import (
    ChainMismatchError,
    ChainUnavailableError,
    QuorumBrokenError,
    RevertedError,
)
from opencarrier.chain.logs import Followed, LogFollower, handler
from opencarrier.chain.model import Call, Finality, LogFilter
from opencarrier.chain.node import EmbeddedNode
from opencarrier.chain.quorum import LOOKS, QuorumClient
from opencarrier.chain.rules import Transaction, TransactionState
from opencarrier.chain.transactions import TransactionManager
from opencarrier.kernel.signatures import Address

if TYPE_CHECKING:
    from tests.chain.conftest import Account

DEPTH = 3
TOPIC = b"\x11" * 32
LOGGER = bytes.fromhex("602a600052" + "7f" + TOPIC.hex() + "60206000a100")
REVERTER = bytes.fromhex("63deadbeef60e01b60005260046000fd")
HASH = "0x" + "ab" * 32


class Pair:
    """One true chain behind two endpoints, either of which may lie."""

    def __init__(self, node: EmbeddedNode) -> None:
        self.node = node
        self.first, self.second = LyingNode(node.request), LyingNode(node.request)
        self.client = self.connect()

    def connect(self) -> QuorumClient:
        profile = Finality.parse(f"depth:{DEPTH}")
        return QuorumClient(
            *(connect("embedded:", node=n, finality=profile) for n in (self.first, self.second))
        )

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.node.request("evm_mine", [])


@pytest.fixture
def pair(node: EmbeddedNode) -> Pair:
    return Pair(node)


@pytest.fixture
def logger(pair: Pair, client: ChainClient, account: Account) -> Address:
    """A contract with three logs, all final and known to be."""
    where = account.deploy(client, LOGGER)
    for _ in range(3):
        account.send(client, where)
    pair.mine(DEPTH)
    assert pair.client.final_block_number() == pair.node.head.number - DEPTH + 1
    return where


def test_two_honest_endpoints_are_like_one(
    pair: Pair, client: ChainClient, logger: Address, account: Account
) -> None:
    """Every answer is what the one true chain says, in the final past and above it."""
    account.send(client, logger)
    head = pair.node.head.number
    wanted = LogFilter(from_block=0, to_block=head, addresses=(logger,))
    assert pair.client.logs(wanted) == client.logs(wanted)
    assert len(pair.client.logs(wanted)) == 4
    for number in range(head + 2):
        assert pair.client.block(number) == client.block(number)
    for log in client.logs(wanted):
        assert pair.client.receipt(log.tx_hash) == client.receipt(log.tx_hash)
    assert pair.client.nonce(account.address) == account.nonce
    assert pair.client.receipt(bytes(32)) is None
    assert pair.client.call(Call(to=logger), 2) == b""
    assert pair.client.disagreement == ""


@pytest.mark.parametrize("liar", ["first", "second"])
@pytest.mark.parametrize(
    "lie",
    [
        {"eth_getTransactionReceipt": changed(status="0x0")},
        {"eth_getTransactionReceipt": changed(blockHash=HASH)},
        {"eth_getTransactionReceipt": changed(logs=[])},
        {"eth_getTransactionReceipt": saying(None)},
    ],
)
def test_a_false_receipt_stops(
    pair: Pair, client: ChainClient, logger: Address, liar: str, lie: dict[str, Any]
) -> None:
    """Another outcome, another block, no logs, or hidden: from either side, it is seen."""
    (log, *_) = client.logs(LogFilter(from_block=0, to_block=9, addresses=(logger,)))
    getattr(pair, liar).lies.update(lie)
    with pytest.raises(QuorumBrokenError, match="receipt"):
        pair.client.receipt(log.tx_hash)
    assert "receipt" in pair.client.disagreement


def test_a_receipt_from_nowhere_stops(
    pair: Pair, client: ChainClient, logger: Address, account: Account
) -> None:
    """A receipt of what was never mined, said to be in a final block."""
    true = pair.node.request("eth_getTransactionReceipt", [f"0x{_last_hash(client, logger)}"])
    made_up = {**true["result"], "transactionHash": HASH}
    pair.first.lies["eth_getTransactionReceipt"] = saying(made_up)
    with pytest.raises(QuorumBrokenError, match="receipt"):
        pair.client.receipt(bytes.fromhex(HASH[2:]))


def _last_hash(client: ChainClient, logger: Address) -> str:
    return client.logs(LogFilter(from_block=0, to_block=99, addresses=(logger,)))[-1].tx_hash.hex()


@pytest.mark.parametrize("liar", ["first", "second"])
def test_another_block_hash_stops(pair: Pair, logger: Address, liar: str) -> None:
    """The final block is final by hash, not by number; so is every block below it."""
    getattr(pair, liar).lies["eth_getBlockByNumber"] = changed(hash=HASH)
    with pytest.raises(QuorumBrokenError):
        pair.client.block(1)
    assert pair.client.disagreement
    getattr(pair, liar).lies.clear()
    with pytest.raises(QuorumBrokenError):
        pair.client.final_block_number()
    assert pair.connect().final_block_number() is not None, "a person looked and began anew"


@pytest.mark.parametrize("liar", ["first", "second"])
@pytest.mark.parametrize("lie", [without_last, saying([])])
def test_a_missing_log_stops(
    pair: Pair, node: EmbeddedNode, logger: Address, liar: str, lie: Any
) -> None:
    """Nothing is handed to whoever books events, and the cursor does not move over it."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    store.metadata.create_all(engine)
    seen: list[object] = []
    followed = Followed(name="l", addresses=(logger,), only_final=True)
    follower = LogFollower(
        pair.client, followed, handler(lambda _, logs: seen.extend(logs), lambda _, __: None)
    )
    getattr(pair, liar).lies["eth_getLogs"] = lie
    with pytest.raises(QuorumBrokenError, match="logs"):
        follower.poll(engine.begin)
    with engine.begin() as connection:
        assert store.cursor(connection, "l") is None
    assert seen == []
    getattr(pair, liar).lies.clear()
    again = LogFollower(
        pair.connect(), followed, handler(lambda _, logs: seen.extend(logs), lambda _, __: None)
    )
    again.poll(engine.begin)
    assert len(seen) == 3


def test_a_false_answer_of_a_contract_stops(
    pair: Pair, client: ChainClient, account: Account
) -> None:
    """Output for output, revert for revert: both endpoints answer alike in a final block."""
    reverter = account.deploy(client, REVERTER)
    pair.mine(DEPTH)
    final = pair.client.final_block_number()
    assert final is not None
    with pytest.raises(RevertedError) as caught:
        pair.client.call(Call(to=reverter), final)
    assert caught.value.data == bytes.fromhex("deadbeef")
    pair.second.lies["eth_call"] = saying("0x01")
    with pytest.raises(RevertedError):
        pair.client.call(Call(to=reverter))
    with pytest.raises(QuorumBrokenError, match="a call"):
        pair.client.call(Call(to=reverter), final)


def test_a_lagging_endpoint_delays(pair: Pair, logger: Address) -> None:
    """Final is what the slower one says; nothing is alarmed, and it catches up by itself."""
    head = pair.node.head.number
    pair.second.lies["eth_blockNumber"] = lagging(2)
    assert pair.client.final_block_number() == head - DEPTH - 1
    pair.second.lies["eth_blockNumber"] = lagging(head)
    assert pair.client.final_block_number() is None
    pair.second.lies.clear()
    assert pair.client.final_block_number() == head - DEPTH + 1
    assert pair.client.disagreement == ""


def test_one_endpoint_away_is_no_answer(pair: Pair, logger: Address) -> None:
    pair.second.lies["eth_blockNumber"] = lambda _params, _answer: {"nothing": 1}
    with pytest.raises(ChainUnavailableError):
        pair.client.final_block_number()
    assert pair.client.disagreement == ""


def test_an_answer_is_looked_at_twice(pair: Pair, logger: Address) -> None:
    """An endpoint of several machines, one of them late, is no liar at the second look."""
    told = 0

    def once(_params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        nonlocal told
        told += 1
        return {**answer, "result": None} if told < LOOKS else answer

    pair.second.lies["eth_getBlockByNumber"] = once
    assert pair.client.block(1) is not None
    assert pair.client.disagreement == ""


def test_a_nonce_is_used_when_both_say_so(pair: Pair, account: Account, logger: Address) -> None:
    pair.first.lies["eth_getTransactionCount"] = saying("0x77")
    assert pair.client.nonce(account.address) == account.nonce


def test_another_chain_is_no_second_endpoint(pair: Pair) -> None:
    pair.second.lies["eth_getBlockByNumber"] = changed(hash=HASH)
    with pytest.raises(ChainMismatchError):
        pair.connect()
    pair.second.lies = {"eth_chainId": saying("0x5")}
    with pytest.raises(ChainMismatchError):
        pair.connect()


def test_the_manager_sends_nothing_more_once_they_differ(pair: Pair, account: Account) -> None:
    """A false receipt makes nothing final; after it the manager alarms and sends no more."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    store.metadata.create_all(engine)
    manager = TransactionManager(pair.client, account.signer)

    def prepare(number: int) -> None:
        quote = manager.quote(Call(to=account.address, value_wei=number))
        with engine.begin() as connection:
            made = manager.prepare(connection, intent(number), quote, now_us=0)
        assert isinstance(made, Transaction)

    prepare(1)
    manager.drive(engine.begin, now_us=0)
    pair.mine(DEPTH)
    prepare(2)
    height = pair.node.head.number
    pair.first.lies["eth_getTransactionReceipt"] = changed(status="0x0")
    for _ in range(2):
        report = manager.drive(engine.begin, now_us=0)
        assert report.sent == 0
        assert report.alarms[0].startswith("quorum: ")
    with pytest.raises(QuorumBrokenError):
        prepare(3)
    assert pair.node.head.number == height
    with engine.begin() as connection:
        states = [manager.find(connection, intent(number)) for number in (1, 2)]
    assert [s.state for s in states if s] == [TransactionState.SENT, TransactionState.PREPARED]
