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
FSYNCS_MAX = 200
EVERY_UP_TO, THEN_EVERY = 12, 5
pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


def points() -> list[str]:
    """Every crash point that stands in the sources: a new one is tested by standing there."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        found |= set(re.findall(r'crashpoint\("([^"]+)"\)', path.read_text()))
    return sorted(found)


def test_there_are_points_between_every_two_steps():
    """Receive, commit, reply, close, send, confirm: each has its points."""
    rooms = {point.split(".")[0] for point in points()}
    assert rooms == {"access", "chain", "settlement"}
    assert len(points()) >= 18


@pytest.mark.parametrize("point", points())
def test_killed_at_a_named_point(data, point):
    """The process dies by SIGKILL at the point; a restart finishes the work."""
    phone = Phone()
    with up(data, crash_at=point) as process:
        scenario(data, process, phone)
        assert process.wait(30) == -signal.SIGKILL, "the point was passed"
    finish(data, phone)
    check(data)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: ./dev peers")
@pytest.mark.timeout(1_200)
def test_killed_at_fsyncs(prepared, tmp_path):
    """Whatever was on its way to the disk when it died, the rest of the story comes true."""
    killed = []
    for number in _sampled():
        data = tmp_path / str(number)
        shutil.copytree(prepared, data)
        phone = Phone()
        inject = f"inject=fsync,fdatasync:signal=KILL:when={number}"
        before = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e")
        with up(data, before=(*before, inject)) as process:
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
    assert len(killed) >= 12


def _sampled() -> list[int]:
    return [*range(1, EVERY_UP_TO), *range(EVERY_UP_TO, FSYNCS_MAX, THEN_EVERY)]
