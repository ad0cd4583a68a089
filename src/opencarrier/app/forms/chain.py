"""What the chain's routes answer, each with an example."""

from __future__ import annotations

from typing import Final

from opencarrier.app.api import Page
from opencarrier.app.console.views.chain import (
    BlockView,
    ContractView,
    Party,
    RoleLine,
    TxLine,
    TxView,
)
from opencarrier.app.console.views.decoded import Argument, Decoded

SILENT: Final = {503: "The chain's node does not answer."}
ABSENT: Final = {404: "The chain, or the venue, has none such.", **SILENT}

_HASH: Final = "0x" + "7b" * 32
_HUB: Final = Party(address="0x" + "da" * 20, name="opencarrier")
_HOUSE: Final = Party(address="0x" + "73" * 20, name="ClearingHouse")

BLOCK: Final = BlockView(
    number=24,
    hash="0x" + "4c" * 32,
    parent_hash="0x" + "3c" * 32,
    at_us=1_767_607_200_000_000,
    transactions=[
        TxLine(hash=_HASH, sender=_HUB, to=_HOUSE, contract="ClearingHouse", call="settle")
    ],
    transactions_number=1,
)
BLOCKS_PAGE: Final = Page(items=[BLOCK], next=None)
TRANSACTION: Final = TxView(
    hash=_HASH,
    block_number=24,
    succeeded=True,
    sender=_HUB,
    to=_HOUSE,
    value_wei=0,
    fee_wei=204_997_895_993_016,
    call=Decoded(
        contract="ClearingHouse",
        name="settle",
        arguments=[Argument(name="rewards_amount", kind="money", value="63680")],
    ),
    events=[
        Decoded(
            contract="ClearingHouse",
            name="Settled",
            arguments=[Argument(name="nets[0]", kind="net", value="-130000", name_of="Lumen")],
        )
    ],
)
CONTRACT: Final = ContractView(
    name="ClearingHouse",
    address=_HOUSE.address,
    code_hash="0x" + "a1" * 32,
    roles=[RoleLine(role="settler", may="settles cycles, by the rulebook", holder=_HUB)],
    functions=["settle"],
    events=["Settled"],
)
