"""How the embedded node writes blocks, transactions, receipts and logs in JSON (execution-apis).

Pure functions; `header` and `transaction` are py-evm's decoded objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opencarrier.chain.codec import data, quantity
from opencarrier.chain.node.model import StoredBlock, StoredLog, StoredTransaction

Json = dict[str, Any]


def block(stored: StoredBlock, header: Any, transactions: Sequence[Json] | Sequence[str]) -> Json:
    """Write a block; its transactions are hashes or objects as the caller asked."""
    return {
        "number": quantity(stored.number),
        "hash": data(stored.hash),
        "parentHash": data(header.parent_hash),
        "nonce": data(header.nonce),
        "mixHash": data(header.mix_hash),
        "sha3Uncles": data(header.uncles_hash),
        "logsBloom": data(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": data(header.transaction_root),
        "stateRoot": data(header.state_root),
        "receiptsRoot": data(header.receipt_root),
        "miner": data(header.coinbase),
        "difficulty": quantity(header.difficulty),
        "totalDifficulty": quantity(0),
        "extraData": data(header.extra_data),
        "size": quantity(stored.size_octets),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "baseFeePerGas": quantity(header.base_fee_per_gas),
        "withdrawalsRoot": data(header.withdrawals_root),
        "withdrawals": [],
        "blobGasUsed": quantity(header.blob_gas_used),
        "excessBlobGas": quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": data(header.parent_beacon_block_root),
        "requestsHash": data(header.requests_hash),
        "transactions": list(transactions),
        "uncles": [],
    }


def transaction(stored: StoredTransaction, decoded: Any, block_hash: bytes) -> Json:
    """Write a mined transaction with its place in the chain."""
    out: Json = {
        "type": quantity(decoded.type_id or 0),
        "chainId": quantity(decoded.chain_id),
        "nonce": quantity(decoded.nonce),
        "gas": quantity(decoded.gas),
        "to": _address(decoded.to),
        "value": quantity(decoded.value),
        "input": data(decoded.data),
        "from": data(stored.sender),
        "hash": data(stored.tx_hash),
        "blockHash": data(block_hash),
        "blockNumber": quantity(stored.block_number),
        "transactionIndex": quantity(stored.tx_index),
        "gasPrice": quantity(stored.effective_gas_price_wei),
        "r": quantity(decoded.r),
        "s": quantity(decoded.s),
    }
    if decoded.type_id is None:
        return {**out, "v": quantity(decoded.v)}
    out |= {"yParity": quantity(decoded.y_parity), "v": quantity(decoded.y_parity)}
    out["accessList"] = [
        {
            "address": data(address),
            "storageKeys": [data(slot.to_bytes(32, "big")) for slot in slots],
        }
        for address, slots in decoded.access_list
    ]
    if decoded.type_id >= 2:
        out["maxFeePerGas"] = quantity(decoded.max_fee_per_gas)
        out["maxPriorityFeePerGas"] = quantity(decoded.max_priority_fee_per_gas)
    return out


def receipt(
    stored: StoredTransaction, decoded: Any, located: StoredBlock, logs: Sequence[StoredLog]
) -> Json:
    """Write what became of a transaction."""
    return {
        "type": quantity(decoded.type_id or 0),
        "status": quantity(int(stored.succeeded)),
        "cumulativeGasUsed": quantity(stored.cumulative_gas_used),
        "logs": [log(entry, located) for entry in logs],
        "logsBloom": data(stored.bloom),
        "transactionHash": data(stored.tx_hash),
        "transactionIndex": quantity(stored.tx_index),
        "blockHash": data(located.hash),
        "blockNumber": quantity(located.number),
        "gasUsed": quantity(stored.gas_used),
        "effectiveGasPrice": quantity(stored.effective_gas_price_wei),
        "from": data(stored.sender),
        "to": _address(decoded.to),
        "contractAddress": _address(stored.contract_address),
    }


def log(stored: StoredLog, located: StoredBlock) -> Json:
    """Write one event."""
    return {
        "address": data(stored.address),
        "topics": [data(topic) for topic in stored.topics],
        "data": data(stored.data),
        "blockHash": data(located.hash),
        "blockNumber": quantity(stored.block_number),
        "blockTimestamp": quantity(located.timestamp_s),
        "transactionHash": data(stored.tx_hash),
        "transactionIndex": quantity(stored.tx_index),
        "logIndex": quantity(stored.log_index),
        "removed": False,
    }


def _address(octets: bytes | None) -> str | None:
    return data(octets) if octets else None
