"""JSON-RPC's hex words to our types and back, strict on what a remote node sends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opencarrier.chain.model import Block, BlockAt, Call, Log, LogFilter, Receipt
from opencarrier.kernel.signatures import Address

_QUANTITY = re.compile("0x[0-9a-fA-F]{1,64}")


def quantity(value: int) -> str:
    """Write a non-negative integer the way JSON-RPC does: 0x and no leading zero."""
    assert value >= 0, "a quantity is not negative"
    return hex(value)


def data(value: bytes) -> str:
    """Write octets as 0x and two lower-case hex digits each."""
    return "0x" + value.hex()


def read_quantity(value: object) -> int:
    """Read a quantity; ValueError unless it is 0x and hex digits (at most 256 bits)."""
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise ValueError(f"not a quantity: {value!r:.80}")
    return int(value[2:], 16)


def read_data(value: object, octets: int | None = None) -> bytes:
    """Read octets, exactly so many where `octets` is given; ValueError otherwise."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(f"not hex data: {value!r:.80}")
    result = bytes.fromhex(value[2:])
    if 2 * len(result) + 2 != len(value):
        raise ValueError("hex data with blanks in it")
    if octets is not None and len(result) != octets:
        raise ValueError(f"expected {octets} octets, got {len(result)}")
    return result


def read_address(value: object) -> Address:
    """Read an address in any letter case; ValueError unless it is 20 octets of hex."""
    return Address("0x" + read_data(value, 20).hex())


def write_at(at: BlockAt) -> str:
    """Write a block number or tag."""
    return quantity(at) if isinstance(at, int) else at


def write_call(call: Call) -> dict[str, str]:
    """Write a call as eth_call and eth_estimateGas take it."""
    out = {"data": data(call.data), "value": quantity(call.value_wei)}
    if call.to is not None:
        out["to"] = call.to
    if call.sender is not None:
        out["from"] = call.sender
    if call.gas_limit is not None:
        out["gas"] = quantity(call.gas_limit)
    return out


def write_filter(wanted: LogFilter) -> dict[str, Any]:
    """Write a filter as eth_getLogs takes it."""
    topics = [None if t is None else [data(v) for v in t] for t in wanted.topics]
    out: dict[str, Any] = {
        "fromBlock": quantity(wanted.from_block),
        "toBlock": quantity(wanted.to_block),
        "topics": topics,
    }
    if wanted.addresses:
        out["address"] = list(wanted.addresses)
    return out


def read_block(value: Mapping[str, Any]) -> Block:
    """Read the part of a block we use; KeyError or ValueError where it is not a block."""
    return Block(
        number=read_quantity(value["number"]),
        hash=read_data(value["hash"], 32),
        parent_hash=read_data(value["parentHash"], 32),
        timestamp_s=read_quantity(value["timestamp"]),
        base_fee_per_gas_wei=read_quantity(value.get("baseFeePerGas", "0x0")),
    )


def read_log(value: Mapping[str, Any]) -> Log:
    """Read a log of a mined block."""
    return Log(
        address=read_address(value["address"]),
        topics=tuple(read_data(topic, 32) for topic in value["topics"]),
        data=read_data(value["data"]),
        block_number=read_quantity(value["blockNumber"]),
        block_hash=read_data(value["blockHash"], 32),
        tx_hash=read_data(value["transactionHash"], 32),
        tx_index=read_quantity(value["transactionIndex"]),
        log_index=read_quantity(value["logIndex"]),
    )


def read_receipt(value: Mapping[str, Any]) -> Receipt:
    """Read a receipt; a status other than 0x0 and 0x1 is a ValueError."""
    status = read_quantity(value["status"])
    if status not in (0, 1):
        raise ValueError(f"a receipt's status is 0 or 1, not {status}")
    return Receipt(
        tx_hash=read_data(value["transactionHash"], 32),
        tx_index=read_quantity(value["transactionIndex"]),
        block_number=read_quantity(value["blockNumber"]),
        block_hash=read_data(value["blockHash"], 32),
        sender=read_address(value["from"]),
        to=_optional_address(value.get("to")),
        contract_address=_optional_address(value.get("contractAddress")),
        succeeded=status == 1,
        gas_used=read_quantity(value["gasUsed"]),
        effective_gas_price_wei=read_quantity(value["effectiveGasPrice"]),
        logs=tuple(read_log(log) for log in value["logs"]),
    )


def _optional_address(value: object) -> Address | None:
    return None if value is None else read_address(value)
