"""The commands about a month: what they print, and how each wrong input ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opencarrier.kernel.ids import derive
from opencarrier.spine.records import Service
from opencarrier.usage.dataset import DatasetWriter
from opencarrier.usage.record import UsageRecord

ROOT = Path(__file__).parents[2]
AGREEMENT = ROOT / "docs" / "guides" / "examples" / "agreement.json"


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    terms = json.loads(AGREEMENT.read_text())
    writer = DatasetWriter(tmp_path / "usage")
    start_us = terms["tariffs"][0]["valid_from_us"]
    for number in range(10):
        name = derive("usage", number)
        record = UsageRecord(
            usage_id=name,
            session_id=name,
            reporter=terms["visited"],
            home=terms["home"] if number else None,
            visited=terms["visited"],
            subject=name[:16],
            node="node-1",
            service=Service.WIFI,
            start_us=start_us,
            end_us=start_us,
            octets_in=1_000_000,
            octets_out=9_000_000,
            source_digest=name,
            source_offset=0,
            ingested_us=0,
            decoder="test/1",
        )
        assert writer.add(record) is None
    writer.close()
    return tmp_path / "usage"


def test_rate_tells_the_sums_and_writes_the_results(run, usage, tmp_path):
    out = tmp_path / "rated"
    words = ["rate", "--usage", str(usage), "--agreements", str(AGREEMENT), "--out", str(out)]
    told = json.loads(run(*words, "--json"))
    assert told["records"] == 10
    assert told["suspense"] == {"no_home": 1}
    assert told["pairs"] == told["positions"] == told["nodes"] == 1
    assert told["charge_minor"] > told["host_minor"] > 0
    assert json.loads((out / "run.json").read_text()) == told
    assert json.loads(run(*words, "--json")) == told, "the same again, over the same folder"
    words[-1] = str(tmp_path / "again")
    late = json.loads(run(*words, "--suspense-of", str(out), "--json"))
    assert late["records"] == 1


@pytest.mark.parametrize("engine", ["spark", "raygun", "ray://host:1", ""])
def test_an_engine_nobody_knows_is_refused(run, usage, tmp_path, engine):
    out = tmp_path / "rated"
    words = ["rate", "--usage", str(usage), "--agreements", str(AGREEMENT), "--out", str(out)]
    assert "there is no engine" in run(*words, "--engine", engine, code=2)
    assert not out.exists()


def test_what_cannot_be_rated_is_said(run, usage, tmp_path):
    def rate(*more: str, code: int, **changes: Path) -> None:
        given = {"usage": usage, "agreements": AGREEMENT, "out": tmp_path / "o"} | changes
        run(
            "rate",
            *(word for n, v in given.items() for word in (f"--{n}", str(v))),
            *more,
            code=code,
        )

    bad, book = tmp_path / "bad.csv", tmp_path / "book.json"
    bad.write_text("subject,discount_ppm\nnobody,1\n")
    book.write_text("{}")
    rate(code=3, usage=tmp_path / "nowhere")
    rate(code=1, subscribers=bad)
    rate("--rules", "rating/v9", code=1)
    rate(code=1, out=usage)
    rate(code=1, agreements=book)
    assert not (tmp_path / "o").exists()
