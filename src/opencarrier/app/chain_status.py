"""Where an installation stands on its chain: head, finality, contracts, gas, what is under way."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.till import till_status
from opencarrier.chain.client import shown_url
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.index import Checked
from opencarrier.chain.model import LATEST, Block
from opencarrier.chain.quorum import QuorumClient
from opencarrier.chain.rules import Transaction
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.signatures import Address
from opencarrier.receipts.manifest import Manifest, code_hash

SHOWN_MAX = 100


def chain_status(place: Onchain, unit: Connection) -> dict[str, Any]:
    """Return what a person who runs a hub wants to know of its chain, as one object."""
    client, manager = place.client, place.manager
    quorum = isinstance(client, QuorumClient)
    head, final = _head(place), client.final_block_number()
    return {
        "deployed": True,
        "chain": shown_url(client.url),
        "chain_id": client.chain_id,
        "genesis_hash": place.manifest.genesis_hash,
        "second": shown_url(place.base.settings.chain_second) if quorum else None,
        "finality": str(client.finality),
        "head": {"number": head.number, "hash": to_hex(head.hash), "time_s": head.timestamp_s},
        "final_block": final,
        "contracts": _contracts(place),
        "hub": manager.sender,
        "gas_wei": client.balance(manager.sender),
        "open_transactions": [_shown(record) for record in manager.pending(unit)[:SHOWN_MAX]],
        "relays": place.relayer.counts(unit),
        "till": till_status(place, unit),
        "followers": _followers(place, unit, final),
        "alarms": _alarms(place, unit),
    }


def deployed(manifest: Manifest) -> dict[str, Any]:
    """Return where a venue's contracts stand."""
    return {
        "domain": manifest.domain,
        "chain_id": manifest.chain_id,
        "asset": manifest.asset,
        "contracts": {name: pinned.address for name, pinned in manifest.contracts.items()},
    }


def index_status(checked: Checked) -> dict[str, Any]:
    """Return what the comparison of the index with the contracts found."""
    return {
        "block": checked.block.number,
        "block_hash": to_hex(checked.block.hash),
        "numbers": checked.numbers,
        "agrees": not checked.differences,
        "differences": [asdict(item) for item in checked.differences],
    }


def _head(place: Onchain) -> Block:
    head = place.client.block(LATEST)
    if head is None:
        raise ChainUnavailableError("the chain has no head", outcome_unknown=False)
    return head


def _contracts(place: Onchain) -> dict[str, dict[str, Address | bool]]:
    return {
        name: {
            "address": pinned.address,
            "code_as_pinned": code_hash(place.client, pinned.address) == pinned.code_hash,
        }
        for name, pinned in place.manifest.contracts.items()
    }


def _shown(record: Transaction) -> dict[str, Any]:
    return {
        "intent": to_hex(record.intent_id),
        "nonce": record.nonce,
        "state": record.state.value,
        "tx_hash": to_hex(record.tx_hash),
        "variants": len(record.variants),
        "max_fee_per_gas_wei": record.newest.max_fee_per_gas_wei,
        "last_error": record.last_error,
    }


def _followers(place: Onchain, unit: Connection, final: int | None) -> dict[str, Any]:
    """Say of each follower which block it stands at and how many final ones it has not read."""
    points = {"custody": place.settlement.followed(unit), "index": place.index.at(unit)}
    nowhere = place.manifest.from_block - 1
    told = {}
    for name, point in points.items():
        at = nowhere if point is None else point.number
        told[name] = {"block": at, "behind": 0 if final is None else max(final - at, 0)}
    return told


def _alarms(place: Onchain, unit: Connection) -> list[dict[str, str]]:
    halt = place.settlement.halt(unit)
    return [] if halt is None else [{"alarm": halt.alarm.value, "detail": halt.detail}]
