"""What routes of bans take and answer, and examples of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.app.api import Page
from opencarrier.app.console.views.bans import BanView, DraftView, StandingView, UndecidedLine
from opencarrier.app.console.views.chain import Party
from opencarrier.app.console.views.host import TransactionView
from opencarrier.app.forms.hosts import ASSET, NOW_US, PARTY
from opencarrier.app.forms.samples import ADDRESS, hex_id
from opencarrier.app.forms.samples import SIGNATURE as SIGNED
from opencarrier.bans.model import reason_hash
from opencarrier.kernel.ids import to_hex

DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BanAsked:
    """A ban that is wanted: a reason's code, days, what it takes of the bond (minor units)."""

    node_id: str
    reason: str
    days: int
    slash_minor: int = 0
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunView:
    """A ban that was sent by `tx_hash`, or waits: for signatures or for people."""

    ban_id: str
    tx_hash: str
    waits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftAsked:
    """A ban that was prepared."""

    ban_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureAsked:
    """A guardian's signature over a draft's digest."""

    ban_id: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAsked:
    """A node."""

    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppealAsked:
    """An appeal: of which node, and why; against which ban, where several can be appealed."""

    node_id: str
    grounds: str = ""
    ban_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionAsked:
    """A decision on an appeal; of which ban, where several were appealed."""

    node_id: str
    lifted: bool
    ban_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneView:
    """The transaction that did it."""

    tx_hash: str


_ID: Final = hex_id(7)
BAN: Final = BanAsked(
    node_id="cafe-1", reason="false_use", days=30, slash_minor=5_000_000, evidence="See case 17."
)
BEGUN: Final = BegunView(ban_id=_ID, tx_hash=hex_id(8), waits="")
SEND: Final = DraftAsked(ban_id=_ID)
SIGNATURE: Final = SignatureAsked(ban_id=_ID, signature=SIGNED)
CLOSE: Final = NodeAsked(node_id="cafe-1")
APPEAL: Final = AppealAsked(node_id="cafe-1", grounds="The clock of the node was wrong.")
DECISION: Final = DecisionAsked(node_id="cafe-1", lifted=True)
DONE: Final = DoneView(tx_hash=hex_id(8))
DRAFT: Final = DraftView(
    ban_id=_ID,
    node_id="cafe-1",
    reason="false_use",
    evidence="See case 17.",
    starts_us=NOW_US,
    ends_us=NOW_US + 30 * DAY_US,
    slash_minor=5_000_000,
    digest=hex_id(9),
    signers=(ADDRESS,),
    said=0,
    needed=0,
)
UNDECIDED: Final = Page(
    items=[
        UndecidedLine(
            ban_id=_ID,
            node_id="cafe-1",
            node_key=hex_id(12),
            party=PARTY,
            host="Café Lumière",
            reason="false_use",
            stage="appealed",
            starts_us=NOW_US,
            ends_us=NOW_US + 30 * DAY_US,
            due_us=NOW_US + 7 * DAY_US,
            may_appeal=False,
            may_decide=True,
            may_close=False,
        )
    ],
    next=None,
)
STANDING: Final = StandingView(
    as_of_us=NOW_US,
    party=PARTY,
    node_id="cafe-1",
    asset=ASSET,
    standing="banned",
    bans=(
        BanView(
            ban_id=_ID,
            reason="false_use",
            reason_hash=to_hex(reason_hash("false_use")),
            evidence="See case 17.",
            evidence_root=hex_id(10),
            starts_us=NOW_US,
            ends_us=NOW_US + 30 * DAY_US,
            in_force=True,
            stage="open",
            due_us=NOW_US + 7 * DAY_US,
            may_appeal=True,
            may_decide=False,
            may_close=False,
            held_minor=5_000_000,
            slash_minor=5_000_000,
            grounds="",
            grounds_hash=None,
            signers=(Party(address=ADDRESS, name="hub"),),
            tx_hash=hex_id(8),
        ),
    ),
    drafts=(),
)
APPEAL_CALL: Final = TransactionView(
    chain_id=31_337,
    to="0xcf7ed3acca5a467e9e704c703e8d87f634fb0fc9",
    data="0x0b8f7f30",
    function="appeal",
    arguments={"ban_id": _ID, "grounds_hash": hex_id(11)},
)
DECISION_CALL: Final = TransactionView(
    chain_id=31_337,
    to="0xcf7ed3acca5a467e9e704c703e8d87f634fb0fc9",
    data="0x3f5a0bdd",
    function="decide",
    arguments={"ban_id": _ID, "lifted": "true"},
)
