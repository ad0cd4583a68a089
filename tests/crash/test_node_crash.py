"""SIGKILL at the embedded node and at the transaction manager: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from opencarrier.chain import store
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.keys import DynamicFeeTransaction, LocalSigner, create_address
from opencarrier.chain.model import Call
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.rules import TransactionState
from opencarrier.chain.transactions import TransactionManager
from opencarrier.kernel.clock import FixedClock

pytestmark = pytest.mark.crash

CHAIN_ID = 31337
SIGNER = LocalSigner(bytes(31) + b"\x01")
COUNTER = bytes.fromhex("6008600a5f3960085ff3" + "5f546001015f5500")
COUNTER_AT = create_address(SIGNER.address, 0)
INTENTS = [sha256(b"intent %d" % n).digest() for n in range(3)]
TRANSACTIONS = 400
CLOCK = FixedClock(1_800_000_000_000_000)


def open_node(path: Path) -> EmbeddedNode:
    settings = NodeSettings(chain_id=CHAIN_ID, genesis={SIGNER.address: 10**22})
    return EmbeddedNode.open(path, settings, CLOCK)


def transaction(nonce: int) -> bytes:
    """Deploy the counter first, then count."""
    return SIGNER.sign_transaction(
        DynamicFeeTransaction(
            chain_id=CHAIN_ID,
            nonce=nonce,
            max_priority_fee_per_gas_wei=10**9,
            max_fee_per_gas_wei=3 * 10**9,
            gas_limit=100_000,
            to=COUNTER_AT if nonce else None,
            value_wei=0,
            data=b"" if nonce else COUNTER,
        )
    ).raw


def count(client: ChainClient) -> int:
    return int.from_bytes(client.storage(COUNTER_AT, 0), "big")


def write_until_killed(folder: Path) -> None:
    """Child: send one transaction after the other, telling each that was acknowledged."""
    node = open_node(folder / "chain.sqlite")
    for nonce in range(node.head.number, TRANSACTIONS):
        print(node.send(transaction(nonce)).hex(), flush=True)


def manage_until_killed(folder: Path) -> None:
    """Child: see three intents through, whatever a former life of it has done."""
    node = open_node(folder / "chain.sqlite")
    client = connect("embedded:", node=node)
    engine = create_engine(f"sqlite:///{folder / 'house.sqlite'}")
    store.metadata.create_all(engine)
    manager = TransactionManager(client, SIGNER)
    if client.nonce(SIGNER.address) == 0:
        client.send_raw(transaction(0))
    for intent in INTENTS:
        quote = manager.quote(Call(to=COUNTER_AT))
        with engine.begin() as connection:
            manager.prepare(connection, intent, quote, now_us=CLOCK.now_us())
        manager.drive_until_terminal(
            engine.begin, intent, now_us=CLOCK.now_us, pause=lambda: None, passes_max=3
        )
    engine.dispose()
    node.close()


def start(job: str, folder: Path, crash_at: str = "") -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "OPENCARRIER_CRASH_AT"}
    if crash_at:
        environment["OPENCARRIER_CRASH_AT"] = crash_at
    return subprocess.Popen(
        [sys.executable, __file__, job, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def check_whole(folder: Path, acknowledged: list[str]) -> int:
    """The file reopens, holds what was acknowledged, and its state is that of a replay."""
    node = open_node(folder / "chain.sqlite")
    client = connect("embedded:", node=node)
    blocks = client.block_number()
    assert client.nonce(SIGNER.address) == blocks >= len(acknowledged)
    for tx_hash in acknowledged:
        receipt = client.receipt(bytes.fromhex(tx_hash))
        assert receipt is not None
        assert receipt.succeeded
    replay = EmbeddedNode.open(folder / f"replay-{blocks}.sqlite", node.settings, CLOCK)
    for nonce in range(blocks):
        replay.send(transaction(nonce))
    assert replay.head == node.head
    replay.close()
    client.send_raw(transaction(blocks))
    assert count(client) == blocks
    node.close()
    return blocks + 1


@pytest.mark.parametrize(
    "crash_at", ["chain.node.before_commit", "chain.node.in_commit", "chain.node.after_commit"]
)
@pytest.mark.parametrize("passed", [1, 4])
def test_killed_at_a_commit(tmp_path: Path, crash_at: str, passed: int) -> None:
    with start("write", tmp_path, f"{crash_at}:{passed}") as child:
        output, _ = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    check_whole(tmp_path, output.split())


def test_killed_at_random_moments(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(5):
        with start("write", tmp_path) as child:
            assert child.stdout is not None
            for _ in range(chance.randrange(1, 12)):
                acknowledged.append(child.stdout.readline().strip())
            time.sleep(chance.random() / 50)
            child.kill()
            acknowledged += child.stdout.read().split()
        assert child.returncode == -signal.SIGKILL
        node = open_node(tmp_path / "chain.sqlite")
        node.close()
    whole = [tx_hash for tx_hash in acknowledged if len(tx_hash) == 64]
    assert len(whole) >= len(acknowledged) - 5
    check_whole(tmp_path, whole)


@pytest.mark.parametrize(
    "crash_at",
    [
        "chain.tx.before_send:1",
        "chain.tx.after_send:1",
        "chain.tx.after_send:3",
        "chain.tx.before_save:4",
        "chain.node.before_commit:3",
        "chain.node.in_commit:3",
        "chain.node.after_commit:4",
    ],
)
def test_the_manager_finishes_after_a_kill(tmp_path: Path, crash_at: str) -> None:
    with start("manage", tmp_path, crash_at) as child:
        child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    manage_until_killed(tmp_path)
    client = connect("embedded:", node=(node := open_node(tmp_path / "chain.sqlite")))
    engine = create_engine(f"sqlite:///{tmp_path / 'house.sqlite'}")
    with engine.begin() as connection:
        found = [store.find(connection, intent) for intent in INTENTS]
    engine.dispose()
    assert [t.state for t in found if t] == [TransactionState.FINAL] * len(INTENTS)
    assert count(client) == len(INTENTS)
    assert client.nonce(SIGNER.address) == 1 + len(INTENTS)
    node.close()


if __name__ == "__main__":
    jobs = {"write": write_until_killed, "manage": manage_until_killed}
    jobs[sys.argv[1]](Path(sys.argv[2]))
