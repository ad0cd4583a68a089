"""Adjustments in a cleared month: each flow an account of its own, with one record behind it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from opencarrier.clearing.accounts import Account
from opencarrier.clearing.dues import Flow, due_leaf, due_part, flows_of
from opencarrier.clearing.party_rows import party_folder
from opencarrier.clearing.placed_positions import PlacedPosition
from opencarrier.clearing.rated_leaf import salt_of
from opencarrier.clearing.rated_rows import Run
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.money import Due
from opencarrier.spine.parties import PartyId

ADJUSTMENTS: Final = "adjustments.jsonl"


def month_flows(dues: Iterable[Due]) -> list[Flow]:
    """Return what adjustments make their parties owe; `PeerError` where one is given twice."""
    known = list(dues)
    ids = [due.adjustment.adjustment_id for due in known]
    if len(set(ids)) != len(ids):
        raise PeerError("adjustments", "one is given twice")
    return [flow for due in known for flow in flows_of(due)]


def account_of(flow: Flow) -> Account:
    """Return a flow as an account in the asset that passes nothing on."""
    return Account(
        debtor=flow.debtor,
        creditor=flow.creditor,
        asset=flow.due.adjustment.asset,
        currency="",
        rate=1,
        decimals=0,
        records=1,
        seller_minor=flow.amount_minor,
        host_minor=0,
        protocol_minor=0,
        tax_minor=0,
        onward=(),
        lines=(),
    )


def runs_of(flows: Iterable[Flow], secret: bytes, first: int) -> Iterator[Run]:
    """Return each flow's one record; accounts are counted from `first`."""
    for account, flow in enumerate(flows, start=first):
        leaf = due_leaf(flow, salt_of(secret, flow.record_id))
        yield Run(account=account, usage_ids=flow.record_id, leaves=leaf)


def write_dues(folder: Path, placed: Iterable[PlacedPosition], secret: bytes) -> None:
    """Tell each party of the adjustments it pays or is paid for: what their leaves say."""
    told: defaultdict[PartyId, list[dict[str, Any]]] = defaultdict(list)
    for item in placed:
        if item.flow is not None:
            for party in sorted({item.flow.debtor, item.flow.creditor}):
                told[party].append(_told(item, item.flow, secret))
    for party, lines in sorted(told.items()):
        place = party_folder(folder, party)
        place.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        place.joinpath(ADJUSTMENTS).write_text(text)


def _told(item: PlacedPosition, flow: Flow, secret: bytes) -> dict[str, Any]:
    return {
        "record_id": _shown(flow.record_id),
        "position_id": _shown(item.position.position_id),
        "salt": _shown(salt_of(secret, flow.record_id)),
        "part": _shown(due_part(flow.due, flow.role)),
    }


def _shown(value: Value) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_shown(item) for item in value]
    return value
