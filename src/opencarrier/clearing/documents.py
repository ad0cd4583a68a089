"""What one operator bills another for a cycle: invoices, gross in each direction. Pure.

An invoice is one creditor's to one debtor in one currency and asset. Settlement is net, invoices
are gross. Amounts are integers; a text is made of them at the very end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from opencarrier.clearing.dues import WHOLE
from opencarrier.clearing.placed_positions import PlacedPosition
from opencarrier.clearing.recleared import AccountKey, BilledPair, Figures, Numbers
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.money import Due, Role
from opencarrier.spine.parties import PartyId

INVOICE, CREDIT_NOTE = "Invoice", "Credit note"
CURRENCY_DECIMALS: Final = 6
"""Lines are priced in millionths of their currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A position on an invoice: records, price without tax, tax, and what that is in the asset."""

    position_id: str
    records: int
    rate: str
    untaxed_minor: int
    tax_minor: int
    owed_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What an issuer bills a recipient; numbers have no gap within an issuer's cycle.

    Items are in `currency` (empty: the asset itself); what they come to in the asset was exchanged
    position by position. A credit note is the seller's too: its amounts are below zero. What takes
    something off earlier invoices, or adds to them, names them in `corrects`.
    """

    number: str
    issuer: PartyId
    recipient: PartyId
    asset: AssetId
    currency: str
    items: tuple[Item, ...]
    title: str = INVOICE
    corrects: tuple[str, ...] = ()

    @property
    def pair(self) -> BilledPair:
        """Who bills whom in what."""
        return BilledPair(self.issuer, self.recipient, self.asset, self.currency)

    @property
    def records(self) -> int:
        """How many records are billed."""
        return sum(item.records for item in self.items)

    @property
    def untaxed_minor(self) -> int:
        """Price without tax, in the currency."""
        return sum(item.untaxed_minor for item in self.items)

    @property
    def tax_minor(self) -> int:
        """Tax, in the currency."""
        return sum(item.tax_minor for item in self.items)

    @property
    def gross_minor(self) -> int:
        """What is billed, in the currency."""
        return self.untaxed_minor + self.tax_minor

    @property
    def owed_minor(self) -> int:
        """What is billed, in the asset."""
        return sum(item.owed_minor for item in self.items)

    def text(self, minor: int) -> str:
        """Write an amount in the invoice's currency, exact to the last digit."""
        if not self.currency:
            return f"{minor} minor units of {self.asset}"
        return f"{written(minor, CURRENCY_DECIMALS)} {self.currency}"


def written(minor: int, decimals: int) -> str:
    """Write minor units as a decimal number."""
    sign = "-" if minor < 0 else ""
    whole, rest = divmod(abs(minor), 10**decimals)
    return f"{sign}{whole}.{rest:0{decimals}d}" if decimals else f"{sign}{whole}"


def invoices(placed: Iterable[PlacedPosition], sequence: int) -> list[Invoice]:
    """Bill every position once, ascending by issuer and number; what one owes itself is no bill.

    An adjustment is billed between its operators, below zero on a credit note; what is passed on of
    it is within that, as it is for use. `naming` gives notes the invoices they correct.
    """
    groups: defaultdict[tuple[PartyId, PartyId, AssetId, str, str], list[Item]] = defaultdict(list)
    for item in placed:
        account, flow = item.account, item.flow
        if flow is not None:
            if flow.role == WHOLE:
                made_of = flow.due.adjustment
                title = CREDIT_NOTE if flow.due.amount_minor < 0 else INVOICE
                key = (made_of.seller, made_of.payer, made_of.asset, "", title)
                groups[key].append(_adjusted(item, flow.due))
        elif account.creditor != account.debtor:
            key = (account.creditor, account.debtor, account.asset, account.currency, INVOICE)
            groups[key].append(_item(item))
    return _numbered(groups, sequence)


def corrections(
    differs: Mapping[AccountKey, Figures],
    numbers: Numbers,
    sequence: int,
    position_of: Mapping[AccountKey, str],
) -> list[Invoice]:
    """Bill what accounts differ by from an earlier clearing, a document for each pair and currency.

    It is a credit note where less is owed, and names the invoice it corrects.
    """
    groups: defaultdict[tuple[PartyId, PartyId, AssetId, str], list[Item]] = defaultdict(list)
    for key, figures in differs.items():
        if key.creditor != key.debtor:
            groups[key.pair].append(_differing(key, figures, position_of.get(key, "")))
    titled = {
        (*pair, CREDIT_NOTE if _is_less(items) else INVOICE): items
        for pair, items in groups.items()
    }
    return [
        replace(bill, corrects=(number,)) if (number := numbers.get(bill.pair)) else bill
        for bill in _numbered(titled, sequence)
    ]


def numbers_of(bills: Iterable[Invoice]) -> Numbers:
    """Return the number of each pair's first invoice, or of the one that it corrects."""
    found: dict[BilledPair, str] = {}
    for bill in bills:
        if bill.title == INVOICE:
            found.setdefault(bill.pair, bill.corrects[0] if bill.corrects else bill.number)
    return found


def naming(bills: Iterable[Invoice], numbers: Numbers) -> Iterator[Invoice]:
    """Have each credit note name the pair's invoices in its asset; `PeerError` if there is none."""
    for bill in bills:
        if bill.title == INVOICE:
            yield bill
            continue
        named = sorted(number for pair, number in numbers.items() if pair[:3] == bill.pair[:3])
        if not named:
            raise PeerError(
                "invoice", f"{bill.issuer} has sent {bill.recipient} none that a note could correct"
            )
        yield replace(bill, corrects=tuple(named))


def _numbered(
    groups: Mapping[tuple[PartyId, PartyId, AssetId, str, str], Sequence[Item]], sequence: int
) -> list[Invoice]:
    issued: defaultdict[PartyId, int] = defaultdict(int)
    made = []
    for key, items in sorted(groups.items(), key=lambda group: group[0]):
        issuer, recipient, asset, currency, title = key
        issued[issuer] += 1
        made.append(
            Invoice(
                title=title,
                number=f"{sequence:06d}-{issued[issuer]:06d}",
                issuer=issuer,
                recipient=recipient,
                asset=asset,
                currency=currency,
                items=tuple(items),
            )
        )
    return made


def _is_less(items: Iterable[Item]) -> bool:
    return sum(item.untaxed_minor + item.tax_minor for item in items) < 0


def _differing(key: AccountKey, figures: Figures, position_id: str) -> Item:
    return Item(
        position_id=position_id,
        records=figures.records,
        rate=written(key.rate, key.decimals),
        untaxed_minor=figures.untaxed_minor,
        tax_minor=figures.tax_minor,
        owed_minor=figures.owed_minor,
    )


def _item(placed: PlacedPosition) -> Item:
    account, position = placed.account, placed.position
    return Item(
        position_id=to_hex(position.position_id),
        records=position.records,
        rate=written(account.rate, account.decimals),
        untaxed_minor=account.gross_minor - account.tax_minor,
        tax_minor=account.tax_minor,
        owed_minor=position.amount_minor,
    )


def _adjusted(placed: PlacedPosition, due: Due) -> Item:
    tax_minor = sum(leg.amount_minor for leg in due.allocations if leg.role is Role.TAX)
    return Item(
        position_id=to_hex(placed.position.position_id),
        records=placed.position.records,
        rate="1",
        untaxed_minor=due.amount_minor - tax_minor,
        tax_minor=tax_minor,
        owed_minor=due.amount_minor,
    )
