"""Closing a cycle, sponsored actions, receipts and timelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opencarrier.app.forms.samples import ADDRESS, ASSET, AT_US, hex_id


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseAnswer:
    """What closing came to. What names a cycle is missing where none was ordered (state `open`);
    amounts in minor units.
    """

    state: str
    usages: int
    suspended: int
    deferred: int
    note: str
    halted: bool
    waits_for_approval: bool
    sequence: int = 0
    cycle_id: str = ""
    settlement_id: str = ""
    tx_hash: str = ""
    records_root: str = ""
    records: int = 0
    gross_minor: int = 0
    net_minor: int = 0
    payments: int = 0
    usage_ids: Sequence[str] = ()
    adjustment_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayCall:
    """A call that its payer signed; `data` in hex."""

    to: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRequest:
    """Signed calls to be sent in their order, 1 to 3 of them."""

    calls: Sequence[RelayCall]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAnswer:
    """Where a sponsored action stands: at `step` of `steps`."""

    relay_id: str
    payer: str
    state: str
    step: int
    steps: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceItem:
    """A thing and what happened to it: each step has `stage`, `reason`, `at_us` and its facts."""

    kind: str
    id: str | None
    steps: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAnswer:
    """One timeline for each use that an id means; `next` goes into `after`, null on the last."""

    id: str
    kind: str
    is_partial: bool
    items: Sequence[TraceItem]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerLink:
    """An address that signs in as the owner once, within fifteen minutes."""

    url: str


RECEIPT_SCHEMA: Final[Mapping[str, Any]] = {
    "title": "Receipt",
    "description": "A receipt as its holder keeps it; docs/reference/receipt.md has each field.",
    "type": "object",
    "required": ["format", "usage_id", "path", "settlement"],
    "properties": {
        "format": {"const": "opencarrier-receipt/1"},
        "usage_id": {"type": "string"},
        "usage": {"type": "object"},
        "wholesale": {"type": "object"},
        "retail": {"type": "object"},
        "path": {"type": "object"},
        "settlement": {"type": "object"},
        "agreement_signatures": {"type": "array", "items": {"type": "object"}},
        "statement_signatures": {"type": "array", "items": {"type": "object"}},
    },
}
PLAYED_SCHEMA: Final[Mapping[str, Any]] = {
    "title": "Played",
    "description": "What was made to happen; its fields depend on what it was.",
    "type": "object",
}
CLOSED = CloseAnswer(
    sequence=1,
    state="final",
    cycle_id=hex_id(1),
    settlement_id=hex_id(2),
    tx_hash=hex_id(3),
    records_root=hex_id(4),
    records=1,
    gross_minor=12_044,
    net_minor=12_044,
    payments=4,
    usage_ids=[hex_id(5)],
    usages=1,
    suspended=0,
    deferred=0,
    note="final",
    halted=False,
    waits_for_approval=False,
)
RELAY_REQUEST = RelayRequest(calls=[RelayCall(to=ADDRESS, data="0xe3ee160e")])
RELAYED = RelayAnswer(relay_id=hex_id(9), payer=ADDRESS, state="queued", step=1, steps=1, reason="")
TRACED = TraceAnswer(
    id=hex_id(5),
    kind="usage",
    is_partial=False,
    items=[
        TraceItem(
            kind="usage",
            id=hex_id(5),
            steps=[
                {
                    "stage": "received",
                    "reason": "reported",
                    "at_us": AT_US,
                    "node": "node-1",
                    "octets_in": 500_000,
                    "octets_out": 5_000_000,
                },
                {"stage": "netted", "reason": "paid_by_cycle", "at_us": None},
            ],
        )
    ],
    next=None,
)
RECEIPT: Final = {
    "format": "opencarrier-receipt/1",
    "usage_id": hex_id(5),
    "path": {"asset": ASSET, "amount_minor": 12_044, "cycle_id": hex_id(1)},
    "settlement": {"chain_id": 31_337, "clearing_house": ADDRESS, "sequence": 1},
}
OWNER_LINK = OwnerLink(url="http://localhost:8400/welcome/TOKEN")
