"""Killed between every two writes of a charging session: asked again, it comes to the same.

Each request is one transaction, so what a kill leaves is the request never made or the answer never
heard; the consumer cannot tell which, and need not.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from tests.app.charging_consumer import money, price_minor
from tests.app.scene import scene
from tests.crash.charging_smf import USED, play
from tests.forking import ran

from opencarrier.kernel.crash import VARIABLE
from opencarrier.ledger import service as ledger

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
BEGINNING = ("charging.authorised", "charging.begun")
EACH = ("charging.held", "charging.counted", "charging.observed", "charging.committed")
POINTS = [*BEGINNING, *(f"{point}:{request}" for point in EACH for request in (1, 2, 3))]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with a subscriber that has money."""
    root = tmp_path_factory.mktemp("prepared") / "data"
    with scene(root, one_sided_window_s=0):
        pass
    return root


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "data")


def test_every_point_of_the_room_is_tried() -> None:
    sources = ROOT / "src" / "opencarrier"
    found = {
        point
        for path in sources.rglob("*.py")
        for point in re.findall(r'crashpoint\("(charging\.[^"]+)"\)', path.read_text())
    }
    assert found == {*BEGINNING, *EACH}


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_and_asked_again(data: Path, point: str) -> None:
    """Held is the price of what was used, once; the cycle posts just that."""
    with scene(data, one_sided_window_s=0) as made:
        before, _ = money(made)
    died = ran([str(data)], {**os.environ, VARIABLE: point}, module="tests.crash.charging_smf")
    assert died.returncode == -signal.SIGKILL, died.stderr
    told = play(data)
    assert [answer["status"] for answer in told] == [201, 200, 204]
    granted = [answer["body"]["multipleUnitInformation"][0]["grantedUnit"] for answer in told[:2]]
    assert [unit["totalVolume"] for unit in granted] == [10 << 20, 5 << 20]
    with scene(data, one_sided_window_s=0) as made:
        assert money(made) == (before, price_minor(USED))
        made.settle()
        assert money(made) == (before - price_minor(USED), 0)
        with made.place.base.store.read() as unit:
            assert set(ledger.sum_minor(unit).values()) == {0}
            assert made.place.settlement.reconcile(unit).agrees
