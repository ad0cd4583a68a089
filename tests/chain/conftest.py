"""A chain in a temporary file, a funded key, and small hand-made contracts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.keys import (
    DynamicFeeTransaction,
    LocalSigner,
    SignedTransaction,
    create_address,
)
from opencarrier.chain.model import Receipt
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.signatures import Address

CHAIN_ID = 31337
START_S = 1_800_000_000
FUNDS_WEI = 10**22


class Account:
    """A funded key that counts its own nonces."""

    def __init__(self) -> None:
        self.signer = LocalSigner(bytes(31) + b"\x01")
        self.nonce = 0

    @property
    def address(self) -> Address:
        return self.signer.address

    def sign(
        self,
        to: Address | None = None,
        data: bytes = b"",
        value_wei: int = 0,
        gas_limit: int = 500_000,
        **changes: int,
    ) -> SignedTransaction:
        fields = {
            "chain_id": CHAIN_ID,
            "nonce": self.nonce,
            "max_priority_fee_per_gas_wei": 10**9,
            "max_fee_per_gas_wei": 3 * 10**9,
        }
        return self.signer.sign_transaction(
            DynamicFeeTransaction(
                to=to, data=data, value_wei=value_wei, gas_limit=gas_limit, **{**fields, **changes}
            )
        )

    def send(self, client: ChainClient, to: Address | None = None, **fields: object) -> Receipt:
        signed = self.sign(to, **fields)  # type: ignore[arg-type]
        assert client.send_raw(signed.raw) == signed.tx_hash
        self.nonce += 1
        receipt = client.receipt(signed.tx_hash)
        assert receipt is not None
        return receipt

    def deploy(self, client: ChainClient, runtime: bytes) -> Address:
        receipt = self.send(client, data=initcode(runtime))
        assert receipt.contract_address == create_address(self.address, self.nonce - 1)
        return receipt.contract_address


def initcode(runtime: bytes) -> bytes:
    """Code that deploys `runtime` (at most 64 kB)."""
    size = len(runtime).to_bytes(2, "big").hex()
    return bytes.fromhex(f"61{size}600e60003961{size}6000f3") + runtime


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START_S * 1_000_000)


@pytest.fixture
def open_node(
    tmp_path: Path, account: Account, clock: FixedClock
) -> Iterator[Callable[..., EmbeddedNode]]:
    """Open (and reopen) one chain file; whatever is left open is closed at the end."""
    opened: list[EmbeddedNode] = []

    def opener(chain_id: int = CHAIN_ID, dev: bool = True, name: str = "chain") -> EmbeddedNode:
        chain_settings = NodeSettings(
            chain_id=chain_id, genesis={account.address: FUNDS_WEI}, dev=dev
        )
        node = EmbeddedNode.open(tmp_path / f"{name}.sqlite", chain_settings, clock)
        opened.append(node)
        return node

    yield opener
    for node in opened:
        node.close()


@pytest.fixture
def node(open_node: Callable[..., EmbeddedNode]) -> EmbeddedNode:
    return open_node()


@pytest.fixture
def client(node: EmbeddedNode) -> ChainClient:
    return connect("embedded:", node=node)
