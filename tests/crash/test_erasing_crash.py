"""kill -9 between every two steps of an erasure: run again, it is done once and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
from sqlalchemy import select
from tests.app.scene import IMSI
from tests.app.test_erasing import octets
from tests.crash.driver import SUBSCRIBER
from tests.forking import ran

from opencarrier.app.store import Store
from opencarrier.identity.store import erasures
from opencarrier.kernel.crash import VARIABLE
from opencarrier.ledger import service as ledger

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

POINTS = ("erasing.before_commit", "erasing.committed", "erasing.wiped")


def erase(data, who: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    command = ["subscriber", "erase", who, "--waive", "--json", "--data", str(data)]
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if crash_at:
        environment[VARIABLE] = crash_at
    return ran(command, environment)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point(data, point):
    """Before the commit nobody is erased; after it only the files are left to be cleaned."""
    party = (data / SUBSCRIBER).read_text()
    assert erase(data, IMSI, crash_at=point).returncode == -signal.SIGKILL
    assert (erase(data, IMSI).returncode == 0) is (point == POINTS[0])
    done = json.loads(erase(data, party).stdout)
    assert (done["subscriber"], done["files_clean"]) == (party, True)
    assert json.loads(erase(data, party).stdout) == done
    assert IMSI.encode() not in octets(data)
    store = Store(data / "opencarrier.sqlite")
    with store.read() as unit:
        (kept,) = unit.execute(select(erasures)).all()
        assert kept.erased_us == done["erased_us"]
        assert not ledger.check(unit).findings
    store.close()
