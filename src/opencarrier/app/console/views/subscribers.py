"""Subscribers as their owner lists them, and what some of them asked back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.api import Cursor, Page
from opencarrier.app.bootstrap import Installation
from opencarrier.identity import pages
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.parties import PartyId

LOOKED_AT_MAX: Final = 1_000
"""Accounts of refunds that one page looks through: most are of refunds long paid."""

SUBSCRIBERS: Final = Cursor("subscribers", (str,))
REFUNDS: Final = Cursor("refunds", (str,))


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberLine:
    """A subscriber by name, its home, and what it asked back and was not given yet."""

    party: str
    name: str
    home: str
    asked_back_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundLine:
    """What a subscriber asked back and was not given yet, in minor units."""

    party: str
    name: str
    asked_back_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundView:
    """What a subscriber asked back, minor units of `asset`; `people` have to approve a payment."""

    party: str
    name: str
    asset: str
    asked_back_minor: int
    people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAsked:
    """A refund that was paid out, or is `kept` to be used again; `reference` is one's own."""

    amount_minor: int
    reference: str
    kept: bool = False


REFUND: Final = RefundView(
    party="sub_6f1c1d0c3b0a4c5e9d8f7a6b5c4d3e2f",
    name="Amina",
    asset="eip155:31337/erc20:0x5fbdb2315678afecb367f032d93f642f64180aa3",
    asked_back_minor=0,
    people=0,
)
SUBSCRIBERS_EXAMPLE: Final = Page(
    items=[
        SubscriberLine(
            party=REFUND.party, name=REFUND.name, home="Lumen Mobile", asked_back_minor=2_000_000
        )
    ],
    next=SUBSCRIBERS.write((REFUND.name,)),
)
REFUNDS_EXAMPLE: Final = Page(
    items=[RefundLine(party=REFUND.party, name=REFUND.name, asked_back_minor=2_000_000)], next=None
)


def waiting_minor(unit: Connection, asset: AssetId, party: PartyId) -> int:
    """Return what a subscriber asked back and was not given yet."""
    return ledger.balance(unit, asset, chart.refunds(party)).posted_minor


def subscriber_lines(
    base: Installation,
    unit: Connection,
    asset: AssetId,
    *,
    named: str,
    key: Sequence[int | str] | None,
    limit: int,
) -> list[SubscriberLine]:
    """Return subscribers after a name, or from what names begin with, ascending by name."""
    kind = PartyKind.SUBSCRIBER
    if key is None:
        found = pages.names_from(unit, kind, named, limit=limit)
    else:
        found = pages.names_after(unit, kind, str(key[0]), limit=limit)
    asked = ledger.balances(unit, asset, [chart.refunds(party) for party, _ in found])
    return [
        SubscriberLine(
            party=party,
            name=name,
            home=_home(base, unit, party),
            asked_back_minor=asked[chart.refunds(party)].posted_minor,
        )
        for party, name in found
    ]


def refund_lines(
    base: Installation,
    unit: Connection,
    asset: AssetId,
    *,
    key: Sequence[int | str] | None,
    limit: int,
) -> tuple[list[RefundLine], str | None]:
    """Return refunds that wait after a subscriber, and whom to go on after, None at the end."""
    after = "" if key is None else str(key[0])
    rows: list[RefundLine] = []
    last = after
    prefix = chart.refunds(PartyId(""))
    found = ledger.accounts_after(unit, asset, prefix, prefix + after, limit=LOOKED_AT_MAX)
    for account in found:
        asked_minor = account.balance.posted_minor
        if asked_minor and len(rows) == limit:
            return rows, last
        last = account.name.removeprefix(prefix)
        if asked_minor:
            rows.append(_refund(base, unit, PartyId(last), asked_minor))
    return rows, last if len(found) == LOOKED_AT_MAX else None


def _refund(base: Installation, unit: Connection, party: PartyId, asked_minor: int) -> RefundLine:
    found = base.identity.directory.party(unit, party)
    name = "" if found is None else found.name
    return RefundLine(party=party, name=name, asked_back_minor=asked_minor)


def _home(base: Installation, unit: Connection, party: PartyId) -> str:
    found = base.identity.directory.subscriber(unit, party)
    home = None if found is None else base.identity.directory.operator(unit, found.home)
    return "" if home is None else home.name
