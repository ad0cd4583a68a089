"""The methods the embedded node answers; what is not in the table does not exist.

There is no `eth_sendTransaction`: the node holds no keys, so production habits hold everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opencarrier import __version__
from opencarrier.chain.codec import data, quantity
from opencarrier.chain.errors import revert_reason
from opencarrier.chain.node import format as write
from opencarrier.chain.node import parse
from opencarrier.chain.node.engine import InvalidTransactionError, Message, Outcome
from opencarrier.chain.node.metering import Budget, StepsExhaustedError
from opencarrier.chain.node.model import SUGGESTED_TIP_WEI, StoredBlock
from opencarrier.chain.node.parse import InvalidParamsError

if TYPE_CHECKING:
    from opencarrier.chain.node.node import EmbeddedNode

LOG_RANGE_BLOCKS_MAX = 100_000
LOG_RESULTS_MAX = 10_000
LOG_DATA_OCTETS_MAX = 16 << 20
FEE_HISTORY_BLOCKS_MAX = 1_024
RAW_OCTETS_MAX = 262_144
KEPT_PART, CALL_STIPEND_GAS = 63, 2_300
"""What a caller keeps back of what it gives on, one part (EIP-150), and gives with coin."""

ESTIMATE_PARTS = 10
"""An estimate is at most one of these parts too much; what is not used is not paid."""

REVERTED = 3
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

_log = logging.getLogger(__name__)


class RpcError(Exception):
    """A JSON-RPC error in the making."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def answer(node: EmbeddedNode, method: str, params: Any) -> dict[str, Any]:
    """Answer one request; our own mistakes become an internal error and a logged trace."""
    try:
        return {"jsonrpc": "2.0", "id": 0, "result": _dispatch(node, method, params)}
    except RpcError as error:
        return _error(error.code, str(error), error.data)
    except InvalidParamsError as error:
        return _error(INVALID_PARAMS, str(error))
    except InvalidTransactionError as error:
        return _error(SERVER_ERROR, str(error))
    except StepsExhaustedError as error:
        return _error(LIMIT_EXCEEDED, str(error))
    except Exception as error:
        node.failures += 1
        _log.exception("the embedded chain failed on %s", method)
        return _error(INTERNAL_ERROR, f"internal error ({type(error).__name__})")


def _dispatch(node: EmbeddedNode, method: str, params: Any) -> Any:
    entry = _METHODS.get(method)
    if entry is None and node.settings.dev:
        entry = _DEV_METHODS.get(method)
    if entry is None:
        raise RpcError(METHOD_NOT_FOUND, f"the method {method:.60} does not exist")
    function, least, most = entry
    return function(node, *parse.arguments(params, least, most))


def _error(code: int, message: str, detail: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if detail is not None:
        error["data"] = detail
    return {"jsonrpc": "2.0", "id": 0, "error": error}


def _block_number(node: EmbeddedNode) -> str:
    return quantity(node.head.number)


def _balance(node: EmbeddedNode, address: Any, at: Any) -> str:
    header = node.header(_existing(node, at))
    return quantity(node.engine.balance(header, parse.octets(address, 20, name="address")))


def _nonce(node: EmbeddedNode, address: Any, at: Any) -> str:
    header = node.header(_existing(node, at))
    return quantity(node.engine.nonce(header, parse.octets(address, 20, name="address")))


def _code(node: EmbeddedNode, address: Any, at: Any) -> str:
    header = node.header(_existing(node, at))
    return data(node.engine.code(header, parse.octets(address, 20, name="address")))


def _storage(node: EmbeddedNode, address: Any, slot: Any, at: Any) -> str:
    header = node.header(_existing(node, at))
    where = parse.octets(address, 20, name="address")
    value = node.engine.storage(header, where, _slot(slot))
    return data(value.to_bytes(32, "big"))


def _slot(value: Any) -> int:
    """A slot comes as a quantity or as 32 octets, both in use."""
    if isinstance(value, str) and len(value) == 66:
        return int.from_bytes(parse.octets(value, 32, name="slot"), "big")
    return parse.number(value, name="slot")


def _call(node: EmbeddedNode, message: Any, at: Any) -> str:
    header = _call_header(node, at)
    outcome = node.engine.run(header, _message(parse.call(message)))
    _raise_failure(outcome)
    return data(outcome.output)


def _call_header(node: EmbeddedNode, at: Any) -> Any:
    """A tag of the head means now, `pending` the next block; a number or hash its own time."""
    if at == "pending":
        return node.pending_header()
    header = node.header(_existing(node, at))
    if parse.block_at(at) in ("latest", "safe", "finalized"):
        return header.copy(timestamp=node.now_s())
    return header


def _message(params: parse.CallParams) -> Message:
    return Message(
        sender=params.sender,
        to=params.to,
        data=params.data,
        value_wei=params.value_wei,
        gas=params.gas,
    )


def _raise_failure(outcome: Outcome) -> None:
    if outcome.is_revert:
        reason = revert_reason(outcome.output)
        words = "execution reverted" + (f": {reason}" if reason else "")
        raise RpcError(REVERTED, words, data(outcome.output))
    if outcome.error is not None:
        raise RpcError(SERVER_ERROR, outcome.error)


def _estimate(node: EmbeddedNode, message: Any, at: Any) -> str:
    """Search gas that is enough in the next block and at most a tenth too much.

    Less than what a run took before its refund is never enough; callers keep a part back.
    """
    _existing(node, at)
    header = node.pending_header()
    params = parse.call(message)
    budget = Budget()
    whole = node.engine.run(header, _message(params), budget)
    _raise_failure(whole)
    needed = whole.gas_used + whole.gas_refunded
    low, high = needed - 1, params.gas
    more = needed // KEPT_PART + CALL_STIPEND_GAS
    guess = needed + more if whole.is_nested else needed
    while low + 1 < high and (high - low) * ESTIMATE_PARTS > high:
        gas = guess if guess < high else (low + high) // 2
        if _succeeds(node, header, params, gas, budget):
            high = gas
        else:
            low, more = gas, 2 * more
        guess = low + more
    return quantity(high)


def _succeeds(
    node: EmbeddedNode, header: Any, params: parse.CallParams, gas: int, budget: Budget
) -> bool:
    message = replace(_message(params), gas=gas)
    try:
        return node.engine.run(header, message, budget).error is None
    except InvalidTransactionError:
        return False


def _gas_price(node: EmbeddedNode) -> str:
    return quantity(node.pending_header().base_fee_per_gas + SUGGESTED_TIP_WEI)


def _fee_history(node: EmbeddedNode, count: Any, newest: Any, percentiles: Any) -> Any:
    blocks = min(parse.number(count, name="blockCount"), FEE_HISTORY_BLOCKS_MAX)
    last = _existing(node, newest).number
    wanted = percentiles if isinstance(percentiles, list) else []
    if len(wanted) > 100:
        raise InvalidParamsError("more than 100 percentiles")
    first = max(last - blocks + 1, 0)
    headers = [node.header(_by_number(node, n)) for n in range(first, last + 1)]
    following = node.engine.next_header(headers[-1], headers[-1].timestamp) if headers else None
    fees = [quantity(h.base_fee_per_gas) for h in headers]
    return {
        "oldestBlock": quantity(first),
        "baseFeePerGas": [*fees, *([quantity(following.base_fee_per_gas)] if following else [])],
        "gasUsedRatio": [h.gas_used / h.gas_limit for h in headers],
        "baseFeePerBlobGas": ["0x1"] * (len(fees) + 1 if fees else 0),
        "blobGasUsedRatio": [0.0] * len(fees),
        "reward": [[_tip(node, h)] * len(wanted) for h in headers],
    }


def _tip(node: EmbeddedNode, header: Any) -> str:
    """A block holds one transaction at most, so each percentile of tips is that one's."""
    found = node.database.transactions(header.block_number)
    return quantity(found[0].effective_gas_price_wei - header.base_fee_per_gas if found else 0)


def _send_raw(node: EmbeddedNode, raw: Any) -> str:
    octets = parse.octets(raw, name="transaction")
    if len(octets) > RAW_OCTETS_MAX:
        raise RpcError(SERVER_ERROR, "oversized data")
    return data(node.send(octets))


def _transaction(node: EmbeddedNode, tx_hash: Any) -> Any:
    stored = node.database.transaction(parse.octets(tx_hash, 32, name="hash"))
    if stored is None:
        return None
    located = _by_number(node, stored.block_number)
    return write.transaction(stored, node.engine.decode_transaction(stored.raw), located.hash)


def _receipt(node: EmbeddedNode, tx_hash: Any) -> Any:
    stored = node.database.transaction(parse.octets(tx_hash, 32, name="hash"))
    if stored is None:
        return None
    logs = node.database.logs_of(stored.tx_hash)
    decoded = node.engine.decode_transaction(stored.raw)
    return write.receipt(stored, decoded, _by_number(node, stored.block_number), logs)


def _block_by_number(node: EmbeddedNode, at: Any, full: Any) -> Any:
    located = _find(node, parse.block_at(at))
    return _written(node, located, parse.flag(full, name="full"))


def _block_by_hash(node: EmbeddedNode, block_hash: Any, full: Any) -> Any:
    located = node.database.block_by_hash(parse.octets(block_hash, 32, name="hash"))
    return _written(node, located, parse.flag(full, name="full"))


def _written(node: EmbeddedNode, located: StoredBlock | None, full: bool) -> Any:
    if located is None:
        return None
    stored = node.database.transactions(located.number)
    if not full:
        return write.block(located, node.header(located), [data(t.tx_hash) for t in stored])
    decode = node.engine.decode_transaction
    objects = [write.transaction(t, decode(t.raw), located.hash) for t in stored]
    return write.block(located, node.header(located), objects)


def _logs(node: EmbeddedNode, wanted: Any) -> Any:
    query = parse.log_query(wanted)
    first, last = _log_range(node, query)
    if first > last:
        return []
    if last - first >= LOG_RANGE_BLOCKS_MAX:
        raise RpcError(LIMIT_EXCEEDED, f"query exceeds a range of {LOG_RANGE_BLOCKS_MAX} blocks")
    found = node.database.logs(
        (first, last),
        query.addresses,
        query.topics,
        limit=LOG_RESULTS_MAX,
        octets_limit=LOG_DATA_OCTETS_MAX,
    )
    if found is None:
        words = f"{LOG_RESULTS_MAX} results or {LOG_DATA_OCTETS_MAX} octets of them"
        raise RpcError(LIMIT_EXCEEDED, f"query returns more than {words}")
    blocks = {number: _by_number(node, number) for number in {log.block_number for log in found}}
    return [write.log(log, blocks[log.block_number]) for log in found]


def _log_range(node: EmbeddedNode, query: parse.LogQuery) -> tuple[int, int]:
    if query.block_hash is not None:
        located = node.database.block_by_hash(query.block_hash)
        if located is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        return located.number, located.number
    first, last = (_number_of(node, bound) for bound in (query.from_block, query.to_block))
    if first > last:
        raise InvalidParamsError("invalid block range params")
    return first, min(last, node.head.number)


def _number_of(node: EmbeddedNode, bound: int | str) -> int:
    if isinstance(bound, int):
        return bound
    return 0 if bound == "earliest" else node.head.number


def _find(node: EmbeddedNode, at: int | str | bytes) -> StoredBlock | None:
    if isinstance(at, bytes):
        return node.database.block_by_hash(at)
    number = _number_of(node, at)
    return node.head if number == node.head.number else node.database.block(number)


def _existing(node: EmbeddedNode, at: Any) -> StoredBlock:
    located = _find(node, parse.block_at(at))
    if located is None:
        raise RpcError(SERVER_ERROR, "unknown block")
    return located


def _by_number(node: EmbeddedNode, number: int) -> StoredBlock:
    located = _find(node, number)
    assert located is not None, "a block of the chain is missing"
    return located


def _mine(node: EmbeddedNode, options: Any) -> str:
    """Mine one empty block, or a number of them (1,024 at most)."""
    blocks = 1
    if isinstance(options, dict):
        blocks = parse.number(options.get("blocks", 1), name="blocks", below=1_025)
    for _ in range(blocks):
        node.mine_empty()
    return "0x0"


def _increase_time(node: EmbeddedNode, seconds: Any) -> int:
    return node.shift_time(parse.number(seconds, name="seconds", below=1 << 40))


def _set_next_timestamp(node: EmbeddedNode, timestamp: Any) -> None:
    if not node.set_next_timestamp(parse.number(timestamp, name="timestamp", below=1 << 40)):
        raise InvalidParamsError("timestamp: earlier than the head's")


_Entry = tuple[Callable[..., Any], int, int]

_METHODS: dict[str, _Entry] = {
    "eth_chainId": (lambda node: quantity(node.settings.chain_id), 0, 0),
    "net_version": (lambda node: str(node.settings.chain_id), 0, 0),
    "web3_clientVersion": (lambda _: f"opencarrier/{__version__}/py-evm", 0, 0),
    "eth_syncing": (lambda _: False, 0, 0),
    "eth_accounts": (lambda _: [], 0, 0),
    "eth_blockNumber": (_block_number, 0, 0),
    "eth_getBalance": (_balance, 1, 2),
    "eth_getTransactionCount": (_nonce, 1, 2),
    "eth_getCode": (_code, 1, 2),
    "eth_getStorageAt": (_storage, 2, 3),
    "eth_call": (_call, 1, 2),
    "eth_estimateGas": (_estimate, 1, 2),
    "eth_gasPrice": (_gas_price, 0, 0),
    "eth_maxPriorityFeePerGas": (lambda _: quantity(SUGGESTED_TIP_WEI), 0, 0),
    "eth_feeHistory": (_fee_history, 2, 3),
    "eth_sendRawTransaction": (_send_raw, 1, 1),
    "eth_getTransactionByHash": (_transaction, 1, 1),
    "eth_getTransactionReceipt": (_receipt, 1, 1),
    "eth_getBlockByNumber": (_block_by_number, 1, 2),
    "eth_getBlockByHash": (_block_by_hash, 1, 2),
    "eth_getLogs": (_logs, 1, 1),
}

_DEV_METHODS: dict[str, _Entry] = {
    "evm_mine": (_mine, 0, 1),
    "evm_increaseTime": (_increase_time, 1, 1),
    "evm_setNextBlockTimestamp": (_set_next_timestamp, 1, 1),
}
