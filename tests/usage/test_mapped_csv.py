"""CSV by a mapping file: what a row becomes, what a mapping may say, rows refused by line."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.usage.record import UsageRecord, check
from opencarrier.usage.wire.csv_mapping import parse_mapping, scaled
from opencarrier.usage.wire.csv_rows import COLUMNS_MAX, ROW_OCTETS_MAX
from opencarrier.usage.wire.mapped_csv import CsvRecordReader
from opencarrier.usage.wire.records import Refused, Severity

from .test_tap_records import origin

GERMAN = """
[file]
encoding = "latin-1"
delimiter = ";"
decimal = ","
group = "."
[fields]
visited = { column = "Netz" }
home = { column = "Heimat" }
subject = { column = "IMSI" }
session = { column = "Sitzung" }
service = { column = "Art", words = { "Daten" = "data", "Gespräch" = "voice" } }
start = { column = "Zeit", format = "%d.%m.%Y %H:%M:%S", offset = "+0100" }
duration = { column = "Dauer", unit = "min" }
octets_in = { column = "Auf (MB)", unit = "MB" }
octets_out = { column = "Ab (MiB)", unit = "MiB" }
node = { column = "Zelle" }
charged = { column = "Betrag", decimals = 3 }
currency = { value = "EUR" }
"""
HEADER = "Sitzung;Netz;Heimat;IMSI;Art;Zeit;Dauer;Auf (MB);Ab (MiB);Zelle;Betrag"
ROW = "s-1;FRA93;SENBA;208930000000001;Daten;04.01.2026 12:00:00;1,5;1.234,5678;2,5;c 1;1.000,125"
PLAIN = """
[file]
header = false
[fields]
subject = { column = 1 }
service = { value = "data" }
start = { column = 2, format = "unix_s" }
octets_out = { column = 3 }
"""


def read(
    text: str | bytes, mapping: str = GERMAN, size: int = 1 << 16
) -> list[UsageRecord | Refused]:
    octets = text.encode("latin-1") if isinstance(text, str) else text
    known = replace(origin(), visited=PartyId("op_lumen"), home=PartyId("op_baobab"))
    reader, found = CsvRecordReader(known, parse_mapping(mapping)), []
    for start in range(0, len(octets), size):
        found += reader.feed(octets[start : start + size])
    return [*found, *reader.finish()]


def one(row: str = ROW) -> UsageRecord | Refused:
    (found,) = read(f"{HEADER}\n{row}\n")
    return found


def changed(column: str, value: str) -> UsageRecord | Refused:
    fields = ROW.split(";")
    fields[HEADER.split(";").index(column)] = value
    return one(";".join(fields))


def test_a_row_in_another_country_s_writing() -> None:
    record = one()
    assert isinstance(record, UsageRecord)
    assert check(record) is None
    assert (record.visited, record.home, record.reporter) == ("op_lumen", "op_baobab", "op_lumen")
    assert (record.side, record.service, record.node) == (Side.VISITED, Service.DATA, "c 1")
    assert record.start_us == 1_767_524_400_000_000
    assert record.utc_offset_min == 60
    assert (record.duration_s, record.end_us - record.start_us) == (90, 90_000_000)
    assert (record.octets_in, record.octets_out) == (1_234_567_800, 2_621_440)
    assert (record.charged_minor, record.charged_currency, record.charged_decimals) == (
        1_000_125,
        "EUR",
        3,
    )
    assert record.source_offset == len(HEADER) + 1


def test_words_may_have_any_letters() -> None:
    record = changed("Art", "Gespräch")
    assert isinstance(record, UsageRecord)
    assert record.service is Service.VOICE


@pytest.mark.parametrize(
    ("column", "value", "reason", "detail"),
    [
        ("Netz", "USAXX", "visited_unknown", "line 2: USAXX"),
        ("Heimat", "USAXX", "home_unknown", "line 2: USAXX"),
        ("IMSI", "", "subscriber", "line 2"),
        ("Art", "Fax", "service", "line 2: Fax"),
        ("Zeit", "2026-01-04", "time", "line 2: start"),
        ("Zeit", "04.01.1066 12:00:00", "time", "line 2: start"),
        ("Dauer", "-1", "number", "line 2: duration"),
        ("Auf (MB)", "1.5,5,5", "number", "line 2: octets_in"),
        ("Auf (MB)", "9" * 15, "range", "line 2: octets_in"),
        ("Auf (MB)", "9" * 31, "number", "line 2: octets_in"),
        ("Ab (MiB)", "1e3", "number", "line 2: octets_out"),
        ("Betrag", "0,0001", "decimals", "line 2: charged"),
    ],
)
def test_a_bad_row_is_refused_by_line(column: str, value: str, reason: str, detail: str) -> None:
    found = changed(column, value)
    assert found == Refused(len(HEADER) + 1, reason, Severity.SEVERE, detail)


def test_the_next_row_is_read() -> None:
    text = f"{HEADER}\r\n{ROW}\r\nbroken\r\n\r\n{ROW.replace('s-1', 's-2')}"
    found = read(text)
    assert [type(item) for item in found] == [UsageRecord, Refused, UsageRecord]
    assert isinstance(found[1], Refused)
    assert (found[1].reason, found[1].detail) == ("column_missing", "line 3: visited")
    assert text.encode("latin-1")[found[1].offset :].startswith(b"broken")


def test_quoted_fields_may_span_lines() -> None:
    quoted = ROW.replace("c 1", '"c;\n""1"""')
    text = f"{HEADER}\n{quoted}\nx\n"
    record, refused = read(text)
    assert isinstance(record, UsageRecord)
    assert isinstance(refused, Refused)
    assert record.node == 'c;\n"1"'
    assert refused.detail == "line 4: visited"
    assert read(text, size=3) == [record, refused]


def test_a_header_that_lacks_a_column_is_fatal() -> None:
    lacking = read(f"{HEADER.replace('IMSI', 'imsi')}\n{ROW}\n")
    assert [(r.reason, r.severity) for r in lacking if isinstance(r, Refused)] == [
        ("column", Severity.SEVERE),
        ("header", Severity.FATAL),
    ]
    assert len(lacking) == 2
    assert read("")[0] == Refused(0, "header", Severity.FATAL, "the file has none")


def test_no_header_and_what_stands_in_for_parties() -> None:
    (record,) = read(b"\xef\xbb\xbf208930000000001,1767524400,7\n", PLAIN)
    assert isinstance(record, UsageRecord)
    assert (record.visited, record.home, record.octets_out) == ("op_lumen", "op_baobab", 7)
    assert record.start_us == 1_767_524_400_000_000
    assert record.charged_minor is None


def test_rows_and_columns_are_bounded() -> None:
    long = "1," * ROW_OCTETS_MAX
    many = "1," * COLUMNS_MAX
    good = "208930000000001,1767524400,7"
    for size in (1_000, 1 << 20):
        found = read(f"{long}\n{many}\n{good}\n", PLAIN, size)
        assert [item.reason for item in found if isinstance(item, Refused)] == [
            "row_size",
            "columns",
        ]
        assert isinstance(found[-1], UsageRecord)
    open_quote = f'"{long}\n{good}\n'
    assert [i.reason for i in read(open_quote, PLAIN, 999) if isinstance(i, Refused)] == [
        "row_size"
    ]
    assert [i.reason for i in read(f'"{good}', PLAIN) if isinstance(i, Refused)] == ["cut"]


def test_nothing_much_waits() -> None:
    reader = CsvRecordReader(origin(), parse_mapping(PLAIN))
    for _ in range(100):
        list(reader.feed(b"x" * 10_000))
        assert len(reader._rows._buffer) <= ROW_OCTETS_MAX + 10_000


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("[file", ""),
        ("x = 1", "x is not known"),
        ("fields = 1", "file and fields are tables"),
        ("[file]\ncolour = 1", "file.colour is not known"),
        ("[file]\nencoding = 'utf-16'", "file.encoding"),
        ("[file]\ndelimiter = ';;'", "file.delimiter"),
        ("[file]\nquote = 'é'", "file.quote"),
        ("[file]\ndecimal = '·'", "file.decimal"),
        ("[fields]\nspeed = 1", "fields.speed is not known"),
        ("[fields]\nsubject = 1", "fields.subject is a table"),
        ("[fields]\nsubject = {}", "fields.subject has a column or a value"),
        ("[fields]\nsubject = { column = 1, value = 2 }", "fields.subject has a column or a value"),
        ("[fields]\nsubject = { column = 0 }", "fields.subject.column"),
        ("[fields]\nsubject = { column = true }", "fields.subject.column"),
        ("[fields]\nsubject = { column = 1, unit = 'MB' }", "fields.subject.unit is not known"),
        ("[fields]\nsubject = { column = 1 }", "fields.service is missing"),
        ("[fields]\noctets_in = { column = 1, unit = 'mb' }", "fields.octets_in.unit"),
        ("[fields]\nduration = { column = 1, unit = 'MB' }", "fields.duration.unit"),
        ("[fields]\nservice = { column = 1, words = { a = 'fax' } }", "fields.service.words"),
        ("[fields]\nstart = { column = 1, format = '%Y' }", "fields.start.offset is needed"),
        ("[fields]\nstart = { column = 1, offset = '1' }", "fields.start.offset is +hhmm"),
        ("[fields]\ncharged = { column = 1, decimals = 10 }", "fields.charged.decimals"),
        (PLAIN.replace("3 }", "'x' }"), "without file.header"),
        (PLAIN + "charged = { column = 4 }", "stand together"),
        (PLAIN + "end = { column = 4, format = 'unix_s' }\nduration = { column = 5 }", "exclude"),
        (GERMAN.replace('group = "."', 'group = ","'), "file.group is file.decimal"),
    ],
)
def test_what_a_mapping_must_not_say(text: str, detail: str) -> None:
    with pytest.raises(PeerError, match="mapping") as caught:
        parse_mapping(text)
    assert detail in caught.value.detail


@given(st.integers(0, 10**20), st.integers(0, 12), st.sampled_from([1, 1000, 1024**2]))
def test_scaling_is_exact_and_rounds_half_up(digits: int, decimals: int, factor: int) -> None:
    twice, below = 2 * digits * factor, 10**decimals
    expected = twice // below // 2 + (twice // below) % 2
    if expected > INT64_MAX:
        with pytest.raises(PeerError, match="range"):
            scaled(digits, decimals, factor)
    else:
        assert scaled(digits, decimals, factor) == expected


fields = st.text(st.characters(codec="latin-1", exclude_characters="\0\r"), max_size=12)


@given(st.lists(st.lists(fields, min_size=1, max_size=6), max_size=6), st.integers(1, 30))
@settings(max_examples=60)
def test_any_rows_in_any_pieces_are_told_apart(rows: list[list[str]], size: int) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=";", lineterminator="\n").writerows(rows)
    octets = f"{HEADER}\n{written.getvalue()}{ROW}\n".encode("latin-1")
    found = read(octets, size=size)
    assert found == read(octets)
    assert isinstance(found[-1], UsageRecord)
    assert len(found) <= len(rows) + 1


@given(st.binary(max_size=300))
@settings(max_examples=60)
def test_nothing_raises_whatever_a_file_holds(octets: bytes) -> None:
    for mapping in (GERMAN, PLAIN):
        assert read(octets, mapping, 17) == read(octets, mapping)
