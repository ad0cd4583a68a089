"""`opencarrier shadow`: two files in, a folder with every difference out, and nothing else."""

from __future__ import annotations

import json
import sqlite3

import pytest
from tests.clearing import shadow_months as months

from opencarrier.usage.dataset import DatasetWriter

MAPPING = """
[fields]
home = { column = "home" }
visited = { column = "visited" }
session = { column = "id", form = "session_id" }
amount = { column = "net", decimals = 6, form = "without_tax" }
tax = { column = "tax", decimals = 6 }
currency = { column = "currency" }
"""
HEADER = "home,visited,id,net,tax,currency"


@pytest.fixture
def month(tmp_path):
    """Return a folder with a rated month, a statement of it and its mapping."""
    items = months.records(12)
    months.rate(tmp_path, items)
    rows = [
        f"{'A1' if item.record.home == 'op_a' else item.record.home},{item.record.visited},"
        f"{item.record.session_id.hex()},{item.net},{item.tax},"
        f"{months.CURRENCIES[item.record.visited]}"
        for item in months.bill(items)
    ]
    tmp_path.joinpath("house.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    tmp_path.joinpath("house.toml").write_text(MAPPING)
    return tmp_path


def given(month, *more):
    return (
        *("shadow", "--usage", str(month / "usage"), "--rated", str(month / "out")),
        *("--statement", str(month / "house.csv"), "--mapping", str(month / "house.toml")),
        *("--party", "A1=op_a", "--month", "2026-03", "--out", str(month / "shadow"), *more),
    )


def test_hostile_rows_cost_themselves_and_no_money_moves(run, month, monkeypatch):
    """No database is opened that stays, and nothing beside the report is written."""
    opened = []
    monkeypatch.setattr(sqlite3, "connect", lambda *where, **_: opened.append(where))
    path = month / "house.csv"
    text = path.read_text()
    first, second, *rest = text.splitlines()[1:]
    hostile = [
        second.replace(second.split(",")[3], "=cmd|'/c calc'!A1"),
        "nobody" + second[second.index(",") :],
        '"' + "x" * 70_000,
        first.replace(first.split(",")[2], "zz"),
        "short",
    ]
    path.write_text("\n".join([HEADER, first, *hostile, *rest]) + "\n")
    before = {file: file.read_bytes() for file in month.rglob("*") if file.is_file()}
    told = json.loads(run(*given(month), "--json"))
    assert told["refused"] == {
        "column_missing": 1,
        "home_unknown": 1,
        "number": 1,
        "row_size": 1,
        "session": 1,
    }
    assert (told["rows"], told["differences"]) == (len(rest) + 1, 1)
    after = {file: file.read_bytes() for file in month.rglob("*") if file.is_file()}
    assert {file.relative_to(month).parts[0] for file in after.keys() - before.keys()} == {"shadow"}
    assert {file: after[file] for file in before} == before
    assert opened == []
    refused = month.joinpath("shadow", "refused.csv").read_text()
    assert f"statement,{text.index(second)},number,line 3: amount" in refused


def test_what_cannot_be_compared_is_told(run, month):
    assert "--mapping" in run(*given(month)[:7], "--out", str(month / "shadow"), code=2)
    assert "is no month" in run(*given(month, "--month", "2026-13"), code=1)
    assert "CODE=OPERATOR" in run(*given(month, "--party", "A1="), code=2)
    missing = run(*given(month, "--beside", str(month / "may.csv")), code=3)
    assert "may.csv is not there" in missing
    folder = ("--beside", str(month / "usage"))
    assert "directory" in run(*given(month, *folder), code=3)
    month.joinpath("house.csv").write_text("home;visited\n")
    assert "header" in run(*given(month), code=1)
    month.joinpath("house.toml").write_text("[fields]")
    assert "fields.amount is missing" in run(*given(month), code=1)
    assert not month.joinpath("shadow").exists()


def test_a_dataset_without_charges_differs_whole(run, month):
    """Without a statement, theirs is what the files charged: here nothing."""
    paths = ("--usage", str(month / "usage"), "--rated", str(month / "out"))
    told = json.loads(run("shadow", *paths, "--out", str(month / "shadow"), "--json"))
    assert {name for item in told["accounts"] for name in item["reasons"]} == {"missing_there"}
    page = run("shadow", *paths, "--out", str(month / "shadow"))
    assert page == month.joinpath("shadow", "summary.txt").read_text()
    assert "missing_there" in page
    DatasetWriter(month / "none").close()
    empty = run("shadow", "--usage", str(month), *paths[2:], "--out", str(month / "x"), code=1)
    assert "holds no records" in empty
