"""kill -9 at every named point and at every fsync of the whole process.

What must hold after each, with no hand but a restart: no acknowledged use is lost, every book sums
to zero, the chain holds at most one settlement per cycle, ledger and contracts agree, receipts
verify.
"""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest
from tests.crash.driver import Phone, check, finish, scenario, up

SOURCES = Path(__file__).parents[2] / "src" / "opencarrier"
FSYNCS_MAX = 400
FSYNC_STEP = 4
"""So far apart are those at which every change is killed; `--deep` does it at each."""

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


ROOMS = {"access", "chain", "paywall", "settlement"}
"""The rooms that this story walks through; the channels' points are walked in their own tests."""


def points() -> list[str]:
    """Every crash point that stands in these rooms: a new one is tested by standing there."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        found |= set(re.findall(r'crashpoint\("([^"]+)"\)', path.read_text()))
    return sorted(point for point in found if point.partition(".")[0] in ROOMS)


def test_there_are_points_between_every_two_steps():
    """Receive, commit, reply, close, send, confirm: each has its points."""
    rooms = {point.split(".")[0] for point in points()}
    assert rooms == ROOMS
    assert len(points()) >= 24


@pytest.mark.parametrize("point", points())
def test_killed_at_a_named_point(data, point):
    """The process dies by SIGKILL at the point; a restart finishes the work."""
    phone = Phone()
    with up(data, crash_at=point) as process:
        scenario(data, process, phone)
        assert process.wait(30) == -signal.SIGKILL, "the point was passed"
    finish(data, phone)
    check(data)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(
    "step", [pytest.param(1, marks=pytest.mark.deep), FSYNC_STEP], ids=["every", "some"]
)
def test_killed_at_fsyncs(prepared, tmp_path, shim, step):
    """Whatever was on its way to the disk when it died, the rest of the story comes true."""
    if shim is None:
        pytest.skip("no C compiler on Linux: ./dev peers installs one")
    killed, survived = [], False
    for number in range(1, FSYNCS_MAX, step):
        data = tmp_path / str(number)
        shutil.copytree(prepared, data)
        phone = Phone()
        with up(data, environ={"FSYNC_KILL_AT": str(number)}) as process:
            told = scenario(data, process, phone)
            survived = process.poll() is None and told["state"] == "final"
        finish(data, phone)
        check(data)
        shutil.rmtree(data)
        if survived:
            break
        killed.append(number)
    print(f"killed at the fsyncs {killed}")
    assert survived, "the whole scenario was walked through"
    assert killed[-1] >= 12
