"""Files into a dataset: told apart by content, kept whole or not at all, and the same again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.spine.parties import PartyId
from opencarrier.usage.dataset import read_records
from opencarrier.usage.formats import CSV, NRTRDE, PCAP, PCAPNG, TAP, format_of
from opencarrier.usage.importing import Importer
from opencarrier.usage.wire.csv_mapping import parse_mapping
from opencarrier.usage.wire.origin import Origin
from opencarrier.usage.wire.tap.writer import encode

from . import diameter_wire, test_mapped_csv, test_nrtrde
from . import tap_files as tap
from .test_diameter import CAPTURE, SESSION
from .test_tap_records import origin

PARTIES = {
    "FRA93": PartyId("op_lumen"),
    "SENBA": PartyId("op_baobab"),
    "00101": PartyId("op_lumen"),
}


def origin_of(digest: bytes) -> Origin:
    return replace(origin(), source_digest=digest, party_of=PARTIES.get)


def run(folder: Path, *files: bytes, mapping: str | None = None) -> dict[str, Any]:
    paths = []
    for number, octets in enumerate(files):
        paths.append(folder / f"file{number}")
        paths[-1].write_bytes(octets)
    read = None if mapping is None else parse_mapping(mapping)
    told = Importer(folder / "records", origin_of, read).run(paths)
    return dict(json.loads(json.dumps(told)))


def numbered(number: int, **over: Any) -> bytes:
    event = tap.gprs(charging_id=number)
    audits = [tap.audit(1, 2_300, 460)]
    control = {"fileSequenceNumber": f"{number:05}"} | over
    return tap.file([("gprsCall", event)], control=control, audits=audits)


DIAMETER = diameter_wire.pcap(
    [diameter_wire.sctp(diameter_wire.chunk(n, m)) for n, m in enumerate(SESSION)]
)


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (tap.file(), TAP),
        (tap.file(definite=False), TAP),
        (encode("notification", {"sender": "FRA93"}), TAP),
        (test_nrtrde.file(), NRTRDE),
        (DIAMETER, PCAP),
        (bytes.fromhex("0a0d0d0a1c000000"), PCAPNG),
        (b"a;b;c", None),
        (b"and;so\r\non", None),
        ("a;ü;c".encode(), None),
        (b"", None),
        (b"\x61", None),
        (b"\x41\x00", None),
        (b"\x67\x80", None),
    ],
)
def test_formats_are_told_by_content(octets: bytes, name: str | None) -> None:
    assert format_of(octets[:32]) == name


@given(st.binary(max_size=32))
def test_any_octets_have_a_format_or_none(head: bytes) -> None:
    assert format_of(head) in (TAP, NRTRDE, PCAP, PCAPNG, None)


def test_every_format_lands_in_one_dataset(tmp_path: Path) -> None:
    rows = f"{test_mapped_csv.HEADER}\n{test_mapped_csv.ROW}\n".encode("latin-1")
    told = run(
        tmp_path, tap.file(), test_nrtrde.file(), DIAMETER, rows, mapping=test_mapped_csv.GERMAN
    )
    assert [file["format"] for file in told["files"]] == [TAP, NRTRDE, PCAP, CSV]
    assert [file["kept"] for file in told["files"]] == [True] * 4
    assert [file["records"] for file in told["files"]] == [8, 2, 1, 1]
    assert [file["duplicates"] for file in told["files"]] == [0, 1, 0, 0]
    kept = list(read_records(tmp_path / "records"))
    assert len(kept) == 12
    assert {record.decoder for record in kept} == {"tap/1", "nrtrde/1", "diameter/2", "csv/1"}


def test_the_same_files_again_add_nothing(tmp_path: Path) -> None:
    run(tmp_path, tap.file())
    before = sorted((tmp_path / "records").rglob("*.parquet"))
    (told,) = run(tmp_path, tap.file())["files"]
    assert (told["records"], told["duplicates"], told["kept"]) == (0, 8, True)
    assert [item["reason"] for item in told["refused"]] == ["file_known"]
    assert sorted((tmp_path / "records").rglob("*.parquet")) == before


def test_of_a_file_with_a_fatal_fault_nothing_is_kept(tmp_path: Path) -> None:
    wrong = tap.file(audits=[tap.audit(charge=1)])
    (told,) = run(tmp_path, wrong)["files"]
    assert (told["kept"], told["records"], told["octets_in"]) == (False, 0, 0)
    assert told["return"]["decision"] == "return_file"
    assert list(read_records(tmp_path / "records")) == []
    (told,) = run(tmp_path, tap.file())["files"]
    assert (told["kept"], told["records"]) == (True, 8)


def test_numbers_are_followed_over_runs(tmp_path: Path) -> None:
    run(tmp_path, numbered(3), numbered(5))
    told = run(tmp_path, numbered(9))
    assert [(gap["first"], gap["last"]) for gap in told["missing"]] == [(4, 4), (6, 8)]
    other = numbered(5, fileAvailableTimeStamp=None)
    (again,) = run(tmp_path, other)["files"]
    assert (again["kept"], again["refused"][0]["reason"]) == (False, "file_again")
    assert len(list(read_records(tmp_path / "records"))) == 3


def test_what_nobody_reads_is_refused(tmp_path: Path) -> None:
    (told,) = run(tmp_path, b"a;b")["files"]
    assert (told["kept"], told["format"]) == (False, None)
    assert told["refused"][0]["reason"] == "format_unknown"


@pytest.mark.skipif(not CAPTURE.exists(), reason="../shared/data is not there")
def test_the_real_capture_in_a_dataset(tmp_path: Path) -> None:
    (told,) = run(tmp_path, CAPTURE.read_bytes())["files"]
    assert (told["format"], told["records"]) == (PCAPNG, 128)
    assert told["octets_in"] + told["octets_out"] == 898_000
