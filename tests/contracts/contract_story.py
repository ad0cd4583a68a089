"""Sends what a scenario tells to a chain over JSON-RPC, and writes down what each step did.

Keys, nonces, chain id and block times are fixed, so two chains that are EVMs tell it alike to
the last octet. Each `scenario_*.py` beside this is one scenario: its `play(client)` returns the
steps, its gas stands in `gas_*.json`, and every chain under test plays it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from contract_evm import GENESIS_S, key

from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.keys import DynamicFeeTransaction, sign_transaction
from opencarrier.chain.model import Call, Receipt
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.signatures import Address, KeySigner

CHAIN_ID = 31337
TX_GAS_MAX = 16_777_216  # EIP-7825
FUNDS_WEI = 10**21
PEOPLE = ("owner", "settler", "member 0", "member 1", "member 2", "stranger")
RECEIPT_TRIES_MAX = 2000


@dataclass(frozen=True)
class Told:
    """A story that was told, and the chain it was told on."""

    steps: list[Step]
    node: EmbeddedNode
    client: ChainClient


def on_a_chain(name: str, folder: Path) -> Told:
    """Tell a scenario on an embedded chain that begins in a folder."""
    settings = NodeSettings(
        chain_id=CHAIN_ID, genesis={key(who).address: FUNDS_WEI for who in PEOPLE}, dev=True
    )
    clock = FixedClock(GENESIS_S * SECOND_US)
    node = EmbeddedNode.open(folder / "chain.sqlite", settings, clock)
    client = connect("embedded:", node=node)
    return Told(scenarios()[name].play(client), node, client)


@dataclass(frozen=True)
class Step:
    """What one transaction did."""

    name: str
    succeeded: bool
    gas: int
    logs: tuple[tuple[str, tuple[bytes, ...], bytes], ...]
    revert_data: bytes | None
    output: bytes | None


class Story:
    """Sends transactions one block each and writes down what they did."""

    def __init__(self, client: ChainClient) -> None:
        self.client = client
        self.steps: list[Step] = []
        self.now_s = GENESIS_S
        self.people = {name: key(name) for name in PEOPLE}

    def transact(self, sender: KeySigner, call: Call, gas_limit: int) -> Receipt:
        self.now_s += 1
        self.client.request("evm_setNextBlockTimestamp", [hex(self.now_s)])
        signed = sign_transaction(
            DynamicFeeTransaction(
                chain_id=CHAIN_ID,
                nonce=self.client.nonce(sender.address),
                max_priority_fee_per_gas_wei=10**9,
                max_fee_per_gas_wei=100 * 10**9,
                gas_limit=gas_limit,
                to=call.to,
                value_wei=0,
                data=call.data,
            ),
            sender,
        )
        self.client.send_raw(signed.raw)
        return self._mined(signed.tx_hash)

    def _mined(self, tx_hash: bytes) -> Receipt:
        for _ in range(RECEIPT_TRIES_MAX):
            receipt = self.client.receipt(tx_hash)
            if receipt is not None:
                return receipt
            time.sleep(0.005)
        raise AssertionError("the chain does not mine")

    def tell(
        self,
        name: str,
        sender: KeySigner,
        call: Call,
        *,
        gas_limit: int = TX_GAS_MAX,
        ask: bool = True,
    ) -> Receipt:
        """Send a call, after asking what it will say (a large one is only sent)."""
        revert_data, output = None, None
        if ask and call.to is not None:
            asked = Call(to=call.to, data=call.data, sender=sender.address)
            try:
                output = self.client.call(asked)
            except RevertedError as error:
                revert_data = error.data
        receipt = self.transact(sender, call, gas_limit)
        logs = tuple((log.address, log.topics, log.data) for log in receipt.logs)
        step = Step(name, receipt.succeeded, receipt.gas_used, logs, revert_data, output)
        self.steps.append(step)
        assert step.succeeded == (revert_data is None), (name, revert_data)
        return receipt

    def fail(self, name: str, sender: KeySigner, call: Call) -> None:
        self.tell(name, sender, call, gas_limit=500_000)
        assert not self.steps[-1].succeeded, name

    def deploy(self, name: str, call: Call) -> Address:
        address = self.tell(name, self.people["owner"], call).contract_address
        assert address is not None
        return address

    def pass_time(self, seconds: int) -> None:
        """The next block, and so the next call, is that much later."""
        self.now_s += seconds
        self.client.request("evm_setNextBlockTimestamp", [hex(self.now_s)])
        self.client.request("evm_mine", [])


def scenarios() -> dict[str, ModuleType]:
    """Find every scenario by its name."""
    found = sorted(Path(__file__).parent.glob("scenario_*.py"))
    return {path.stem.removeprefix("scenario_"): import_module(path.stem) for path in found}


def measured(steps: list[Step]) -> dict[str, int]:
    """Return the gas of each step, the dearest run where it was made several times."""
    gas: dict[str, int] = {}
    for step in steps:
        gas[step.name] = max(step.gas, gas.get(step.name, 0))
    return gas
