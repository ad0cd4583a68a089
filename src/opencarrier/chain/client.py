"""One small typed door to any EVM chain; the embedded node and a remote one look the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from opencarrier.chain import codec
from opencarrier.chain.errors import (
    ChainMismatchError,
    ChainRefusedError,
    ChainUnavailableError,
    RevertedError,
)
from opencarrier.chain.model import (
    LATEST,
    SINGLE_OPERATOR,
    Block,
    BlockAt,
    Call,
    Fees,
    Finality,
    FinalityKind,
    Log,
    LogFilter,
    Receipt,
)
from opencarrier.chain.provider import SEND_RAW, InProcess, Node, OverHttp, Road, transport
from opencarrier.kernel.signatures import Address
from opencarrier.spine.spans import Kind, step

if TYPE_CHECKING:
    from web3 import Web3

DEFAULT_TIMEOUT_S = 10
REVERTED_CODE = 3

_Read = TypeVar("_Read")


class ChainClient:
    """What the rooms ask a chain; every method asks it anew, nothing is cached but the chain id.

    Raises `ChainUnavailableError` (no answer, or one out of form), `ChainRefusedError` (a
    JSON-RPC error) and, where code ran, `RevertedError`.
    """

    def __init__(self, road: Road, *, url: str, finality: Finality, chain_id: int | None) -> None:
        self.road = road
        self._send = transport(road)
        self.url = url
        self.finality = finality
        self.chain_id = self._ask("eth_chainId", [], codec.read_quantity)
        if chain_id is not None and chain_id != self.chain_id:
            raise ChainMismatchError(f"{url} is chain {self.chain_id}, not {chain_id}")

    @property
    def web3(self) -> Web3:
        """web3.py on the same road, for tools that want one (never unlocked accounts)."""
        return self.road.web3

    def block_number(self) -> int:
        """Return the head's number."""
        return self._ask("eth_blockNumber", [], codec.read_quantity)

    def block(self, at: BlockAt | bytes = LATEST) -> Block | None:
        """Return a block by number, tag or hash; None where the chain has none such."""
        if isinstance(at, bytes):
            return self._find("eth_getBlockByHash", [codec.data(at), False], codec.read_block)
        return self._find("eth_getBlockByNumber", [codec.write_at(at), False], codec.read_block)

    def final_block_number(self) -> int | None:
        """Return the highest block that is final by this chain's profile, None where none is."""
        kind = self.finality.kind
        if kind is FinalityKind.SAFE or kind is FinalityKind.FINALIZED:
            block = self.block(kind.value)
            return None if block is None else block.number
        head = self.block_number()
        depth = self.finality.depth_blocks if kind is FinalityKind.DEPTH else 1
        return head - depth + 1 if head + 1 >= depth else None

    def genesis_hash(self) -> bytes:
        """Return block 0's hash: with the chain id, which chain this is."""
        block = self.block(0)
        if block is None:
            raise ChainUnavailableError("the chain has no block 0", outcome_unknown=False)
        return block.hash

    def nonce(self, address: Address, at: BlockAt = LATEST) -> int:
        """Return how many transactions an account has sent as of a block (`pending` allowed)."""
        params = [address, codec.write_at(at)]
        return self._ask("eth_getTransactionCount", params, codec.read_quantity)

    def balance(self, address: Address, at: BlockAt = LATEST) -> int:
        """Return an account's native balance in wei."""
        return self._ask("eth_getBalance", [address, codec.write_at(at)], codec.read_quantity)

    def code(self, address: Address, at: BlockAt = LATEST) -> bytes:
        """Return a contract's code, empty where there is none."""
        return self._ask("eth_getCode", [address, codec.write_at(at)], codec.read_data)

    def storage(self, address: Address, slot: int, at: BlockAt = LATEST) -> bytes:
        """Return the 32 octets of one storage slot."""
        params = [address, codec.quantity(slot), codec.write_at(at)]
        return self._ask("eth_getStorageAt", params, codec.read_data)

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        """Run a call without sending it and return its output; `RevertedError` where it reverts."""
        params = [codec.write_call(call), codec.write_at(at)]
        return self._ask("eth_call", params, codec.read_data)

    def estimate_gas(self, call: Call) -> int:
        """Return the gas a transaction needs now; `RevertedError` where it would revert."""
        return self._ask("eth_estimateGas", [codec.write_call(call)], codec.read_quantity)

    def fees(self) -> Fees:
        """Return the head's base fee and the node's suggested tip."""
        block = self.block(LATEST)
        if block is None:
            raise ChainUnavailableError("the chain has no head", outcome_unknown=False)
        tip = self._ask("eth_maxPriorityFeePerGas", [], codec.read_quantity)
        return Fees(base_fee_per_gas_wei=block.base_fee_per_gas_wei, priority_fee_per_gas_wei=tip)

    def send_raw(self, raw: bytes) -> bytes:
        """Hand over a signed transaction and return its hash.

        `ChainUnavailableError.outcome_unknown` tells whether it may be on its way all the same.
        """
        return self._ask(SEND_RAW, [codec.data(raw)], lambda value: codec.read_data(value, 32))

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Return a mined transaction's receipt, None while it is not in the chain."""
        return self._find("eth_getTransactionReceipt", [codec.data(tx_hash)], codec.read_receipt)

    def logs(self, wanted: LogFilter) -> list[Log]:
        """Return the matching logs in the order of the chain."""
        logs = self._ask("eth_getLogs", [codec.write_filter(wanted)], _read_logs)
        return sorted(logs, key=lambda log: (log.block_number, log.log_index))

    def request(self, method: str, params: list[Any]) -> Any:
        """Send any JSON-RPC request and return its result as it came."""
        with step(f"chain {method}", Kind.CLIENT) as span:
            if span is not None:
                span.note("rpc.system", "jsonrpc")
                span.note("rpc.method", method)
            answer = self._send(method, params)
        error = answer.get("error")
        if error is not None:
            raise _refused(error)
        return answer.get("result")

    def _ask(self, method: str, params: list[Any], read: Callable[[Any], _Read]) -> _Read:
        result = self.request(method, params)
        try:
            return read(result)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            unknown = method == SEND_RAW
            raise ChainUnavailableError(f"{method}: {error}", outcome_unknown=unknown) from error

    def _find(
        self, method: str, params: list[Any], read: Callable[[Mapping[str, Any]], _Read]
    ) -> _Read | None:
        return self._ask(method, params, lambda value: None if value is None else read(value))


def shown_url(url: str) -> str:
    """Return a chain's URL without what may be a key: its path, query and user."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return f"{parts.scheme}:"
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def connect(
    url: str,
    *,
    node: Node | None = None,
    finality: Finality | None = None,
    chain_id: int | None = None,
    timeout_s: int = DEFAULT_TIMEOUT_S,
) -> ChainClient:
    """Open a client: `http(s)://...`, or `embedded:...` with the node this process has open.

    `chain_id` pins the chain (`ChainMismatchError` otherwise). The embedded chain's finality is
    `single_operator` unless told; a remote chain's profile must be told.
    """
    if url.startswith("embedded:"):
        if node is None:
            raise ValueError("an embedded chain is reached through the process that opened it")
        profile = finality or SINGLE_OPERATOR
        return ChainClient(InProcess(node), url=url, finality=profile, chain_id=chain_id)
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"a chain is embedded:... or http(s)://..., not {url!r}")
    if finality is None:
        raise ValueError("a remote chain needs a finality profile")
    road = OverHttp(url, timeout_s=timeout_s)
    return ChainClient(road, url=url, finality=finality, chain_id=chain_id)


def _read_logs(value: list[Mapping[str, Any]]) -> list[Log]:
    return [codec.read_log(log) for log in value]


def _refused(error: Any) -> ChainRefusedError | RevertedError:
    """Make an exception of a JSON-RPC error: a revert by its code 3 or its data."""
    if not isinstance(error, Mapping):
        return ChainRefusedError(0, str(error)[:200])
    code = error.get("code", 0)
    message = str(error.get("message", ""))[:200]
    data = error.get("data")
    if code == REVERTED_CODE or message.startswith("execution reverted"):
        try:
            return RevertedError(codec.read_data(data) if data is not None else b"")
        except ValueError:
            return RevertedError(b"")
    return ChainRefusedError(code if isinstance(code, int) else 0, message, data)
