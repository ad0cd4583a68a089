"""A statement by a mapping file: what a row becomes, what a mapping may say, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service
from opencarrier.spine.statements import RowsAre, StatementRow
from opencarrier.usage.wire.csv_mapping import parse_mapping
from opencarrier.usage.wire.origin import session_id
from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.statement_csv import STATEMENT, StatementReader, form_of

EXAMPLES = Path(__file__).parents[2] / "docs/guides/examples"
PARTIES = {"FRA93": PartyId("op_lumen"), "SENBA": PartyId("op_baobab")}
RECORDS = """
[file]
delimiter = ";"
decimal = ","
[fields]
home = { column = "HPMN" }
visited = { column = "VPMN" }
session = { column = "Call", form = "csv" }
start = { column = "Start", format = "%d.%m.%Y %H:%M:%S", offset = "+0100" }
octets_in = { column = "Up", unit = "kB" }
octets_out = { column = "Down", unit = "kB" }
duration = { column = "Sec" }
amount = { column = "Net", decimals = 3, form = "without_tax" }
tax = { column = "VAT", decimals = 3 }
currency = { value = "EUR" }
exchange_rate = { column = "Rate" }
"""
HEADER = "HPMN;VPMN;Call;Start;Up;Down;Sec;Net;VAT;Rate"
ROW = "SENBA;FRA93;c-1;01.06.2026 00:30:00;1,5;2;90;-1,25;0,25;1,21734"
SUMS = """
[fields]
home = { value = "SENBA" }
visited = { value = "FRA93" }
service = { column = "svc", words = { GPRS = "data", MOC = "voice", IOT = "adjustment" } }
period = { column = "day", unit = "day", format = "%Y%m%d", offset = "+0200" }
octets = { column = "MB", unit = "MB" }
records = { column = "n" }
amount = { column = "gross", decimals = 2 }
currency = { column = "cur", assets = { EUR = "issuer/EUR" } }
"""


def read(text: str, mapping: str, size: int = 1 << 16) -> list[StatementRow | Refused]:
    reader = StatementReader(parse_mapping(mapping, STATEMENT), PARTIES.get)
    found: list[StatementRow | Refused] = []
    octets = text.encode()
    for start in range(0, len(octets), size):
        found += reader.feed(octets[start : start + size])
    return [*found, *reader.finish()]


def changed(column: str, value: str) -> StatementRow | Refused:
    fields = ROW.split(";")
    fields[HEADER.split(";").index(column)] = value
    (found,) = read(f"{HEADER}\n{';'.join(fields)}\n", RECORDS)
    return found


def test_a_row_of_a_record() -> None:
    (row,) = read(f"{HEADER}\n{ROW}\n", RECORDS)
    assert row == StatementRow(
        line=2,
        home=PARTIES["SENBA"],
        visited=PARTIES["FRA93"],
        key=session_id("csv", PARTIES["FRA93"], "c-1"),
        start_s=1_780_270_200,
        service=None,
        is_adjustment=False,
        period=None,
        currency="EUR",
        amount_minor=-1_250,
        tax_minor=250,
        octets_in=1_500,
        octets_out=2_000,
        octets=None,
        duration_s=90,
        units=None,
        records=1,
        exchange_nano=1_217_340_000,
    )


def test_a_row_that_is_a_sum_and_one_that_a_deal_made() -> None:
    text = "svc,day,MB,n,gross,cur\nGPRS,20260601,1.5,17,12.3,EUR\nIOT,20260630,,,-5,EUR\n"
    row, deal = read(text, SUMS)
    assert isinstance(row, StatementRow)
    assert isinstance(deal, StatementRow)
    assert (row.service, row.period, row.octets, row.records) == (
        Service.DATA,
        "2026-06-01",
        1_500_000,
        17,
    )
    assert (row.amount_minor, row.tax_minor, row.key, row.start_s) == (1_230, None, None, None)
    assert (deal.is_adjustment, deal.service, deal.amount_minor) == (True, None, -500)
    assert (deal.octets, deal.records) == (None, 1)


def test_what_rows_are_follows_from_the_mapping() -> None:
    form = form_of(parse_mapping(RECORDS, STATEMENT))
    assert (form.rows_are, form.decimals, form.with_tax, form.tells_tax) == (
        RowsAre.PART,
        3,
        False,
        True,
    )
    assert form_of(parse_mapping(_without(RECORDS, "start"), STATEMENT)).rows_are is RowsAre.SESSION
    usage = RECORDS.replace('form = "csv"', 'form = "usage_id"')
    assert form_of(parse_mapping(usage, STATEMENT)).rows_are is RowsAre.USAGE
    days = form_of(parse_mapping(SUMS, STATEMENT))
    assert (days.rows_are, days.period, days.offset_min) == (RowsAre.SUM, "day", 120)
    assert (days.with_tax, days.tells_tax, days.assets) == (True, False, {"EUR": "issuer/EUR"})


def _without(mapping: str, field: str) -> str:
    return "\n".join(line for line in mapping.split("\n") if not line.startswith(f"{field} ="))


@pytest.mark.parametrize(
    ("column", "value", "reason", "detail"),
    [
        ("HPMN", "USAXX", "home_unknown", "line 2: USAXX"),
        ("VPMN", "", "visited_unknown", "line 2"),
        ("Call", "", "session", "line 2"),
        ("Start", "2026-06-01", "time", "line 2: start"),
        ("Up", "-1", "number", "line 2: octets_in"),
        ("Net", "", "number", "line 2: amount"),
        ("Net", "--1", "number", "line 2: amount"),
        ("Net", "1,0001", "decimals", "line 2: amount"),
        ("Net", "1e3", "number", "line 2: amount"),
        ("Net", "9223372036854775,808", "range", "line 2: amount"),
        ("VAT", "=1+1", "number", "line 2: tax"),
        ("Rate", "-1", "number", "line 2: exchange_rate"),
        ("Rate", "1,0000000001", "decimals", "line 2: exchange_rate"),
    ],
)
def test_a_bad_row_is_refused_by_line(column: str, value: str, reason: str, detail: str) -> None:
    assert changed(column, value) == Refused(len(HEADER) + 1, reason, Severity.SEVERE, detail)


def test_the_greatest_amounts_are_read() -> None:
    for sign in ("", "-"):
        row = changed("Net", f"{sign}9223372036854775,807")
        assert isinstance(row, StatementRow)
        assert abs(row.amount_minor) == (1 << 63) - 1


def test_ids_may_be_written_in_two_ways() -> None:
    mapping = RECORDS.replace('form = "csv"', 'form = "session_id"')
    for text in ("ab" * 32, "0x" + "AB" * 32):
        (row,) = read(f"{HEADER}\n{ROW.replace('c-1', text)}\n", mapping)
        assert isinstance(row, StatementRow)
        assert row.key == b"\xab" * 32
    (refused,) = read(f"{HEADER}\n{ROW.replace('c-1', 'ab' * 31)}\n", mapping)
    assert isinstance(refused, Refused)
    assert refused.reason == "session"


@pytest.mark.parametrize(
    ("mapping", "detail"),
    [
        (_without(RECORDS, "home"), "fields.home is missing"),
        (_without(RECORDS, "amount"), "fields.amount is missing"),
        (_without(_without(RECORDS, "session"), "start"), "fields.session or fields.period"),
        (_without(RECORDS, "octets_out"), "fields.octets_in and fields.octets_out stand together"),
        (_without(SUMS, "service"), "fields.service is missing"),
        (RECORDS + 'period = { column = "day" }', "exclude each other"),
        (RECORDS + 'octets = { column = "o" }', "exclude each other"),
        (RECORDS + 'subject = { column = "s" }', "fields.subject is not known"),
        (RECORDS.replace('"VAT", decimals = 3', '"VAT", decimals = 2'), "fields.tax.decimals"),
        (RECORDS.replace('"csv"', '"tap"'), "fields.session.form is one of"),
        (SUMS.replace('unit = "day"', 'unit = "week"'), "fields.period.unit is one of"),
        (SUMS.replace('"adjustment"', '"rent"'), "fields.service.words are of"),
        (SUMS.replace('"issuer/EUR"', "1"), "fields.currency.assets is a table of texts"),
        (SUMS.replace("+0200", "+2500"), "fields.period.offset"),
    ],
)
def test_a_mapping_that_says_something_else_is_refused(mapping: str, detail: str) -> None:
    with pytest.raises(PeerError) as refused:
        form_of(parse_mapping(mapping, STATEMENT))
    assert refused.value.reason == "mapping"
    assert detail in refused.value.detail


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_row_the_rest_is_read(data: Any) -> None:
    """A hostile row costs itself; nothing is raised."""
    fields = ROW.split(";")
    place = data.draw(st.integers(0, len(fields) - 1))
    fields[place] = data.draw(
        st.text(st.characters(codec="utf-8", exclude_characters='"\n'), max_size=40)
    )
    text = f"{HEADER}\n{ROW}\n{';'.join(fields)}\n{ROW}\n"
    first, *middle, last = read(text, RECORDS, size=data.draw(st.integers(1, 200)))
    assert isinstance(first, StatementRow)
    assert isinstance(last, StatementRow)
    assert (first.line, last.line) == (2, 4)
    assert first._replace(line=0) == last._replace(line=0)
    assert len(middle) <= 1


@pytest.mark.parametrize(
    ("name", "rows_are"),
    [("statement-records", RowsAre.PART), ("statement-days", RowsAre.SUM)],
)
def test_the_guide_s_mappings_are_such(name: str, rows_are: RowsAre) -> None:
    text = EXAMPLES.joinpath(f"{name}.toml").read_text()
    assert form_of(parse_mapping(text, STATEMENT)).rows_are is rows_are
