"""The command that adjusts a month by its deals: what it prints and keeps, how wrong input ends."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from opencarrier.app.month_tracing import MonthTracing
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.spine.records import Service
from opencarrier.usage.dataset import DatasetWriter
from opencarrier.usage.record import UsageRecord

ROOT = Path(__file__).parents[2]
AGREEMENT = ROOT / "docs" / "guides" / "examples" / "roaming-agreement.json"
TERM = json.loads(AGREEMENT.read_text())["periods_us"]


@pytest.fixture
def words(run, tmp_path: Path) -> list[str]:
    """Ten roamers used a GiB each in January and made a call; return the command that adjusts."""
    line = json.loads(AGREEMENT.read_text())["lines"][1]
    writer = DatasetWriter(tmp_path / "usage")
    for number in range(20):
        name = derive("usage", number)
        record = UsageRecord(
            usage_id=name,
            session_id=name,
            reporter=line["visited"],
            home=line["home"],
            visited=line["visited"],
            subject=derive("subject", number % 10)[:16],
            service=Service.DATA if number < 10 else Service.VOICE,
            start_us=TERM[0] + number,
            end_us=TERM[0] + number,
            octets_in=(1 << 30) * (number < 10),
            duration_s=61,
            source_digest=name,
            source_offset=0,
            ingested_us=0,
            decoder="test/1",
        )
        assert writer.add(record) is None
    writer.close()
    given = ["--usage", str(tmp_path / "usage"), "--agreements", str(AGREEMENT)]
    run("rate", *given, "--out", str(tmp_path / "rated"), "--json")
    return ["adjust", *given, "--rated", str(tmp_path / "rated"), "--json"]


def test_adjust_tells_the_sums_and_keeps_the_adjustments(run, words, tmp_path):
    january, end = tmp_path / "january.jsonl", tmp_path / "end.jsonl"
    told = json.loads(run(*words, "--out", str(january), "--until-us", str(TERM[1])))
    # Ten GiB come to 22.00 where the records were charged 22.0201, both with 20 percent tax; the
    # calls stay as charged; ten subscribers at 0.15 and tax are 1.80.
    made = [json.loads(line) for line in january.read_text().splitlines()]
    assert [(item["amount_minor"], item["is_final"]) for item in made] == [
        (-24_120, False),
        (1_800_000, True),
    ]
    assert told == {"adjustments": 2, "final": 1, "amount_minor": {"EUR": 1_775_880}}
    more = ["--booked", str(january), "--out", str(end), "--until-us", str(TERM[2])]
    told = json.loads(run(*words, *more))
    (made,) = [json.loads(line) for line in end.read_text().splitlines()]
    assert (made["verdict"], made["number"], made["is_final"]) == ("shortfall", 1, True)
    assert told["final"] == 1


def test_clear_takes_adjustments_into_the_months_positions(run, words, tmp_path):
    january, out = tmp_path / "january.jsonl", tmp_path / "cleared"
    run(*words, "--out", str(january), "--until-us", str(TERM[1]))
    rated, secret = str(tmp_path / "rated"), str(tmp_path / "secret")
    clear = ["clear", "--rated", rated, "--secret-file", secret, "--json"]
    plain = json.loads(run(*clear, "--out", str(tmp_path / "plain")))
    more = ["--adjustments", str(january)]
    told = json.loads(run(*clear, *more, "--agreements", str(AGREEMENT), "--out", str(out)))
    assert (told["adjustments"], plain["adjustments"]) == (2, 0)
    home, visited = (item["party"] for item in json.loads(AGREEMENT.read_text())["parties"])
    file = out / "parties" / home / "partners" / visited / "statement.csv"
    rows = list(csv.DictReader(file.open()))
    # -24,120 at the rate the term ends with, 1.09127; 1,800,000 at January's, 1.0835.
    owed = [int(row["owed_minor"]) for row in rows if row["currency"] == ""]
    assert owed == [-26_321, 1_950_300]
    assert "--agreements is missing" in run(*clear, *more, "--out", str(tmp_path / "x"), code=2)
    other = ROOT / "docs/guides/examples/agreement.json"
    wrong = [*clear, *more, "--agreements", str(other), "--out", str(tmp_path / "x")]
    assert "no agreement is 0x" in run(*wrong, code=1)
    assert "is given twice" in run(
        *clear, *more, *more, "--agreements", str(AGREEMENT), "--out", str(tmp_path / "x"), code=1
    )


@pytest.mark.parametrize(
    ("change", "code", "what"),
    [
        (["--rated", "nowhere"], 3, "nowhere is not there"),
        (["--booked", "nowhere"], 3, "nowhere is not there"),
        (["--booked", str(AGREEMENT)], 1, "no adjustment"),
        (["--agreements", str(ROOT / "docs/guides/examples/plan.json")], 1, "no agreement"),
        (["--out", str(AGREEMENT)], 2, "adjustments are kept"),
    ],
)
def test_adjust_says_what_is_wrong(run, words, tmp_path, change, code, what):
    out = ["--out", str(tmp_path / "out.jsonl")]
    assert what in run(*words, *out, *change, code=code)
    assert not (tmp_path / "out.jsonl").exists()


def test_an_agreement_is_signed_with_the_keys_held_here(here, tmp_path):
    told = [
        json.loads(here("operator", "add", name, "--jurisdiction", country, "--json"))
        for name, country in (("Lumen", "FR"), ("Baobab", "SN"))
    ]
    told.sort(key=lambda item: item["party_id"])
    document = json.loads(AGREEMENT.read_text())
    text, file, out = json.dumps(document), tmp_path / "a.json", tmp_path / "signed.json"
    for party, operator in zip(document["parties"], told, strict=True):
        text = text.replace(party["party"], operator["party_id"])
        text = text.replace(party["address"], operator["address"])
    file.write_text(text)
    signed = json.loads(here("agreement", "sign", str(file), "--out", str(out), "--json"))
    assert signed["complete"]
    assert signed["signed_by"] == sorted(item["address"] for item in told)
    checked = json.loads(here("agreement", "check", str(out), "--json"))
    assert json.loads(here("agreement", "adjustments", "--json")) == {"adjustments": []}
    assert checked["agreements"] == [signed]
    ours = here("agreement", "sign", str(AGREEMENT), "--out", str(tmp_path / "x"), code=1)
    assert "no key of its parties is held here" in ours
    assert not (tmp_path / "x").exists()


def test_check_names_both_lines(run, tmp_path):
    file = tmp_path / "a.json"
    file.write_text(AGREEMENT.read_text().replace('"services": ["voice"]', '"services": ["data"]'))
    told = run("agreement", "check", str(file), code=2)
    assert f"error: {file}:42, {file}:84: lines[1] and lines[3] are both in force" in told


def test_a_trace_names_the_deals_that_read_a_record(run, words, tmp_path):
    """A record on a line that a deal reads is part of what the period was adjusted by."""
    run(*words, "--out", str(tmp_path / "adjusted-01.jsonl"), "--until-us", str(TERM[1]))
    (tmp_path / "usage").rename(tmp_path / "records")
    month = MonthTracing(tmp_path)
    untold = month.trace(to_hex(derive("usage", 0)))["items"][0]["steps"]
    assert [step["stage"] for step in untold] == ["received", "rated"], "no book, no deals"
    (tmp_path / "book.jsonl").write_text(json.dumps(json.loads(AGREEMENT.read_text())))
    month = MonthTracing(tmp_path)
    told = month.trace(to_hex(derive("usage", 0)))["items"][0]["steps"]
    made = json.loads((tmp_path / "adjusted-01.jsonl").read_text().splitlines()[0])
    adjusted = [step for step in told if step["stage"] == "adjusted"]
    assert adjusted[0]["adjustment_id"] == made["adjustment_id"]
    assert (adjusted[0]["reason"], adjusted[0]["period_minor"]) == (made["verdict"], -24_120)
