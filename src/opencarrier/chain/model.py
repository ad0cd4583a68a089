"""What the chain room speaks of: calls, receipts, logs, blocks, fees, finality. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from opencarrier.kernel.signatures import Address

HASH_OCTETS = 32
"""Octets of a block hash, transaction hash, topic and intent id."""

LATEST = "latest"
"""The block tag of the head."""

BlockAt = int | str
"""Where to read: a block number, or one of the tags latest, pending, safe, finalized, earliest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One message to the EVM: a contract call, or a deployment where `to` is None.

    `sender` matters to `call` and `estimate_gas`; a transaction's sender is its signer.
    """

    to: Address | None
    data: bytes = b""
    value_wei: int = 0
    sender: Address | None = None
    gas_limit: int | None = None

    def __post_init__(self) -> None:
        assert 0 <= self.value_wei < 1 << 256, "a value is an unsigned 256-bit number of wei"
        assert self.to is not None or self.data, "a deployment needs code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block's place in the chain; `timestamp_s` is seconds since 1970 UTC."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp_s: int
    base_fee_per_gas_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One event as the chain keeps it; `topics[0]` is the hash of the event's signature."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    tx_hash: bytes
    tx_index: int
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a mined transaction; `succeeded` is false where the EVM reverted it."""

    tx_hash: bytes
    tx_index: int
    block_number: int
    block_hash: bytes
    sender: Address
    to: Address | None
    contract_address: Address | None
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which logs: an inclusive range of blocks, any of the addresses, topics by position.

    `topics[i]` is None (anything) or the values allowed at position i.
    """

    from_block: int
    to_block: int
    addresses: tuple[Address, ...] = ()
    topics: tuple[tuple[bytes, ...] | None, ...] = ()

    def __post_init__(self) -> None:
        assert 0 <= self.from_block <= self.to_block, "a range of blocks runs forward"
        assert len(self.topics) <= 4, "an event has at most four topics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What a gas unit costs now (EIP-1559): the head's base fee and the tip the node suggests."""

    base_fee_per_gas_wei: int
    priority_fee_per_gas_wei: int


class FinalityKind(Enum):
    """How a chain says that a block will stay."""

    DEPTH = "depth"
    SAFE = "safe"
    FINALIZED = "finalized"
    SINGLE_OPERATOR = "single_operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finality:
    """A chain's finality profile; `depth_blocks` counts the block itself and serves DEPTH only."""

    kind: FinalityKind
    depth_blocks: int = 1

    def __post_init__(self) -> None:
        assert self.depth_blocks >= 1, "a block in the chain has depth 1 at least"

    @classmethod
    def parse(cls, text: str) -> Finality:
        """Read `safe`, `finalized`, `single_operator` or `depth:N`; ValueError on anything else."""
        name, _, depth = text.partition(":")
        kind = FinalityKind(name)
        if kind is not FinalityKind.DEPTH:
            if depth:
                raise ValueError(f"{name} takes no depth")
            return cls(kind=kind)
        blocks = int(depth)
        if blocks < 1:
            raise ValueError("a depth is 1 block at least")
        return cls(kind=kind, depth_blocks=blocks)

    def __str__(self) -> str:
        """Write what `parse` reads."""
        if self.kind is FinalityKind.DEPTH:
            return f"depth:{self.depth_blocks}"
        return str(self.kind.value)


SINGLE_OPERATOR = Finality(kind=FinalityKind.SINGLE_OPERATOR)
"""The embedded chain's profile: its one operator decides, and says so."""
