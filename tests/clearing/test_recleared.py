"""A month cleared again after corrections: only what differs is owed, and notes name invoices."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from tests.rating.months import run

from opencarrier.clearing.documents import CREDIT_NOTE, INVOICE
from opencarrier.clearing.month import Cleared, clear
from opencarrier.clearing.netting import balances
from opencarrier.clearing.party_rows import check_row
from opencarrier.clearing.recleared import owed_anew
from opencarrier.clearing.statement_files import text_of
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import RecordKind
from opencarrier.usage.record import UsageRecord

from .rated_months import order, rated_records, records, rows
from .test_documents import bill
from .test_month_dues import DUES

COUNT = 60
LEGS = ("seller_minor", "host_minor", "protocol_minor", "tax_minor")


def corrected(item: UsageRecord, **more: int) -> UsageRecord:
    """Return a record that takes another's place."""
    name = derive("correction", item.usage_id)
    kind = RecordKind.CORRECTION
    return replace(item, usage_id=name, kind=kind, corrects=item.usage_id, **more)


def voided(item: UsageRecord) -> UsageRecord:
    """Return the record that says another never counted."""
    kind, name = RecordKind.VOID, derive("void", item.usage_id)
    return replace(item, usage_id=name, kind=kind, corrects=item.usage_id)


def rate(folder: Path, items: list[UsageRecord]) -> Path:
    run(folder, items, rows())
    return folder / "out"


class Months(NamedTuple):
    """A month, the same with some records lower and one higher, and as it was at first."""

    first: Cleared
    second: Cleared
    third: Cleared
    folder: Path
    charges: list[Counter[tuple[str, str, str]]]


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Months:
    folder = tmp_path_factory.mktemp("corrections")
    items = records(COUNT)
    less = [corrected(item, octets_in=item.octets_in // 2) for item in items[10:16]]
    more = corrected(items[30], octets_in=items[30].octets_in * 3)
    gone = voided(items[31])
    rated = [
        rate(folder / "1", items),
        rate(folder / "2", [*items, *less, more, gone]),
        rate(folder / "3", items),
    ]
    made: list[Cleared] = []
    for number, run_of in enumerate(rated, start=1):
        before = folder / f"cleared-{number - 1}" if number > 1 else None
        out = folder / f"cleared-{number}"
        given_order = order(run_of, out=out, sequence=number, statements="csv", post_at_us=1)
        made.append(clear(replace(given_order, corrects=before)))
    return Months(made[0], made[1], made[2], folder, [charges(path) for path in rated])


def charges(rated: Path) -> Counter[tuple[str, str, str]]:
    """Sum what each creditor charges each debtor, record by record, in the currency."""
    found: Counter[tuple[str, str, str]] = Counter()
    for line, item in rated_records(rated):
        pair = (line["visited"], line["home"], line["currency"])
        found[pair] += sum(getattr(item, leg) for leg in LEGS)
    return found


def documents(cleared: Path) -> dict[str, dict[str, str]]:
    """Return each issued document by issuer and number, its amounts added up."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(cleared.glob("parties/*/partners/*/statement.csv")):
        issuer, recipient = path.parts[-4], path.parts[-2]
        for row in csv.DictReader(path.open(newline="")):
            if row["direction"] == "issued":
                known = found.setdefault(
                    f"{issuer} {row['number']}",
                    row | {"issuer": issuer, "recipient": recipient, "gross_minor": "0"},
                )
                known["gross_minor"] = str(int(known["gross_minor"]) + int(row["gross_minor"]))
    return found


def owed(cleared: Cleared) -> dict[str, Counter[str]]:
    return {asset: Counter(balances(edges)) for asset, edges in cleared.obligations.items()}


def test_what_is_owed_is_what_differs(months: Months) -> None:
    """The earlier balances and the correction's are those of the corrected month cleared anew."""
    anew = clear(order(months.folder / "2" / "out", out=months.folder / "anew", sequence=2))
    asset = "issuer/EUR"
    for party in owed(anew)[asset]:
        before, differs, now = (
            owed(item)[asset][party] for item in (months.first, months.second, anew)
        )
        assert before + differs == now
    assert months.second.records_root == anew.records_root
    assert months.second.as_mapping()["corrects"] == months.first.as_mapping()["records_root"]
    assert all(
        amount > 0 for edges in months.second.obligations.values() for amount in edges.values()
    )


def test_a_document_for_each_pair_names_the_invoice_it_corrects(months: Months) -> None:
    first, second = (documents(months.folder / f"cleared-{number}") for number in (1, 2))
    invoice_of = {
        (row["issuer"], row["recipient"], row["currency"]): row["number"] for row in first.values()
    }
    differs = {
        pair: months.charges[1][pair] - months.charges[0][pair]
        for pair in months.charges[0] | months.charges[1]
        if pair[0] != pair[1]
    }
    told = {
        (row["issuer"], row["recipient"], row["currency"]): int(row["gross_minor"])
        for row in second.values()
    }
    assert told == {pair: minor for pair, minor in differs.items() if minor}
    assert {minor < 0 for minor in told.values()} == {True, False}
    for row in second.values():
        assert row["document"] == ("credit_note" if int(row["gross_minor"]) < 0 else "invoice")
        assert row["corrects"] == invoice_of[row["issuer"], row["recipient"], row["currency"]]
        assert row["number"].startswith("000002-")


def test_a_second_correction_names_the_first_invoice_and_takes_all_back(months: Months) -> None:
    second, third = (documents(months.folder / f"cleared-{number}") for number in (2, 3))
    sums: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for row in (*second.values(), *third.values()):
        sums[row["issuer"], row["recipient"], row["corrects"]] += int(row["gross_minor"])
    assert set(sums.values()) == {0}
    assert owed(months.second).keys() == owed(months.third).keys()
    for asset, nets in owed(months.second).items():
        assert {party: -net for party, net in nets.items()} == dict(owed(months.third)[asset])


def test_each_pair_of_a_correction_is_one_hold(months: Months) -> None:
    """Hosts owe what they earned too much; nothing is taken from what accrued to them."""
    edges = [edge for of_asset in months.second.obligations.values() for edge in of_asset]
    assert months.second.holds == len(edges)
    engine = create_engine(f"sqlite:///{months.folder / 'cleared-2' / 'ledger.sqlite'}")
    with engine.connect() as unit:
        names = {
            side: set(unit.execute(text(_NAMES.format(side))).scalars())
            for side in ("debit", "credit")
        }
    engine.dispose()
    assert any(name.startswith("clearing/hosts_") for name in names["debit"])
    assert any(name.startswith("accrued/hosts_") for name in names["credit"])
    assert not any(name.startswith("accrued/") for name in names["debit"])


_NAMES = """
select name from ledger_transfers as t join ledger_accounts as a on a.account_id = t.{}_id
"""


def test_each_party_s_row_is_proven(months: Months) -> None:
    for path in months.folder.glob("cleared-2/parties/*/row.json"):
        for row in json.loads(path.read_text()):
            assert check_row(row, months.second.rows_root) is None


def test_nothing_to_correct_is_said(months: Months, tmp_path: Path) -> None:
    same = order(months.folder / "1" / "out", out=tmp_path / "same", sequence=9)
    with pytest.raises(PeerError, match="nothing differs"):
        clear(replace(same, corrects=months.folder / "cleared-3"))
    with pytest.raises(PeerError, match=r"standing\.json is missing"):
        clear(replace(same, corrects=months.folder / "1"))
    assert not same.out.exists()


def test_an_adjustment_s_note_names_the_invoice(months: Months, tmp_path: Path) -> None:
    """That of the month it is given, else of this one; without one there is no note."""
    here = order(months.folder / "1" / "out", out=tmp_path / "here", sequence=7, statements="csv")
    for invoiced in (None, months.folder / "cleared-1"):
        clear(replace(here, dues=DUES[:1], invoiced=invoiced))
        made = documents(here.out).values()
        (note,) = (row for row in made if row["document"] == "credit_note")
        (number,) = {
            row["number"]
            for row in documents(invoiced or here.out).values()
            if (row["issuer"], row["recipient"]) == ("op_b", "op_a")
        } - {note["number"]}
        assert note["corrects"] == number
    alone = replace(here, rated=rate(tmp_path / "none", []), out=tmp_path / "alone")
    with pytest.raises(PeerError, match="none that a note could correct"):
        clear(replace(alone, dues=DUES[:1]))
    clear(replace(alone, dues=DUES[:1], invoiced=months.folder / "cleared-1"))


def test_a_note_says_what_it_corrects() -> None:
    note = replace(bill(1), title=CREDIT_NOTE, corrects=("000006-000003",))
    lines = list(text_of(note))
    assert lines[0] == "Credit note 000001-000001"
    assert "Corrects   Invoice 000006-000003" in lines
    assert not any("Corrects" in line for line in text_of(replace(bill(1), title=INVOICE)))


edges = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")).filter(lambda e: e[0] != e[1]),
    st.integers(1, 1 << 90),
    max_size=8,
)


@given(now=edges, before=edges)
def test_earlier_obligations_and_what_is_owed_anew_are_the_present_ones(
    now: dict[tuple[str, str], int], before: dict[tuple[str, str], int]
) -> None:
    anew = owed_anew({"x/EUR": now}, {"x/EUR": before}).get("x/EUR", {})
    assert all(amount > 0 for amount in anew.values())
    for party in "abcd":
        assert balances(before).get(party, 0) + balances(anew).get(party, 0) == balances(now).get(
            party, 0
        )
    assert (not anew) == (now == before)
