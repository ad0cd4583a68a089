"""Examples of what the routes of hosts answer, as the reference shows them."""

from __future__ import annotations

from typing import Final

from opencarrier.app.api import Page
from opencarrier.app.console.views.host import (
    HOSTS_AFTER,
    NODES_AFTER,
    BeneficiaryLine,
    DayLine,
    EarningsView,
    HostLine,
    HostView,
    MoneyView,
    NodeLine,
    NodeView,
    ReasonLine,
    TransactionView,
    WithdrawnView,
)

PARTY: Final = "host_5d0c1f3e9a7b4c62a1d8e0f7b3c49a16"
OPERATOR: Final = "op_2f6b0c9d4e1a7385c6d2b9f0e4a18c73"
ASSET: Final = "eip155:31337/erc20:0x5fbdb2315678afecb367f032d93f642f64180aa3"
PAYOUT: Final = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
NOW_US: Final = 1_767_643_200_000_000
TODAY_US: Final = 1_767_571_200_000_000

HOSTS: Final = Page(
    items=(HostLine(party=PARTY, name="Café Lumière"),), next=HOSTS_AFTER.write(("Café Lumière",))
)
_LINE: Final = NodeLine(
    node_id="cafe-1",
    nas_identifier="cafe-1",
    operator=OPERATOR,
    operator_name="Lumen Mobile",
    latitude_udeg=43_700_000,
    longitude_udeg=7_270_000,
    state="in_use",
    sessions=3,
    heard_us=NOW_US - 40_000_000,
    octets=81_200_000_000,
    earned_minor=3_420_000,
    standing="good",
)
NODES: Final = Page(items=(_LINE,), next=NODES_AFTER.write(("cafe-1",)))
_GUESTS: Final = ReasonLine(
    reason="guests", amount_minor=3_500_000, uses=124, octets=81_200_000_000
)
_LESS: Final = ReasonLine(reason="correction", amount_minor=-80_000, uses=0, octets=0)
EARNINGS: Final = EarningsView(
    asset=ASSET,
    amount_minor=3_420_000,
    octets=81_200_000_000,
    days=(
        DayLine(
            from_us=TODAY_US,
            amount_minor=3_420_000,
            octets=81_200_000_000,
            reasons=(_GUESTS, _LESS),
        ),
    ),
    reasons=(_GUESTS, _LESS),
)
HOST: Final = HostView(
    as_of_us=NOW_US,
    party=PARTY,
    name="Café Lumière",
    nodes=1,
    has_more_nodes=False,
    in_use=1,
    money=MoneyView(
        asset=ASSET,
        payout=PAYOUT,
        today_minor=3_420_000,
        ever_minor=3_420_000,
        accrued_minor=2_320_000,
        payable_minor=1_100_000,
        waiting_minor=0,
        waits_until_us=None,
        withdrawn_minor=0,
    ),
    earnings=EARNINGS,
    shown=Page(items=(_LINE,), next=None),
    beneficiaries=(BeneficiaryLine(payout=PAYOUT, share_ppm=1_000_000),),
)
NODE: Final = NodeView(
    as_of_us=NOW_US,
    party=PARTY,
    host_name="Café Lumière",
    node=_LINE,
    place_said_by="Lumen Mobile",
    earnings=EARNINGS,
)
CLAIM: Final = TransactionView(
    chain_id=31_337,
    to="0xcf7ed3acca5a467e9e704c703e8d87f634fb0fc9",
    data="0x3d13f874",
    function="claim",
    arguments={
        "account": PAYOUT,
        "token": "0x5fbdb2315678afecb367f032d93f642f64180aa3",
        "lifetime_amount": "1100000",
        "proof": "0x8d2b7f1c5e3a4960b8d1c2e7f9a0b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4",
    },
)
WITHDRAWN: Final = WithdrawnView(
    amount_minor=1_100_000,
    lifetime_minor=1_100_000,
    tx_hash="0x4e3a3754410177e6937ef1f84bba68ea139e8d1a2258c5f85db9f1cd715a1bdd",
)
