"""What comes in from JSON-RPC, read strictly; `InvalidParamsError` says which part is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opencarrier.chain.codec import read_data, read_quantity
from opencarrier.chain.node.model import GAS_LIMIT

ZERO_ADDRESS = bytes(20)
ADDRESSES_MAX = 1_000
TOPIC_VALUES_MAX = 1_000
CALL_DATA_OCTETS_MAX = 262_144
TAGS = frozenset({"latest", "pending", "safe", "finalized", "earliest"})
_CALL_KEYS = frozenset(
    {"from", "to", "data", "input", "value", "gas", "gasPrice", "maxFeePerGas", "chainId"}
    | {"maxPriorityFeePerGas", "nonce", "type", "accessList"}
)


class InvalidParamsError(Exception):
    """A request's parameters are not what the method takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """`eth_getLogs`' filter; bounds are still tags or numbers, or a block hash for both."""

    from_block: int | str
    to_block: int | str
    block_hash: bytes | None
    addresses: tuple[bytes, ...]
    topics: tuple[tuple[bytes, ...] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallParams:
    """`eth_call`'s message; fees and nonce are read and left aside, the call costs nothing."""

    sender: bytes
    to: bytes
    data: bytes
    value_wei: int
    gas: int


def arguments(params: Any, least: int, most: int) -> list[Any]:
    """Return the positional parameters, between `least` and `most` of them, padded with None."""
    if not isinstance(params, Sequence) or isinstance(params, str):
        raise InvalidParamsError("params must be an array")
    if not least <= len(params) <= most:
        raise InvalidParamsError(f"expected {least} to {most} params, got {len(params)}")
    return [*params, *[None] * (most - len(params))]


def octets(value: Any, size: int | None = None, *, name: str) -> bytes:
    """Read hex data."""
    try:
        return read_data(value, size)
    except ValueError as error:
        raise InvalidParamsError(f"{name}: {error}") from error


def number(value: Any, *, name: str, below: int = 1 << 256) -> int:
    """Read a quantity, as hex; plain JSON integers are taken too (developers' tools send them)."""
    if isinstance(value, int) and not isinstance(value, bool):
        result = value
    else:
        try:
            result = read_quantity(value)
        except ValueError as error:
            raise InvalidParamsError(f"{name}: {error}") from error
    if not 0 <= result < below:
        raise InvalidParamsError(f"{name}: out of range")
    return result


def block_at(value: Any) -> int | str | bytes:
    """Read a block number, a tag or EIP-1898's `{blockNumber | blockHash}`; none means latest."""
    if value is None:
        return "latest"
    if isinstance(value, Mapping):
        if set(value) - {"requireCanonical"} == {"blockHash"}:
            return octets(value["blockHash"], 32, name="blockHash")
        if set(value) == {"blockNumber"}:
            return number(value["blockNumber"], name="blockNumber", below=1 << 63)
        raise InvalidParamsError("a block is named by blockHash or blockNumber")
    if isinstance(value, str) and value in TAGS:
        return value
    return number(value, name="block", below=1 << 63)


def flag(value: Any, *, name: str) -> bool:
    """Read a boolean; none means false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidParamsError(f"{name} must be a boolean")
    return value


def call(value: Any) -> CallParams:
    """Read a transaction object of eth_call or eth_estimateGas."""
    if not isinstance(value, Mapping):
        raise InvalidParamsError("a call must be an object")
    unknown = set(value) - _CALL_KEYS
    if unknown:
        raise InvalidParamsError(f"a call has no {sorted(unknown)[0]!r}")
    payload = value.get("input", value.get("data"))
    code = b"" if payload is None else octets(payload, name="data")
    if len(code) > CALL_DATA_OCTETS_MAX:
        raise InvalidParamsError(f"data above {CALL_DATA_OCTETS_MAX} octets")
    gas = value.get("gas")
    return CallParams(
        sender=_address(value.get("from"), ZERO_ADDRESS, name="from"),
        to=_address(value.get("to"), b"", name="to"),
        data=code,
        value_wei=number(value.get("value") or "0x0", name="value"),
        gas=GAS_LIMIT if gas is None else min(number(gas, name="gas"), GAS_LIMIT),
    )


def log_query(value: Any) -> LogQuery:
    """Read the filter of eth_getLogs."""
    if not isinstance(value, Mapping):
        raise InvalidParamsError("a filter must be an object")
    block_hash = value.get("blockHash")
    if block_hash is not None and ("fromBlock" in value or "toBlock" in value):
        raise InvalidParamsError("a filter has a block hash or a range, not both")
    return LogQuery(
        from_block=_bound(value.get("fromBlock")),
        to_block=_bound(value.get("toBlock")),
        block_hash=None if block_hash is None else octets(block_hash, 32, name="blockHash"),
        addresses=_addresses(value.get("address")),
        topics=_topics(value.get("topics")),
    )


def _bound(value: Any) -> int | str:
    bound = block_at(value)
    if isinstance(bound, bytes):
        raise InvalidParamsError("a range has numbers or tags")
    return bound


def _address(value: Any, missing: bytes, *, name: str) -> bytes:
    return missing if value is None else octets(value, 20, name=name)


def _addresses(value: Any) -> tuple[bytes, ...]:
    if value is None:
        return ()
    listed = value if isinstance(value, list) else [value]
    if len(listed) > ADDRESSES_MAX:
        raise InvalidParamsError(f"more than {ADDRESSES_MAX} addresses")
    return tuple(octets(address, 20, name="address") for address in listed)


def _topics(value: Any) -> tuple[tuple[bytes, ...] | None, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 4:
        raise InvalidParamsError("topics must be an array of at most four")
    return tuple(_topic(position) for position in value)


def _topic(value: Any) -> tuple[bytes, ...] | None:
    if value is None or value == []:
        return None
    listed = value if isinstance(value, list) else [value]
    if len(listed) > TOPIC_VALUES_MAX:
        raise InvalidParamsError(f"more than {TOPIC_VALUES_MAX} values of one topic")
    if None in listed:
        return None
    return tuple(octets(topic, 32, name="topic") for topic in listed)
