"""An operator's statement of a cycle, as `views.statements` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opencarrier.app.forms.samples import ADDRESS, ASSET, HOME, HOST, OPERATOR, SIGNATURE, hex_id


@dataclass(frozen=True, slots=True, kw_only=True)
class LegForm:
    """A part of a position that is passed on to somebody."""

    role: str
    party: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureForm:
    """Who signed a position, by which key."""

    party: str
    address: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionForm:
    """What a debtor owes a creditor in a cycle; `direction` is `owed` to the operator or `owes`."""

    direction: str
    position_id: str
    debtor: str
    creditor: str
    jurisdiction: str
    rung: str
    records: int
    asset: str
    amount_minor: int
    pair_root: str
    legs: Sequence[LegForm]
    signatures: Sequence[SignatureForm]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementForm:
    """All positions of an operator in a cycle; `own_minor` is what it is paid, or pays."""

    operator: str
    sequence: int
    state: str
    cycle_id: str
    settlement_id: str
    records_root: str
    own_minor: int
    positions: Sequence[PositionForm]


STATEMENT: Final = StatementForm(
    operator=OPERATOR,
    sequence=1,
    state="final",
    cycle_id=hex_id(1),
    settlement_id=hex_id(2),
    records_root=hex_id(3),
    own_minor=12_044,
    positions=[
        PositionForm(
            direction="owed",
            position_id=hex_id(4),
            debtor=HOME,
            creditor=OPERATOR,
            jurisdiction="SN",
            rung="co_signed",
            records=1,
            asset=ASSET,
            amount_minor=12_044,
            pair_root=hex_id(5),
            legs=[LegForm(role="host", party=HOST, amount_minor=6_124)],
            signatures=[SignatureForm(party=HOME, address=ADDRESS, signature=SIGNATURE)],
        )
    ],
)
CSV_STATEMENT: Final = "direction,position_id,debtor,creditor,…\r\nowed,0x04…,op_41…,op_0b…,…\r\n"
