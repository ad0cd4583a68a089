"""What the routes of operators answer, for the description of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.app.api import Page
from opencarrier.app.console.views.agreements import AgreementRow, AgreementView, LineView
from opencarrier.app.console.views.disputes import DisputeRow, DisputeView, MoveLine, Said
from opencarrier.app.console.views.flow import FlowRow, FlowView
from opencarrier.app.console.views.operator import (
    CycleRow,
    CycleView,
    NetLine,
    OperatorLine,
    OperatorView,
)
from opencarrier.app.console.views.tariff_tries import TriedLine, TriedSum, TryView
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

_TERM: Final = {"valid_from_us": 1_767_225_600_000_000, "valid_until_us": 1_798_761_600_000_000}
AGREEMENT_ROW: Final = AgreementRow(
    agreement=_HASH, other=_BOREA, name="Borea", payers=("Lumen",), lines=1, deals=0, **_TERM
)
AGREEMENT: Final = AgreementView(
    agreement=_HASH,
    party=_LUMEN,
    name="Lumen",
    other=_BOREA,
    other_name="Borea",
    asset=_ASSET,
    protocol_ppm=10_000,
    lines=(
        LineView(
            place=0,
            line="wifi",
            payer=_LUMEN,
            payer_name="Lumen",
            seller=_BOREA,
            seller_name="Borea",
            services=("wifi",),
            unit="octets_total",
            first_step=1_024,
            next_step=1_024,
            price_nano=1_900,
            plain_minor=1_855_469,
            plain_per="gigabyte",
            fixed_minor=0,
            minimum_minor=0,
            currency="USD",
            tax_ppm=0,
            tax_included=False,
            host_ppm=600_000,
            in_band=False,
            **_TERM,
        ),
    ),
    deals=(),
    currencies=(),
    **_TERM,
)
TRIED: Final = TryView(
    agreement=_HASH,
    party=_LUMEN,
    other_name="Borea",
    month="2026-10",
    months=("2026-11", "2026-10"),
    discount_ppm=0,
    lines=(
        TriedLine(
            place=0,
            line="wifi",
            payer_name="Lumen",
            seller_name="Borea",
            uses=2_310,
            currency="USD",
            plain_per="gigabyte",
            price_nano=1_900,
            plain_minor=1_855_469,
            new_nano=1_536,
            new_plain_minor=1_500_000,
            before_minor=9_420_000,
            least_minor=7_612_990,
            most_minor=7_617_611,
            why=("rounding",),
        ),
    ),
    sums=(
        TriedSum(
            payer_name="Lumen",
            currency="USD",
            before_minor=9_420_000,
            least_minor=7_612_990,
            most_minor=7_617_611,
        ),
    ),
    why=("rounding",),
    deals=0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveAsked:
    """A move in a dispute: `open`, `accept`, `contest`, `agree` on an amount, or `evidence`."""

    kind: str
    amount_minor: int = 0
    digest: str = ""


MOVE: Final = MoveAsked(kind="agree", amount_minor=2_000)
DISPUTE_ROW: Final = DisputeRow(
    dispute=_HASH,
    exchange=_HASH,
    usage=_HASH,
    name="Borea",
    opened_us=1_767_607_200_000_000,
    moved_us=1_767_607_260_000_000,
    moved="contest",
    is_over=False,
)
DISPUTE: Final = DisputeView(
    party=_LUMEN,
    name="Lumen",
    other_name="Borea",
    dispute=_HASH,
    exchange=_HASH,
    usage=_HASH,
    is_creditor=True,
    cause="use",
    disputed_minor=9_000,
    bond_minor=450,
    stage="open",
    until_us=1_768_212_000_000_000,
    settled_us=None,
    award_minor=0,
    forfeit_minor=0,
    ours=Said(octets=52_000_000, duration_s=600, amount_minor=10_000),
    theirs=Said(octets=5_200_000, duration_s=600, amount_minor=1_000),
    moves=(
        MoveLine(
            at_us=1_767_607_200_000_000,
            kind="open",
            name="Lumen",
            is_own=True,
            amount_minor=0,
            digest="",
        ),
    ),
    may=("agree", "evidence"),
)
