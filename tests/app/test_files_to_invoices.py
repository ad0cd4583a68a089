"""The guide's month, command by command, from a real gateway's capture to an invoice."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

CAPTURE = (
    Path(os.environ.get("OPENCARRIER_TEST_DATA", "../shared/data")) / "magma-gy-gx-charging.pcapng"
)


@pytest.mark.skipif(not CAPTURE.exists(), reason=f"no capture at {CAPTURE}")
def test_a_capture_of_credit_control_becomes_an_invoice(here, oc, tmp_path):
    """32 sessions of four rating groups: 2,130 minor units on both statements."""
    records, book, rated, cleared = (
        str(tmp_path / name) for name in ("records", "book.jsonl", "rated", "cleared")
    )
    here("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    here("operator", "add", "Baobab", "--jurisdiction", "SN", "--realm", "baobab.example")
    here(
        *("agreement", "add", "--home", "Lumen", "--visited", "Baobab"),
        *("--price-nano", "1900", "--tax-ppm", "180000"),
    )
    here(
        *("usage", "import", str(CAPTURE), "--out", records),
        *("--home", "Lumen", "--visited", "Baobab"),
    )
    listed = json.loads(here("agreement", "list", "--out", book, "--json"))["agreements"]
    checked = json.loads(here("agreement", "check", book, "--json"))["agreements"]
    assert [one["agreement_hash"] for one in listed] == [one["agreement_hash"] for one in checked]
    assert checked[0]["complete"]

    run = json.loads(
        here("rate", "--usage", records, "--agreements", book, "--out", rated, "--json")
    )
    assert (run["records"], run["suspense"], run["charge_minor"]) == (128, {}, 2_130)
    secret = str(tmp_path / "secret")
    told = json.loads(
        here(
            *("clear", "--rated", rated, "--out", cleared, "--secret-file", secret),
            *("--statements", "pdf", "--json"),
        )
    )
    assert (told["records"], told["positions"]) == (128, 1)
    statements = sorted(Path(cleared).glob("parties/*/partners/*/statement.csv"))
    rows = [row for path in statements for row in csv.DictReader(path.open())]
    assert {row["direction"] for row in rows} == {"issued", "received"}
    assert {row["gross_minor"] for row in rows} == {"2130"}
    invoices = sorted(Path(cleared).glob("parties/*/partners/*/*.pdf"))
    assert len({path.read_bytes() for path in invoices}) == 1
    assert invoices[0].read_bytes().startswith(b"%PDF-")
