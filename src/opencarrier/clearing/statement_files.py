"""A party's statements, a folder a partner: CSV of both directions, and each invoice as PDF."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from opencarrier.clearing.documents import Invoice
from opencarrier.clearing.party_rows import party_folder
from opencarrier.spine.parties import PartyId

STATEMENT: Final = "statement.csv"
COLUMNS: Final = (
    *("direction", "number", "position_id", "currency", "rate", "records"),
    *("untaxed_minor", "tax_minor", "gross_minor", "asset", "owed_minor"),
    *("document", "corrects"),
)
LINES_PER_PAGE: Final = 36
_LEFT, _TOP, _STEP = 40, 800, 16


def write_statements(folder: Path, invoices: Iterable[Invoice], *, with_pdf: bool) -> None:
    """Write each party's statement with each partner; both have the same figures, mirrored."""
    pairs: defaultdict[tuple[PartyId, PartyId], list[Invoice]] = defaultdict(list)
    for invoice in invoices:
        pairs[invoice.issuer, invoice.recipient].append(invoice)
        pairs[invoice.recipient, invoice.issuer].append(invoice)
    for (party, partner), bills in sorted(pairs.items()):
        place = party_folder(party_folder(folder, party) / "partners", partner)
        place.mkdir(parents=True)
        _write_csv(place.joinpath(STATEMENT), party, bills)
        for bill in bills if with_pdf else ():
            write_pdf(place / f"{bill.issuer}-{bill.number}.pdf", bill)


def _write_csv(path: Path, party: PartyId, bills: Sequence[Invoice]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for bill in bills:
            direction = "issued" if bill.issuer == party else "received"
            for item in bill.items:
                gross = item.untaxed_minor + item.tax_minor
                head = (direction, bill.number, item.position_id, bill.currency, item.rate)
                sums = (item.records, item.untaxed_minor, item.tax_minor, gross)
                tail = (bill.title.lower().replace(" ", "_"), " ".join(bill.corrects))
                writer.writerow((*head, *sums, bill.asset, item.owed_minor, *tail))


def write_pdf(path: Path, bill: Invoice) -> None:
    """Write an invoice on A4, as many pages as it needs; the same invoice gives the same octets."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    canvas.setTitle(f"{bill.title} {bill.number}")
    lines = list(text_of(bill))
    for begin in range(0, len(lines), LINES_PER_PAGE):
        canvas.setFont("Courier", 9)
        for number, line in enumerate(lines[begin : begin + LINES_PER_PAGE]):
            canvas.drawString(_LEFT, _TOP - number * _STEP, line)
        canvas.showPage()
    canvas.save()


def text_of(bill: Invoice) -> Iterator[str]:
    """Yield the lines of an invoice: who bills whom, each position, the sums, what is owed."""
    yield f"{bill.title} {bill.number}"
    yield f"Issuer     {bill.issuer}"
    yield f"Recipient  {bill.recipient}"
    yield from (f"Corrects   Invoice {number}" for number in bill.corrects)
    yield ""
    for item in bill.items:
        yield f"Position {item.position_id}"
        yield f"  {item.records} records, rate {item.rate}"
        yield f"  without tax {bill.text(item.untaxed_minor)}"
        yield f"  tax         {bill.text(item.tax_minor)}"
    yield ""
    yield f"Records      {bill.records}"
    yield f"Without tax  {bill.text(bill.untaxed_minor)}"
    yield f"Tax          {bill.text(bill.tax_minor)}"
    yield f"Gross        {bill.text(bill.gross_minor)}"
    yield ""
    yield f"Owed {bill.owed_minor} minor units of {bill.asset}, settled net with the cycle."
