"""What the routes of operators answer, for the description of the API."""

from __future__ import annotations

from typing import Final

from opencarrier.app.api import Page
from opencarrier.app.console.views.flow import FlowRow, FlowView
from opencarrier.app.console.views.operator import (
    CycleRow,
    CycleView,
    NetLine,
    OperatorLine,
    OperatorView,
)
from opencarrier.spine.parties import PartyId

_ASSET: Final = "eip155:31337/erc20:0x5fbdb2315678afecb367f032d93f642f64180aa3"
_LUMEN: Final = PartyId("op_90ab")
_BOREA: Final = PartyId("op_1f7c")
_HASH: Final = "0x" + "5a" * 32

OPERATORS: Final = Page(items=[OperatorLine(party=_LUMEN, name="Lumen", country="FR")], next=None)
CYCLE_ROW: Final = CycleRow(
    sequence=41,
    state="final",
    cut_us=1_767_607_200_000_000,
    owed_minor=9_420_000,
    moved_minor=2_110_000,
    own_minor=1_180_000,
    records=2_310,
    asset=_ASSET,
)
_FLOW: Final = FlowView(
    incoming=(FlowRow(kind="operator", party=_BOREA, name="Borea", amount_minor=5_300_000),),
    outgoing=(
        FlowRow(kind="operator", party=_BOREA, name="Borea", amount_minor=3_120_000),
        FlowRow(kind="hosts", party="", name="", amount_minor=1_000_000),
        FlowRow(kind="net", party="", name="", amount_minor=1_180_000),
    ),
    net_minor=1_180_000,
)
OPERATOR: Final = OperatorView(
    as_of_us=1_767_607_500_000_000,
    party=_LUMEN,
    name="Lumen",
    asset=_ASSET,
    collateral_minor=100_000_000,
    open=_FLOW,
    last=None,
    last_sequence=None,
    cycle_due_us=1_767_610_800_000_000,
    in_flight=None,
    halted="",
    cycles=(CYCLE_ROW,),
    may_settle=True,
)
CYCLE: Final = CycleView(
    row=CYCLE_ROW,
    cycle_id=_HASH,
    settlement_id=_HASH,
    records_root=_HASH,
    netting="circular",
    attempt=1,
    positions=4,
    payments=1,
    hosts_minor=1_000_000,
    ordered_us=1_767_607_200_000_000,
    final_us=1_767_607_260_000_000,
    tx_hash=_HASH,
    flow=_FLOW,
    nets=(
        NetLine(party=_BOREA, name="Borea", amount_minor=-2_180_000, is_own=False),
        NetLine(party=_LUMEN, name="Lumen", amount_minor=1_180_000, is_own=True),
    ),
    approval=None,
    party=_LUMEN,
    name="Lumen",
)
