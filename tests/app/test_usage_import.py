"""`usage import` as others script it: whose names a file's are, and how each refusal ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.usage import diameter_wire
from tests.usage import tap_files as tap

from opencarrier.spine.records import Service
from opencarrier.usage.dataset import read_records

ROWS = "imsi,start,down\n208930000000001,1767524400,7\n"
MAPPING = """
[fields]
subject = { column = "imsi" }
service = { value = "data" }
start = { column = "start", format = "unix_s" }
octets_out = { column = "down" }
"""


@pytest.fixture
def files(here, tmp_path: Path) -> Path:
    here("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    here("operator", "add", "Baobab", "--jurisdiction", "SN")
    (tmp_path / "good").write_bytes(tap.file())
    (tmp_path / "wrong").write_bytes(tap.file(audits=[tap.audit(count=3)]))
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "mapping.toml").write_text(MAPPING)
    return tmp_path


MISMATCH = tap.DATA / "tap-3.12-audit-mismatch.ber"
PARTIES = ("--party", "FRA93=Lumen", "--party", "SENBA=Baobab")


def test_a_transfer_file_lands_in_a_dataset(here, files: Path) -> None:
    out = files / "records"
    told = json.loads(
        here("usage", "import", str(files / "good"), "--out", str(out), *PARTIES, "--json")
    )
    (file,) = told["files"]
    assert (file["format"], file["kept"], file["records"]) == ("tap", True, 8)
    assert file["return"]["decision"] == "accept"
    assert list(out.glob("day=2026-01-04/visited=op_*/*.parquet"))
    assert tap.IMSI.encode() not in b"".join(p.read_bytes() for p in out.rglob("*.parquet"))


def test_a_csv_lands_beside_it(here, files: Path) -> None:
    words = ("usage", "import", str(files / "rows.csv"), "--out", str(files / "records"))
    mapped = ("--mapping", str(files / "mapping.toml"), "--visited", "Lumen", "--home", "Baobab")
    told = json.loads(here(*words, *mapped, "--json"))
    assert told["files"][0]["records"] == 1
    assert told["files"][0]["octets_out"] == 7


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("wrong", *PARTIES), 1, "audit 3, events 8"),
        (("good", "--party", "FRA93=Nobody"), 1, "unknown_operator"),
        (("good", "--party", "FRA93"), 2, "CODE=OPERATOR"),
        (("good", "--rating-group", "7"), 2, "NUMBER=SERVICE"),
        (("good", "--rating-group", "7=fax"), 2, "voice"),
        (("good", "--rating-group", "7=iot", "--rating-group", "7=wifi"), 2, "once each"),
        (("missing",), 3, "missing"),
        (("rows.csv", "--mapping", "rows.csv"), 1, "mapping"),
    ],
)
def test_refusals(here, files: Path, flags: tuple[str, ...], code: int, words: str) -> None:
    named = [str(files / flag) if (files / flag).exists() else flag for flag in flags]
    out = str(files / "records")
    assert words in here("usage", "import", *named, "--out", out, "--json", code=code)


def test_a_rating_group_is_what_the_import_is_told(here, files: Path) -> None:
    asked = diameter_wire.request("s", 3, 0, diameter_wire.used(out=5, group=7))
    packets = [diameter_wire.sctp(diameter_wire.chunk(1, asked))]
    files.joinpath("gy.pcap").write_bytes(diameter_wire.pcap(packets))
    words = ("usage", "import", str(files / "gy.pcap"), "--out", str(files / "records"))
    here(*words, "--visited", "Lumen", "--home", "Baobab", "--rating-group", "7=iot", "--json")
    assert [record.service for record in read_records(files / "records")] == [Service.IOT]


def test_ingest_says_where_roaming_files_go(here, files: Path) -> None:
    words = ("ingest", str(files / "good"), "--operator", "Lumen", "--node", "x")
    assert "usage import" in here(*words, code=2)


def test_check_needs_no_installation_and_keeps_nothing(here, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(tap.file())
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "mapping.toml").write_text(MAPPING)
    words = ("usage", "check", str(tmp_path / "good"), str(tmp_path / "rows.csv"))
    told = json.loads(here(*words, "--mapping", str(tmp_path / "mapping.toml"), "--json"))
    assert [file["records"] for file in told["files"]] == [8, 1]
    assert told["files"][0]["return"]["decision"] == "accept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good", "mapping.toml", "rows.csv"]
    assert "format_unknown" in here("usage", "check", str(tmp_path / "rows.csv"), code=1)


@pytest.mark.skipif(not MISMATCH.exists(), reason="../shared/data is not there")
def test_check_tells_the_wrong_audit_with_both_totals(here) -> None:
    (file,) = json.loads(here("usage", "check", str(MISMATCH), "--json", code=1))["files"]
    assert file["return"]["decision"] == "return_file"
    assert file["return"]["totals"]["charge"] == {"audit": 2_300, "events": 71_200}
    assert file["return"]["totals"]["events"] == {"audit": 4, "events": 4}
    assert [r["reason"] for r in file["refused"] if r["severity"] == "fatal"] == [
        "audit_total_charge"
    ]
