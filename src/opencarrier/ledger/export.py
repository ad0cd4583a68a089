"""The ledger in beancount's language, for auditors and as an independent oracle.

Debits are positive. Each asset becomes a commodity `A1`, `A2`, ... in whole minor units; every
account ends with a balance assertion of tolerance zero. Holds are not in it: they move nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection

from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import store
from opencarrier.ledger.model import Account, Booked

_ROOTS = {
    "custody": "Assets",
    "funding": "Assets",
    "notices": "Assets",
    "till": "Assets",
    "revenue": "Income",
    "overrun": "Expenses",
}
"""Beancount's five kinds, by the first word of the account's name; the rest we owe somebody."""


def export_beancount(unit: Connection) -> Iterator[str]:
    """Give the whole ledger line by line, as `bean-check` accepts it."""
    everything = list(store.accounts_of(unit, None, ""))
    assets = sorted({account.asset for account in everything})
    commodities = {asset: f"A{number}" for number, asset in enumerate(assets, start=1)}
    first_us, last_us = store.span_us(unit)
    yield 'option "title" "opencarrier ledger"'
    yield 'option "inferred_tolerance_default" "*:0"'
    for asset, commodity in commodities.items():
        yield f"{_date(first_us)} commodity {commodity}"
        yield f"  asset: {_quoted(asset)}"
    for account in everything:
        commodity = commodities[account.asset]
        yield f"{_date(first_us)} open {_name(commodity, account.name)} {commodity}"
    for item in store.moves(unit):
        yield from _transaction(item, commodities)
    after = _date(last_us) + timedelta(days=1)
    for account in everything:
        yield _assertion(account, commodities, after)


def _transaction(item: Booked, commodities: Mapping[AssetId, str]) -> Iterator[str]:
    transfer = item.transfer
    commodity = commodities[transfer.asset]
    yield f"{_date(item.at_us)} * {_quoted(transfer.code)}"
    yield f'  transfer: "{to_hex(transfer.transfer_id)}"'
    yield f"  {_name(commodity, transfer.debit)} {item.moved_minor} {commodity}"
    yield f"  {_name(commodity, transfer.credit)} -{item.moved_minor} {commodity}"


def _assertion(account: Account, commodities: Mapping[AssetId, str], on: date) -> str:
    commodity = commodities[account.asset]
    minor = -account.balance.posted_minor
    return f"{on} balance {_name(commodity, account.name)} {minor} ~ 0 {commodity}"


def _name(commodity: str, name: str) -> str:
    """Write an account's name in beancount's letters, two names never alike.

    A word begins with a capital or a digit and knows no underscore: `_` becomes `-` and `-`
    becomes `--`, which is reversible because account names never double either.
    """
    kind, *rest = (
        (word[0].upper() + word[1:]).replace("-", "--").replace("_", "-")
        for word in name.split("/")
    )
    root = _ROOTS.get(name.partition("/")[0], "Liabilities")
    return ":".join((root, commodity, kind, *rest))


def _date(at_us: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).date()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
