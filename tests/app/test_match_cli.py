"""`opencarrier match`: a dataset in, outcomes and a report out."""

from __future__ import annotations

import json

from tests.usage.records import record

from opencarrier.spine.records import Side
from opencarrier.usage.dataset import DatasetWriter
from opencarrier.usage.matched import read_matches


def test_match_tells_the_outcomes_and_keeps_them(run, tmp_path):
    month, out = tmp_path / "month", tmp_path / "matched"
    writer = DatasetWriter(month)
    for side, reporter, octets in ((1, "op_visited", 9_000), (2, "op_home", 8_000)):
        writer.add(record(side=Side(side), reporter=reporter, octets_out=octets))
    writer.close()
    told = json.loads(run("match", "--usage", str(month), "--out", str(out), "--json"))
    assert (told["mismatch"], told["matched"]) == (1, 0)
    assert (told["claimed_octets"], told["paid_octets"]) == (10_000, 9_000)
    assert told["disputed_octets"] == 1_000
    assert [m.disputed.octets_out for m in read_matches(out)] == [1_000]
    again = run("match", "--usage", str(month), "--out", str(out), code=1)
    assert "is there" in again
    agreed = tmp_path / "tolerances.csv"
    head = "visited,home,volume_ppm,duration_ppm,duration_s"
    agreed.write_text(f"{head}\nop_visited,op_home,100000,50000,10\n")
    words = ("--usage", str(month), "--tolerances", str(agreed), "--json", "--out")
    told = json.loads(run("match", *words, str(tmp_path / "wide")))
    assert (told["within_tolerance"], told["disputed_octets"]) == (1, 0)
    more = ("match", "--usage", str(month), "--correct", "--json", "--out")
    assert json.loads(run(*more, str(tmp_path / "more")))["corrections"] == 1
    told = json.loads(run(*more, str(tmp_path / "last")))
    assert (told["matched"], told["corrections"]) == (1, 0)
