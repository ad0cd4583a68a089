"""kill -9 around acts that the log tells of: who did what is known wherever something was done."""

from __future__ import annotations

import signal

import pytest
from tests.crash.driver import Phone, close, opened, play, running, up

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

POINTS = {"settlement.close.before_commit": 0, "settlement.close.after_commit": 1}
"""Where the process died: how many cycles it had closed by then."""


@pytest.mark.parametrize("point", POINTS)
def test_a_cycle_and_who_closed_it_stand_together(data, point):
    phone = Phone()
    with up(data, crash_at=point) as process:
        found = running(data, process)
        assert found is not None
        play(found, phone)
        close(found)
        assert process.wait(30) == -signal.SIGKILL
    with opened(data) as place, place.base.store.read() as unit:
        ordered = [cycle for cycle, attempt in place.settlement.cycles(unit) if attempt is not None]
        lines = [one for one in place.base.accounts.audit.page(unit) if one.what == "cycle_closed"]
        assert place.base.accounts.audit.broken_at(unit) is None
    assert [line.about for line in lines] == ["0x" + one.cycle_id.hex() for one in ordered]
    assert len(lines) == POINTS[point]
