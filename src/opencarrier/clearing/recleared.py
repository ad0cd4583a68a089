"""A month cleared again because records of it were corrected: what is owed is what differs.

The month stands anew in full, with a root over every record. Owed and billed is only what differs
from the earlier clearing: an invoice for more, a credit note for less, each naming the invoice
that it corrects.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from opencarrier.clearing.accounts import Account
from opencarrier.clearing.netting import Edges
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId

STANDING: Final = "standing.json"
"""What stays of a clearing for later ones: what use alone came to, and the invoices' numbers."""

Numbers = Mapping["BilledPair", str]
Obligations = Mapping[AssetId, Edges]


class BilledPair(NamedTuple):
    """Who billed whom, in which asset and currency."""

    issuer: PartyId
    recipient: PartyId
    asset: AssetId
    currency: str


class AccountKey(NamedTuple):
    """What makes two clearings' accounts the same."""

    debtor: PartyId
    creditor: PartyId
    asset: AssetId
    currency: str
    rate: int
    decimals: int

    @property
    def pair(self) -> BilledPair:
        """Who bills it to whom."""
        return BilledPair(self.creditor, self.debtor, self.asset, self.currency)


class Figures(NamedTuple):
    """What an account comes to, or what two clearings of it differ by."""

    records: int = 0
    untaxed_minor: int = 0
    tax_minor: int = 0
    owed_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier clearing of the month came to, and the invoices it was billed by."""

    records_root: str
    accounts: Mapping[AccountKey, Figures]
    used: Obligations
    numbers: Numbers


def changes(accounts: Iterable[Account], earlier: Earlier) -> dict[AccountKey, Figures]:
    """Return what each account differs by from before, ascending; what is equal is not there."""
    now, none = dict(map(_figures, accounts)), Figures()
    found = {}
    for key in sorted(now.keys() | earlier.accounts.keys()):
        pairs = zip(now.get(key, none), earlier.accounts.get(key, none), strict=True)
        differs = Figures(*(new - old for new, old in pairs))
        if differs[1:] != none[1:]:
            found[key] = differs
    return found


def owed_anew(now: Obligations, before: Obligations) -> dict[AssetId, Edges]:
    """Return what is owed beside what was; what came to less is owed back."""
    found: dict[AssetId, Edges] = {}
    for asset in sorted(now.keys() | before.keys()):
        new, old = now.get(asset, {}), before.get(asset, {})
        edges: defaultdict[tuple[PartyId, PartyId], int] = defaultdict(int)
        for payer, payee in new.keys() | old.keys():
            amount = new.get((payer, payee), 0) - old.get((payer, payee), 0)
            edges[(payer, payee) if amount > 0 else (payee, payer)] += abs(amount)
        if any(edges.values()):
            found[asset] = {pair: amount for pair, amount in sorted(edges.items()) if amount}
    return found


def write_standing(cleared: Path, used: Obligations, numbers: Numbers) -> None:
    """Keep what later clearings of the month, and credit notes, have to know."""
    told = {
        "used": {
            asset: [[*pair, amount] for pair, amount in edges.items()]
            for asset, edges in sorted(used.items())
        },
        "invoices": [[*pair, number] for pair, number in sorted(numbers.items())],
    }
    cleared.joinpath(STANDING).write_text(json.dumps(told, indent=1) + "\n")


def read_numbers(cleared: Path) -> Numbers:
    """Return the numbers of a cleared month's invoices; `PeerError` where it has none."""
    return {BilledPair(*row[:4]): row[4] for row in _standing(cleared)["invoices"]}


def read_earlier(cleared: Path) -> Earlier:
    """Read what an earlier clearing left; `PeerError` where there is none."""
    standing = _standing(cleared)
    rows = pq.read_table(cleared / "positions.parquet").to_pylist()
    report = json.loads(cleared.joinpath("clearing.json").read_text())
    return Earlier(
        records_root=report["records_root"],
        accounts=dict(map(_account, (row for row in rows if row["adjustment_id"] is None))),
        used={
            AssetId(asset): {(payer, payee): amount for payer, payee, amount in edges}
            for asset, edges in standing["used"].items()
        },
        numbers=read_numbers(cleared),
    )


def _standing(cleared: Path) -> dict[str, Any]:
    path = cleared.joinpath(STANDING)
    if not path.exists():
        raise PeerError("cleared", f"{cleared} holds no cleared month: {STANDING} is missing")
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def key_of(account: Account) -> AccountKey:
    """Return what an account is found by in another clearing."""
    return AccountKey(*(getattr(account, name) for name in AccountKey._fields))


def _figures(account: Account) -> tuple[AccountKey, Figures]:
    return key_of(account), Figures(
        account.records,
        account.gross_minor - account.tax_minor,
        account.tax_minor,
        account.amount_minor,
    )


def _account(row: Mapping[str, Any]) -> tuple[AccountKey, Figures]:
    key = AccountKey(
        debtor=row["debtor"],
        creditor=row["creditor"],
        asset=row["asset"],
        currency=row["currency"],
        rate=int(row["rate"]),
        decimals=row["decimals"],
    )
    seller, host, protocol, tax = (
        int(row[f"currency_{leg}_minor"]) for leg in ("seller", "host", "protocol", "tax")
    )
    return key, Figures(row["records"], seller + host + protocol, tax, int(row["amount_minor"]))
