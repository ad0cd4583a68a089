"""Every contract scenario on the embedded node and on a real anvil: alike to the last octet.

anvil is looked for in `OPENCARRIER_ANVIL`, on the path, and where `./dev peers` puts it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))

from contract_evm import GENESIS_S, key
from contract_story import CHAIN_ID, FUNDS_WEI, PEOPLE, Step, scenarios

from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.model import Finality
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.kernel.clock import SECOND_US, FixedClock

START_S_MAX = 20


def _anvil() -> str | None:
    root = Path(__file__).parents[2]
    installed = root / ".peers" / "node_modules" / ".bin" / "anvil"
    for found in (os.environ.get("OPENCARRIER_ANVIL"), shutil.which("anvil"), str(installed)):
        if found and Path(found).is_file():
            return found
    return None


ANVIL = _anvil()
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(ANVIL is None, reason="anvil is not installed"),
]


SCENARIOS = scenarios()


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> ModuleType:
    return SCENARIOS[request.param]


@pytest.fixture(scope="module")
def anvil(scenario: ModuleType) -> Iterator[ChainClient]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            ANVIL or "",
            *("--host", "127.0.0.1", "--port", str(port), "--silent"),
            *("--chain-id", str(CHAIN_ID), "--timestamp", str(GENESIS_S)),
            *("--hardfork", "prague", "--accounts", "1"),
        ]
    )
    try:
        client = _when_up(process, f"http://127.0.0.1:{port}")
        for name in PEOPLE:
            client.request("anvil_setBalance", [key(name).address, hex(FUNDS_WEI)])
        yield client
    finally:
        process.terminate()
        process.wait()


def _when_up(process: subprocess.Popen[bytes], url: str) -> ChainClient:
    for _ in range(START_S_MAX * 10):
        assert process.poll() is None, "anvil ended"
        try:
            return connect(url, finality=Finality.parse("depth:1"), chain_id=CHAIN_ID)
        except ChainUnavailableError:
            time.sleep(0.1)
    raise AssertionError("anvil does not answer")


@pytest.fixture(scope="module")
def told(
    scenario: ModuleType, anvil: ChainClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict]:
    settings = NodeSettings(
        chain_id=CHAIN_ID,
        genesis={key(name).address: FUNDS_WEI for name in PEOPLE},
        dev=True,
    )
    path = tmp_path_factory.mktemp("chain") / "chain.sqlite"
    node = EmbeddedNode.open(path, settings, FixedClock(GENESIS_S * SECOND_US))
    try:
        yield {
            "embedded": scenario.play(connect("embedded:", node=node)),
            "anvil": scenario.play(anvil),
        }
    finally:
        node.close()


def _differing(told: dict[str, list[Step]], *fields: str) -> list[tuple[Step, Step]]:
    return [
        (ours, theirs)
        for ours, theirs in zip(told["embedded"], told["anvil"], strict=True)
        if any(getattr(ours, name) != getattr(theirs, name) for name in fields)
    ]


def test_same_outcomes(told: dict[str, list[Step]]) -> None:
    """Every step succeeds on both or on neither, and returns the same."""
    assert len(told["embedded"]) > 5
    assert _differing(told, "name", "succeeded", "output") == []


def test_same_gas(told: dict[str, list[Step]]) -> None:
    """Gas is equal to the unit, also of what reverts."""
    assert [(ours.name, ours.gas, theirs.gas) for ours, theirs in _differing(told, "gas")] == []


def test_same_logs(told: dict[str, list[Step]]) -> None:
    """Addresses, topics and data of every event, block times in them included."""
    assert _differing(told, "logs") == []


def test_same_revert_data(told: dict[str, list[Step]], scenario: ModuleType) -> None:
    assert _differing(told, "revert_data") == []
    assert {s.name for s in told["anvil"] if not s.succeeded} == set(scenario.REFUSALS)
