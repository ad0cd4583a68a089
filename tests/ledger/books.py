"""A small world of accounts and the shortest way to write transfers about it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from tests.memory import Memory

from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import rules, service, store
from opencarrier.ledger.model import AccountFlags, Opening, Transfer, TransferFlags

EUR, XOF = AssetId("op_a/EUR"), AssetId("eip155:1/erc20:0xab")

NONE = TransferFlags.NONE
LINKED = TransferFlags.LINKED
PENDING = TransferFlags.PENDING
POST = TransferFlags.POST_PENDING
VOID = TransferFlags.VOID_PENDING
EXPIRE = TransferFlags.EXPIRE_PENDING
BALANCING = TransferFlags.BALANCING_DEBIT

OPENINGS = [
    Opening(asset=asset, name=name, flags=flags)
    for asset in (EUR, XOF)
    for name, flags in (
        ("cash", AccountFlags.NONE),
        ("sales", AccountFlags.NONE),
        ("prepaid/sub_1", AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS),
        ("mirror", AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS),
    )
]


def engine() -> Memory:
    """An empty ledger in memory."""
    return Memory(store.metadata)


def transfer_id(label: object) -> Id:
    return derive("transfer", str(label))


def transfer(label: object, debit: str, credit: str, amount: int, **fields: Any) -> Transfer:
    """Write a transfer; `hold` names a hold by its label."""
    if "hold" in fields:
        fields["hold_id"] = transfer_id(fields.pop("hold"))
    fields = {"asset": EUR, "code": "test", **fields}
    return Transfer(
        transfer_id=transfer_id(label), debit=debit, credit=credit, amount_minor=amount, **fields
    )


def opened(unit: Connection) -> None:
    assert service.open_accounts(unit, OPENINGS) == [None] * len(OPENINGS)


def opened_state() -> rules.State:
    state = rules.State()
    for opening in OPENINGS:
        result = rules.open_account(state, opening)
        assert isinstance(result, rules.State)
        state = result
    return state


def codes(outcomes: list[Any]) -> list[str | None]:
    """Say outcomes in words: None, or the reason's code."""
    return [None if outcome is None else outcome.code for outcome in outcomes]
