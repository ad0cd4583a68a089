"""What the embedded node keeps and how it is set up. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from opencarrier.kernel.signatures import Address

GAS_LIMIT = 30_000_000
"""Gas one block may use, and one call may burn."""

INITIAL_BASE_FEE_WEI = 10**9
"""Base fee of the genesis block, 1 gwei, as mainnet's London block had it (EIP-1559)."""

SUGGESTED_TIP_WEI = 10**9
"""What `eth_maxPriorityFeePerGas` answers; nobody competes for a place in these blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """How a chain begins; `chain_id` is checked on every opening, the rest counts at creation.

    `genesis` funds accounts in wei, `code` places contracts (their runtime code) at addresses.
    `dev` opens the methods that mine empty blocks and move the clock.
    """

    chain_id: int
    genesis: Mapping[Address, int] = field(default_factory=dict)
    code: Mapping[Address, bytes] = field(default_factory=dict)
    dev: bool = False

    def __post_init__(self) -> None:
        assert 0 < self.chain_id < 1 << 53, "a chain id is positive and survives JSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """A block as kept: its place and its header in RLP."""

    number: int
    hash: bytes
    header: bytes
    timestamp_s: int
    size_octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTransaction:
    """A mined transaction as kept: its octets and what its receipt says."""

    tx_hash: bytes
    block_number: int
    tx_index: int
    raw: bytes
    sender: bytes
    succeeded: bool
    gas_used: int
    cumulative_gas_used: int
    effective_gas_price_wei: int
    contract_address: bytes | None
    bloom: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """One event as kept in the index that answers `eth_getLogs`."""

    block_number: int
    log_index: int
    tx_index: int
    tx_hash: bytes
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBlock:
    """Everything one block adds: written in one transaction or not at all."""

    block: StoredBlock
    transactions: tuple[StoredTransaction, ...]
    logs: tuple[StoredLog, ...]
    nodes: Mapping[bytes, bytes]
