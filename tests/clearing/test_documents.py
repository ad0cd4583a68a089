"""Statements and invoices of a cleared month: complete, exact, numbered, the same on both sides."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clearing.rated_months import order, rate

from opencarrier.clearing.documents import Invoice, Item, invoices, written
from opencarrier.clearing.month import clear
from opencarrier.clearing.statement_files import LINES_PER_PAGE, text_of, write_pdf
from opencarrier.kernel.money import AssetId
from opencarrier.spine.parties import PartyId


@given(st.integers(-(1 << 80), 1 << 80), st.integers(0, 18))
def test_an_amount_is_written_to_its_last_digit(minor: int, decimals: int) -> None:
    text = written(minor, decimals)
    assert int(text.replace(".", "")) == minor
    assert len(text.partition(".")[2]) == decimals


def test_every_position_is_billed_once_and_both_sides_have_the_same(tmp_path: Path) -> None:
    cleared = clear(order(rate(tmp_path, 90), statements="csv"))
    owed = {
        "0x" + item.position.position_id.hex(): item.position
        for item in cleared.positions
        if item.position.debtor != item.position.creditor
    }
    parties = tmp_path / "cleared" / "parties"
    seen: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for path in sorted(parties.glob("*/partners/*/statement.csv")):
        party, partner = path.parts[-4], path.parts[-2]
        for row in csv.DictReader(path.open(newline="")):
            position = owed[row["position_id"]]
            issuer = party if row["direction"] == "issued" else partner
            assert position.creditor == issuer
            assert {position.creditor, position.debtor} == {party, partner}
            assert int(row["owed_minor"]) == position.amount_minor
            assert int(row["records"]) == position.records
            gross = int(row["untaxed_minor"]) + int(row["tax_minor"])
            assert int(row["gross_minor"]) == gross > 0
            seen[row["position_id"]].append(tuple(row.values())[1:])
    assert seen.keys() == owed.keys()
    assert all(len(rows) == 2 and rows[0] == rows[1] for rows in seen.values())


def test_numbers_have_no_gap_and_do_not_depend_on_order(tmp_path: Path) -> None:
    placed = list(clear(order(rate(tmp_path, 90))).positions)
    made = invoices(placed, 6)
    by_issuer: defaultdict[str, list[str]] = defaultdict(list)
    for bill in made:
        by_issuer[bill.issuer].append(bill.number)
    assert len(by_issuer) == 3
    for numbers in by_issuer.values():
        assert numbers == [f"000006-{n:06d}" for n in range(1, len(numbers) + 1)]
    assert {(b.issuer, b.recipient, b.number) for b in invoices(placed[::-1], 6)} == {
        (b.issuer, b.recipient, b.number) for b in made
    }


def bill(positions: int) -> Invoice:
    item = Item(
        position_id="0x" + "00" * 32,
        records=1,
        rate="1.082551",
        untaxed_minor=1 << 70,
        tax_minor=1,
        owed_minor=7,
    )
    return Invoice(
        number="000001-000001",
        issuer=PartyId("op_a"),
        recipient=PartyId("op_b"),
        asset=AssetId("issuer/EUR"),
        currency="EUR",
        items=(item,) * positions,
    )


def test_an_invoice_says_its_sums_exactly() -> None:
    text = "\n".join(text_of(bill(2)))
    assert "Gross        2361183241434822.606850 EUR" in text
    assert "Tax          0.000002 EUR" in text
    assert "Owed 14 minor units of issuer/EUR" in text


@pytest.mark.parametrize("positions", [1, 7, 40])
def test_a_pdf_has_the_pages_it_needs_and_the_same_octets_again(
    tmp_path: Path, positions: int
) -> None:
    for name in ("one.pdf", "two.pdf"):
        write_pdf(tmp_path / name, bill(positions))
    octets = (tmp_path / "one.pdf").read_bytes()
    assert octets == (tmp_path / "two.pdf").read_bytes()
    assert octets.startswith(b"%PDF-")
    pages = -(-len(list(text_of(bill(positions)))) // LINES_PER_PAGE)
    assert f"/Count {pages}".encode() in octets


def test_pdfs_lie_beside_the_statement_of_both(tmp_path: Path) -> None:
    clear(order(rate(tmp_path, 30), statements="pdf"))
    parties = tmp_path / "cleared" / "parties"
    issued = {path.name for path in parties.glob("op_a/partners/op_b/*.pdf")}
    assert issued == {path.name for path in parties.glob("op_b/partners/op_a/*.pdf")} != set()
