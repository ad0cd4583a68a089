"""Tolerances of agreements: read strictly, and each pair is matched by its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.usage.records import record

from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import Side
from opencarrier.usage.matching import Outcome, Tolerance, match
from opencarrier.usage.tolerances import read_tolerances

HEAD = "visited,home,volume_ppm,duration_ppm,duration_s\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tolerances.csv"


def test_each_pair_is_matched_by_its_own(path):
    path.write_text(HEAD + "op_visited,op_home,100000,0,0\n")
    told = read_tolerances(path)
    wanted = Tolerance(volume_ppm=100_000, duration_ppm=0, duration_s=0)
    assert told == {("op_visited", "op_home"): wanted}
    claim = record(1)
    home = replace(
        claim, usage_id=derive("h"), side=Side.HOME, reporter="op_home", octets_out=8_000
    )
    outcomes = [match([claim, home], tolerances)[0].outcome for tolerances in (None, told)]
    assert outcomes == [Outcome.MISMATCH, Outcome.WITHIN_TOLERANCE]
    longer = replace(home, duration_s=59)
    assert match([claim, longer], told)[0].outcome is Outcome.MISMATCH


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("visited,home\n", "the columns are"),
        (HEAD + "a,b,1000001,0,0\n", "line 2: volume_ppm is 0 to 1000000"),
        (HEAD + "a,b,1,-1,0\n", "line 2: duration_ppm"),
        (HEAD + "a,b,1,1,\n", "line 2: duration_s"),
        (HEAD + "a,,1,1,1\n", "line 2: one line a pair"),
        (HEAD + "a,b,1,1,1\na,b,1,1,1\n", "line 3: one line a pair"),
        (HEAD + "a,b,1,1,1,1\n", "line 2: one line a pair"),
        (HEAD + "a,b,1\n", "line 2: duration_ppm"),
    ],
)
def test_what_is_no_tolerance_is_named_by_its_line(path, text, says):
    path.write_text(text)
    with pytest.raises(PeerError, match=says):
        read_tolerances(path)
    path.write_text(HEAD + "a,b,1000000,1000000,1000000\n")
    assert len(read_tolerances(path)) == 1
